//! Everything that callers wait for, a dot each time.

use voxpool_bench::svg::{self, Scale};

use crate::figures::{Results, SideFigures, Spread};
use crate::side::Kind;

const TOP: f64 = 84.0;
/// Height of a section's heading and of a row in it.
const HEADING: f64 = 40.0;
const ROW: f64 = 40.0;

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
    let scale = Scale {
        width: 960.0,
        top: TOP,
        bottom: TOP + sections.iter().map(height).sum::<f64>(),
        left: 200.0,
        from_ms: 0.0,
        to_ms: 1_600.0,
        tick_ms: 200.0,
    };
    let mut svg = scale.begin(
        "What callers wait for, voxpool beside livekit-agents",
        "What callers wait for",
        &[
            "A dot each time, as the caller's WebRTC connection receives it; a bar and a figure at the \
             median, a thin line to the 95th percentile.",
            "One LiveKit server, one stand-in for OpenAI: 100 ms to a transcript, 150 ms to the first \
             token, 100 ms to the first byte of speech.",
        ],
    );
    let mut y = TOP;
    for section in &sections {
        scale.heading(&mut svg, y + HEADING - 12.0, &section.heading);
        for (index, row) in section.rows.iter().enumerate() {
            dots(
                &scale,
                &mut svg,
                y + HEADING + ROW * (index as f64 + 0.5),
                row,
            );
        }
        y += height(section);
    }
    svg::end(svg)
}

fn dots(scale: &Scale, svg: &mut String, y: f64, row: &Row) {
    let spread = Spread::of(row.each_ms.clone());
    let row = svg::Row {
        side: row.kind.name(),
        label: &row.label,
        each_ms: &row.each_ms,
        p50_ms: spread.map_or(0.0, |it| it.p50),
        p95_ms: spread.map_or(0.0, |it| it.p95),
    };
    scale.row(svg, y, &row);
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
