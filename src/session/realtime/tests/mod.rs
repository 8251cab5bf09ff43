//! The dialogue by script: what the service sends and how much was heard, and what is done then.

mod excess;
mod exchanges;
mod speeches;
mod trouble;

use std::time::Duration;

use serde_json::json;

use super::dialogue::{Action, Dialogue, Limits, Moment, Recorded};
use super::protocol::{ClientEvent, parse};
use crate::chat::{ToolCall, ToolOutput};
use crate::error::{CallError, ErrorKind, Service};
use crate::room::{SessionEvent, UserState};
use crate::session::handle::Words;
use crate::turn::{ReplyOutcome, SessionTime, Turn};

struct Script {
    dialogue: Dialogue,
    at: Moment,
    turns: Vec<Turn>,
    /// How often front ends were told that both were heard together.
    n_overlaps: usize,
}

fn limits() -> Limits {
    Limits {
        items_max: 200,
        bytes_max: 262_144,
        tool_rounds_max: 3,
        errors_max: 3,
        silence_max: Duration::from_secs(10),
        tries_max: 1,
        reply_max: Duration::from_secs(300),
        reply_characters_max: 6000,
        connection_age_max: Duration::from_secs(1200),
        away_after: Duration::from_secs(15),
    }
}

impl Script {
    fn new() -> Self {
        Self::of(limits())
    }

    fn of(limits: Limits) -> Self {
        Self {
            dialogue: Dialogue::new(limits),
            at: Moment::default(),
            turns: Vec::new(),
            n_overlaps: 0,
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
        let mut done = self.says(json!({"type": "response.output_audio_transcript.delta",
            "response_id": response, "item_id": item, "delta": words}));
        done.extend(self.sounds(response, item, 24 * ms));
        done
    }

    /// More sound of an item.
    fn sounds(&mut self, response: &str, item: &str, n_samples: usize) -> Vec<String> {
        let ClientEvent::Append { audio } = ClientEvent::append(&vec![1; n_samples]) else {
            unreachable!()
        };
        self.says(json!({"type": "response.output_audio.delta",
            "response_id": response, "item_id": item, "delta": audio}))
    }

    fn starts(&mut self, response: &str) -> Vec<String> {
        self.says(json!({"type": "response.created", "response": {"id": response}}))
    }

    fn ends(&mut self, response: &str) -> Vec<String> {
        self.says(json!({"type": "response.done",
            "response": {"id": response, "status": "completed"}}))
    }

    /// The model calls the tool `look`.
    fn calls(&mut self, response: &str, id: &str) -> Vec<String> {
        self.says(
            json!({"type": "response.output_item.done", "response_id": response,
            "item": {"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"}}),
        )
    }

    /// A tool that runs has answered.
    fn answers(&mut self, call: ToolCall) -> Vec<String> {
        let output = ToolOutput {
            text: "seen".to_owned(),
            is_error: false,
        };
        self.dialogue.on_tool(self.at, call, output);
        self.done()
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

    /// What front ends were told of the user since the last time.
    fn told_user_states(&mut self) -> Vec<&'static str> {
        let told = self.dialogue.take_actions().into_iter();
        told.filter_map(|action| match action {
            Action::Tell(SessionEvent::UserStateChanged(state)) => Some(match state {
                UserState::Speaking => "speaking",
                UserState::Listening => "listening",
                UserState::Away => "away",
            }),
            _ => None,
        })
        .collect()
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
                Action::Speak(Words::Text(text)) => format!("speak: {text}"),
                Action::Speak(_) => "speak".to_owned(),
                Action::Silence => "silence".to_owned(),
                Action::Run(call) => format!("run {}", call.name),
                Action::CancelTools => "cancel tools".to_owned(),
                Action::DropTexts(n) => format!("drop {n} texts"),
                Action::Show(state) => state.label().to_owned(),
                Action::UserWords(_, text, is_final) => format!("user {is_final}: {text}"),
                Action::AgentWords(_, text) => format!("agent: {text}"),
                Action::EndAgentWords(_) => "agent end".to_owned(),
                Action::Tell(told) => {
                    let is_overlap = matches!(told, SessionEvent::OverlappingSpeech { .. });
                    self.n_overlaps += usize::from(is_overlap);
                    continue;
                }
                Action::Record(turn) => {
                    self.turns.push(*turn);
                    "record".to_owned()
                }
                Action::Trouble { is_final, .. } => format!("trouble {is_final}"),
                Action::Reconnect(error) => format!("reconnect {}", error.kind.label()),
                Action::End(_) => "end".to_owned(),
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

impl Script {
    /// The tools that run.
    fn dialogue_calls(&self) -> Vec<ToolCall> {
        self.dialogue.running().to_vec()
    }
}
