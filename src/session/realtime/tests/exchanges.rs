//! Exchanges that go well, and interruptions.

use serde_json::json;

use super::*;

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
    let call = |id: &str| {
        json!({"type": "response.output_item.done", "response_id": "r1",
        "item": {"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"}})
    };
    assert_eq!(script.says(call("c1")), ["run look"]);
    assert_eq!(script.says(call("c2")), ["run look"]);
    script.ends("r1");
    let calls = script.dialogue_calls();
    let output = || ToolOutput {
        text: "seen".to_owned(),
        is_error: false,
    };
    script
        .dialogue
        .on_tool(script.at, calls[1].clone(), output());
    let done = script.done();
    assert!(
        done[0].contains(r#""call_id":"c2""#) && done.len() == 1,
        "{done:?}"
    );
    script
        .dialogue
        .on_tool(script.at, calls[0].clone(), output());
    let done = script.done();
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

#[test]
fn an_interruption_drops_the_tools_and_tells_the_model() {
    let mut script = Script::new();
    script.user_says("u1", "look");
    script.starts("r1");
    script.says(
        json!({"type": "response.output_item.done", "response_id": "r1",
        "item": {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}}),
    );
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
fn the_limit_on_tool_rounds_is_kept() {
    let mut script = Script::new();
    script.user_says("u1", "look");
    for round in 1..=3 {
        let response = format!("r{round}");
        script.starts(&response);
        script.says(
            json!({"type": "response.output_item.done", "response_id": response,
            "item": {"type": "function_call", "call_id": response, "name": "look",
                "arguments": "{}"}}),
        );
        script.ends(&response);
        let call = script.dialogue_calls().pop().unwrap();
        let output = ToolOutput {
            text: "seen".to_owned(),
            is_error: false,
        };
        script.dialogue.on_tool(script.at, call, output);
        let done = script.done();
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
