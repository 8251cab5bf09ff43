//! Settings of the voice (`[tts]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decoder::SAMPLE_RATES_HZ;
use super::openai::SAMPLE_RATE_HZ;
use crate::pool::{self, Addresses, EndpointConfig, EndpointError};
use crate::redact::Pii;
use crate::text::TextFilter;
use crate::units::seconds;

/// Who speaks, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Model that speaks.
    pub model: String,
    /// Its voice. Source: livekit-agents 1.7.0, `ash`.
    pub voice: String,
    /// How to speak, in words; empty for the voice's own way. Not for `tts-1`.
    pub instructions: String,
    /// Pace, 0.25 to 4; 1 is not sent.
    pub speed: f32,
    /// Coding of the audio that is asked for. Any answer is played, whatever was asked for.
    pub format: Format,
    /// Samples per second of raw PCM, where the answer does not tell.
    pub pcm_rate_hz: u32,
    /// What the text is freed of before it is spoken; captions keep it.
    pub text_filters: Vec<TextFilter>,
    /// Address of the service for this stage; empty for that of `[openai]`.
    pub base_url: String,
    /// Key for this stage; empty for that of `[openai]` if the host is the same.
    pub api_key: Pii<String>,
    /// Until the first sound, all attempts and fallbacks together. A caller waits through it in silence.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Until the first sound, each attempt. Source: livekit-agents 1.7.0 `APIConnectOptions`, 10 s.
    #[serde(rename = "first_byte_timeout_seconds", with = "seconds")]
    pub first_byte_timeout: Duration,
    /// Longest silence between two pieces of an answer.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
    /// Longest wait for one of several services before the next one is asked. Source: livekit-agents
    /// 1.8.9, `attempt_timeout` of its `FallbackAdapter` for models, 5 s.
    #[serde(rename = "fallback_after_seconds", with = "seconds")]
    pub fallback_after: Duration,
    /// Who takes over, in this order, while the service above is in trouble.
    pub fallback: Vec<Fallback>,
}

/// A coding of audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// PCM; a service that refuses it is asked for WAV, then for MP3, once in the process.
    #[default]
    Auto,
    /// Raw PCM: 16 bits, one channel, little-endian.
    Pcm,
    /// WAV.
    Wav,
}

/// A service that takes over; what is empty is as in `[tts]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fallback {
    /// Its address.
    pub base_url: String,
    /// Its key; the stage's is used at the stage's host, that of `[openai]` at the host of `[openai]`.
    pub api_key: Pii<String>,
    /// Its model.
    pub model: String,
    /// Its voice.
    pub voice: String,
    /// How to speak; `""` for the voice's own way, which some models need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "gpt-4o-mini-tts".to_owned(),
            voice: "ash".to_owned(),
            instructions: String::new(),
            speed: 1.0,
            format: Format::Auto,
            pcm_rate_hz: SAMPLE_RATE_HZ,
            text_filters: TextFilter::ALL.to_vec(),
            base_url: String::new(),
            api_key: Pii::default(),
            timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(5),
            fallback_after: Duration::from_secs(5),
            fallback: Vec::new(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, value) in [("model", &self.model), ("voice", &self.voice)] {
            if value.trim().is_empty() {
                problems.push(format!("tts.{key}: must not be empty"));
            }
        }
        if !(0.25..=4.0).contains(&self.speed) {
            problems.push("tts.speed: must be from 0.25 to 4".to_owned());
        }
        if !SAMPLE_RATES_HZ.contains(&self.pcm_rate_hz) {
            problems.push("tts.pcm_rate_hz: must be from 8000 to 96000".to_owned());
        }
        if self.first_byte_timeout.is_zero() || self.first_byte_timeout > self.timeout {
            problems.push(
                "tts.first_byte_timeout_seconds: must be more than 0 and at most \
                 tts.timeout_seconds"
                    .to_owned(),
            );
        }
        if self.idle_timeout < pool::IDLE_TIMEOUT_MIN {
            problems.push("tts.idle_timeout_seconds: must be at least 0.5".to_owned());
        }
        if self.fallback_after.is_zero() {
            problems.push("tts.fallback_after_seconds: must be more than 0".to_owned());
        }
        problems.extend(self.addresses().problems("tts"));
        problems
    }

    /// The settings of a fallback: its own, and these where it has none.
    fn with(&self, fallback: &Fallback) -> Self {
        let or = |own: &String, ours: &String| if own.is_empty() { ours } else { own }.clone();
        let instructions = fallback.instructions.as_ref();
        Self {
            model: or(&fallback.model, &self.model),
            voice: or(&fallback.voice, &self.voice),
            instructions: instructions.unwrap_or(&self.instructions).clone(),
            base_url: String::new(),
            api_key: Pii::default(),
            fallback: Vec::new(),
            ..self.clone()
        }
    }

    fn addresses(&self) -> Addresses<'_> {
        let fallbacks = self.fallback.iter().map(|it| (&*it.base_url, &it.api_key));
        Addresses::new((&self.base_url, &self.api_key), fallbacks)
    }

    /// These settings and those of all fallbacks in the order of preference, each with the endpoint
    /// settings that belong to it.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub(super) fn all(
        &self,
        shared: &EndpointConfig,
    ) -> Result<Vec<(EndpointConfig, Self)>, EndpointError> {
        let fallbacks = self.fallback.iter().map(|fallback| self.with(fallback));
        let all = std::iter::once(self.with(&Fallback::default())).chain(fallbacks);
        Ok(self.addresses().at(shared)?.into_iter().zip(all).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().problems().is_empty());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let config = Config {
            voice: String::new(),
            speed: 9.0,
            idle_timeout: Duration::ZERO,
            ..Config::default()
        };
        assert_eq!(config.problems().len(), 3, "{:?}", config.problems());
    }
}
