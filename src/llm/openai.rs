//! Chat completions of an OpenAI-compatible service, streamed: `POST /chat/completions`.

use std::time::Duration;

use async_openai::types::chat::{
    ChatCompletionStreamOptions, CreateChatCompletionRequest, ReasoningEffort,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use super::decoder::ChatDecoder;
use super::messages::{messages, tools};
use super::{ChatRequest, Llm, LlmEvent};
use crate::error::{CallError, ErrorKind};
use crate::pool::{
    self, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig, EndpointError, Items,
    Lease,
};
use crate::redact::Pii;
use crate::units::seconds;

const OPERATION: &str = "chat.stream";
/// Longest answer that is read when it comes in one piece.
const WHOLE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Settings of the language model (`[llm]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Model that answers.
    pub model: String,
    /// From 0 (always alike) to 2; not sent unless set, as some models refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Longest answer; not sent unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "gpt-4.1-mini".to_owned(),
            temperature: None,
            max_completion_tokens: None,
            reasoning_effort: None,
            base_url: String::new(),
            api_key: Pii::default(),
            timeout: Duration::from_secs(10),
            first_token_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
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
        if let Err(error) =
            Endpoint::for_stage(&EndpointConfig::default(), &self.base_url, &self.api_key)
        {
            problems.push(format!("llm.{error}"));
        }
        if self.fallback_after.is_zero() {
            problems.push("llm.fallback_after_seconds: must be more than 0".to_owned());
        }
        for (place, fallback) in self.fallback.iter().enumerate() {
            let key = pool::fallback_key("llm", place);
            let shared = EndpointConfig::default();
            if let Err(error) = Endpoint::for_stage(&shared, &fallback.base_url, &fallback.api_key)
            {
                problems.push(format!("{key}.{error}"));
            }
            if (fallback.temperature).is_some_and(|t| !(0.0..=2.0).contains(&t)) {
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
            ..self.clone()
        }
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
        let stage = shared.at(&self.base_url, &self.api_key)?;
        let fallbacks = self.fallback.iter().map(|fallback| {
            let at = shared.fallback_of(&stage, &fallback.base_url, &fallback.api_key)?;
            Ok((at, self.with(fallback)))
        });
        let first = Ok((stage.clone(), self.with(&Fallback::default())));
        std::iter::once(first).chain(fallbacks).collect()
    }
}

/// Asks the model over the pool.
#[derive(Clone)]
pub struct OpenAiLlm {
    pool: ConnectionPool,
    endpoint: Endpoint,
    config: Config,
    retries_max: Option<u32>,
}

impl OpenAiLlm {
    /// A model at the endpoint that `config` and the shared section make together.
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

    /// The model of `config` and all its fallbacks, in the order of preference. Each but the last is
    /// asked once and for a short while only: the next one waits. The last has the rest of the time.
    ///
    /// # Errors
    /// When an address or a key cannot be used.
    pub fn all(
        pool: &ConnectionPool,
        shared: &EndpointConfig,
        config: &Config,
    ) -> Result<Vec<Self>, EndpointError> {
        let all = config.all(shared)?.into_iter();
        let all = all.map(|(at, config)| Self::new(pool.clone(), &at, config));
        let mut all = all.collect::<Result<Vec<_>, _>>()?;
        let shares = pool::shares(config.timeout, config.fallback_after, all.len());
        let n_replaceable = all.len() - 1;
        for (place, (one, share)) in all.iter_mut().zip(shares).enumerate() {
            one.config.timeout = share;
            one.config.first_token_timeout = one.config.first_token_timeout.min(share);
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

    fn body(&self, request: &ChatRequest) -> serde_json::Result<Bytes> {
        let body = CreateChatCompletionRequest {
            model: self.config.model.clone(),
            messages: messages(&request.context),
            tools: tools(&request.tools),
            temperature: self.config.temperature,
            max_completion_tokens: self.config.max_completion_tokens,
            reasoning_effort: self.config.reasoning_effort.clone(),
            stream: Some(true),
            stream_options: Some(ChatCompletionStreamOptions {
                include_usage: Some(true),
                include_obfuscation: None,
            }),
            ..CreateChatCompletionRequest::default()
        };
        serde_json::to_vec(&body).map(Bytes::from)
    }
}

impl Llm for OpenAiLlm {
    fn model(&self) -> &str {
        &self.config.model
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        let spec = CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .attempt_timeout(self.config.first_token_timeout)
            .retries_max(self.retries_max);
        let body = match self.body(&request) {
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
async fn ask(lease: Lease, endpoint: Endpoint, body: Bytes) -> Result<Items<LlmEvent>, CallError> {
    let request = lease
        .request(Method::POST, &endpoint, "/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "text/event-stream")
        .body(body);
    let response = lease.send(request).await?;
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_whole =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !is_whole {
        return Ok(pool::decode(lease, response, ChatDecoder::default()));
    }
    let json = lease.read(response, WHOLE_BYTES_MAX).await?;
    let events = ChatDecoder::whole(&json)
        .map_err(|fault| lease.spec().error(fault.kind).because(fault.cause))?;
    Ok(stream::iter(events).map(Ok).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatContext, ToolSpec};

    fn body(config: Config, tools: Vec<ToolSpec>) -> serde_json::Value {
        let pool = ConnectionPool::new(pool::Config::default()).unwrap();
        let llm = OpenAiLlm::new(pool, &EndpointConfig::default(), config).unwrap();
        let context = ChatContext::default();
        serde_json::from_slice(&llm.body(&ChatRequest { context, tools }).unwrap()).unwrap()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().problems().is_empty());
    }

    #[test]
    fn only_what_was_set_is_sent() {
        assert_eq!(
            body(Config::default(), Vec::new()),
            serde_json::json!({
                "model": "gpt-4.1-mini",
                "messages": [],
                "stream": true,
                "stream_options": {"include_usage": true},
            })
        );
    }

    #[test]
    fn settings_and_tools_are_sent() {
        let config = Config {
            temperature: Some(0.5),
            max_completion_tokens: Some(99),
            reasoning_effort: Some(ReasoningEffort::Low),
            ..Config::default()
        };
        let tool = ToolSpec {
            name: "f".to_owned(),
            description: "d".to_owned(),
            parameters: serde_json::json!({"type": "object"}),
            is_strict: true,
        };
        let open = ToolSpec {
            is_strict: false,
            ..tool.clone()
        };
        let body = body(config, vec![tool, open]);
        assert_eq!(body["temperature"], 0.5);
        assert_eq!(body["max_completion_tokens"], 99);
        assert_eq!(body["reasoning_effort"], "low");
        assert_eq!(body["tools"][0]["function"]["name"], "f");
        assert_eq!(body["tools"][0]["type"], "function");
        assert_eq!(body["tools"][0]["function"]["strict"], true);
        assert_eq!(body["tools"][1]["function"].get("strict"), None);
    }
}
