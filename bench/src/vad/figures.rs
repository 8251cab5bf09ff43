//! How far off a detector was: from what is known and what it said to the figures.

use serde::Serialize;

use super::scene::Scene;
use super::{Detected, Heard, Span};

/// A speech that a detector dates so much before its true beginning began with something else.
const EARLY_SECONDS: f64 = 0.3;

/// Of one detector in one scene.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Utterances in the scene.
    pub utterances: usize,
    /// Utterances that were not noticed.
    pub missed: usize,
    /// Utterances during which it was decided that they are over, times that happened.
    pub cut: usize,
    /// Utterances that began while it was still or already taken for speech what was not.
    pub swallowed: usize,
    /// Utterances whose end was not noticed before the next one began.
    pub run_on: usize,
    /// Speech that there was not, for each minute without speech.
    pub false_starts_per_minute: f64,
    /// The share of the time without speech that was taken for speech.
    pub false_share: f64,
    /// From the true beginning until it was decided. Milliseconds, as all that follow.
    pub start_decided_ms: Spread,
    /// From the true beginning to the one that it was taken for.
    pub start_dated_ms: Spread,
    /// From the true end until it was decided.
    pub end_decided_ms: Spread,
    /// From the true end to the one that it was taken for.
    pub end_dated_ms: Spread,
    /// Processor time, of one core.
    pub cpu_percent: f64,
}

/// The middle of many values and their ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// One in twenty is below.
    pub p5: f64,
    /// One in two is below.
    pub p50: f64,
    /// One in twenty is above.
    pub p95: f64,
    /// All of them, sorted.
    pub values: Vec<f64>,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1) as f64;
            values.get((share * last).round() as usize).copied()
        };
        Self {
            p5: at(0.05).unwrap_or_default(),
            p50: at(0.5).unwrap_or_default(),
            p95: at(0.95).unwrap_or_default(),
            values,
        }
    }
}

/// Compares what was heard with what there was.
pub fn figures(scene: &Scene, heard: &Heard) -> Figures {
    let mut figures = Figures {
        utterances: scene.speech.len(),
        cpu_percent: 100.0 * heard.cpu_seconds / scene.seconds(),
        ..Figures::default()
    };
    let mut spreads: [Vec<f64>; 4] = Default::default();
    let [start_decided, start_dated, end_decided, end_dated] = &mut spreads;
    for (index, truth) in scene.speech.iter().enumerate() {
        let found: Vec<&Detected> = heard
            .speeches
            .iter()
            .filter(|it| touches(it, truth))
            .collect();
        let (Some(first), Some(last)) = (found.first(), found.last()) else {
            figures.missed += 1;
            continue;
        };
        figures.cut += found.len() - 1;
        if first.started_at < truth.from || first.from < truth.from - EARLY_SECONDS {
            figures.swallowed += 1;
        } else {
            start_decided.push(1_000.0 * (first.started_at - truth.from));
            start_dated.push(1_000.0 * (first.from - truth.from));
        }
        let next = scene
            .speech
            .get(index + 1)
            .map_or(f64::INFINITY, |next| next.from);
        match (last.ended_at, last.to) {
            (Some(ended_at), Some(to)) if ended_at < next => {
                end_decided.push(1_000.0 * (ended_at - truth.to));
                end_dated.push(1_000.0 * (to - truth.to));
            }
            _ => figures.run_on += 1,
        }
    }
    let n_false = heard
        .speeches
        .iter()
        .filter(|it| !scene.speech.iter().any(|truth| touches(it, truth)))
        .count();
    figures.false_starts_per_minute = 60.0 * n_false as f64 / scene.silence_seconds();
    figures.false_share = false_seconds(scene, heard) / scene.silence_seconds();
    let [start_decided, start_dated, end_decided, end_dated] = spreads.map(Spread::of);
    figures.start_decided_ms = start_decided;
    figures.start_dated_ms = start_dated;
    figures.end_decided_ms = end_decided;
    figures.end_dated_ms = end_dated;
    figures
}

fn touches(detected: &Detected, truth: &Span) -> bool {
    detected.from < truth.to && detected.to.is_none_or(|to| to > truth.from)
}

