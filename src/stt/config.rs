//! Settings of transcription (`[stt]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::{Addresses, EndpointConfig, EndpointError};
use crate::redact::Pii;
use crate::units::{millis, seconds};

/// Who listens, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How sound is sent: each utterance as a whole, or while it is spoken.
    pub mode: Mode,
    /// Model that listens.
    pub model: String,
    /// ISO 639-1 code of the caller's language; empty lets the model find out.
    pub language: String,
    /// Words to expect, such as names; helps the model to spell them.
    pub prompt: String,
    /// Realtime: what the service does about noise before it listens: nothing (empty),
    /// `near_field` for headsets or `far_field` for loudspeakers.
    pub noise_reduction: String,
    /// Realtime: a connection is replaced at this age. Source: livekit-agents 1.8.9, OpenAI plugin's
    /// `stt.py`, 600 s.
    #[serde(rename = "socket_age_max_seconds", with = "seconds")]
    pub socket_age_max: Duration,
    /// Address of the service for this stage; empty for that of `[openai]`.
    pub base_url: String,
    /// Key for this stage; empty for that of `[openai]` if the host is the same.
    pub api_key: Pii<String>,
    /// The whole call with its retries, and with its fallbacks. A caller waits through it in silence
    /// and then hears an apology.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// One attempt. Source: livekit-agents 1.7.0 `APIConnectOptions`, 10 s.
    #[serde(rename = "attempt_timeout_seconds", with = "seconds")]
    pub attempt_timeout: Duration,
    /// Batch: a request that is not answered after this time gets a second one beside it, and the first
    /// answer counts; 0 for never.
    #[serde(rename = "hedge_after_ms", with = "millis")]
    pub hedge_after: Duration,
    /// Longest wait for one of several services before the next one is asked. Source: livekit-agents
    /// 1.8.9, `attempt_timeout` of its `FallbackAdapter` for models, 5 s.
    #[serde(rename = "fallback_after_seconds", with = "seconds")]
    pub fallback_after: Duration,
    /// Who takes over, in this order, while the service above is in trouble.
    pub fallback: Vec<Fallback>,
}

/// How sound is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `POST /audio/transcriptions` with each utterance as a whole.
    #[default]
    Batch,
    /// A WebSocket (`/realtime?intent=transcription`) that hears while the user speaks.
    Realtime,
}

/// A service that takes over; what is empty is as in `[stt]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fallback {
    /// Its address.
    pub base_url: String,
    /// Its key; the stage's is used at the stage's host, that of `[openai]` at the host of `[openai]`.
    pub api_key: Pii<String>,
    /// Its model.
    pub model: String,
    /// The caller's language, as it wants it written.
    pub language: String,
    /// Words to expect.
    pub prompt: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Batch,
            model: "gpt-4o-mini-transcribe".to_owned(),
            language: String::new(),
            prompt: String::new(),
            noise_reduction: String::new(),
            socket_age_max: Duration::from_secs(600),
            base_url: String::new(),
            api_key: Pii::default(),
            timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(10),
            hedge_after: Duration::ZERO,
            fallback_after: Duration::from_secs(5),
            fallback: Vec::new(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.model.trim().is_empty() {
            problems.push("stt.model: must not be empty".to_owned());
        }
        if self.attempt_timeout.is_zero() || self.attempt_timeout > self.timeout {
            problems.push(
                "stt.attempt_timeout_seconds: must be more than 0 and at most stt.timeout_seconds"
                    .to_owned(),
            );
        }
        if !matches!(
            self.noise_reduction.as_str(),
            "" | "near_field" | "far_field"
        ) {
            problems.push(
                "stt.noise_reduction: must be \"near_field\", \"far_field\" or empty".to_owned(),
            );
        }
        if self.socket_age_max < Duration::from_secs(1) {
            problems.push("stt.socket_age_max_seconds: must be at least 1".to_owned());
        }
        if self.fallback_after.is_zero() {
            problems.push("stt.fallback_after_seconds: must be more than 0".to_owned());
        }
        problems.extend(self.addresses().problems("stt"));
        problems
    }

    /// The settings of a fallback: its own, and these where it has none.
    fn with(&self, fallback: &Fallback) -> Self {
        let or = |own: &String, ours: &String| if own.is_empty() { ours } else { own }.clone();
        Self {
            model: or(&fallback.model, &self.model),
            language: or(&fallback.language, &self.language),
            prompt: or(&fallback.prompt, &self.prompt),
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
            model: " ".to_owned(),
            base_url: "localhost".to_owned(),
            noise_reduction: "some".to_owned(),
            attempt_timeout: Duration::from_secs(31),
            ..Config::default()
        };
        assert_eq!(config.problems().len(), 4, "{:?}", config.problems());
    }
}
