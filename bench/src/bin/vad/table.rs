//! The results for people.

use voxpool_bench::vad::figures::{Figures, Spread};

use crate::Results;

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
pub(crate) fn print(results: &Results) {
    println!(
        "{} synthetic and {} recorded utterances in each condition, {} in those held out; ms from \
         the truth: p50 / p95",
        results.utterances_synthetic, results.utterances_recorded, results.utterances_held_out
    );
    println!(
        "{:34}{:15}{:>14}{:>14}{:>14}{:>14}{:>7}{:>5}{:>6}{:>7}{:>9}{:>8}{:>7}",
        "",
        "",
        "start decided",
        "start dated",
        "end decided",
        "end dated",
        "missed",
        "cut",
        "early",
        "run on",
        "false/min",
        "false %",
        "CPU %"
    );
    for condition in &results.conditions {
        println!(
            "{:34}{}",
            condition.name,
            line("voxpool", &condition.voxpool)
        );
        println!(
            "{:34}{}",
            "",
            line("livekit-agents", &condition.livekit_agents)
        );
    }
}

fn line(side: &str, figures: &Figures) -> String {
    let Figures {
        missed,
        cut,
        swallowed,
        run_on,
        ..
    } = figures;
    format!(
        "{side:15}{:>14}{:>14}{:>14}{:>14}{missed:>7}{cut:>5}{swallowed:>6}{run_on:>7}{:>9.1}{:>8.1}{:>7.2}",
        spread(&figures.start_decided_ms),
        spread(&figures.start_dated_ms),
        spread(&figures.end_decided_ms),
        spread(&figures.end_dated_ms),
        figures.false_starts_per_minute,
        100.0 * figures.false_share,
        figures.cpu_percent,
    )
}

fn spread(spread: &Spread) -> String {
    match spread.values.is_empty() {
        true => String::new(),
        false => format!("{:.0} / {:.0}", spread.p50, spread.p95),
    }
}
