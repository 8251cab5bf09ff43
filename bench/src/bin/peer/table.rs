//! The results for people.

use crate::arrivals::ArrivalFigures;
use crate::call::Since;
use crate::figures::{Requests, Results, SettingFigures, SideFigures, Spread};
use crate::interruptions::InterruptionFigures;

/// Callers of which nothing but the agent's arrival is measured.
const JUST_JOINED: &str = "who just joined";
const WAITING: &str = "who wait";

/// One row: what, and a cell for each side.
#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn line(what: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!("{cell:>24}")).collect();
    println!("{what:44}{cells}");
}

pub(crate) fn print(results: &Results) {
    let sides = &results.sides;
    line("", sides.iter().map(|it| it.side.name().to_owned()));
    let idle = |it: &SideFigures| usage(it.idle_memory_mib, it.idle_cpu_percent);
    line("idle worker: memory, CPU of a core", sides.iter().map(idle));
    let interruptions = |what: &str, cell: fn(&InterruptionFigures) -> String| {
        let cells = sides.iter().map(|it| it.interruptions.as_ref());
        line(what, cells.map(|it| it.map_or_else(none, cell)));
    };
    interruptions("caller's voice to the agent's silence", |it| {
        spread(it.silent_ms)
    });
    interruptions("  the agent went on speaking", |it| {
        format!("{} of {}", it.missed, it.interruptions)
    });
    for who in [JUST_JOINED, WAITING] {
        arrivals(
            &format!("one after the other, {who}"),
            sides,
            |it| match who {
                JUST_JOINED => it.arrivals.as_ref(),
                _ => it.arrivals_waiting.as_ref(),
            },
        );
    }
    let direct = sides.iter().flat_map(|it| &it.direct);
    for (calls, since) in direct.map(|it| (it.calls, it.since)) {
        let who = match since {
            Since::Now => JUST_JOINED,
            Since::AWhile => WAITING,
        };
        let heading = format!("worker asked itself, {calls} at once, {who}");
        arrivals(&heading, sides, |it| {
            let mut direct = it.direct.iter();
            let direct = direct.find(|it| (it.calls, it.since) == (calls, since));
            direct.map(|it| &it.arrivals)
        });
    }
    let n_settings = sides.first().map_or(0, |side| side.settings.len());
    for index in 0..n_settings {
        let at: Vec<&SettingFigures> = sides
            .iter()
            .filter_map(|it| it.settings.get(index))
            .collect();
        setting(&at);
    }
}

/// How agents came, of each side.
fn arrivals<'a>(
    heading: &str,
    sides: &'a [SideFigures],
    of: impl Fn(&'a SideFigures) -> Option<&'a ArrivalFigures>,
) {
    line(heading, std::iter::empty());
    let row = |what: &str, figure: fn(&ArrivalFigures) -> Option<Spread>| {
        let cells = sides.iter().map(|it| spread(of(it).and_then(figure)));
        line(what, cells);
    };
    row("  dispatch to agent in the room, p50 / p95", |it| {
        it.joined_ms
    });
    row("  dispatch to greeting heard, p50 / p95", |it| {
        it.greeting_ms
    });
}

/// So many calls at once, of each side.
fn setting(at: &[&SettingFigures]) {
    let row = |what: &str, cell: fn(&SettingFigures) -> String| {
        line(what, at.iter().map(|setting| cell(setting)));
    };
    let heading = format!("{} calls at once", at[0].calls);
    line(&heading, std::iter::empty());
    row("  dispatch to agent in the room, p50 / p95", |it| {
        spread(it.joined_ms)
    });
    row("  dispatch to greeting heard, p50 / p95", |it| {
        spread(it.greeting_ms)
    });
    row("  end of speech to answer heard, p50 / p95", |it| {
        spread(it.answer_ms)
    });
    row("    of that in the caller's jitter buffer", |it| {
        spread(it.buffered_ms)
    });
    row("  turns missed", |it| {
        format!("{} of {}", it.turns_missed, it.turns)
    });
    row("  listening call: memory, CPU of a core", |it| {
        usage(it.memory_mib_per_call, it.cpu_percent_per_call)
    });
    row("  connections per call, first round / later", |it| {
        let (first, later) = (it.connections_per_call, it.connections_per_call_warm);
        format!("{first:.2} / {later:.2}")
    });
    row("  requests per turn, STT / LLM / TTS", |it| {
        stages(it, |it| it.made)
    });
    row("    of those broken off", |it| {
        stages(it, |it| it.broken_off)
    });
}

fn stages(setting: &SettingFigures, figure: fn(&Requests) -> f64) -> String {
    let (stt, llm) = (&setting.transcriptions_per_turn, &setting.chats_per_turn);
    let [stt, llm, tts] = [stt, llm, &setting.speeches_per_turn].map(figure);
    format!("{stt:.2} / {llm:.2} / {tts:.2}")
}

fn none() -> String {
    "none".to_owned()
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        Some(spread) => format!("{:.0} / {:.0} ms", spread.p50, spread.p95),
        None => none(),
    }
}

fn usage(memory_mib: f64, cpu_percent: f64) -> String {
    format!("{memory_mib:.1} MiB {cpu_percent:6.2} %")
}
