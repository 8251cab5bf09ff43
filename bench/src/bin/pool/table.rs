//! The results for people.

use crate::Results;

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
pub(crate) fn print(r: &Results) {
    let line = |what: &str, unpooled: String, pooled: String, gain: String| {
        println!("{what:34} {unpooled:>12} {pooled:>12} {gain:>14}");
    };
    let times = |times: f64| format!("{times:.2} x");
    let milliseconds = |ms: f64| format!("{ms:.1} ms");
    let shorter = |before: f64, after: f64, word: &str| {
        format!("{:.1} % {word}", 100.0 * (1.0 - after / before.max(1e-9)))
    };
    let none = String::new;
    line("", "unpooled".into(), "pooled".into(), none());
    line("5 calls in parallel", none(), none(), times(r.parallel_5));
    line("50 calls in parallel", none(), none(), times(r.parallel_50));
    line(
        "an OpenAI client",
        format!("{:.1} us", r.client_unpooled_us),
        format!("{:.3} us", r.client_pooled_us),
        none(),
    );
    line(
        "greeting, to its first sound",
        milliseconds(r.greeting_unpooled_ms),
        format!("{:.3} ms", r.greeting_cached_ms),
        none(),
    );
    for (what, before, after) in [
        (
            "background work of one turn",
            r.background_1_unpooled_ms,
            r.background_1_pooled_ms,
        ),
        (
            "background work of five turns",
            r.background_5_unpooled_ms,
            r.background_5_pooled_ms,
        ),
        (
            "a chat call, median",
            r.call_unpooled_p50_ms,
            r.call_pooled_p50_ms,
        ),
    ] {
        let gain = shorter(before, after, "less");
        line(what, milliseconds(before), milliseconds(after), gain);
    }
    line(
        &format!("connections of {} calls", r.calls),
        r.connections_unpooled.to_string(),
        r.connections_pooled.to_string(),
        shorter(
            r.connections_unpooled as f64,
            r.connections_pooled as f64,
            "fewer",
        ),
    );
    println!();
    println!(
        "{:34} {:>12} {:>12} {:>14}",
        "memory saves", "one by one", "merged", "statements"
    );
    for saves in &r.saves {
        line(
            &format!("{} rows, {}", saves.rows, saves.store),
            format!("{:.0} r/s", saves.alone_per_second),
            format!("{:.0} r/s", saves.merged_per_second),
            saves.statements.to_string(),
        );
    }
}
