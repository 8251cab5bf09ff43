//! Services that are silent, fail or go away, and users who do.

use serde_json::json;

use super::*;
use crate::redact::Pii;
use crate::session::apology::Stage;

fn recorded(text: &str, ms: usize) -> Recorded {
    Recorded {
        text: text.to_owned(),
        samples: vec![1; 24 * ms],
    }
}

fn unreachable() -> CallError {
    CallError::new(Service::OpenAi, "realtime", ErrorKind::Unavailable)
}

fn failed(response: &str) -> serde_json::Value {
    json!({"type": "response.done", "response": {"id": response, "status": "failed",
        "status_details": {"error": {"type": "server_error"}}}})
}

impl Script {
    fn connected() -> Self {
        let mut script = Self::new();
        script.dialogue.on_connected(script.at, Duration::ZERO);
        script
    }

    /// The same with a service that can take over.
    fn with_fallback() -> Self {
        let mut script = Self::of(Limits {
            tries_max: 2,
            ..limits()
        });
        script.dialogue.on_connected(script.at, Duration::ZERO);
        script
    }

    fn waits(&mut self, seconds: u64) -> Vec<String> {
        self.at.now = self.at.now + Duration::from_secs(seconds);
        self.dialogue.follow(self.at);
        self.done()
    }
}

