//! Everything that callers wait for, a dot each time.

use voxpool_bench::svg::{self, Scale};

use crate::call::Since;
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
struct Waits {
    calls: usize,
    /// Whether the worker itself was asked for the agent.
    is_direct: bool,
    each_ms: Vec<f64>,
}

impl Waits {
    fn new(calls: usize, each_ms: &[f64]) -> Self {
        Self {
            calls,
            is_direct: false,
            each_ms: each_ms.to_vec(),
        }
    }
}

/// The picture.
pub(crate) fn svg(results: &Results) -> String {
    let mut sections = vec![
        section(results, "Dispatch → greeting heard", arrivals),
        section(
            results,
            "The same for callers who have been in the room for a while; asked of LiveKit's server, or of the worker itself",
            waiting,
        ),
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
        left: 232.0,
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
        let row = move |waits: Waits| (kind, waits);
        rows(side).into_iter().map(row).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = results.sides.iter().flat_map(of).collect();
    rows.sort_by_key(|(_, waits)| (waits.is_direct, waits.calls));
    let row = |(kind, waits): (Kind, Waits)| {
        let way = if waits.is_direct { " asked itself" } else { "" };
        let calls = match waits.calls {
            1 => "1 call".to_owned(),
            calls => format!("{calls} calls"),
        };
        Row {
            kind,
            label: format!("{}{way}, {calls}", kind.name()),
            each_ms: waits.each_ms,
        }
    };
    Section {
        heading: heading.to_owned(),
        rows: rows.into_iter().map(row).collect(),
    }
}

/// Calls one after the other, then those at once.
fn arrivals(side: &SideFigures) -> Vec<Waits> {
    let one = side.arrivals.iter();
    let one = one.map(|it| Waits::new(1, &it.greetings_ms));
    let many = side.settings.iter().filter(|it| it.calls > 1);
    one.chain(many.map(|it| Waits::new(it.calls, &it.greetings_ms)))
        .collect()
}

/// The usual way, and where the worker is asked.
fn waiting(side: &SideFigures) -> Vec<Waits> {
    let usual = side.arrivals_waiting.iter();
    let usual = usual.map(|it| Waits::new(1, &it.greetings_ms));
    let direct = side.direct.iter().filter(|it| it.since == Since::AWhile);
    let direct = direct.map(|it| Waits {
        is_direct: true,
        ..Waits::new(it.calls, &it.arrivals.greetings_ms)
    });
    usual.chain(direct).collect()
}

fn answers(side: &SideFigures) -> Vec<Waits> {
    let settings = side.settings.iter();
    settings
        .map(|it| Waits::new(it.calls, &it.answers_ms))
        .collect()
}

fn silences(side: &SideFigures) -> Vec<Waits> {
    let interruptions = side.interruptions.iter();
    interruptions
        .map(|it| Waits::new(it.calls, &it.each_ms))
        .collect()
}
