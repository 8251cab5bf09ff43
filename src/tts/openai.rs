//! Speech of an OpenAI-compatible service, streamed: `POST /audio/speech`.
//!
//! async-openai reads a whole answer before it hands out a byte, so the request is made directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};
use serde::Serialize;

use super::decoder::SpeechDecoder;
use super::{Config, Format, Tts};
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind};
use crate::pool::{
    self, CallOptions, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig,
    EndpointError, Items, Lease,
};
use crate::text::TextFilter;

const OPERATION: &str = "speech";
/// Rate of the frames, and of the service's PCM unless it is set otherwise. Source: OpenAI, text to speech guide, `pcm`: 24 kHz, 16 bits,
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
    /// The format that the service took last, shared by all who speak with this voice.
    format: Arc<AtomicUsize>,
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
            format: Arc::default(),
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

    /// The formats to ask for, in this order, until one is not refused.
    fn formats(&self) -> &'static [&'static str] {
        match self.config.format {
            Format::Auto => &["pcm", "wav", "mp3"],
            Format::Pcm => &["pcm"],
            Format::Wav => &["wav"],
        }
    }

    fn body(&self, text: &str, response_format: &'static str) -> serde_json::Result<Bytes> {
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
            response_format,
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
        let bodies = self.formats().iter().map(|format| self.body(text, format));
        let bodies = match bodies.collect::<Result<Vec<_>, _>>() {
            Ok(bodies) => bodies,
            Err(error) => {
                let error = spec.error(ErrorKind::Rejected).because(error);
                return stream::iter([Err(error)]).boxed();
            }
        };
        let request = Request {
            endpoint: self.endpoint.clone(),
            bodies: bodies.into(),
            formats: self.formats(),
            taken: Arc::clone(&self.format),
            pcm_rate_hz: self.config.pcm_rate_hz,
            length_max: length_max(text, self.config.speed),
        };
        self.pool
            .stream(spec, self.config.idle_timeout, move |lease| {
                request.clone().ask(lease)
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

/// What a sentence is asked with.
#[derive(Clone)]
struct Request {
    endpoint: Endpoint,
    /// One for each format.
    bodies: Arc<[Bytes]>,
    formats: &'static [&'static str],
    /// The index of the format that was taken last.
    taken: Arc<AtomicUsize>,
    pcm_rate_hz: u32,
    /// Longer audio is a fault.
    length_max: Duration,
}

impl Request {
    /// One attempt. A format that is refused costs the next one a request, once in the process: the
    /// one that was taken is asked for first from then on.
    async fn ask(self, lease: Lease) -> Result<Items<AudioFrame>, CallError> {
        let first = self
            .taken
            .load(Ordering::Relaxed)
            .min(self.bodies.len() - 1);
        let mut refused = None;
        for index in first..self.bodies.len() {
            let request = lease
                .request(Method::POST, &self.endpoint, "/audio/speech")
                .header(CONTENT_TYPE, "application/json")
                .body(self.bodies[index].clone());
            match lease.send(request).await {
                Ok(response) => {
                    if index != first {
                        self.learn(index);
                    }
                    return Ok(self.decode(lease, response));
                }
                // The first refusal tells more than that of a format nobody asked for.
                Err(error) if error.kind == ErrorKind::Rejected => {
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| lease.spec().error(ErrorKind::Rejected)))
    }

    fn learn(&self, index: usize) {
        self.taken.store(index, Ordering::Relaxed);
        tracing::info!(
            host = %self.endpoint.host(),
            format = self.formats[index],
            "the speech service refuses other formats; this one is asked for from now on"
        );
    }

    fn decode(&self, lease: Lease, response: Response) -> Items<AudioFrame> {
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let decoder = SpeechDecoder::new(
            content_type.unwrap_or_default(),
            self.pcm_rate_hz,
            SAMPLE_RATE_HZ,
            self.length_max,
        );
        pool::decode(lease, response, decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(config: Config) -> serde_json::Value {
        let pool = ConnectionPool::new(pool::Config::default()).unwrap();
        let tts = OpenAiTts::new(pool, &EndpointConfig::default(), config).unwrap();
        serde_json::from_slice(&tts.body("hello", "pcm").unwrap()).unwrap()
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
