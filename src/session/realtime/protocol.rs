//! The events of OpenAI's Realtime API, as far as this session uses them.
//!
//! Source: OpenAI's Realtime API (GA); livekit-agents 1.8.9, `realtime/realtime_model.py`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{Config, TurnDetection};
use crate::chat::{ChatItem, ToolCall, ToolSpec};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool;

/// The rate of the sound in both directions.
pub(super) const RATE_HZ: u32 = 24_000;

/// The label of failures.
pub(super) const OPERATION: &str = "realtime";

/// Names the request whose refusal ends the session: the settings themselves are wrong.
const SESSION_EVENT: &str = "voxpool_session";

/// What we tell the service.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum ClientEvent {
    #[serde(rename = "session.update")]
    SessionUpdate {
        event_id: &'static str,
        session: Value,
    },
    #[serde(rename = "input_audio_buffer.append")]
    Append { audio: String },
    #[serde(rename = "conversation.item.create")]
    CreateItem { item: Value },
    #[serde(rename = "conversation.item.truncate")]
    Truncate {
        item_id: String,
        content_index: u32,
        audio_end_ms: u64,
    },
    #[serde(rename = "response.create")]
    CreateResponse { response: Value },
    #[serde(rename = "response.cancel")]
    CancelResponse,
}

impl ClientEvent {
    /// The event as it is sent.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("events are plain values")
    }

    /// What the session is like.
    pub(super) fn session(
        config: &Config,
        language: &str,
        instructions: &str,
        tools: &[ToolSpec],
    ) -> Self {
        let mut transcription = json!({"model": config.transcription_model});
        if !language.is_empty() {
            transcription["language"] = json!(language);
        }
        let mut input = json!({
            "format": {"type": "audio/pcm", "rate": RATE_HZ},
            "transcription": transcription,
            "turn_detection": turn_detection(config),
        });
        if !config.noise_reduction.is_empty() {
            input["noise_reduction"] = json!({"type": config.noise_reduction});
        }
        let tools: Vec<_> = tools
            .iter()
            .map(|tool| {
                json!({
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                })
            })
            .collect();
        Self::SessionUpdate {
            event_id: SESSION_EVENT,
            session: json!({
                "type": "realtime",
                "instructions": instructions,
                "output_modalities": ["audio"],
                "tools": tools,
                "audio": {
                    "input": input,
                    "output": {
                        "format": {"type": "audio/pcm", "rate": RATE_HZ},
                        "voice": config.voice,
                    },
                },
            }),
        }
    }

    /// Sound at [`RATE_HZ`].
    pub(super) fn append(samples: &[i16]) -> Self {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        Self::Append {
            audio: STANDARD.encode(bytes),
        }
    }

    /// Something that was said or done.
    pub(super) fn item(item: &ChatItem) -> Self {
        let message = |role: &str, kind: &str, text: &str| {
            json!({
                "type": "message",
                "role": role,
                "content": [{"type": kind, "text": text}],
            })
        };
        let item = match item {
            ChatItem::User(text) => message("user", "input_text", text),
            ChatItem::Agent { text, .. } => message("assistant", "output_text", text),
            ChatItem::ToolCall(call) => json!({
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }),
            ChatItem::ToolOutput { call_id, output } => json!({
                "type": "function_call_output",
                "call_id": call_id,
                "output": output.text,
            }),
        };
        Self::CreateItem { item }
    }

    /// The model is to say something: to this, if there are instructions, else to what was said.
    pub(super) fn respond(instructions: Option<String>, may_use_tools: bool) -> Self {
        let mut response = json!({});
        if let Some(instructions) = instructions {
            response["instructions"] = json!(instructions);
        }
        if !may_use_tools {
            response["tool_choice"] = json!("none");
        }
        Self::CreateResponse { response }
    }
}

fn turn_detection(config: &Config) -> Value {
    match config.turn_detection {
        TurnDetection::SemanticVad => json!({
            "type": "semantic_vad",
            "eagerness": config.eagerness,
            "create_response": true,
            "interrupt_response": true,
        }),
        TurnDetection::ServerVad => json!({
            "type": "server_vad",
            "silence_duration_ms": u64::try_from(config.silence.as_millis()).unwrap_or(u64::MAX),
            "create_response": true,
            "interrupt_response": true,
        }),
    }
}

