//! Transcription by an OpenAI-compatible service: `POST /audio/transcriptions`.

use std::sync::Arc;

use async_openai::types::InputSource;
use async_openai::types::audio::{AudioInput, AudioResponseFormat, CreateTranscriptionRequest};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::answer::{self, NoText};
use super::realtime::RealtimeStt;
use super::spoken::spoken;
use super::{Config, Mode, Stt, wav};
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::{
    self, CallOptions, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig,
    EndpointError, Lease,
};

const OPERATION: &str = "transcription";

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
        let all = config.all(shared)?;
        let shares = pool::shares(config.timeout, config.fallback_after, all.len());
        let all = all
            .into_iter()
            .zip(shares)
            .map(|((at, mut config), share)| {
                config.timeout = share.timeout;
                config.attempt_timeout = config.attempt_timeout.min(share.timeout);
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

    /// Whisper tells in its long form how sure it is that there was speech.
    ///
    /// Source: OpenAI, create transcription: `verbose_json` is for `whisper-1` only.
    fn response_format(&self) -> AudioResponseFormat {
        match self.config.model.as_str() {
            "whisper-1" => AudioResponseFormat::VerboseJson,
            _ => AudioResponseFormat::Json,
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
        self.transcribe_with(utterance, &CallOptions::default())
    }

    fn transcribe_with(
        &self,
        utterance: AudioFrame,
        options: &CallOptions,
    ) -> BoxFuture<'static, Result<String, CallError>> {
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
            response_format: Some(self.response_format()),
            ..CreateTranscriptionRequest::default()
        };
        let hedge_after = self.config.hedge_after;
        let mut spec = CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .options(options)
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
    let prompt = request.prompt.clone().unwrap_or_default();
    let answer = client
        .audio()
        .transcription()
        .create_raw(request)
        .await
        .map_err(|error| pool::from_openai(spec.service, spec.operation, error))?;
    match answer::text(&answer) {
        Ok(text) => Ok(spoken(&text, &prompt)),
        Err(NoText::Unreadable) => Err(lease.malformed("not a transcript")),
        Err(NoText::Refused) => {
            let (kind, refusal) = pool::refusal_in_stream(&String::from_utf8_lossy(&answer));
            Err(spec.error(kind).because(refusal))
        }
    }
}
