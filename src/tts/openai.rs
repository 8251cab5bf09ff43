//! Speech of an OpenAI-compatible service, streamed: `POST /audio/speech`.
//!
//! async-openai reads a whole answer before it hands out a byte, so the request is made directly.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use super::Tts;
use super::decoder::SpeechDecoder;
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind};
use crate::pool::{
    self, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig, EndpointError, Items,
    Lease,
};
use crate::redact::Pii;
use crate::text::TextFilter;
use crate::units::seconds;

const OPERATION: &str = "speech";
/// What the service's PCM has. Source: OpenAI, text to speech guide, `pcm`: 24 kHz, 16 bits,
/// little-endian, without a header.
pub const SAMPLE_RATE_HZ: u32 = 24_000;

/// Settings of the voice (`[tts]`).
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
        if let Err(error) =
            Endpoint::for_stage(&EndpointConfig::default(), &self.base_url, &self.api_key)
        {
            problems.push(format!("tts.{error}"));
        }
        if self.fallback_after.is_zero() {
            problems.push("tts.fallback_after_seconds: must be more than 0".to_owned());
        }
        for (place, fallback) in self.fallback.iter().enumerate() {
            let shared = EndpointConfig::default();
            if let Err(error) = Endpoint::for_stage(&shared, &fallback.base_url, &fallback.api_key)
            {
                problems.push(format!("{}.{error}", pool::fallback_key("tts", place)));
            }
        }
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
}

/// Speaks over the pool.
#[derive(Clone)]
pub struct OpenAiTts {
    pool: ConnectionPool,
    endpoint: Endpoint,
    config: Config,
    retries_max: Option<u32>,
}

impl OpenAiTts {
    /// A voice at the endpoint that `config` and the shared section make together.
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

    /// The voice of `config` and all its fallbacks, in the order of preference. Each but the last is
    /// asked once and for a short while only: the next one waits. The last has the rest of the time.
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
            one.config.first_byte_timeout = one.config.first_byte_timeout.min(share);
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

    /// Where requests go; for [`ConnectionPool::prewarm`].
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn body(&self, text: &str) -> serde_json::Result<Bytes> {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            voice: &'a str,
            input: &'a str,
            response_format: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            speed: Option<f32>,
        }
        let body = Body {
            model: &self.config.model,
            voice: &self.config.voice,
            input: text,
            response_format: "pcm",
            instructions: &self.config.instructions,
            speed: (self.config.speed != 1.0).then_some(self.config.speed),
        };
        serde_json::to_vec(&body).map(Bytes::from)
    }
}

impl Tts for OpenAiTts {
    fn model(&self) -> &str {
        &self.config.model
    }

    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn text_filters(&self) -> &[TextFilter] {
        &self.config.text_filters
    }

    fn speak(&self, text: String) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let text = text.trim();
        if text.is_empty() {
            return stream::empty().boxed();
        }
        let spec = CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .attempt_timeout(self.config.first_byte_timeout)
            .retries_max(self.retries_max);
        let body = match self.body(text) {
            Ok(body) => body,
            Err(error) => {
                let error = spec.error(ErrorKind::Rejected).because(error);
                return stream::iter([Err(error)]).boxed();
            }
        };
        let endpoint = self.endpoint.clone();
        self.pool
            .stream(spec, self.config.idle_timeout, move |lease| {
                ask(lease, endpoint.clone(), body.clone())
            })
    }
}

/// One attempt.
async fn ask(
    lease: Lease,
    endpoint: Endpoint,
    body: Bytes,
) -> Result<Items<AudioFrame>, CallError> {
    let request = lease
        .request(Method::POST, &endpoint, "/audio/speech")
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let response = lease.send(request).await?;
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let decoder = SpeechDecoder::new(content_type, SAMPLE_RATE_HZ)
        .map_err(|error| lease.spec().error(error.kind()).because(error))?;
    Ok(pool::decode(lease, response, decoder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(config: Config) -> serde_json::Value {
        let pool = ConnectionPool::new(pool::Config::default()).unwrap();
        let tts = OpenAiTts::new(pool, &EndpointConfig::default(), config).unwrap();
        serde_json::from_slice(&tts.body("hello").unwrap()).unwrap()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().problems().is_empty());
    }

    #[test]
    fn only_what_was_set_is_sent() {
        assert_eq!(
            body(Config::default()),
            serde_json::json!({
                "model": "gpt-4o-mini-tts",
                "voice": "ash",
                "input": "hello",
                "response_format": "pcm",
            })
        );
        let config = Config {
            instructions: "calmly".to_owned(),
            speed: 1.5,
            ..Config::default()
        };
        assert_eq!(body(config.clone())["instructions"], "calmly");
        assert_eq!(body(config)["speed"], 1.5);
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
