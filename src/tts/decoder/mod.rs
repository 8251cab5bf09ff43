//! From the bytes of a speech answer to frames, whatever form the service chose. Plain code.
//!
//! The audio decides what it is, not the label and not the request: servers ignore
//! `response_format` and `stream_format`, and label what they have as they like.

mod coding;
mod events;
mod mp3;
mod ogg_opus;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use self::coding::Coding;
use self::events::{EventDecoder, json_audio};
use self::mp3::Mp3Decoder;
use self::ogg_opus::OggOpusDecoder;
use super::pcm::PcmDecoder;
use super::wav;
use crate::audio::AudioFrame;
use crate::audio::resample::Resampler;
use crate::error::ErrorKind;
use crate::excess::Excess;
use crate::pool::{Decode, Fault};

/// Rates that a voice may have, in samples per second: from telephones to studios.
pub(super) const SAMPLE_RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=96_000;

/// The longest JSON answer that is read: half a minute of audio in base64.
const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Decodes one answer.
pub(super) struct SpeechDecoder {
    form: Form,
    /// The content type without its parameters, in lower case.
    label: String,
    /// Rate of raw PCM, which does not tell its own.
    raw_rate_hz: u32,
    /// Rate the frames must have.
    sample_rate_hz: u32,
    /// The rate that the last audio came with, and how it is changed to the frames' own.
    resampler: Option<(u32, Resampler)>,
    /// Samples that the answer may still have, at the frames' rate.
    n_samples_left: usize,
    has_audio: bool,
    is_complete: bool,
}

enum Form {
    /// Too few bytes to tell.
    Unknown(Vec<u8>),
    Raw(PcmDecoder),
    Wav {
        pcm: PcmDecoder,
        rate_hz: u32,
        bytes_left: Option<usize>,
    },
    Mp3(Mp3Decoder),
    Opus(OggOpusDecoder),
    Events(EventDecoder),
    /// Read as a whole.
    Json(Vec<u8>),
}

/// The answer cannot be played.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPlayable {
    /// Audio in a coding that is not decoded: a matter of settings.
    #[error("the service sends {0}; choose a server or a tts.format of PCM, WAV, MP3 or Opus")]
    Coding(String),
    /// No audio.
    #[error("the service answers with {0} where audio was expected")]
    NotAudio(String),
    /// No rate that a voice has.
    #[error("the audio has {0} samples per second, which no voice has")]
    SampleRate(u32),
}

impl NotPlayable {
    fn fault(self) -> Fault {
        let kind = match self {
            Self::Coding(_) | Self::SampleRate(_) => ErrorKind::Rejected,
            Self::NotAudio(_) => ErrorKind::Malformed,
        };
        Fault {
            kind,
            cause: self.into(),
        }
    }
}

impl SpeechDecoder {
    /// Decodes to frames of `sample_rate_hz`. Raw PCM has `raw_rate_hz`, unless the content type says
    /// otherwise (`audio/pcm;rate=16000`). Audio longer than `length_max` is a fault.
    pub(super) fn new(
        content_type: &str,
        raw_rate_hz: u32,
        sample_rate_hz: u32,
        length_max: Duration,
    ) -> Self {
        let mut parts = content_type.split(';').map(str::trim);
        let label = parts.next().unwrap_or_default().to_ascii_lowercase();
        let rate = parts.find_map(|part| part.strip_prefix("rate=")?.parse().ok());
        Self {
            form: Form::Unknown(Vec::new()),
            label,
            raw_rate_hz: rate.unwrap_or(raw_rate_hz),
            sample_rate_hz,
            resampler: None,
            n_samples_left: (length_max.as_secs_f64() * f64::from(sample_rate_hz)) as usize,
            has_audio: false,
            is_complete: false,
        }
    }

    /// Chooses the form once there is enough to tell; returns the bytes that belong to it.
    fn tell(&mut self, is_end: bool) -> Result<Option<Vec<u8>>, Fault> {
        let Form::Unknown(head) = &mut self.form else {
            return Ok(None);
        };
        let Some(coding) = coding::tell(head, &self.label, is_end) else {
            return Ok(None);
        };
        let mut head = std::mem::take(head);
        self.form = match coding {
            Coding::Raw => Form::Raw(PcmDecoder::raw()),
            Coding::Wav => {
                let Some(found) = wav::parse(&head).map_err(Fault::malformed)? else {
                    self.form = Form::Unknown(head);
                    return Ok(None);
                };
                head.drain(..found.head_bytes);
                Form::Wav {
                    pcm: PcmDecoder::new(found.channels.into(), found.format),
                    rate_hz: found.sample_rate_hz,
                    bytes_left: found.data_bytes.map(|bytes| bytes as usize),
                }
            }
            Coding::Mp3 => {
                let decoder = Mp3Decoder::new();
                let decoder = decoder.ok_or_else(|| NotPlayable::Coding("audio/mpeg".to_owned()));
                Form::Mp3(decoder.map_err(NotPlayable::fault)?)
            }
            Coding::Ogg => {
                let decoder = OggOpusDecoder::new(self.sample_rate_hz);
                Form::Opus(decoder.map_err(Fault::malformed)?)
            }
            Coding::Events => Form::Events(EventDecoder::default()),
            Coding::Json => Form::Json(Vec::new()),
            Coding::Other(name) => return Err(NotPlayable::Coding(name.to_owned()).fault()),
            Coding::Text => return Err(NotPlayable::NotAudio(printable(&self.label)).fault()),
        };
        Ok(Some(head))
    }

