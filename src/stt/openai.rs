//! Transcription by an OpenAI-compatible service: `POST /audio/transcriptions`.

use std::sync::Arc;
use std::time::Duration;

use async_openai::types::InputSource;
use async_openai::types::audio::{AudioInput, AudioResponseFormat, CreateTranscriptionRequest};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::realtime::RealtimeStt;
use super::{Stt, wav};
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::{
    self, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig, EndpointError, Lease,
};
use crate::redact::Pii;
use crate::units::{millis, seconds};

const OPERATION: &str = "transcription";

/// Settings of transcription (`[stt]`).
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
        if let Err(error) =
            Endpoint::for_stage(&EndpointConfig::default(), &self.base_url, &self.api_key)
        {
            problems.push(format!("stt.{error}"));
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
        for (place, fallback) in self.fallback.iter().enumerate() {
            let shared = EndpointConfig::default();
            if let Err(error) = Endpoint::for_stage(&shared, &fallback.base_url, &fallback.api_key)
            {
                problems.push(format!("{}.{error}", pool::fallback_key("stt", place)));
            }
        }
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
}

/// Transcribes over the pool.
#[derive(Clone)]
pub struct OpenAiStt {
    pool: ConnectionPool,
    endpoint: Endpoint,
    config: Config,
    retries_max: Option<u32>,
}

impl OpenAiStt {
    /// A transcriber at the endpoint that `config` and the shared section make together.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(
        pool: ConnectionPool,
        shared: &EndpointConfig,
        config: Config,
    ) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::for_stage(shared, &config.base_url, &config.api_key)?;
        Ok(Self {
            pool,
            endpoint,
            config,
            retries_max: None,
        })
    }

    /// The transcriber of `config` and all its fallbacks, in the order of preference. Each but the
    /// last is asked once and for a short while only: the next one waits. The last has the rest of the time.
    ///
    /// # Errors
    /// When an address or a key cannot be used.
    pub fn all(
        pool: &ConnectionPool,
        shared: &EndpointConfig,
        config: &Config,
    ) -> Result<Vec<Self>, EndpointError> {
        let mut all = vec![Self::new(pool.clone(), shared, config.clone())?];
        let stage = shared.at(&config.base_url, &config.api_key)?;
        for fallback in &config.fallback {
            let at = shared.fallback_of(&stage, &fallback.base_url, &fallback.api_key)?;
            all.push(Self::new(pool.clone(), &at, config.with(fallback))?);
        }
        let shares = pool::shares(config.timeout, config.fallback_after, all.len());
        let n_replaceable = all.len() - 1;
        for (place, (one, share)) in all.iter_mut().zip(shares).enumerate() {
            one.config.timeout = share;
            one.config.attempt_timeout = one.config.attempt_timeout.min(share);
            one.retries_max = (place < n_replaceable).then_some(0);
        }
        Ok(all)
    }

    /// What a choice of several has to know of it.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            endpoint: self.endpoint.clone(),
            model: self.config.model.clone(),
        }
    }

    /// The transcriber that hears in the way of [`Config::mode`].
    pub fn in_mode(self) -> Arc<dyn Stt> {
        match self.config.mode {
            Mode::Batch => Arc::new(self),
            Mode::Realtime => Arc::new(RealtimeStt::new(
                &self.pool,
                &self.endpoint,
                &self.config,
                self.retries_max,
            )),
        }
    }

    /// Where requests go; for [`ConnectionPool::prewarm`].
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Stt for OpenAiStt {
    fn model(&self) -> &str {
        &self.config.model
    }

    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        if utterance.samples.is_empty() {
            return async { Ok(String::new()) }.boxed();
        }
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let request = CreateTranscriptionRequest {
            file: AudioInput {
                source: InputSource::Bytes {
                    filename: "utterance.wav".to_owned(),
                    bytes: wav::encode(&utterance),
                },
            },
            model: self.config.model.clone(),
            language: text(&self.config.language),
            prompt: text(&self.config.prompt),
            response_format: Some(AudioResponseFormat::Json),
            ..CreateTranscriptionRequest::default()
        };
        let hedge_after = self.config.hedge_after;
        let mut spec = CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .attempt_timeout(self.config.attempt_timeout)
            .retries_max(self.retries_max);
        if !hedge_after.is_zero() {
            spec = spec.hedge_after(hedge_after);
        }
        let (pool, endpoint) = (self.pool.clone(), self.endpoint.clone());
        async move {
            let attempt = move |lease| ask(lease, endpoint.clone(), request.clone());
            pool.call(spec, attempt).await
        }
        .boxed()
    }
}

/// One attempt. The answer is parsed here: async-openai would log one that it cannot parse.
async fn ask(
    lease: Lease,
    endpoint: Endpoint,
    request: CreateTranscriptionRequest,
) -> Result<String, CallError> {
    let spec = lease.spec().clone();
    let client = lease.openai(&endpoint);
    let answer = client
        .audio()
        .transcription()
        .create_raw(request)
        .await
        .map_err(|error| pool::from_openai(spec.service, spec.operation, error))?;
    parse(&answer).ok_or_else(|| lease.malformed("not a JSON object with a text"))
}

/// Only the text is looked at: servers differ in everything else.
fn parse(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        text: String,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    Some(answer.text.trim().to_owned())
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

    #[test]
    fn the_text_is_all_that_an_answer_needs() {
        assert_eq!(
            parse(br#"{"text":" hello there \n"}"#).as_deref(),
            Some("hello there")
        );
        assert_eq!(
            parse(br#"{"text":"","usage":{"type":"x"}}"#).as_deref(),
            Some("")
        );
        for broken in [
            &b"hello"[..],
            b"{}",
            b"",
            br#"{"text":null}"#,
            b"{\"text\":\"cut",
        ] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }
}
