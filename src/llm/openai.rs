//! Chat completions of an OpenAI-compatible service, streamed: `POST /chat/completions`.

use async_openai::types::chat::{ChatCompletionStreamOptions, CreateChatCompletionRequest};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::decoder::ChatDecoder;
use super::messages::{messages, tools};
use super::{ChatRequest, Config, Llm, LlmEvent};
use crate::error::{CallError, ErrorKind};
use crate::pool::{
    self, CallOptions, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig,
    EndpointError, Items, Lease,
};

const OPERATION: &str = "chat.stream";
/// Longest answer that is read when it comes in one piece.
const WHOLE_BYTES_MAX: usize = 4 * 1024 * 1024;

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
        let all = config.all(shared)?;
        let shares = pool::shares(config.timeout, config.fallback_after, all.len());
        let all = all
            .into_iter()
            .zip(shares)
            .map(|((at, mut config), share)| {
                config.timeout = share.timeout;
                config.first_token_timeout = config.first_token_timeout.min(share.timeout);
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
        self.chat_with(request, &CallOptions::default())
    }

    fn chat_with(
        &self,
        request: ChatRequest,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        let spec = CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .options(options)
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
    use async_openai::types::chat::ReasoningEffort;

    use super::*;
    use crate::chat::{ChatContext, ToolSpec};

    fn body(config: Config, tools: Vec<ToolSpec>) -> serde_json::Value {
        let pool = ConnectionPool::new(pool::Config::default()).unwrap();
        let llm = OpenAiLlm::new(pool, &EndpointConfig::default(), config).unwrap();
        let context = ChatContext::default();
        serde_json::from_slice(&llm.body(&ChatRequest { context, tools }).unwrap()).unwrap()
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
