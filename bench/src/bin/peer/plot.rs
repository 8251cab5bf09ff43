//! Every answer as a dot, by latency, as an SVG.

use std::fmt::Write;

use crate::figures::{Results, SettingFigures};
use crate::side::Kind;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 70.0;
const ROW: f64 = 46.0;
/// The ends of the axis, in milliseconds. What is slower sits at its end.
const FROM_MS: f64 = 400.0;
const TO_MS: f64 = 1_400.0;
/// Where endpointing alone ends.
const ENDPOINTING_MS: f64 = 500.0;

/// The picture.
pub(crate) fn svg(results: &Results) -> String {
    let rows: Vec<(Kind, &SettingFigures)> = results
        .sides
        .iter()
        .flat_map(|side| side.settings.iter().map(|setting| (side.side, setting)))
        .collect();
    let mut rows = rows;
    rows.sort_by_key(|(_, setting)| setting.calls);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = String::new();
    header(&mut svg, bottom);
    axis(&mut svg, bottom);
    for (index, (kind, setting)) in rows.iter().enumerate() {
        row(&mut svg, TOP + ROW * (index as f64 + 0.5), *kind, setting);
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
             From the end of the caller's speech to the first sound of the answer</text>\n\
             <text x=\"20\" y=\"48\" fill=\"#666\">a dot for each turn, a bar at the median; \
             0.5 s of endpointing, services that take 100 + 150 + 100 ms</text>"
        ),
    );
}

fn axis(svg: &mut String, bottom: f64) {
    let mut ms = FROM_MS;
    while ms <= TO_MS {
        let (x, y) = (x(ms), bottom + 20.0);
        let colour = if ms == ENDPOINTING_MS {
            "#999"
        } else {
            "#e5e5e5"
        };
        let more = if ms == TO_MS { "+" } else { "" };
        add(
            svg,
            format_args!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"{colour}\"/>\n\
                 <text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{ms}{more}</text>"
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

fn row(svg: &mut String, y: f64, kind: Kind, setting: &SettingFigures) {
    let colour = match kind {
        Kind::Voxpool => "#0b6e4f",
        Kind::LivekitAgents => "#c8553d",
    };
    let (name, calls) = (kind.name(), setting.calls);
    let plural = if calls == 1 { "" } else { "s" };
    let text_y = y + 4.0;
    add(
        svg,
        format_args!(
            "<text x=\"20\" y=\"{text_y}\" fill=\"{colour}\">{name}, {calls} call{plural}</text>"
        ),
    );
    for (index, ms) in setting.answers_ms.iter().enumerate() {
        // Spread over the height of the row, so that equal ones do not hide each other.
        let (x, y) = (x(*ms), y - 14.0 + (index * 11 % 29) as f64);
        add(
            svg,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\" fill-opacity=\"0.45\"/>"
            ),
        );
    }
    if let Some(spread) = setting.answer_ms {
        let (x, y1, y2) = (x(spread.p50), y - 18.0, y + 18.0);
        let (label_x, p50) = (x + 5.0, spread.p50);
        add(
            svg,
            format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1}\" y2=\"{y2}\" stroke=\"{colour}\" stroke-width=\"3\"/>\n\
                 <text x=\"{label_x:.1}\" y=\"{y2}\" font-size=\"11\" fill=\"{colour}\">{p50:.0}</text>"
            ),
        );
    }
}
