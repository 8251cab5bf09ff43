//! What detection is held to, on sound that is made here: no recordings, no clock.

use super::figures::{Figures, figures};
use super::scene::{self, Recordings};
use super::{detector, voices};

/// How much may be wrong in a condition. Milliseconds, and false starts a minute.
struct Bounds {
    start_decided_p95: f64,
    end_dated_p50: f64,
    end_dated_p95: f64,
    false_starts: f64,
}

const fn bounds(
    start_decided_p95: f64,
    end_dated_p50: f64,
    end_dated_p95: f64,
    false_starts: f64,
) -> Bounds {
    Bounds {
        start_decided_p95,
        end_dated_p50,
        end_dated_p95,
        false_starts,
    }
}

fn allowed(condition: &str) -> Bounds {
    match condition {
        "clean" => bounds(250.0, 30.0, 60.0, 0.0),
        "breath" => bounds(300.0, 60.0, 500.0, 4.0),
        "keyboard" => bounds(300.0, 100.0, 250.0, 0.0),
        "music alone, loud" | "keyboard and breath alone" => bounds(0.0, 0.0, 0.0, 0.0),
        _ => bounds(450.0, 120.0, 300.0, 0.0),
    }
}

fn problems(condition: &str, figures: &Figures) -> Vec<String> {
    let allowed = allowed(condition);
    let mut problems = Vec::new();
    let mut expect = |what: &str, value: f64, max: f64| {
        if value > max {
            problems.push(format!("{condition}: {what} is {value:.1}, above {max}"));
        }
    };
    expect("missed", figures.missed as f64, 0.0);
    let spoilt = figures.cut + figures.swallowed + figures.run_on;
    expect("cut, swallowed or run on", spoilt as f64, 0.0);
    expect(
        "start",
        figures.start_decided_ms.p95,
        allowed.start_decided_p95,
    );
    expect("end", figures.end_dated_ms.p50.abs(), allowed.end_dated_p50);
    expect("late end", figures.end_dated_ms.p95, allowed.end_dated_p95);
    // Not so early that it would be cut off before the endpointing delay is half over.
    expect("early end", -figures.end_dated_ms.p5, 200.0);
    expect(
        "false starts",
        figures.false_starts_per_minute,
        allowed.false_starts,
    );
    problems
}

#[tokio::test]
async fn voices_are_found_and_nothing_else_is_taken_for_one() {
    let utterances = voices::synthetic(2).await.unwrap();
    assert!(
        utterances.len() >= 7,
        "only {} were usable",
        utterances.len()
    );
    let problems: Vec<String> = scene::all(&utterances, &Recordings::default(), 0)
        .iter()
        // Babble of so few sentences has words of its own.
        .filter(|scene| !scene.name.starts_with("babble"))
        .flat_map(|scene| {
            problems(
                &scene.name,
                &figures(scene, &detector::hear(&scene.samples)),
            )
        })
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
}
