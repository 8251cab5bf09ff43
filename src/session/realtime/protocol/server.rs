//! What the service tells us.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{OPERATION, SESSION_EVENT};
use crate::chat::ToolCall;
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::Excess;
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

/// Longest name of a response, item, call or tool: names are remembered, and real ones have 30 bytes.
const NAME_BYTES_MAX: usize = 512;

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
    let call = [
        &wire.item["call_id"],
        &wire.item["name"],
        &wire.response["id"],
    ];
    let names = call.into_iter().filter_map(Value::as_str);
    if names
        .chain([&*response, &*item])
        .any(|it| it.len() > NAME_BYTES_MAX)
    {
        Excess::Message.count("a name in a realtime event");
        return ServerEvent::Other;
    }
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

    /// The events that are read.
    const KINDS: [&str; 12] = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_text.delta",
        "response.output_item.done",
        "response.done",
        "error",
    ];

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

    #[test]
    fn an_event_with_a_name_without_end_is_passed_over() {
        for (field, n_bytes, is_read) in [("item_id", 30, true), ("item_id", 600, false)] {
            let event = json!({"type": "input_audio_buffer.committed", field: "x".repeat(n_bytes)});
            let is_other = matches!(parse(&event.to_string()), ServerEvent::Other);
            assert_eq!(is_other, !is_read, "{n_bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_damage_to_an_event_is_read_without_panic(
            kind in prop::sample::select(KINDS.to_vec()),
            text in ".{0,40}",
            cut in 0usize..400,
            damage in proptest::collection::vec((0usize..400, any::<u8>()), 0..4),
        ) {
            let event = json!({"type": kind, "response_id": text, "item_id": text, "delta": text,
                "transcript": text, "error": {"type": text, "event_id": text, "code": text},
                "item": {"type": "function_call", "call_id": text, "name": text, "arguments": text},
                "response": {"id": text, "status": "failed", "usage": {"input_tokens": text.len()},
                    "status_details": {"error": {"code": text}}}})
                .to_string();
            // As it is, each kind is read as an event of its own, unless the text is no base64.
            prop_assert!(kind.ends_with("audio.delta") || !matches!(parse(&event), ServerEvent::Other));
            let mut bytes = event.into_bytes();
            for (place, byte) in damage {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut / 8));
            parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
