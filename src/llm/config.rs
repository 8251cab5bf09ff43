//! Settings of the language model (`[llm]`).

use std::time::Duration;

use async_openai::types::chat::ReasoningEffort;
use serde::{Deserialize, Serialize};

use super::Compatibility;
use crate::pool::{self, Addresses, EndpointConfig, EndpointError};
use crate::redact::Pii;
use crate::units::seconds;

/// Three spoken sentences need about 100 tokens, the arguments of a tool a few hundred, five minutes
/// of speech (`session.reply_max_seconds`) about 1,500. Most of the limit is for hidden thoughts: a
/// reasoning model has [`Config::first_token_timeout`] (10 s) for them, and 300 tokens a second are
/// 3,000 then. A larger limit would break servers with a small context: vLLM refuses a request whose
/// limit does not fit beside its prompt.
const MAX_COMPLETION_TOKENS: u32 = 4096;

/// Who thinks, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Model that answers.
    pub model: String,
    /// From 0 (always alike) to 2; not sent unless set, as some models refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Longest answer, hidden thoughts included; 0 sends no limit.
    pub max_completion_tokens: u32,
    /// How long a reasoning model may think (`minimal`, `low`, `medium`, `high`); not sent unless
    /// set. A caller waits through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Address of the service for this stage; empty for that of `[openai]`.
    pub base_url: String,
    /// Key for this stage; empty for that of `[openai]` if the host is the same.
    pub api_key: Pii<String>,
    /// Until the first word, all attempts and fallbacks together. A caller waits through it in silence
    /// and then hears an apology.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Until the first word, each attempt. Source: livekit-agents 1.7.0 `APIConnectOptions`, 10 s.
    #[serde(rename = "first_token_timeout_seconds", with = "seconds")]
    pub first_token_timeout: Duration,
    /// Longest silence between two pieces of an answer.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
    /// Longest wait for one of several services before the next one is asked. Source: livekit-agents
    /// 1.8.9, `attempt_timeout` of its `FallbackAdapter` for models, 5 s.
    #[serde(rename = "fallback_after_seconds", with = "seconds")]
    pub fallback_after: Duration,
    /// Who takes over, in this order, while the service above is in trouble.
    pub fallback: Vec<Fallback>,
    /// What the service takes, where that shall not be learnt.
    pub compatibility: Compatibility,
}

/// A service that takes over; what is empty or unset is as in `[llm]`. With a model of its own, what
/// a model may refuse (`temperature`, `reasoning_effort`) is only sent when it is set here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fallback {
    /// Its address.
    pub base_url: String,
    /// Its key; the stage's is used at the stage's host, that of `[openai]` at the host of `[openai]`.
    pub api_key: Pii<String>,
    /// Its model.
    pub model: String,
    /// From 0 (always alike) to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// How long a reasoning model may think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// What it takes, where that shall not be learnt. Nothing of the stage's counts for it.
    pub compatibility: Compatibility,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "gpt-4.1-mini".to_owned(),
            temperature: None,
            max_completion_tokens: MAX_COMPLETION_TOKENS,
            reasoning_effort: None,
            base_url: String::new(),
            api_key: Pii::default(),
            timeout: Duration::from_secs(10),
            first_token_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            fallback_after: Duration::from_secs(5),
            fallback: Vec::new(),
            compatibility: Compatibility::default(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.model.trim().is_empty() {
            problems.push("llm.model: must not be empty".to_owned());
        }
        if self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            problems.push("llm.temperature: must be from 0 to 2".to_owned());
        }
        if self.first_token_timeout.is_zero() || self.first_token_timeout > self.timeout {
            problems.push(
                "llm.first_token_timeout_seconds: must be more than 0 and at most \
                 llm.timeout_seconds"
                    .to_owned(),
            );
        }
        if self.idle_timeout < pool::IDLE_TIMEOUT_MIN {
            problems.push("llm.idle_timeout_seconds: must be at least 0.5".to_owned());
        }
        if self.fallback_after.is_zero() {
            problems.push("llm.fallback_after_seconds: must be more than 0".to_owned());
        }
        problems.extend(self.addresses().problems("llm"));
        problems.extend(self.compatibility.problems("llm"));
        for (place, fallback) in self.fallback.iter().enumerate() {
            let section = pool::fallback_key("llm", place);
            problems.extend(fallback.compatibility.problems(&section));
            if (fallback.temperature).is_some_and(|t| !(0.0..=2.0).contains(&t)) {
                let key = pool::fallback_key("llm", place);
                problems.push(format!("{key}.temperature: must be from 0 to 2"));
            }
        }
        problems
    }

    /// The settings of a fallback: its own, and these where it has none.
    fn with(&self, fallback: &Fallback) -> Self {
        let is_same_model = fallback.model.is_empty();
        let effort = fallback.reasoning_effort.clone();
        Self {
            model: if is_same_model {
                &self.model
            } else {
                &fallback.model
            }
            .clone(),
            temperature: (fallback.temperature).or(self.temperature.filter(|_| is_same_model)),
            reasoning_effort: effort.or(self.reasoning_effort.clone().filter(|_| is_same_model)),
            base_url: String::new(),
            api_key: Pii::default(),
            fallback: Vec::new(),
            compatibility: fallback.compatibility.clone(),
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
        let first = Fallback {
            compatibility: self.compatibility.clone(),
            ..Fallback::default()
        };
        let all = std::iter::once(self.with(&first)).chain(fallbacks);
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
}