/// What the service tells us.
pub(super) enum ServerEvent {
    /// The user's voice began.
    SpeechStarted,
    /// The user's voice ended.
    SpeechStopped,
    /// What the user said is an item now.
    Committed { item: String },
    /// More words of the user.
    UserDelta { item: String, text: String },
    /// All words of the user; empty when they could not be understood.
    UserWords { item: String, text: String },
    /// The model begins to answer.
    ResponseCreated { response: String },
    /// Sound of the answer, at [`RATE_HZ`].
    Sound {
        response: String,
        item: String,
        samples: Vec<i16>,
    },
    /// Words of the answer: of its sound, or to be read.
    Words {
        response: String,
        item: String,
        text: String,
        is_read: bool,
    },
    /// The model wants a tool to be called.
    Call { response: String, call: ToolCall },
    /// The answer is complete, was cancelled, or failed.
    ResponseDone {
        response: String,
        failure: Option<CallError>,
        tokens: (u32, u32),
    },
    /// A request was refused; whether the session cannot go on so.
    Refused { error: CallError, is_final: bool },
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
struct Wire {
    r#type: String,
    #[serde(default)]
    response_id: String,
    #[serde(default)]
    item_id: String,
    #[serde(default)]
    delta: String,
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    response: Value,
    #[serde(default)]
    item: Value,
    #[serde(default)]
    error: Value,
}

/// Reads an event. Unknown ones, and what cannot be read, are [`ServerEvent::Other`].
pub(super) fn parse(json: &str) -> ServerEvent {
    let Ok(wire) = serde_json::from_str::<Wire>(json) else {
        return ServerEvent::Other;
    };
    let (response, item) = (wire.response_id, wire.item_id);
    match wire.r#type.as_str() {
        "input_audio_buffer.speech_started" => ServerEvent::SpeechStarted,
        "input_audio_buffer.speech_stopped" => ServerEvent::SpeechStopped,
        "input_audio_buffer.committed" => ServerEvent::Committed { item },
        "conversation.item.input_audio_transcription.delta" => ServerEvent::UserDelta {
            item,
            text: wire.delta,
        },
        "conversation.item.input_audio_transcription.completed"
        | "conversation.item.input_audio_transcription.failed" => ServerEvent::UserWords {
            item,
            text: wire.transcript,
        },
        "response.created" => ServerEvent::ResponseCreated {
            response: text(&wire.response["id"]),
        },
        "response.output_audio.delta" => match samples(&wire.delta) {
            Some(samples) => ServerEvent::Sound {
                response,
                item,
                samples,
            },
            None => ServerEvent::Other,
        },
        kind @ ("response.output_audio_transcript.delta" | "response.output_text.delta") => {
            ServerEvent::Words {
                response,
                item,
                is_read: kind == "response.output_text.delta",
                text: wire.delta,
            }
        }
        "response.output_item.done" if wire.item["type"] == "function_call" => ServerEvent::Call {
            response,
            call: ToolCall {
                id: text(&wire.item["call_id"]),
                name: text(&wire.item["name"]),
                arguments: text(&wire.item["arguments"]),
            },
        },
        "response.done" => done(&wire.response),
        "error" => ServerEvent::Refused {
            is_final: wire.error["event_id"] == SESSION_EVENT,
            error: refusal(&wire.error),
        },
        _ => ServerEvent::Other,
    }
}

fn done(response: &Value) -> ServerEvent {
    let tokens = |key: &str| {
        let tokens = response["usage"][key].as_u64().unwrap_or_default();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    };
    let has_failed = response["status"] == "failed";
    ServerEvent::ResponseDone {
        response: text(&response["id"]),
        failure: has_failed.then(|| refusal(&response["status_details"]["error"])),
        tokens: (tokens("input_tokens"), tokens("output_tokens")),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The error object of an event.
fn refusal(error: &Value) -> CallError {
    let (kind, refusal) = pool::refusal_in_stream(&json!({"error": error}).to_string());
    let kind = match kind {
        ErrorKind::Unavailable if error["type"] == "invalid_request_error" => ErrorKind::Rejected,
        kind => kind,
    };
    CallError::new(Service::OpenAi, OPERATION, kind).because(refusal)
}

fn samples(base64: &str) -> Option<Vec<i16>> {
    let bytes = STANDARD.decode(base64).ok()?;
    let pairs = bytes.chunks_exact(2);
    Some(
        pairs
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_is_what_the_settings_say() {
        let tool = ToolSpec {
            name: "look".to_owned(),
            description: "looks".to_owned(),
            parameters: json!({"type": "object"}),
        };
        let event = ClientEvent::session(&Config::default(), "en", "Be kind.", &[tool]);
        let json: Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(json["type"], "session.update");
        let session = &json["session"];
        assert_eq!(session["type"], "realtime");
        assert_eq!(session["instructions"], "Be kind.");
        assert_eq!(session["tools"][0]["name"], "look");
        let pcm = json!({"type": "audio/pcm", "rate": 24_000});
        assert_eq!(session["audio"]["input"]["format"], pcm);
        assert_eq!(
            session["audio"]["output"],
            json!({"format": pcm, "voice": "marin"})
        );
        assert_eq!(
            session["audio"]["input"]["turn_detection"],
            json!({"type": "semantic_vad", "eagerness": "medium",
                "create_response": true, "interrupt_response": true})
        );
    }

    #[test]
    fn sound_goes_out_and_comes_in_unchanged() {
        let ClientEvent::Append { audio } = ClientEvent::append(&[1, -2, i16::MAX]) else {
            panic!("an append");
        };
        assert_eq!(samples(&audio), Some(vec![1, -2, i16::MAX]));
        assert_eq!(samples("*"), None);
    }

    #[test]
    fn a_refused_session_is_told_from_a_refused_request() {
        let refused = |id: &str| {
            let event = json!({"type": "error", "error": {"type": "invalid_request_error",
                "code": "x", "event_id": id}});
            parse(&event.to_string())
        };
        for (id, expected) in [("voxpool_session", true), ("other", false)] {
            let ServerEvent::Refused { error, is_final } = refused(id) else {
                panic!("a refusal");
            };
            assert_eq!((error.kind, is_final), (ErrorKind::Rejected, expected));
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_panic(text in ".{0,200}") {
            parse(&text);
            parse(&json!({"type": text}).to_string());
        }
    }
}
