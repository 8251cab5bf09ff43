//! Each utterance's end as a dot, by how late it was dated.

use voxpool_bench::svg::{self, Row, Scale};
use voxpool_bench::vad::figures::Figures;

use crate::Results;

const TOP: f64 = 84.0;
const ROW: f64 = 40.0;

/// The picture.
pub(crate) fn svg(results: &Results) -> String {
    let spoken = results
        .conditions
        .iter()
        .filter(|it| it.voxpool.utterances > 0);
    let rows: Vec<(&str, &str, &Figures)> = spoken
        .flat_map(|it| {
            [
                ("voxpool", it.name.as_str(), &it.voxpool),
                ("livekit-agents", "", &it.livekit_agents),
            ]
        })
        .collect();
    let scale = Scale {
        width: 960.0,
        top: TOP,
        bottom: TOP + ROW * rows.len() as f64,
        left: 240.0,
        from_ms: -200.0,
        to_ms: 600.0,
        tick_ms: 100.0,
    };
    let mut svg = scale.begin(
        "Where speech is taken to have ended, voxpool beside livekit-agents",
        "Where speech is taken to have ended",
        &[
            "A dot for each utterance, from where it did end; a bar and a figure at the median, a thin \
             line to the 95th percentile.",
            "Held out: people, and noise, that voxpool's limits were not chosen on.",
        ],
    );
    for (index, (side, label, figures)) in rows.into_iter().enumerate() {
        let ends = &figures.end_dated_ms;
        let row = Row {
            side,
            label,
            each_ms: &ends.values,
            p50_ms: ends.p50,
            p95_ms: ends.p95,
        };
        scale.row(&mut svg, TOP + ROW * (index as f64 + 0.5), &row);
    }
    svg::end(svg)
}