#[test]
fn a_lost_connection_costs_no_answer_and_too_many_failures_end_the_call() {
    let mut script = Script::new();
    script.user_says("u1", "hello");
    script.starts("r1");
    script.dialogue.on_lost(script.at);
    script.done();
    assert_eq!(script.replay(), ["user: hello"]);
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert_eq!(script.done(), [r#"response.create {"response":{}}"#]);
    script.starts("r2");
    let done = script.says(failed("r2"));
    assert!(done.contains(&"trouble false".to_owned()), "{done:?}");
    for expected in ["trouble false", "trouble true"] {
        let error = CallError::new(Service::OpenAi, "realtime", ErrorKind::Unavailable);
        script.dialogue.on_failure(Stage::Llm, error);
        assert_eq!(script.done(), [expected]);
    }
}

#[test]
fn an_answer_that_breaks_off_is_heard_that_far_and_apologised_for_once() {
    let mut script = Script::connected();
    script.user_says("u1", "tell me a story");
    script.starts("r1");
    script.speaks("r1", "a1", "once upon a time", 1000);
    script.dialogue.on_lost(script.at);
    assert!(
        !script.done().contains(&"record".to_owned()),
        "it is heard first"
    );
    let done = script.plays(1000);
    assert_eq!(
        done,
        [
            "agent: once upon a time",
            "agent end",
            "record",
            "listening",
            "trouble false"
        ]
    );
    assert!(matches!(script.turns[0].outcome, ReplyOutcome::Failed(_)));
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert!(script.done().is_empty(), "nobody asks for it again");
    let sorry = recorded("I'm sorry.", 500);
    script.dialogue.apologise(script.at, sorry, None);
    assert_eq!(script.done(), ["play 500", "speaking"]);
    let done = script.plays(500);
    assert!(done.contains(&"agent: I'm sorry.".to_owned()), "{done:?}");
    assert_eq!(
        script.replay(),
        [
            "user: tell me a story",
            "assistant: once upon a time",
            "assistant: I'm sorry."
        ]
    );
}

#[test]
fn a_user_who_goes_on_hears_no_apology_for_what_was_before() {
    let mut script = Script::connected();
    script.says(json!({"type": "input_audio_buffer.speech_started"}));
    let sorry = recorded("I'm sorry.", 500);
    script.dialogue.apologise(script.at, sorry, None);
    assert!(script.done().is_empty());
}

#[test]
fn a_service_that_is_silent_is_apologised_for_unless_another_can_take_over() {
    for (mut script, last) in [
        (Script::connected(), "trouble false"),
        (Script::with_fallback(), "cancel tools"),
    ] {
        script.user_says("u1", "hello");
        script.starts("r1");
        assert!(script.waits(9).is_empty());
        let done = script.waits(1);
        assert_eq!(done[0], "reconnect timeout", "{done:?}");
        assert_eq!(done.last().unwrap(), last, "{done:?}");
    }
}

#[test]
fn the_next_service_is_asked_once_for_an_answer_that_failed_before_a_word() {
    let mut script = Script::with_fallback();
    script.user_says("u1", "hello");
    script.starts("r1");
    let done = script.says(failed("r1"));
    assert_eq!(done, ["reconnect unavailable", "cancel tools"]);
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert_eq!(script.done(), [r#"response.create {"response":{}}"#]);
    script.starts("r2");
    let done = script.says(failed("r2"));
    assert_eq!(done.last().unwrap(), "trouble false");
    assert_eq!(script.turns.len(), 1);
}

#[test]
fn a_service_that_cannot_be_reached_is_apologised_for_once_and_given_up() {
    let mut script = Script::connected();
    script.dialogue.on_lost(script.at);
    script.done();
    let mut told = Vec::new();
    for _ in 0..5 {
        script.dialogue.on_unreachable(unreachable());
        told.extend(script.done());
    }
    assert_eq!(told, ["trouble false", "trouble true"]);
    let farewell = recorded("Goodbye.", 400);
    script
        .dialogue
        .apologise(script.at, farewell, Some(unreachable()));
    script.done();
    assert!(!script.plays(300).contains(&"end".to_owned()));
    assert_eq!(script.plays(100).last().unwrap(), "end");
}

#[test]
fn what_is_not_to_be_interrupted_is_heard_to_its_end() {
    let mut script = Script::connected();
    script
        .dialogue
        .say(script.at, recorded("Listen to this.", 1000), false);
    script.done();
    assert!(script.dialogue.is_deaf());
    assert!(
        script
            .says(json!({"type": "input_audio_buffer.speech_started"}))
            .is_empty()
    );
    script.dialogue.typed(script.at, "stop".to_owned());
    assert!(script.done().is_empty());
    let done = script.plays(1000);
    assert_eq!(done[0], "agent: Listen to this.");
    let place = |start: &str| done.iter().position(|line| line.starts_with(start));
    assert!(place("record") < place("response.create"), "{done:?}");
    assert_eq!(
        script.replay(),
        ["assistant: Listen to this.", "user: stop"]
    );
    assert!(!script.dialogue.is_deaf());
}

#[test]
fn what_is_typed_while_the_agent_is_not_to_be_interrupted_is_bounded() {
    let mut script = Script::connected();
    let greeting = recorded("Listen to this.", 1000);
    script.dialogue.say(script.at, greeting, false);
    script.done();
    for _ in 0..3 {
        script.dialogue.typed(script.at, "x".repeat(5_000));
    }
    assert_eq!(script.done(), ["drop 1 texts", "drop 1 texts"]);
    script.plays(1000);
    assert_eq!(script.replay()[1].len(), "user: ".len() + 5_000);
}

#[test]
fn a_kept_greeting_that_is_interrupted_is_known_as_far_as_it_was_heard() {
    let mut script = Script::connected();
    script
        .dialogue
        .say(script.at, recorded("one two three four", 1000), true);
    script.plays(500);
    let done = script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert!(
        !done.iter().any(|line| line.contains("truncate")),
        "{done:?}"
    );
    assert!(
        done.iter()
            .any(|line| line.starts_with("conversation.item.create")
                && line.contains("one two")
                && !line.contains("three")),
        "{done:?}"
    );
    assert_eq!(script.replay(), ["assistant: one two"]);
}

#[test]
fn a_connection_is_old_after_twenty_minutes_and_replaced_when_nobody_speaks() {
    let mut script = Script::new();
    script
        .dialogue
        .on_connected(script.at, Duration::from_secs(60));
    script.waits(19 * 60 - 1);
    assert!(!script.dialogue.is_connection_old(script.at));
    script.waits(1);
    assert!(script.dialogue.is_connection_old(script.at));
    script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert!(
        !script.dialogue.is_connection_old(script.at),
        "somebody speaks"
    );
    script.says(json!({"type": "input_audio_buffer.speech_stopped"}));
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert!(
        !script.dialogue.is_connection_old(script.at),
        "this one is new"
    );
}

#[test]
fn a_user_who_is_silent_for_long_is_away_until_something_is_said_or_typed() {
    let mut script = Script::connected();
    let states = |script: &mut Script, seconds: u64| {
        script.at.now = script.at.now + Duration::from_secs(seconds);
        script.dialogue.follow(script.at);
        script.told_user_states()
    };
    assert!(states(&mut script, 60).is_empty(), "nobody is there");
    let user = Pii::new("user".to_owned());
    script.dialogue.user_joined(user);
    assert!(states(&mut script, 1).is_empty());
    assert!(states(&mut script, 14).is_empty());
    assert_eq!(states(&mut script, 1), ["away"]);
    assert!(states(&mut script, 60).is_empty(), "once");
    script.dialogue.typed(script.at, "hello".to_owned());
    assert_eq!(script.told_user_states(), ["listening"]);
}