    /// Adds a frame of samples that came with this rate.
    fn play(
        &mut self,
        rate_hz: u32,
        samples: Vec<i16>,
        frames: &mut VecDeque<AudioFrame>,
    ) -> Result<(), Fault> {
        if samples.is_empty() {
            return Ok(());
        }
        if !SAMPLE_RATES_HZ.contains(&rate_hz) {
            return Err(NotPlayable::SampleRate(rate_hz).fault());
        }
        self.has_audio = true;
        if self
            .resampler
            .as_ref()
            .is_some_and(|(rate, _)| *rate != rate_hz)
        {
            self.flush(frames)?;
        }
        let samples = if rate_hz == self.sample_rate_hz {
            samples
        } else {
            let to = self.sample_rate_hz;
            let new = || (rate_hz, Resampler::new(rate_hz, to));
            self.resampler.get_or_insert_with(new).1.push(&samples)
        };
        self.push_frame(samples, frames)
    }

    /// The last samples of what came with another rate than the frames'.
    fn flush(&mut self, frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        match self.resampler.take() {
            Some((_, mut resampler)) => self.push_frame(resampler.flush(), frames),
            None => Ok(()),
        }
    }

    fn push_frame(
        &mut self,
        samples: Vec<i16>,
        frames: &mut VecDeque<AudioFrame>,
    ) -> Result<(), Fault> {
        if samples.is_empty() {
            return Ok(());
        }
        let Some(n_left) = self.n_samples_left.checked_sub(samples.len()) else {
            Excess::Speech.count("the length of a sentence's audio");
            return Err(Fault::malformed("the audio is longer than the text can be"));
        };
        self.n_samples_left = n_left;
        frames.push_back(AudioFrame {
            samples,
            sample_rate_hz: self.sample_rate_hz,
        });
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        let raw_rate_hz = self.raw_rate_hz;
        match &mut self.form {
            Form::Unknown(_) => Ok(()),
            Form::Raw(pcm) => {
                let samples = pcm.push(bytes);
                self.play(raw_rate_hz, samples, frames)
            }
            Form::Wav {
                pcm,
                rate_hz,
                bytes_left,
            } => {
                let length = bytes_left.map_or(bytes.len(), |left| left.min(bytes.len()));
                if let Some(left) = bytes_left {
                    *left -= length;
                    self.is_complete = *left == 0;
                }
                let (rate_hz, samples) = (*rate_hz, pcm.push(&bytes[..length]));
                self.play(rate_hz, samples, frames)
            }
            Form::Mp3(decoder) => {
                let mut decoded = Vec::new();
                decoder.push(bytes, |rate_hz, samples| decoded.push((rate_hz, samples)));
                let mut decoded = decoded.into_iter();
                decoded.try_for_each(|(rate_hz, samples)| self.play(rate_hz, samples, frames))
            }
            Form::Opus(decoder) => {
                let samples = decoder.push(bytes).map_err(Fault::malformed)?;
                self.play(self.sample_rate_hz, samples, frames)
            }
            Form::Events(events) => {
                let mut samples = Vec::new();
                let read = events.push(bytes, &mut samples);
                self.is_complete = events.is_done();
                self.play(raw_rate_hz, samples, frames)?;
                read
            }
            Form::Json(answer) => {
                answer.extend_from_slice(bytes);
                if answer.len() > JSON_BYTES_MAX {
                    return Err(Fault::malformed("the JSON answer is longer than allowed"));
                }
                Ok(())
            }
        }
    }

    /// Plays the audio in a JSON answer, whatever its coding.
    fn take_json(&mut self, answer: &[u8], frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        let Some(audio) = json_audio(answer)? else {
            return Err(NotPlayable::NotAudio(printable(&self.label)).fault());
        };
        // Once: audio that is JSON again is none.
        let n_left = self.n_samples_left as f64 / f64::from(self.sample_rate_hz);
        let length_max = Duration::from_secs_f64(n_left);
        let mut inner = Self::new("", self.raw_rate_hz, self.sample_rate_hz, length_max);
        inner.push(&audio, frames)?;
        if matches!(inner.form, Form::Json(_)) {
            return Err(NotPlayable::NotAudio(printable(&self.label)).fault());
        }
        inner.finish(frames)?;
        self.has_audio = true;
        Ok(())
    }
}

impl Decode for SpeechDecoder {
    type Item = AudioFrame;

    fn push(&mut self, bytes: &[u8], frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        let mut bytes = Cow::Borrowed(bytes);
        if let Form::Unknown(head) = &mut self.form {
            head.extend_from_slice(&bytes);
            let Some(audio) = self.tell(false)? else {
                return Ok(());
            };
            bytes = audio.into();
        }
        self.take(&bytes, frames)
    }

    /// An answer that the connection ended in order is whole, whatever length its header claims.
    fn finish(&mut self, frames: &mut VecDeque<AudioFrame>) -> Result<(), Fault> {
        if let Some(audio) = self.tell(true)? {
            self.take(&audio, frames)?;
        }
        if let Form::Events(events) = &mut self.form {
            let samples = events.finish()?;
            self.is_complete = events.is_done();
            self.play(self.raw_rate_hz, samples, frames)?;
        }
        if let Form::Json(answer) = &mut self.form {
            let answer = std::mem::take(answer);
            self.take_json(&answer, frames)?;
        }
        self.flush(frames)?;
        match &self.form {
            _ if !self.has_audio => Err(Fault {
                kind: ErrorKind::Empty,
                cause: "the answer has no audio".into(),
            }),
            Form::Events(_) if !self.is_complete => Err(Fault::malformed(
                "the events ended before the audio was complete",
            )),
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
    if !kind.is_empty() && kind.len() <= 64 && kind.chars().all(is_plain) {
        kind.to_owned()
    } else {
        "text".to_owned()
    }
}

#[cfg(test)]
mod tests;
