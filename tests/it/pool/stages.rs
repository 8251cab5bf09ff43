//! The three stages on one pool, as a worker has them.

use std::time::Duration;

use futures::StreamExt;
use voxpool::audio::AudioFrame;
use voxpool::cache::{self, Cache};
use voxpool::chat::{ChatContext, ChatItem};
use voxpool::error::CallError;
use voxpool::llm::{ChatRequest, Llm, LlmEvent, openai::OpenAiLlm};
use voxpool::overview::Overview;
use voxpool::pool::{Config, ConnectionPool, EndpointConfig};
use voxpool::redact::Pii;
use voxpool::stt::{Stt, openai::OpenAiStt};
use voxpool::tts::{Tts, openai::OpenAiTts};

use crate::common::names::Names;

/// What tests wait for that must happen, however slow the machine is.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A pool and the stages on it.
pub(crate) struct Stages {
    pub(crate) pool: ConnectionPool,
    pub(crate) stt: OpenAiStt,
    pub(crate) llm: OpenAiLlm,
    pub(crate) tts: OpenAiTts,
    cache: cache::Config,
}

/// Settings that tests change.
pub(crate) struct Options {
    pub(crate) pool: Config,
    pub(crate) stt: voxpool::stt::Config,
    pub(crate) llm: voxpool::llm::Config,
    pub(crate) tts: voxpool::tts::Config,
    pub(crate) cache: cache::Config,
    /// In place of the system's.
    pub(crate) names: Option<Names>,
    /// One model in place of the stages.
    pub(crate) realtime: Option<voxpool::session::realtime::Config>,
}

impl Default for Options {
    /// The program's own, with pauses so short that no test waits for one.
    fn default() -> Self {
        Self {
            pool: Config {
                retry_delay_min: Duration::from_millis(1),
                retry_delay_max: Duration::from_millis(2),
                ..Config::default()
            },
            stt: Default::default(),
            llm: Default::default(),
            tts: Default::default(),
            cache: Default::default(),
            names: None,
            realtime: None,
        }
    }
}

impl Stages {
    pub(crate) fn overview(&self) -> Overview {
        let cache = Cache::new(self.cache.clone(), &self.pool);
        Overview {
            pool: self.pool.clone(),
            memories: None,
            cache: cache.expect("an address"),
        }
    }

    pub(crate) fn new(base_url: &str) -> Self {
        Self::with(base_url, Options::default())
    }

    pub(crate) fn with(base_url: &str, options: Options) -> Self {
        let shared = EndpointConfig {
            base_url: base_url.to_owned(),
            api_key: Pii::new("sk-test-key".to_owned()),
            ..EndpointConfig::default()
        };
        let pool = match options.names {
            Some(names) => ConnectionPool::with_resolver(options.pool, names),
            None => ConnectionPool::new(options.pool),
        };
        let pool = pool.unwrap();
        Self {
            stt: OpenAiStt::new(pool.clone(), &shared, options.stt).unwrap(),
            llm: OpenAiLlm::new(pool.clone(), &shared, options.llm).unwrap(),
            tts: OpenAiTts::new(pool.clone(), &shared, options.tts).unwrap(),
            pool,
            cache: options.cache,
        }
    }

    pub(crate) async fn transcribe(&self) -> Result<String, CallError> {
        self.stt.transcribe(utterance()).await
    }

    /// The whole reply's text, and the error that ended it, if one did.
    pub(crate) async fn chat(&self, said: &str) -> (String, Option<CallError>) {
        let mut events = self.llm.chat(request(said));
        let mut text = String::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(LlmEvent::Text(piece)) => text += &piece,
                Ok(_) => {}
                Err(error) => return (text, Some(error)),
            }
        }
        (text, None)
    }

    /// All samples, and the error that ended them, if one did.
    pub(crate) async fn speak(&self, text: &str) -> (Vec<i16>, Option<CallError>) {
        let mut frames = self.tts.speak(text.to_owned());
        let mut samples = Vec::new();
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => samples.extend(frame.samples),
                Err(error) => return (samples, Some(error)),
            }
        }
        (samples, None)
    }
}

/// What a user says.
pub(crate) fn request(said: &str) -> ChatRequest {
    ChatRequest {
        context: ChatContext {
            instructions: "Be brief.".to_owned(),
            items: vec![ChatItem::User(said.to_owned())],
        },
        tools: Vec::new(),
        may_call: true,
    }
}

/// Half a second of silence.
pub(crate) fn utterance() -> AudioFrame {
    AudioFrame {
        samples: vec![0; 8_000],
        sample_rate_hz: 16_000,
    }
}
