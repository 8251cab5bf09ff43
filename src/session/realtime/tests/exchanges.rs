//! Exchanges that go well, and interruptions.

use serde_json::json;

use super::*;
use crate::audio::AudioFrame;

#[test]
fn an_exchange_is_shown_as_it_is_heard_and_recorded_at_its_end() {
    let mut script = Script::new();
    script.user_says("u1", "hello there");
    script.starts("r1");
    let done = script.speaks("r1", "a1", "one two three four", 1000);
    assert_eq!(done, ["play 1000", "speaking"]);
    assert_eq!(script.ends("r1"), Vec::<String>::new());
    assert_eq!(script.plays(500), ["agent: one two"]);
    assert_eq!(
        script.plays(500),
        ["agent:  three four", "agent end", "record", "listening"]
    );
    let turn = &script.turns[0];
    assert_eq!(turn.transcript.expose(), "hello there");
    assert_eq!(turn.heard.expose(), "one two three four");
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert!(turn.timeline.speech_ended.is_some() && turn.timeline.playout_started.is_some());
    assert_eq!(
        script.replay(),
        ["user: hello there", "assistant: one two three four"]
    );
    assert!(script.dialogue.is_idle());
}

#[test]
fn an_interruption_silences_cancels_and_says_how_much_was_heard() {
    let mut script = Script::new();
    script.user_says("u1", "tell me a story");
    script.starts("r1");
    script.speaks("r1", "a1", "once upon a time there was a king", 2000);
    script.plays(500);
    let done = script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert_eq!(
        done,
        [
            "silence",
            "response.cancel",
            r#"conversation.item.truncate {"audio_end_ms":500,"content_index":0,"item_id":"a1"}"#,
            "agent end",
            "record",
            "listening",
        ]
    );
    let late = script.speaks("r1", "a1", "and a queen", 1000);
    assert!(late.is_empty(), "what comes late is not heard: {late:?}");
    assert!(script.ends("r1").is_empty());
    let turn = &script.turns[0];
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    assert_eq!(turn.heard.expose(), "once upon");
    assert_eq!(turn.reply.expose(), "once upon a time there was a king");
    assert_eq!(
        script.replay(),
        ["user: tell me a story", "assistant: once upon"]
    );
}

#[test]
fn an_answer_that_is_complete_but_not_heard_is_truncated_and_not_cancelled() {
    let mut script = Script::new();
    script.user_says("u1", "hi");
    script.starts("r1");
    script.speaks("r1", "a1", "one two", 1000);
    script.speaks("r1", "a2", "three four", 1000);
    script.ends("r1");
    script.plays(1000);
    let done = script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert_eq!(
        done[..2],
        [
            "silence",
            r#"conversation.item.truncate {"audio_end_ms":0,"content_index":0,"item_id":"a2"}"#
        ]
    );
    assert_eq!(script.replay(), ["user: hi", "assistant: one two"]);
    // The user's first words were heard alone.
    assert_eq!(script.n_overlaps, 1);
}

