//! The sound that came in and is not part of the conversation yet.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::event::Refusal;
use crate::audio::SPEECH_RATE_HZ;

const SAMPLES_PER_MS: usize = SPEECH_RATE_HZ as usize / 1000;
/// Bytes of one append.
///
/// Source: OpenAI API reference, "input_audio_buffer.append": at most 15 MiB.
const APPEND_BYTES_MAX: usize = 15 << 20;
/// Least sound of a commit. Source: the service's message for a shorter one.
const COMMIT_MS_MIN: u64 = 100;
/// What is kept: longer than any turn.
const KEPT_MS_MAX: u64 = 20 * 60 * 1000;

/// See the module.
#[derive(Default)]
pub(super) struct Buffer {
    samples: Vec<i16>,
}

/// How long `n_samples` last.
pub(super) fn ms_of(n_samples: usize) -> u64 {
    (n_samples / SAMPLES_PER_MS) as u64
}

/// Reads the sound of an append.
pub(super) fn decode(audio: Option<&str>) -> Result<Vec<i16>, Refusal> {
    let refused = |message: &str| Refusal::new("invalid_value", message).of("audio");
    let audio = audio.ok_or_else(|| refused("`audio` is missing"))?;
    let bytes = BASE64_STANDARD
        .decode(audio)
        .map_err(|_| refused("Invalid 'audio'. Expected base64-encoded audio bytes."))?;
    if bytes.len() > APPEND_BYTES_MAX {
        return Err(refused("`audio` is more than 15 MiB"));
    }
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(refused("`audio` is not a whole number of 16-bit samples"));
    }
    Ok(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

impl Buffer {
    pub(super) fn push(&mut self, samples: &[i16]) {
        self.samples.extend_from_slice(samples);
        self.keep_last(KEPT_MS_MAX);
    }

    /// Forgets all but the last so many milliseconds.
    pub(super) fn keep_last(&mut self, ms: u64) {
        let n_kept = usize::try_from(ms).unwrap_or(usize::MAX);
        let n_kept = n_kept.saturating_mul(SAMPLES_PER_MS);
        let n_surplus = self.samples.len().saturating_sub(n_kept);
        self.samples.drain(..n_surplus);
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Takes all of it for an item.
    pub(super) fn commit(&mut self) -> Result<Vec<i16>, Refusal> {
        let ms = ms_of(self.samples.len());
        if ms < COMMIT_MS_MIN {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least \
                 {COMMIT_MS_MIN}ms of audio, but buffer only has {ms}.00ms of audio."
            );
            return Err(Refusal::new("input_audio_buffer_commit_empty", message));
        }
        Ok(std::mem::take(&mut self.samples))
    }
}
