//! Each utterance's end as a dot, by how late it was noticed, as an SVG.

use std::fmt::Write;

use voxpool_bench::vad::figures::Figures;

use crate::Results;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 270.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 70.0;
const ROW: f64 = 40.0;
/// The ends of the axis, in milliseconds. What lies outside sits at its end.
const FROM_MS: f64 = -200.0;
const TO_MS: f64 = 600.0;

/// The picture.
pub(crate) fn svg(results: &Results) -> String {
    let spoken = results
        .conditions
        .iter()
        .filter(|it| it.voxpool.utterances > 0);
    let rows: Vec<(&str, &str, &Figures)> = spoken
        .flat_map(|it| {
            [
                (it.name.as_str(), "#0b6e4f", &it.voxpool),
                ("livekit-agents", "#c8553d", &it.livekit_agents),
            ]
        })
        .collect();
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = String::new();
    header(&mut svg, bottom);
    axis(&mut svg, bottom);
    for (index, (name, colour, figures)) in rows.iter().enumerate() {
        row(
            &mut svg,
            TOP + ROW * (index as f64 + 0.5),
            name,
            colour,
            figures,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn x(ms: f64) -> f64 {
    let share = (ms.clamp(FROM_MS, TO_MS) - FROM_MS) / (TO_MS - FROM_MS);
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

/// Adds to the text. Writing to a string cannot fail.
fn add(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    svg.write_fmt(arguments).ok();
    svg.push('\n');
}

fn header(svg: &mut String, bottom: f64) {
    let height = bottom + 50.0;
    add(
        svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"20\" y=\"28\" font-size=\"17\" font-weight=\"bold\">\
             Where speech is taken to have ended, from where it did</text>\n\
             <text x=\"20\" y=\"48\" fill=\"#666\">a dot for each utterance, a bar at the median; \
             voxpool green under the condition's name, livekit-agents red</text>"
        ),
    );
}

fn axis(svg: &mut String, bottom: f64) {
    let mut ms = FROM_MS;
    while ms <= TO_MS {
        let (x, y) = (x(ms), bottom + 20.0);
        let colour = if ms == 0.0 { "#999" } else { "#e5e5e5" };
        add(
            svg,
            format_args!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"{colour}\"/>\n\
                 <text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{ms}</text>"
            ),
        );
        ms += 100.0;
    }
    let y = bottom + 40.0;
    add(
        svg,
        format_args!("<text x=\"{LEFT}\" y=\"{y}\" fill=\"#666\">milliseconds</text>"),
    );
}

fn row(svg: &mut String, y: f64, name: &str, colour: &str, figures: &Figures) {
    let text_y = y + 4.0;
    add(
        svg,
        format_args!("<text x=\"20\" y=\"{text_y}\" fill=\"{colour}\">{name}</text>"),
    );
    for (index, ms) in figures.end_dated_ms.values.iter().enumerate() {
        // Spread over the height of the row, so that equal ones do not hide each other.
        let (x, y) = (x(*ms), y - 12.0 + (index * 11 % 25) as f64);
        add(
            svg,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\" fill-opacity=\"0.45\"/>"
            ),
        );
    }
    let (p50, y1, y2) = (figures.end_dated_ms.p50, y - 16.0, y + 16.0);
    let (x, label_x) = (x(p50), x(p50) + 5.0);
    add(
        svg,
        format_args!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1}\" y2=\"{y2}\" stroke=\"{colour}\" stroke-width=\"3\"/>\n\
             <text x=\"{label_x:.1}\" y=\"{y2}\" font-size=\"11\" fill=\"{colour}\">{p50:.0}</text>"
        ),
    );
}
