//! Speech of an OpenAI-compatible service, streamed: `POST /audio/speech`.
//!
//! async-openai reads a whole answer before it hands out a byte, so the request is made directly.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use super::decoder::SpeechDecoder;
use super::{Config, Tts};
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind};
use crate::pool::{
    self, CallOptions, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig,
    EndpointError, Items, Lease,
};
use crate::text::TextFilter;

const OPERATION: &str = "speech";
/// What the service's PCM has. Source: OpenAI, text to speech guide, `pcm`: 24 kHz, 16 bits,
/// little-endian, without a header.
pub const SAMPLE_RATE_HZ: u32 = 24_000;

/// What a text may take beside its characters: pauses, and symbols that are read out as words.
const SPEECH_BASE: Duration = Duration::from_secs(10);
/// What a character may take; see [`length_max`].
const SPEECH_PER_CHARACTER: Duration = Duration::from_millis(500);

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
        let all = config.all(shared)?;
        let shares = pool::shares(config.timeout, config.fallback_after, all.len());
        let all = all
            .into_iter()
            .zip(shares)
            .map(|((at, mut config), share)| {
                config.timeout = share.timeout;
                config.first_byte_timeout = config.first_byte_timeout.min(share.timeout);
                let mut one = Self::new(pool.clone(), &at, config)?;
                one.retries_max = share.retries_max;
                Ok(one)
            });
        all.collect()
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
        self.speak_with(text, &CallOptions::default())
    }

    fn speak_with(
        &self,
        text: String,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let text = text.trim();
        if text.is_empty() {
            return stream::empty().boxed();
        }
        let spec = CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .options(options)
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
        let length_max = length_max(text, self.config.speed);
        self.pool
            .stream(spec, self.config.idle_timeout, move |lease| {
                ask(lease, endpoint.clone(), body.clone(), length_max)
            })
    }
}

/// The longest audio that this text can be. Speech has 10 to 15 characters a second, and 4 of scripts
/// that write a word in one or two; what is beyond half a second for each is noise or repetition.
fn length_max(text: &str, speed: f32) -> Duration {
    let n_characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let length = SPEECH_BASE + SPEECH_PER_CHARACTER.saturating_mul(n_characters);
    length.div_f32(speed.clamp(0.25, 1.0))
}

/// One attempt.
async fn ask(
    lease: Lease,
    endpoint: Endpoint,
    body: Bytes,
    length_max: Duration,
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
    let decoder = SpeechDecoder::new(content_type, SAMPLE_RATE_HZ, length_max)
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
}
