//! A service that sends more than an answer can be.

use serde_json::json;

use super::*;
use crate::excess::Excess;

#[test]
fn an_answer_without_end_is_cancelled_and_what_came_is_heard() {
    let mut script = Script::of(Limits {
        reply_max: Duration::from_secs(10),
        ..limits()
    });
    let before = Excess::Reply.counted();
    script.user_says("u1", "go on");
    script.starts("r1");
    script.done();
    let done = script.speaks("r1", "a1", "again and again", 9_000);
    assert!(done.contains(&"play 9000".to_owned()), "{done:?}");
    let done = script.speaks("r1", "a1", " and again", 2_000);
    assert_eq!(
        done[done.len() - 2..],
        [
            "response.cancel",
            "speak: I'll stop here. Just ask if you would like to hear more."
        ]
    );
    assert!(
        script.speaks("r1", "a1", " and again", 2_000).is_empty(),
        "it is over"
    );
    assert!(Excess::Reply.counted() > before);
    script
        .dialogue
        .on_voice(script.at, super::super::dialogue::Voiced::End);
    script.plays(11_000);
    let turn = script.turns.last().expect("it is recorded");
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert!(turn.heard.expose().contains("again and again"));
}

#[test]
fn words_and_items_without_end_end_an_answer_too() {
    let words = |n: usize| {
        json!({"type": "response.output_text.delta", "response_id": "r1",
            "item_id": format!("a{n}"), "delta": "x".repeat(100)})
    };
    let empty = |n: usize| {
        json!({"type": "response.output_text.delta", "response_id": "r1",
            "item_id": format!("a{n}"), "delta": ""})
    };
    for (event, n_max) in [
        (&words as &dyn Fn(usize) -> serde_json::Value, 61),
        (&empty, 257),
    ] {
        let mut script = Script::new();
        script.user_says("u1", "go on");
        script.starts("r1");
        let ends = |script: &mut Script, n| {
            script
                .says(event(n))
                .contains(&"response.cancel".to_owned())
        };
        let n_events = (0..1000).take_while(|n| !ends(&mut script, *n)).count();
        assert_eq!(n_events + 1, n_max);
    }
}

#[test]
fn calls_without_end_and_calls_that_were_not_allowed_are_not_run() {
    let mut script = Script::new();
    let before = Excess::ToolCalls.counted();
    script.user_says("u1", "look");
    script.starts("r1");
    let run: Vec<_> = (0..100)
        .flat_map(|n| script.calls("r1", &n.to_string()))
        .collect();
    assert_eq!(run.len(), 32, "{run:?}");
    assert!(Excess::ToolCalls.counted() >= before + 68);

    let mut script = Script::of(Limits {
        tool_rounds_max: 1,
        ..limits()
    });
    script.user_says("u1", "look");
    script.starts("r1");
    script.calls("r1", "1");
    script.ends("r1");
    let call = script.dialogue_calls().remove(0);
    script.answers(call);
    script.starts("r2");
    assert!(script.calls("r2", "2").is_empty(), "the rounds are over");
}

#[test]
fn what_the_user_said_has_a_bound_and_so_has_what_a_connection_is_told() {
    let mut script = Script::new();
    script.user_says("u1", &"and ".repeat(1_000_000));
    let told = script.replay();
    assert_eq!(told[0].len(), "user: ".len() + 8_000);

    let mut script = Script::of(Limits {
        items_max: 10_000,
        bytes_max: usize::MAX,
        ..limits()
    });
    for n in 0..2_000 {
        script.user_says(&format!("u{n}"), &"x".repeat(7_990));
    }
    let told: usize = script.replay().iter().map(String::len).sum();
    assert!((7 << 20..9 << 20).contains(&told), "{told} bytes");
    for n in 0..30_000 {
        script.says(json!({"type": "input_audio_buffer.committed", "item_id": format!("c{n}")}));
    }
    script.user_says("last", "hello");
    assert_eq!(script.replay().last().unwrap(), "user: hello");
}

#[test]
fn a_bug_costs_the_answer_and_is_apologised_for() {
    let bug = || CallError::new(Service::OpenAi, "realtime", ErrorKind::Internal);
    let mut script = Script::new();
    script.user_says("u1", "hello");
    script.starts("r1");
    script.speaks("r1", "a1", "once upon a time", 5_000);
    script.dialogue.on_bug(script.at, bug());
    let done = script.done();
    assert!(done.contains(&"trouble false".to_owned()), "{done:?}");
    assert!(matches!(script.turns[0].outcome, ReplyOutcome::Failed(_)));
    script.dialogue.on_bug(script.at, bug());
    assert!(
        script.done().contains(&"trouble false".to_owned()),
        "between answers, too"
    );
}
