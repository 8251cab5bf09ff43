//! From the bytes of a speech answer to frames, whatever form the service chose. Plain code.
//!
//! The request asks for raw PCM, but what comes is decided by the answer's content type: servers
//! ignore `response_format` or `stream_format` and send what they have.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::pcm::PcmDecoder;
use super::wav;
use crate::audio::AudioFrame;
use crate::error::ErrorKind;
use crate::excess::Excess;
use crate::pool::{Decode, Fault, SseDecoder, refusal_in_stream};

/// Bytes that tell a WAV file from raw sound.
const WAV_MAGIC_BYTES: usize = 12;

/// Decodes one answer.
pub(super) struct SpeechDecoder {
    form: Form,
    /// Rate the frames must have.
    sample_rate_hz: u32,
    /// Samples that the answer may still have.
    n_samples_left: usize,
    has_sound: bool,
    is_complete: bool,
}

enum Form {
    /// Sound, raw or as WAV: its first bytes tell, as some servers call WAV `audio/pcm`.
    Unknown(Vec<u8>),
    Raw(PcmDecoder),
    Wav {
        pcm: PcmDecoder,
        bytes_left: Option<usize>,
    },
    Events {
        sse: SseDecoder,
        pcm: PcmDecoder,
    },
}

/// The answer cannot be played.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPlayable {
    /// Sound, but not PCM: a matter of settings.
    #[error("the service sends {0} although PCM was asked for; choose a server that can send PCM")]
    Compressed(String),
    /// No sound.
    #[error("the service answers with {0} where sound was expected")]
    NotSound(String),
    /// Another rate than the room needs.
    #[error("the sound has {found} samples per second and not {expected}")]
    SampleRate {
        /// What the answer says.
        found: u32,
        /// What the settings say.
        expected: u32,
    },
}

impl NotPlayable {
    /// What it means for the call.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Compressed(_) | Self::SampleRate { .. } => ErrorKind::Rejected,
            Self::NotSound(_) => ErrorKind::Malformed,
        }
    }
}

impl SpeechDecoder {
    /// Chooses by the answer's content type; none counts as raw sound. Audio longer than `length_max`
    /// is a fault.
    pub(super) fn new(
        content_type: &str,
        sample_rate_hz: u32,
        length_max: Duration,
    ) -> Result<Self, NotPlayable> {
        let mut parts = content_type.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let form = match kind.as_str() {
            "text/event-stream" => Form::Events {
                sse: SseDecoder::default(),
                pcm: PcmDecoder::new(1),
            },
            ""
            | "application/octet-stream"
            | "binary/octet-stream"
            | "audio/pcm"
            | "audio/l16"
            | "audio/raw"
            | "audio/x-pcm"
            | "audio/x-raw"
            | "audio/wav"
            | "audio/x-wav"
            | "audio/wave"
            | "audio/vnd.wave" => Form::Unknown(Vec::new()),
            _ if kind.starts_with("audio/") => {
                return Err(NotPlayable::Compressed(printable(&kind)));
            }
            _ => return Err(NotPlayable::NotSound(printable(&kind))),
        };
        let rate = parts.find_map(|part| part.strip_prefix("rate=")?.parse().ok());
        let decoder = Self {
            form,
            sample_rate_hz,
            n_samples_left: (length_max.as_secs_f64() * f64::from(sample_rate_hz)) as usize,
            has_sound: false,
            is_complete: false,
        };
        decoder.check_rate(rate.unwrap_or(sample_rate_hz))?;
        Ok(decoder)
    }

    fn check_rate(&self, found: u32) -> Result<(), NotPlayable> {
        let expected = self.sample_rate_hz;
        if found == expected {
            Ok(())
        } else {
            Err(NotPlayable::SampleRate { found, expected })
        }
    }

    /// Raw or WAV, once there is enough to tell.
    fn tell(&mut self, is_end: bool) -> Result<Option<Vec<u8>>, Fault> {
        let Form::Unknown(head) = &mut self.form else {
            return Ok(None);
        };
        let is_riff = head.starts_with(b"RIFF") && head.get(8..WAV_MAGIC_BYTES) == Some(b"WAVE");
        let may_be_riff = b"RIFF".starts_with(&head[..head.len().min(4)]);
        if !is_riff {
            if head.len() < WAV_MAGIC_BYTES && may_be_riff && !is_end {
                return Ok(None);
            }
            let sound = std::mem::take(head);
            self.form = Form::Raw(PcmDecoder::new(1));
            return Ok(Some(sound));
        }
        let Some(found) = wav::parse(head).map_err(Fault::malformed)? else {
            return Ok(None);
        };
        let sound = head.split_off(found.head_bytes);
        self.check_rate(found.sample_rate_hz)
            .map_err(Fault::malformed)?;
        self.form = Form::Wav {
            pcm: PcmDecoder::new(usize::from(found.channels)),
            bytes_left: found.data_bytes.map(|bytes| bytes as usize),
        };
        Ok(Some(sound))
    }

