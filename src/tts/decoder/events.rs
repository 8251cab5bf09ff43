//! Audio in JSON: server-sent events with pieces of base64, and whole answers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::pcm::PcmDecoder;
use crate::pool::{Fault, SseDecoder, refusal_in_stream};

/// Names under which servers put audio. Source: OpenAI, `speech.audio.delta` (`audio`, in drafts `delta`);
/// the others are what compatible servers send.
const AUDIO_FIELDS: [&str; 5] = ["audio", "delta", "data", "audio_data", "audioContent"];

/// Samples out of an event stream.
pub(super) struct EventDecoder {
    sse: SseDecoder,
    pcm: PcmDecoder,
    is_done: bool,
}

impl Default for EventDecoder {
    fn default() -> Self {
        Self {
            sse: SseDecoder::default(),
            pcm: PcmDecoder::raw(),
            is_done: false,
        }
    }
}

impl EventDecoder {
    /// Whether the service said that nothing follows.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Adds the samples of the events that `bytes` complete; those before a fault count.
    pub(super) fn push(&mut self, bytes: &[u8], samples: &mut Vec<i16>) -> Result<(), Fault> {
        for event in self.sse.push(bytes).map_err(Fault::malformed)? {
            samples.extend(self.take(&event.data)?);
        }
        Ok(())
    }

    /// The samples of the event that the end completes.
    pub(super) fn finish(&mut self) -> Result<Vec<i16>, Fault> {
        match self.sse.finish().map_err(Fault::malformed)? {
            Some(event) => self.take(&event.data),
            None => Ok(Vec::new()),
        }
    }

    /// An event that cannot be read costs its own audio only.
    fn take(&mut self, data: &str) -> Result<Vec<i16>, Fault> {
        let data = data.trim();
        if self.is_done || data.is_empty() {
            return Ok(Vec::new());
        }
        if data == "[DONE]" {
            self.is_done = true;
            return Ok(Vec::new());
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            tracing::debug!("an event of a speech answer is not JSON");
            return Ok(Vec::new());
        };
        if has_error(&event) {
            return Err(refusal(data));
        }
        let kind = event["type"].as_str().unwrap_or_default();
        self.is_done = kind.ends_with(".done") || kind == "done";
        Ok(match audio(&event) {
            Some(audio) if !self.is_done => self.pcm.push(&audio),
            _ => Vec::new(),
        })
    }
}

/// The audio of a JSON answer; `None` if it has none.
///
/// # Errors
/// The answer is a refusal.
pub(super) fn json_audio(answer: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let Ok(value) = serde_json::from_slice::<Value>(answer) else {
        return Ok(None);
    };
    if has_error(&value) {
        return Err(refusal(&String::from_utf8_lossy(answer)));
    }
    Ok(audio(&value))
}

fn has_error(value: &Value) -> bool {
    value.get("error").is_some_and(|error| !error.is_null())
}

fn refusal(json: &str) -> Fault {
    let (kind, refusal) = refusal_in_stream(json);
    Fault {
        kind,
        cause: refusal.into(),
    }
}

/// The audio of one object, at most one object deeper.
fn audio(value: &Value) -> Option<Vec<u8>> {
    let decode = |field: &Value| BASE64_STANDARD.decode(field.as_str()?.trim()).ok();
    AUDIO_FIELDS.iter().find_map(|name| {
        let field = value.get(name)?;
        let inner = || {
            AUDIO_FIELDS
                .iter()
                .find_map(|name| decode(field.get(name)?))
        };
        decode(field)
            .filter(|audio| !audio.is_empty())
            .or_else(inner)
    })
}