/// How long it was taken for speech what was none.
fn false_seconds(scene: &Scene, heard: &Heard) -> f64 {
    let overlap = |a: (f64, f64), b: (f64, f64)| (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    heard
        .speeches
        .iter()
        .map(|it| {
            let span = (it.from, it.to.unwrap_or(scene.seconds()));
            let right: f64 = scene
                .speech
                .iter()
                .map(|it| overlap(span, (it.from, it.to)))
                .sum();
            span.1 - span.0 - right
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: f64, to: f64) -> Span {
        Span { from, to }
    }

    /// Somebody speaks from second 2 to 3 and from 6 to 7 of 14 seconds.
    fn scene() -> Scene {
        Scene {
            name: String::new(),
            samples: vec![0; 14 * 16_000],
            speech: vec![span(2.0, 3.0), span(6.0, 7.0)],
        }
    }

    fn speech(started_at: f64, from: f64, ended_at: f64, to: f64) -> Detected {
        Detected {
            started_at,
            from,
            ended_at: Some(ended_at),
            to: Some(to),
        }
    }

    fn check(speeches: &[Detected]) -> Figures {
        figures(
            &scene(),
            &Heard {
                speeches: speeches.to_vec(),
                cpu_seconds: 0.07,
            },
        )
    }

    fn near(spread: &Spread, expected: &[f64]) {
        assert_eq!(spread.values.len(), expected.len(), "{spread:?}");
        for (value, expected) in spread.values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{spread:?}");
        }
    }

    #[test]
    fn errors_are_counted_from_the_truth() {
        let figures = check(&[speech(2.1, 2.05, 3.3, 3.02), speech(6.2, 5.98, 7.25, 6.9)]);
        near(&figures.start_decided_ms, &[100.0, 200.0]);
        near(&figures.start_dated_ms, &[-20.0, 50.0]);
        near(&figures.end_decided_ms, &[250.0, 300.0]);
        near(&figures.end_dated_ms, &[-100.0, 20.0]);
        assert_eq!((figures.missed, figures.cut, figures.run_on), (0, 0, 0));
        assert_eq!(figures.false_starts_per_minute, 0.0);
        assert!((figures.cpu_percent - 0.5).abs() < 1e-9);
        assert!((figures.false_share - 0.04 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn what_touches_no_speech_is_a_false_start_and_silence_is_a_miss() {
        let figures = check(&[speech(2.1, 2.0, 3.3, 3.0), speech(9.0, 8.9, 9.9, 9.5)]);
        assert_eq!(figures.missed, 1);
        // One in 12 seconds without speech.
        assert_eq!(figures.false_starts_per_minute, 5.0);
        assert!((figures.false_share - 0.6 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn an_utterance_ended_halfway_is_cut_and_its_last_end_counts() {
        let figures = check(&[
            speech(2.1, 2.0, 2.5, 2.3),
            speech(2.7, 2.6, 3.3, 3.0),
            speech(6.1, 6.0, 7.3, 7.0),
        ]);
        assert_eq!(figures.cut, 1);
        near(&figures.end_decided_ms, &[300.0, 300.0]);
    }

    #[test]
    fn one_speech_over_both_utterances_runs_on_and_swallows_the_second() {
        let figures = check(&[speech(2.1, 2.0, 7.3, 7.0)]);
        assert_eq!(
            (figures.run_on, figures.swallowed, figures.missed),
            (1, 1, 0)
        );
        near(&figures.start_decided_ms, &[100.0]);
        near(&figures.end_decided_ms, &[300.0]);
    }

    #[test]
    fn a_speech_that_began_with_a_noise_has_no_onset_to_measure() {
        let figures = check(&[
            speech(1.4, 1.3, 3.3, 3.0),
            Detected {
                ended_at: None,
                to: None,
                ..speech(6.1, 6.0, 0.0, 0.0)
            },
        ]);
        assert_eq!((figures.swallowed, figures.run_on), (1, 1));
        near(&figures.start_decided_ms, &[100.0]);
    }
}