    fn play(&mut self, samples: Vec<i16>, frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        if samples.is_empty() {
            return Ok(());
        }
        let Some(n_left) = self.n_samples_left.checked_sub(samples.len()) else {
            Excess::Speech.count("the length of a sentence's audio");
            return Err(Fault::malformed("the audio is longer than the text can be"));
        };
        self.n_samples_left = n_left;
        self.has_sound = true;
        frames.push_back(AudioFrame {
            samples,
            sample_rate_hz: self.sample_rate_hz,
        });
        Ok(())
    }

    fn take_event(&mut self, data: &str) -> Result<Vec<i16>, Fault> {
        #[derive(Deserialize)]
        struct Event {
            #[serde(default, rename = "type")]
            kind: String,
            #[serde(default, alias = "delta")]
            audio: String,
            #[serde(default)]
            error: Option<serde_json::Value>,
        }
        let data = data.trim();
        if self.is_complete || data.is_empty() {
            return Ok(Vec::new());
        }
        if data == "[DONE]" {
            self.is_complete = true;
            return Ok(Vec::new());
        }
        let event: Event =
            serde_json::from_str(data).map_err(|_| Fault::malformed("an event is not JSON"))?;
        if event.error.is_some() {
            let (kind, refusal) = refusal_in_stream(data);
            return Err(Fault {
                kind,
                cause: refusal.into(),
            });
        }
        match (event.kind.as_str(), &mut self.form) {
            ("speech.audio.done", _) => self.is_complete = true,
            ("speech.audio.delta", Form::Events { pcm, .. }) => {
                let bytes = BASE64_STANDARD.decode(event.audio);
                let bytes = bytes.map_err(|_| Fault::malformed("an event is not base64"))?;
                return Ok(pcm.push(&bytes));
            }
            _ => {} // kinds that may be added
        }
        Ok(Vec::new())
    }
}

impl Decode for SpeechDecoder {
    type Item = AudioFrame;

    fn push(&mut self, bytes: &[u8], frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        let mut bytes = std::borrow::Cow::Borrowed(bytes);
        if let Form::Unknown(head) = &mut self.form {
            head.extend_from_slice(&bytes);
            let Some(sound) = self.tell(false)? else {
                return Ok(());
            };
            bytes = sound.into();
        }
        let samples = match &mut self.form {
            Form::Unknown(_) => Vec::new(),
            Form::Raw(pcm) => pcm.push(&bytes),
            Form::Wav { pcm, bytes_left } => {
                let length = bytes_left.map_or(bytes.len(), |left| left.min(bytes.len()));
                if let Some(left) = bytes_left {
                    *left -= length;
                    self.is_complete = *left == 0;
                }
                pcm.push(&bytes[..length])
            }
            Form::Events { sse, .. } => {
                for event in sse.push(&bytes).map_err(Fault::malformed)? {
                    let samples = self.take_event(&event.data)?;
                    self.play(samples, frames)?;
                }
                Vec::new()
            }
        };
        self.play(samples, frames)
    }

    fn finish(&mut self, frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        if let Some(sound) = self.tell(true)? {
            self.push(&sound, frames)?;
        }
        if let Form::Events { sse, .. } = &mut self.form
            && let Some(event) = sse.finish().map_err(Fault::malformed)?
        {
            let samples = self.take_event(&event.data)?;
            self.play(samples, frames)?;
        }
        match &self.form {
            _ if !self.has_sound => Err(Fault::malformed("the answer has no sound")),
            Form::Events { .. }
            | Form::Wav {
                bytes_left: Some(_),
                ..
            } if !self.is_complete => {
                Err(Fault::malformed("the sound ended before it was complete"))
            }
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// A content type comes from the server; only one that looks like one is repeated.
fn printable(kind: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/.+-".contains(c);
    if kind.len() <= 64 && kind.chars().all(is_plain) {
        kind.to_owned()
    } else {
        "an unreadable content type".to_owned()
    }
}

#[cfg(test)]
mod tests;
