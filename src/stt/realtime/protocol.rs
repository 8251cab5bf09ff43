//! The events of OpenAI's realtime transcription: text in and out, nothing else.
//!
//! Source: OpenAI's Realtime API (GA), session type `transcription`; livekit-agents 1.8.9,
//! `livekit-plugins-openai/stt.py`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Config;
use crate::error::{CallError, ErrorKind, Service};
use crate::pool;

/// The rate of the sound that is sent, and of nothing else the service takes.
pub(super) const RATE_HZ: u32 = 24_000;

/// Where the sessions are. OpenAI's own host takes no model there, others want one to find the
/// right server by.
pub(super) fn path(host: &str, model: &str) -> String {
    match host {
        "api.openai.com:443" => "/realtime?intent=transcription".to_owned(),
        _ => format!(
            "/realtime?intent=transcription&model={}",
            pool::encoded(model)
        ),
    }
}

/// Makes a new connection ready. Who speaks when is decided here, not by the service.
pub(super) fn session_update(config: &Config) -> String {
    let mut transcription = json!({"model": config.model});
    for (key, value) in [("language", &config.language), ("prompt", &config.prompt)] {
        if !value.is_empty() {
            transcription[key] = json!(value);
        }
    }
    let mut input = json!({
        "format": {"type": "audio/pcm", "rate": RATE_HZ},
        "transcription": transcription,
        "turn_detection": null,
    });
    if !config.noise_reduction.is_empty() {
        input["noise_reduction"] = json!({"type": config.noise_reduction});
    }
    json!({
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": input}},
    })
    .to_string()
}

/// More sound, at [`RATE_HZ`].
pub(super) fn append(samples: &[i16]) -> String {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    // No character of it needs an escape.
    let audio = STANDARD.encode(bytes);
    format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#)
}

/// The sound so far is to be transcribed.
pub(super) fn commit() -> String {
    json!({"type": "input_audio_buffer.commit"}).to_string()
}

/// The sound since the last commit is to be forgotten.
pub(super) fn clear() -> String {
    json!({"type": "input_audio_buffer.clear"}).to_string()
}

/// What the service says, as far as it matters here.
#[derive(Debug)]
pub(super) enum Event {
    /// There is an item for a committed stretch of sound.
    Item(String),
    /// More words of an item.
    Delta { item: String, text: String },
    /// All words of an item.
    Completed { item: String, text: String },
    /// An item will have no words.
    Failed { item: String, error: CallError },
    /// The buffer is empty, as [`clear`] asked.
    Cleared,
    /// A request was refused.
    Refused(CallError),
    /// Anything else.
    Other,
}

/// Reads an event. Unknown ones, and what cannot be read, are [`Event::Other`].
pub(super) fn parse(json: &str) -> Event {
    #[derive(Deserialize)]
    struct Wire {
        r#type: String,
        #[serde(default)]
        item_id: Option<String>,
        #[serde(default)]
        item: Option<Item>,
        #[serde(default)]
        delta: Option<String>,
        #[serde(default)]
        transcript: Option<String>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(default)]
        id: String,
    }
    let Ok(wire) = serde_json::from_str::<Wire>(json) else {
        return Event::Other;
    };
    let item = wire.item_id.or(wire.item.map(|item| item.id));
    let item = item.unwrap_or_default();
    const TRANSCRIPTION: &str = "conversation.item.input_audio_transcription.";
    let kind = wire.r#type.as_str();
    match kind.strip_prefix(TRANSCRIPTION).unwrap_or(kind) {
        "input_audio_buffer.committed"
        | "conversation.item.added"
        | "conversation.item.created"
            if !item.is_empty() =>
        {
            Event::Item(item)
        }
        "delta" => Event::Delta {
            item,
            text: wire.delta.unwrap_or_default(),
        },
        "completed" => Event::Completed {
            item,
            text: wire.transcript.unwrap_or_default(),
        },
        "failed" => Event::Failed {
            item,
            error: refusal(json),
        },
        "input_audio_buffer.cleared" => Event::Cleared,
        "error" => Event::Refused(refusal(json)),
        _ => Event::Other,
    }
}

/// Whether a new connection is ready, refused, or (`None`) neither yet.
pub(super) fn is_ready(json: &str) -> Option<Result<(), CallError>> {
    let kind: Value = serde_json::from_str(json).ok()?;
    match kind["type"].as_str()? {
        "session.updated" | "transcription_session.updated" => Some(Ok(())),
        "error" => Some(Err(refusal(json))),
        _ => None,
    }
}

/// The error in an event.
fn refusal(json: &str) -> CallError {
    let (kind, refusal) = pool::refusal_in_stream(json);
    let is_ours = serde_json::from_str::<Value>(json)
        .is_ok_and(|event| event["error"]["type"] == "invalid_request_error");
    let kind = match (is_ours, kind) {
        (true, ErrorKind::Unavailable) => ErrorKind::Rejected,
        _ => kind,
    };
    CallError::new(Service::OpenAi, super::OPERATION, kind).because(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openai_itself_wants_no_model_in_the_address() {
        assert_eq!(
            path("api.openai.com:443", "whisper-1"),
            "/realtime?intent=transcription"
        );
        assert_eq!(
            path("gateway:80", "org/whisper 1"),
            "/realtime?intent=transcription&model=org%2Fwhisper%201"
        );
    }

    #[test]
    fn a_session_is_what_the_settings_say() {
        let config = Config {
            model: "gpt-4o-transcribe".to_owned(),
            language: "de".to_owned(),
            noise_reduction: "near_field".to_owned(),
            ..Config::default()
        };
        let update: Value = serde_json::from_str(&session_update(&config)).unwrap();
        assert_eq!(
            update,
            json!({"type": "session.update", "session": {"type": "transcription", "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "gpt-4o-transcribe", "language": "de"},
                "turn_detection": null,
                "noise_reduction": {"type": "near_field"},
            }}}})
        );
    }

    #[test]
    fn sound_is_little_endian_base64() {
        let event: Value = serde_json::from_str(&append(&[1, -2])).unwrap();
        assert_eq!(event["type"], "input_audio_buffer.append");
        assert_eq!(
            STANDARD.decode(event["audio"].as_str().unwrap()).unwrap(),
            [1, 0, 254, 255]
        );
    }

    #[test]
    fn refusals_are_told_apart_and_nonsense_is_ignored() {
        let kind = |json: &str| match parse(json) {
            Event::Failed { error, .. } | Event::Refused(error) => Some(error.kind),
            _ => None,
        };
        for (json, expected) in [
            (
                r#"{"type":"error","error":{"type":"server_error"}}"#,
                Some(ErrorKind::Unavailable),
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","code":"bad"}}"#,
                Some(ErrorKind::Rejected),
            ),
            (
                r#"{"type":"conversation.item.input_audio_transcription.failed","item_id":"a",
                "error":{"code":"rate_limit_exceeded"}}"#,
                Some(ErrorKind::RateLimited),
            ),
            ("hello", None),
            (r#"{"type":7}"#, None),
            (r#"{"type":"rate_limits.updated"}"#, None),
        ] {
            assert_eq!(kind(json), expected, "{json}");
        }
    }
}
