//! Settings of speech to speech (`[realtime]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::{Addresses, EndpointConfig, EndpointError};
use crate::redact::Pii;
use crate::units::seconds;

/// One model that hears, thinks and speaks, in place of the three stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether calls are held this way.
    pub enabled: bool,
    /// Model that talks.
    pub model: String,
    /// Its voice. Source: livekit-agents 1.8.9, default of its OpenAI plugin.
    pub voice: String,
    /// Model that writes down what the user says, for captions and memory.
    pub transcription_model: String,
    /// How the service finds the end of the user's turn.
    pub turn_detection: TurnDetection,
    /// Semantic detection: how eagerly the model takes its turn.
    pub eagerness: Eagerness,
    /// Server detection: silence that ends a turn.
    #[serde(rename = "silence_seconds", with = "seconds")]
    pub silence: Duration,
    /// What the service does about noise before it listens: nothing (empty), `near_field` or
    /// `far_field`.
    pub noise_reduction: String,
    /// A connection is replaced at this age, and the conversation so far told to the new one.
    /// Source: livekit-agents 1.8.9, `realtime/utils.py`, 20 min; OpenAI ends a session at 60 min.
    #[serde(rename = "socket_age_max_seconds", with = "seconds")]
    pub socket_age_max: Duration,
    /// Longest silence of the service while the user waits for its answer; then it is asked anew, or
    /// the next one is, or the user hears an apology.
    #[serde(rename = "answer_timeout_seconds", with = "seconds")]
    pub answer_timeout: Duration,
    /// Address of the service; empty for that of `[openai]`.
    pub base_url: String,
    /// Its key; empty for that of `[openai]` if the host is the same.
    pub api_key: Pii<String>,
    /// Who takes over, in this order, while the service above is in trouble.
    pub fallback: Vec<Fallback>,
}

/// A service that takes over; what is empty is as in `[realtime]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fallback {
    /// Its address.
    pub base_url: String,
    /// Its key; that of `[realtime]` is used at the same host, that of `[openai]` at the host of
    /// `[openai]`.
    pub api_key: Pii<String>,
    /// Its model.
    pub model: String,
    /// The model's voice.
    pub voice: String,
}

/// How the end of a turn is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnDetection {
    /// By what is said.
    SemanticVad,
    /// By silence.
    ServerVad,
}

/// How soon the model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    /// Lets the user take their time.
    Low,
    /// In between.
    Medium,
    /// As soon as it can.
    High,
    /// The service's own choice.
    Auto,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            model: "gpt-realtime".to_owned(),
            voice: "marin".to_owned(),
            transcription_model: "gpt-4o-mini-transcribe".to_owned(),
            turn_detection: TurnDetection::SemanticVad,
            eagerness: Eagerness::Medium,
            silence: Duration::from_millis(500),
            noise_reduction: String::new(),
            socket_age_max: Duration::from_secs(1200),
            answer_timeout: Duration::from_secs(10),
            base_url: String::new(),
            api_key: Pii::default(),
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
                problems.push(format!("realtime.{key}: must not be empty"));
            }
        }
        if !matches!(
            self.noise_reduction.as_str(),
            "" | "near_field" | "far_field"
        ) {
            problems.push(
                "realtime.noise_reduction: must be \"near_field\", \"far_field\" or empty"
                    .to_owned(),
            );
        }
        if self.silence.is_zero() || self.silence > Duration::from_secs(10) {
            problems
                .push("realtime.silence_seconds: must be more than 0 and at most 10".to_owned());
        }
        if self.socket_age_max < Duration::from_secs(1) {
            problems.push("realtime.socket_age_max_seconds: must be at least 1".to_owned());
        }
        if self.answer_timeout < Duration::from_secs(1) {
            problems.push("realtime.answer_timeout_seconds: must be at least 1".to_owned());
        }
        problems.extend(self.addresses().problems("realtime"));
        problems
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
        let or = |own: &String, ours: &String| match own.is_empty() {
            true => ours.clone(),
            false => own.clone(),
        };
        let fallbacks = self.fallback.iter().map(|fallback| Self {
            model: or(&fallback.model, &self.model),
            voice: or(&fallback.voice, &self.voice),
            ..self.clone()
        });
        let all = std::iter::once(self.clone()).chain(fallbacks);
        Ok(self.addresses().at(shared)?.into_iter().zip(all).collect())
    }

    fn addresses(&self) -> Addresses<'_> {
        let fallbacks = self.fallback.iter().map(|it| (&*it.base_url, &it.api_key));
        Addresses::new((&self.base_url, &self.api_key), fallbacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_all_problems_are_reported_at_once() {
        assert!(Config::default().problems().is_empty());
        let broken = Config {
            model: String::new(),
            voice: " ".to_owned(),
            noise_reduction: "some".to_owned(),
            silence: Duration::ZERO,
            socket_age_max: Duration::ZERO,
            base_url: "localhost".to_owned(),
            answer_timeout: Duration::ZERO,
            fallback: vec![Fallback {
                base_url: "nowhere".to_owned(),
                ..Fallback::default()
            }],
            ..Config::default()
        };
        assert_eq!(broken.problems().len(), 8, "{:?}", broken.problems());
    }
}
