//! The dialogue by script: what the service sends and how much was heard, and what is done then.

use std::time::Duration;

use serde_json::json;

use super::dialogue::{Action, Dialogue, Limits, Moment};
use super::protocol::{ClientEvent, parse};
use crate::chat::ToolOutput;
use crate::error::{CallError, ErrorKind, Service};
use crate::turn::{ReplyOutcome, SessionTime, Turn};

struct Script {
    dialogue: Dialogue,
    at: Moment,
    turns: Vec<Turn>,
}

impl Script {
    fn new() -> Self {
        let limits = Limits {
            items_max: 200,
            tool_rounds_max: 3,
            errors_max: 3,
        };
        Self {
            dialogue: Dialogue::new(limits),
            at: Moment::default(),
            turns: Vec::new(),
        }
    }

    /// `ms` of time pass, in which sound is played.
    fn plays(&mut self, ms: u64) -> Vec<String> {
        self.at.now = self.at.now + Duration::from_millis(ms);
        self.at.position += Duration::from_millis(ms);
        self.dialogue.follow(self.at);
        self.done()
    }

    fn says(&mut self, event: serde_json::Value) -> Vec<String> {
        let event = parse(&event.to_string());
        self.dialogue.on_service(self.at, event);
        self.done()
    }

    /// `ms` of sound with these words, of item `item` in response `response`.
    fn speaks(&mut self, response: &str, item: &str, words: &str, ms: usize) -> Vec<String> {
        let ClientEvent::Append { audio } = ClientEvent::append(&vec![1; 24 * ms]) else {
            unreachable!()
        };
        let mut done = self.says(json!({"type": "response.output_audio_transcript.delta",
            "response_id": response, "item_id": item, "delta": words}));
        done.extend(self.says(json!({"type": "response.output_audio.delta",
            "response_id": response, "item_id": item, "delta": audio})));
        done
    }

    fn starts(&mut self, response: &str) -> Vec<String> {
        self.says(json!({"type": "response.created", "response": {"id": response}}))
    }

    fn ends(&mut self, response: &str) -> Vec<String> {
        self.says(json!({"type": "response.done",
            "response": {"id": response, "status": "completed"}}))
    }

    fn user_says(&mut self, item: &str, words: &str) {
        self.says(json!({"type": "input_audio_buffer.speech_started"}));
        self.says(json!({"type": "input_audio_buffer.speech_stopped"}));
        self.says(json!({"type": "input_audio_buffer.committed", "item_id": item}));
        self.transcribed(item, words);
    }

    fn transcribed(&mut self, item: &str, words: &str) -> Vec<String> {
        self.says(
            json!({"type": "conversation.item.input_audio_transcription.completed",
            "item_id": item, "transcript": words}),
        )
    }

    /// What was done, one line each; what only front ends are told is left out.
    fn done(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for action in self.dialogue.take_actions() {
            lines.push(match action {
                Action::Send(event) => {
                    let mut json: serde_json::Value =
                        serde_json::from_str(&event.to_json()).unwrap();
                    let kind = json["type"].take();
                    let rest = json.as_object_mut().unwrap();
                    rest.remove("type");
                    format!("{} {json}", kind.as_str().unwrap()).replace(" {}", "")
                }
                Action::Play(samples) => format!("play {}", samples.len() / 24),
                Action::Silence => "silence".to_owned(),
                Action::Run(call) => format!("run {}", call.name),
                Action::CancelTools => "cancel tools".to_owned(),
                Action::Show(state) => state.label().to_owned(),
                Action::UserWords(_, text, is_final) => format!("user {is_final}: {text}"),
                Action::AgentWords(_, text) => format!("agent: {text}"),
                Action::EndAgentWords(_) => "agent end".to_owned(),
                Action::Tell(_) => continue,
                Action::Record(turn) => {
                    self.turns.push(*turn);
                    "record".to_owned()
                }
                Action::Trouble { is_final, .. } => format!("trouble {is_final}"),
            });
        }
        lines
    }

    /// The conversation as the next connection is told of it.
    fn replay(&self) -> Vec<String> {
        let events = self.dialogue.replay();
        let text = |event: &ClientEvent| match event {
            ClientEvent::CreateItem { item } if item["type"] == "message" => {
                let text = item["content"][0]["text"].as_str().unwrap();
                format!("{}: {text}", item["role"].as_str().unwrap())
            }
            ClientEvent::CreateItem { item } => item["type"].as_str().unwrap().to_owned(),
            _ => panic!("not an item"),
        };
        events.iter().map(text).collect()
    }
}

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
    script.dialogue.on_tool(calls[1].clone(), output());
    let done = script.done();
    assert!(
        done[0].contains(r#""call_id":"c2""#) && done.len() == 1,
        "{done:?}"
    );
    script.dialogue.on_tool(calls[0].clone(), output());
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
    script.dialogue.greet("Say hello.".to_owned());
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
fn a_lost_connection_costs_no_answer_and_too_many_failures_end_the_call() {
    let mut script = Script::new();
    script.user_says("u1", "hello");
    script.starts("r1");
    script.dialogue.on_lost(script.at);
    script.done();
    assert_eq!(script.replay(), ["user: hello"]);
    script.dialogue.on_connected();
    assert_eq!(script.done(), [r#"response.create {"response":{}}"#]);
    script.starts("r2");
    let failed = |id: &str| {
        json!({"type": "response.done", "response": {"id": id,
        "status": "failed", "status_details": {"error": {"type": "server_error"}}}})
    };
    let done = script.says(failed("r2"));
    assert!(done.contains(&"trouble false".to_owned()), "{done:?}");
    for expected in ["trouble false", "trouble true"] {
        let error = CallError::new(Service::OpenAi, "realtime", ErrorKind::Unavailable);
        script.dialogue.on_failure(error);
        assert_eq!(script.done(), [expected]);
    }
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
        script.dialogue.on_tool(call, output);
        let done = script.done();
        let expected = match round {
            3 => r#"response.create {"response":{"tool_choice":"none"}}"#,
            _ => r#"response.create {"response":{}}"#,
        };
        assert_eq!(done[1], expected, "round {round}");
    }
}

impl Script {
    /// The tools that run.
    fn dialogue_calls(&self) -> Vec<crate::chat::ToolCall> {
        self.dialogue.running().to_vec()
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
