//! Everything that callers wait for, a dot each time, as an SVG that follows the reader's light or dark.

use std::fmt::Write;

use crate::figures::{Results, SideFigures, Spread};
use crate::side::Kind;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 200.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 84.0;
/// Height of a section's heading and of a row in it.
const HEADING: f64 = 40.0;
const ROW: f64 = 40.0;
/// The end of the axis, in milliseconds. What is slower sits at its end.
const TO_MS: f64 = 1_600.0;
const TICK_MS: f64 = 200.0;

/// Colours by reading mode; the two sides differ in brightness, too.
const STYLE: &str = "\
text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1f2328 }
.paper { fill: #ffffff } .quiet { fill: #59636e } .grid { stroke: #d8dee4 }
.voxpool { fill: #0a6b4c; stroke: #0a6b4c } .livekit-agents { fill: #c4512d; stroke: #c4512d }
text.voxpool, text.livekit-agents { stroke: none }
circle { stroke: none; fill-opacity: 0.4 }
.title { font-size: 18px; font-weight: 600 } .heading { font-weight: 600 }
.figure { font-size: 12px; font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117 } .quiet { fill: #9198a1 } .grid { stroke: #30363d }
.voxpool { fill: #4ac99a; stroke: #4ac99a } .livekit-agents { fill: #ff9a76; stroke: #ff9a76 }
circle { fill-opacity: 0.55 }
}";

/// One kind of wait.
struct Section {
    heading: String,
    rows: Vec<Row>,
}

/// One side's waits.
struct Row {
    kind: Kind,
    label: String,
    each_ms: Vec<f64>,
}

/// Calls at once, and each of their waits in milliseconds.
type Waits = (usize, Vec<f64>);

/// The picture.
pub(crate) fn svg(results: &Results) -> String {
    let mut sections = vec![
        section(results, "Dispatch → greeting heard", arrivals),
        section(
            results,
            "End of the caller's speech → answer heard (0.5 s of it is endpointing)",
            answers,
        ),
        section(
            results,
            "Caller speaks over the agent → the agent is silent (0.5 s of it is the shortest interruption)",
            silences,
        ),
    ];
    sections.retain(|section| !section.rows.is_empty());
    let height = |section: &Section| HEADING + ROW * section.rows.len() as f64;
    let bottom = TOP + sections.iter().map(height).sum::<f64>();
    let mut svg = String::new();
    header(&mut svg, bottom);
    axis(&mut svg, bottom);
    let mut y = TOP;
    for section in &sections {
        let text_y = y + HEADING - 12.0;
        let heading = &section.heading;
        add(
            &mut svg,
            format_args!("<text class=\"heading\" x=\"20\" y=\"{text_y}\">{heading}</text>"),
        );
        for (index, row) in section.rows.iter().enumerate() {
            dots(&mut svg, y + HEADING + ROW * (index as f64 + 0.5), row);
        }
        y += height(section);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The rows of both sides, so that the same number of calls stands together.
fn section(results: &Results, heading: &str, rows: fn(&SideFigures) -> Vec<Waits>) -> Section {
    let of = |side: &SideFigures| {
        let kind = side.side;
        let row = move |(calls, each_ms): Waits| (calls, kind, each_ms);
        rows(side).into_iter().map(row).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = results.sides.iter().flat_map(of).collect();
    rows.sort_by_key(|(calls, ..)| *calls);
    let row = |(calls, kind, each_ms): (usize, Kind, Vec<f64>)| Row {
        kind,
        label: match calls {
            1 => format!("{}, 1 call", kind.name()),
            calls => format!("{}, {calls} calls", kind.name()),
        },
        each_ms,
    };
    Section {
        heading: heading.to_owned(),
        rows: rows.into_iter().map(row).collect(),
    }
}

/// Calls one after the other, then those at once.
fn arrivals(side: &SideFigures) -> Vec<Waits> {
    let one = side.arrivals.iter().map(|it| (1, it.greetings_ms.clone()));
    let many = side.settings.iter().filter(|it| it.calls > 1);
    one.chain(many.map(|it| (it.calls, it.greetings_ms.clone())))
        .collect()
}

fn answers(side: &SideFigures) -> Vec<Waits> {
    let settings = side.settings.iter();
    settings
        .map(|it| (it.calls, it.answers_ms.clone()))
        .collect()
}

fn silences(side: &SideFigures) -> Vec<Waits> {
    let interruptions = side.interruptions.iter();
    interruptions
        .map(|it| (it.calls, it.each_ms.clone()))
        .collect()
}

fn x(ms: f64) -> f64 {
    LEFT + ms.clamp(0.0, TO_MS) / TO_MS * (WIDTH - LEFT - RIGHT)
}

/// Adds to the text. Writing to a string cannot fail.
fn add(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    svg.write_fmt(arguments).ok();
    svg.push('\n');
}

fn header(svg: &mut String, bottom: f64) {
    let height = bottom + 64.0;
    add(
        svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             aria-label=\"What callers wait for, voxpool beside livekit-agents\">\n\
             <style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"20\" y=\"32\">What callers wait for: \
             <tspan class=\"voxpool\" stroke=\"none\">voxpool</tspan> beside \
             <tspan class=\"livekit-agents\" stroke=\"none\">livekit-agents 1.8.9</tspan></text>\n\
             <text class=\"quiet\" x=\"20\" y=\"54\">A dot each time, as the caller's WebRTC connection \
             receives it; a bar and a figure at the median, a thin line to the 95th percentile.</text>\n\
             <text class=\"quiet\" x=\"20\" y=\"72\">One LiveKit server, one stand-in for OpenAI: \
             100 ms to a transcript, 150 ms to the first token, 100 ms to the first byte of speech.</text>"
        ),
    );
}

fn axis(svg: &mut String, bottom: f64) {
    let mut ms = 0.0;
    while ms <= TO_MS {
        let (x, y) = (x(ms), bottom + 20.0);
        let more = if ms == TO_MS { "+" } else { "" };
        add(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
                 <text class=\"quiet\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{ms}{more}</text>"
            ),
        );
        ms += TICK_MS;
    }
    let (middle, y) = (f64::midpoint(LEFT, WIDTH - RIGHT), bottom + 44.0);
    add(
        svg,
        format_args!(
            "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">time in milliseconds</text>"
        ),
    );
}

fn dots(svg: &mut String, y: f64, row: &Row) {
    let (class, label, text_y) = (row.kind.name(), &row.label, y + 4.0);
    add(
        svg,
        format_args!("<text class=\"{class}\" x=\"20\" y=\"{text_y}\">{label}</text>"),
    );
    for (index, ms) in row.each_ms.iter().enumerate() {
        // Spread over the height of the row, so that equal ones do not hide each other.
        let (x, y) = (x(*ms), y - 12.0 + (index * 11 % 25) as f64);
        add(
            svg,
            format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"),
        );
    }
    let Some(spread) = Spread::of(row.each_ms.clone()) else {
        return;
    };
    let (from, to, p50) = (x(spread.p50), x(spread.p95), spread.p50);
    let (y1, y2, label_x) = (y - 15.0, y + 15.0, to.max(from) + 8.0);
    add(
        svg,
        format_args!(
            "<line class=\"{class}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y}\" y2=\"{y}\"/>\n\
             <line class=\"{class}\" x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"{y1}\" y2=\"{y2}\" stroke-width=\"3\"/>\n\
             <text class=\"{class} figure\" x=\"{label_x:.1}\" y=\"{text_y}\">{p50:.0} ms</text>"
        ),
    );
}
