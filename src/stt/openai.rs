//! Transcription by an OpenAI-compatible service: `POST /audio/transcriptions`.

use std::sync::Arc;

use async_openai::types::InputSource;
use async_openai::types::audio::{AudioInput, AudioResponseFormat, CreateTranscriptionRequest};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;

use super::realtime::RealtimeStt;
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
            response_format: Some(AudioResponseFormat::Json),
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