#[test]
fn tools_run_and_the_model_goes_on_when_all_have_answered() {
    let mut script = Script::new();
    script.user_says("u1", "look at both");
    script.starts("r1");
    assert_eq!(script.calls("r1", "c1"), ["run look"]);
    assert_eq!(script.calls("r1", "c2"), ["run look"]);
    script.ends("r1");
    let calls = script.dialogue_calls();
    let done = script.answers(calls[1].clone());
    assert!(
        done[0].contains(r#""call_id":"c2""#) && done.len() == 1,
        "{done:?}"
    );
    let done = script.answers(calls[0].clone());
    assert!(done[0].contains(r#""call_id":"c1""#), "{done:?}");
    assert_eq!(done[1], r#"response.create {"response":{}}"#);
    script.starts("r2");
    script.speaks("r2", "a1", "done", 200);
    script.ends("r2");
    script.plays(300);
    let turn = &script.turns[0];
    assert_eq!(turn.tool_calls.expose().len(), 2);
    assert_eq!(turn.heard.expose(), "done");
    assert_eq!(
        script.replay(),
        [
            "user: look at both",
            "function_call",
            "function_call_output",
            "function_call",
            "function_call_output",
            "assistant: done"
        ]
    );
}

/// An agent that says "let me see" for a second, whose tool runs.
fn looking_around() -> Script {
    let mut script = Script::new();
    script.user_says("u1", "look");
    script.starts("r1");
    let done = script.speaks("r1", "a1", "let me see", 1000);
    assert_eq!(done, ["play 1000", "speaking"]);
    script.calls("r1", "c1");
    script.ends("r1");
    script
}

#[test]
fn an_agent_that_waits_for_a_tool_is_at_work_as_soon_as_it_is_silent() {
    let mut script = looking_around();
    let is_at_work = |done: Vec<String>| done.contains(&"thinking".to_owned());
    assert!(!is_at_work(script.plays(1000)));
    assert!(!is_at_work(script.plays(299)), "as between two sentences");
    assert!(is_at_work(script.plays(1)));
    assert!(!is_at_work(script.plays(1000)), "that is known");
    let calls = script.dialogue_calls();
    script.answers(calls[0].clone());
    script.starts("r2");
    let done = script.speaks("r2", "a2", "there it is", 1000);
    assert_eq!(done, ["play 1000", "speaking"]);
}

#[test]
fn an_agent_that_is_heard_while_a_tool_answers_goes_on_speaking() {
    let mut script = looking_around();
    let calls = script.dialogue_calls();
    let mut done = script.plays(500);
    done.extend(script.answers(calls[0].clone()));
    done.extend(script.starts("r2"));
    done.extend(script.speaks("r2", "a2", "there it is", 1000));
    done.extend(script.ends("r2"));
    done.extend(script.plays(1000));
    assert!(!done.contains(&"thinking".to_owned()), "{done:?}");
    assert!(script.plays(500).contains(&"record".to_owned()));
}

/// An answer whose sound came in pieces of 1,024 samples and was heard.
fn heard_in_odd_pieces() -> Script {
    let mut script = Script::new();
    script.user_says("u1", "hi");
    script.starts("r1");
    script.speaks("r1", "a1", "hello there", 0);
    for _ in 0..50 {
        script.sounds("r1", "a1", 1024);
    }
    // The output is given 40 ms at a time, and counts what it was given.
    let piece = |n_samples| AudioFrame {
        samples: vec![1; n_samples],
        sample_rate_hz: 24_000,
    };
    let (whole, rest) = (50 * 1024 / 960, 50 * 1024 % 960);
    script.at.position = piece(960).duration() * whole + piece(rest).duration();
    script
}

#[test]
fn a_voice_behind_a_heard_answer_speaks_over_nobody() {
    let mut script = heard_in_odd_pieces();
    script.calls("r1", "c1");
    let done = script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert!(done.contains(&"cancel tools".to_owned()), "{done:?}");
    assert_eq!(script.n_overlaps, 0);
}

#[test]
fn an_answer_ends_in_whatever_pieces_its_sound_comes() {
    let mut script = heard_in_odd_pieces();
    let done = script.ends("r1");
    assert!(done.contains(&"record".to_owned()), "{done:?}");
    assert_eq!(script.turns[0].heard.expose(), "hello there");
}

#[test]
fn an_interruption_drops_the_tools_and_tells_the_model() {
    let mut script = Script::new();
    script.user_says("u1", "look");
    script.starts("r1");
    script.calls("r1", "c1");
    script.ends("r1");
    let done = script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert_eq!(done[..2], ["silence", "cancel tools"]);
    assert!(done[2].contains("function_call_output"), "{done:?}");
    assert!(
        !done.iter().any(|line| line.starts_with("response.create")),
        "{done:?}"
    );
}

#[test]
fn words_that_are_known_late_are_still_part_of_the_record() {
    let mut script = Script::new();
    script.says(json!({"type": "input_audio_buffer.committed", "item_id": "u1"}));
    script.starts("r1");
    script.speaks("r1", "a1", "yes", 100);
    script.ends("r1");
    assert!(!script.plays(100).contains(&"record".to_owned()));
    assert_eq!(
        script.transcribed("u1", "is it so"),
        ["user true: is it so", "record"]
    );
    assert_eq!(script.turns[0].transcript.expose(), "is it so");
    assert_eq!(script.replay(), ["user: is it so", "assistant: yes"]);
}

#[test]
fn what_is_typed_interrupts_and_is_answered() {
    let mut script = Script::new();
    script
        .dialogue
        .greet(script.at, "Say hello.".to_owned(), true);
    assert_eq!(
        script.done(),
        [
            r#"response.create {"response":{"instructions":"Say hello.","tool_choice":"none"}}"#,
            "thinking"
        ]
    );
    // The greeting has not begun when the user types.
    script
        .dialogue
        .typed(script.at, "what time is it".to_owned());
    let done = script.done();
    assert_eq!(done[..2], ["silence", "response.cancel"]);
    assert!(
        done.iter()
            .any(|line| line.starts_with("conversation.item.create")),
        "{done:?}"
    );
    assert_eq!(script.starts("greeting"), ["response.cancel"]);
    assert!(script.speaks("greeting", "a0", "hello", 100).is_empty());
    script.starts("r1");
    script.speaks("r1", "a1", "noon", 100);
    script.ends("r1");
    script.plays(100);
    let last = script.turns.last().unwrap();
    assert_eq!(
        (
            last.transcript.expose().as_str(),
            last.heard.expose().as_str()
        ),
        ("what time is it", "noon")
    );
}

#[test]
fn what_is_typed_while_an_answer_is_made_is_answered_together_a_second_later() {
    let mut script = Script::new();
    let asked = |done: &[String]| {
        let asked = done
            .iter()
            .filter(|line| line.starts_with("response.create"));
        asked.count()
    };
    script.dialogue.typed(script.at, "one".to_owned());
    assert_eq!(asked(&script.done()), 1);
    for n in 0..50 {
        script.dialogue.typed(script.at, format!("more {n}"));
        assert_eq!(asked(&script.plays(10)), 0, "{n}");
    }
    assert_eq!(asked(&script.plays(500)), 1, "a second after the first");
    let replay = script.replay();
    assert!(replay[1].starts_with("user: more 0") && replay[1].ends_with("more 49"));
}

#[test]
fn the_limit_on_tool_rounds_is_kept() {
    let mut script = Script::new();
    script.user_says("u1", "look");
    for round in 1..=3 {
        let response = format!("r{round}");
        script.starts(&response);
        script.calls(&response, &response);
        script.ends(&response);
        let call = script.dialogue_calls().pop().unwrap();
        let done = script.answers(call);
        let expected = match round {
            3 => r#"response.create {"response":{"tool_choice":"none"}}"#,
            _ => r#"response.create {"response":{}}"#,
        };
        assert_eq!(done[1], expected, "round {round}");
    }
}

#[test]
fn a_session_that_ends_while_the_agent_speaks_records_what_was_heard() {
    let mut script = Script::new();
    script.at.now = SessionTime::after_start(Duration::from_secs(1));
    script.user_says("u1", "hello");
    script.starts("r1");
    script.speaks("r1", "a1", "one two three four", 1000);
    script.plays(500);
    script.dialogue.close(script.at);
    script.done();
    assert_eq!(script.turns[0].heard.expose(), "one two");
    assert_eq!(script.replay().len(), 2);
}
