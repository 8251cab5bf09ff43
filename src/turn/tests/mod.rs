//! Turn-taking as scripts: one line per thing that happens, in milliseconds of session time.
//!
//! `start`, `pause`, `resume` and `end` are the voice as it is detected, with how far they look
//! back; `hears text` are words as they are spoken, `words N text` answers request N; lines with `>` are what the machine decides. The machine
//! is given a tick whenever its deadline comes, as the session does. `agent` is something it begins to
//! say of itself at once; there is somebody to hear it from the start.

use std::fmt::Write as _;
use std::time::Duration;

mod interruptions;
mod judge;
mod lasting;
mod limits;
mod overlaps;
mod pausing;
mod reported;
mod speeches;
mod users;

use super::*;
use crate::audio::speech::SpeechEvent;

/// What the agent says in scripts in which it does not matter what.
const AGENT: SpeechId = SpeechId(0);

struct Script {
    machine: TurnMachine,
    log: String,
}

impl Script {
    fn feed(&mut self, at_ms: u64, input: TurnInput) {
        let now = SessionTime::after_start(Duration::from_millis(at_ms));
        for output in self.machine.input(now, input) {
            if output == TurnOutput::Speak(AGENT) {
                continue;
            }
            let what = describe(&output);
            writeln!(self.log, "{at_ms} > {what}").unwrap();
        }
    }

    /// Ticks at every deadline before `until_ms`.
    fn tick_until(&mut self, until_ms: u64) {
        for _ in 0..100 {
            let Some(deadline) = self.machine.deadline() else {
                return;
            };
            let at_ms = deadline.since_start().as_millis() as u64;
            if at_ms >= until_ms {
                return;
            }
            self.feed(at_ms, TurnInput::Tick);
        }
        panic!("the machine keeps asking for ticks:\n{}", self.log);
    }
}

fn describe(output: &TurnOutput) -> String {
    match output {
        TurnOutput::Open => "open".to_owned(),
        TurnOutput::Transcribe(request) => format!("transcribe {}", request.0),
        TurnOutput::CutSound => "cut".to_owned(),
        TurnOutput::CancelTranscription(request) => format!("cancel {}", request.0),
        TurnOutput::Prepare(text) => format!("prepare '{text}'"),
        TurnOutput::DropPrepared => "drop prepared".to_owned(),
        TurnOutput::Pause => "pause".to_owned(),
        TurnOutput::Resume => "resume".to_owned(),
        TurnOutput::Hold => "hold".to_owned(),
        TurnOutput::GoOn => "go on".to_owned(),
        TurnOutput::Interrupt => "interrupt".to_owned(),
        TurnOutput::Speak(id) => format!("speak {}", id.0),
        TurnOutput::DropTexts(n) => format!("drop {n} texts"),
        TurnOutput::DropSpeech(id) => format!("drop speech {}", id.0),
        TurnOutput::Discard => "discard".to_owned(),
        TurnOutput::Overlap {
            began,
            is_interruption,
        } => {
            let not = if *is_interruption { "" } else { " no" };
            let since_ms = began.since_start().as_millis();
            format!("overlap since {since_ms}:{not} interruption")
        }
        TurnOutput::Commit(commit) => {
            let prepared = if commit.is_prepared { " prepared" } else { "" };
            let transcript = commit.transcript.replace('\n', " / ");
            format!("commit {} '{transcript}'{prepared}", commit.id.0)
        }
    }
}

fn parse(words: &[&str]) -> TurnInput {
    let ms = |n: usize| Duration::from_millis(words[n].parse().unwrap());
    let request = || RequestId(words[1].parse().unwrap());
    match words[0] {
        "start" => TurnInput::Speech(SpeechEvent::Started { onset_ago: ms(1) }),
        "resume" => TurnInput::Speech(SpeechEvent::Resumed { onset_ago: ms(1) }),
        "pause" => TurnInput::Speech(SpeechEvent::Paused { silence: ms(1) }),
        "end" => TurnInput::Speech(SpeechEvent::Ended { silence: ms(1) }),
        "full" => TurnInput::UtteranceFull,
        "hears" => TurnInput::Words(words[1..].join(" ")),
        "words" => TurnInput::Transcript {
            request: request(),
            text: words[2..].join(" "),
        },
        "failed" => TurnInput::TranscriptionFailed { request: request() },
        "text" => TurnInput::UserText(words[1..].join(" ")),
        "agent" => TurnInput::SpeechQueued(QueuedSpeech {
            id: AGENT,
            priority: Priority::High,
            is_interruptible: words.get(1) != Some(&"uninterruptible"),
        }),
        "queue" => TurnInput::SpeechQueued(QueuedSpeech {
            id: SpeechId(words[1].parse().unwrap()),
            priority: match words[2] {
                "low" => Priority::Low,
                "normal" => Priority::Normal,
                _ => Priority::High,
            },
            is_interruptible: words.get(3) != Some(&"uninterruptible"),
        }),
        "unqueue" => TurnInput::SpeechDropped(SpeechId(words[1].parse().unwrap())),
        "stop" => TurnInput::StopAgent,
        "audible" => TurnInput::AgentAudible,
        "silent" => TurnInput::AgentSilent { silence: ms(1) },
        "joined" => TurnInput::UserJoined,
        "away" => TurnInput::UserAway,
        "returned" => TurnInput::UserReturned,
        "gone" => TurnInput::UserGone,
        "done" => TurnInput::AgentFinished,
        "tick" => TurnInput::Tick,
        other => panic!("unknown word {other}"),
    }
}

