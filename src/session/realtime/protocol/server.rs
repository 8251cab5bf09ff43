//! What the service tells us.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{OPERATION, SESSION_EVENT};
use crate::chat::ToolCall;
use crate::error::{CallError, ErrorKind, Service};
use crate::pool;

/// An event of the service.
pub(in super::super) enum ServerEvent {
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
pub(in super::super) fn parse(json: &str) -> ServerEvent {
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
                ..ToolCall::default()
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
    use proptest::prelude::*;

    use super::super::ClientEvent;
    use super::*;

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