/// Plays the lines of `script` without `>` and expects exactly the lines with it, in order.
fn check_with(config: Config, script: &str) -> TurnMachine {
    let mut run = Script {
        machine: TurnMachine::new(config),
        log: String::new(),
    };
    run.feed(0, TurnInput::UserJoined);
    let mut expected = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if line.contains(" > ") {
            writeln!(expected, "{line}").unwrap();
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let at_ms = words[0].parse().unwrap();
        run.tick_until(at_ms);
        run.feed(at_ms, parse(&words[1..]));
    }
    run.tick_until(1_000_000);
    assert_eq!(run.log, expected, "\n--- decided:\n{}", run.log);
    run.machine
}

fn check(script: &str) {
    check_with(Config::default(), script);
}

/// A voice that lasts stops the agent for good.
fn without_pausing() -> Config {
    let mut config = Config::default();
    config.interruption.resume_false_interruption = false;
    config
}

#[test]
fn a_turn_is_prepared_at_the_pause_and_ends_half_a_second_after_the_voice() {
    check(
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2256 end 256
         2260 words 1 hello there
         2260 > prepare 'hello there'
         2500 > commit 1 'hello there' prepared",
    );
}

#[test]
fn a_user_who_goes_on_is_heard_out() {
    check(
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 my name is
         2200 > prepare 'my name is'
         2364 resume 64
         2364 > drop prepared
         3160 pause 160
         3160 > transcribe 2
         3256 end 256
         3300 words 2 my name is john
         3300 > prepare 'my name is john'
         3500 > commit 1 'my name is john' prepared",
    );
}

#[test]
fn a_request_that_the_user_overtakes_is_cancelled() {
    check(
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2256 end 256
         2364 start 64
         2364 > cancel 1
         2400 words 1 too late
         3160 pause 160
         3160 > transcribe 2
         3700 words 2 all of it
         3700 > prepare 'all of it'
         3700 > commit 1 'all of it' prepared",
    );
}

#[test]
fn without_speculation_transcription_waits_for_the_end_of_speech() {
    let mut config = Config::default();
    config.speculation.enabled = false;
    check_with(
        config,
        "1064 start 64
         1064 > open
         2160 pause 160
         2256 end 256
         2256 > transcribe 1
         2400 words 1 hello
         2500 > commit 1 'hello'",
    );
}

#[test]
fn the_fourth_pause_of_a_turn_is_not_guessed_at() {
    check_with(
        Config::default(),
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2264 resume 64
         2264 > cancel 1
         3160 pause 160
         3160 > transcribe 2
         3264 resume 64
         3264 > cancel 2
         4160 pause 160
         4160 > transcribe 3
         4264 resume 64
         4264 > cancel 3
         5160 pause 160
         5256 end 256
         5256 > transcribe 4
         5300 words 4 a long story
         5500 > commit 1 'a long story'",
    );
}

#[test]
fn more_than_ten_seconds_of_speech_are_not_guessed_at() {
    check(
        "1000 start 0
         1000 > open
         11560 pause 160
         11656 end 256
         11656 > transcribe 1
         11700 words 1 a very long story
         11900 > commit 1 'a very long story'",
    );
}

#[test]
fn a_noise_without_words_is_no_turn() {
    check(
        "1064 start 64
         1064 > open
         1360 pause 160
         1360 > transcribe 1
         1400 words 1
         1700 > discard",
    );
}

#[test]
fn a_late_transcript_ends_the_turn_when_it_arrives() {
    check(
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2256 end 256
         4000 words 1 hello
         4000 > prepare 'hello'
         4000 > commit 1 'hello' prepared",
    );
}

#[test]
fn a_transcript_that_fails_ends_the_turn_without_an_answer() {
    check(
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2300 failed 1
         2300 > discard
         2400 failed 1",
    );
}

#[test]
fn speech_longer_than_a_request_may_be_becomes_one_turn_of_several_parts() {
    check(
        "1000 start 0
         1000 > open
         60000 full
         60000 > transcribe 1
         60000 > cut
         61160 pause 160
         61256 end 256
         61256 > transcribe 2
         61300 words 2 and the end
         61900 words 1 a long beginning
         61900 > commit 1 'a long beginning and the end'",
    );
}

#[test]
fn a_buffer_that_fills_while_a_transcript_is_awaited_loses_no_words() {
    check(
        "1000 start 0
         1000 > open
         2160 pause 160
         2160 > transcribe 1
         2256 end 256
         61000 full
         61000 > cut
         61500 start 0
         62660 pause 160
         62660 > transcribe 2
         62700 words 1 first
         62800 words 2 second
         62800 > prepare 'first second'
         63000 > commit 1 'first second' prepared",
    );
}

#[test]
fn unfinished_words_are_given_more_time() {
    let mut config = Config::default();
    config.endpointing.judge = endpointing::Judge::Transcript;
    check_with(
        config,
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2256 end 256
         2300 words 1 my name is
         2300 > prepare 'my name is'
         5000 > commit 1 'my name is' prepared",
    );
}

#[test]
fn the_stamps_of_a_turn_tell_what_the_user_waited_for() {
    let mut machine = TurnMachine::new(Config::default());
    let at = |ms| SessionTime::after_start(Duration::from_millis(ms));
    let mut run = |ms, line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        machine.input(at(ms), parse(&words))
    };
    run(1064, "start 64");
    run(2160, "pause 160");
    run(2300, "words 1 hello");
    let outputs = run(2500, "tick");
    let [TurnOutput::Commit(commit)] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    let timeline = commit.timeline;
    assert_eq!(timeline.speech_started, Some(at(1000)));
    assert_eq!(timeline.speech_ended, Some(at(2000)));
    assert_eq!(
        timeline.transcription_delay(),
        Some(Duration::from_millis(300))
    );
    assert_eq!(
        timeline.end_of_turn_delay(),
        Some(Duration::from_millis(500))
    );
}
