//! Chat completions of an OpenAI-compatible service, streamed: `POST /chat/completions`.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::answer::{ChatDecoder, Reading};
use super::asking::{Question, Service};
use super::compatibility::{Part, Parts, Shape};
use super::messages::{has_calls, messages, shorten, tools};
use super::{ChatRequest, Config, Llm, LlmEvent};
use crate::chat::ChatContext;
use crate::error::CallError;
use crate::pool::{
    self, CallOptions, CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig,
    EndpointError, Items, Lease,
};

const OPERATION: &str = "chat.stream";

/// Asks the model over the pool.
#[derive(Clone)]
pub struct OpenAiLlm {
    pub(super) service: Service,
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
            service: Service {
                pool,
                endpoint,
                config,
            },
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
            endpoint: self.service.endpoint.clone(),
            model: self.service.config.model.clone(),
        }
    }

    /// Where requests go; for [`ConnectionPool::prewarm`].
    pub fn endpoint(&self) -> &Endpoint {
        &self.service.endpoint
    }

    pub(super) fn asked(&self, spec: CallSpec, request: ChatRequest) -> Items<LlmEvent> {
        let (service, request) = (self.service.clone(), Arc::new(request));
        let pool = service.pool.clone();
        pool.stream(spec, service.config.idle_timeout, move |lease| {
            let (service, request) = (service.clone(), Arc::clone(&request));
            async move { attempt(lease, service, request).await }
        })
    }
}

impl Llm for OpenAiLlm {
    fn model(&self) -> &str {
        &self.service.config.model
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        self.chat_with(request, &CallOptions::default())
    }

    fn chat_with(
        &self,
        request: ChatRequest,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        let config = &self.service.config;
        let spec = CallSpec::openai(OPERATION, &self.service.endpoint, config.timeout)
            .options(options)
            .attempt_timeout(config.first_token_timeout)
            .retries_max(self.retries_max);
        self.asked(spec, request)
    }

    fn prewarm(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let llm = self.clone();
        async move { super::at_start::ask(&llm).await }.boxed()
    }
}

/// One attempt: as many requests as it takes to find out what the service takes.
async fn attempt(
    lease: Lease,
    service: Service,
    request: Arc<ChatRequest>,
) -> Result<Items<LlmEvent>, CallError> {
    let names = request.tools.iter().map(|tool| tool.name.clone());
    let reading = Reading {
        origin: service.origin(),
        tools: names.collect(),
        begins_with_thoughts: service.config.compatibility.thoughts_without_opening_tag,
        is_data: false,
        unreadable: lease.unreadable_pieces(),
    };
    let question = ChatQuestion {
        config: service.config.clone(),
        origin: service.origin(),
        request,
        shortened: None,
    };
    let endpoint = service.endpoint.clone();
    let send = move |body: Bytes, _: Shape| {
        begin(lease.clone(), endpoint.clone(), body, reading.clone()).boxed()
    };
    service.ask(question, send).await
}

/// One request, read up to its first item, as errors come after the status, too.
async fn begin(
    lease: Lease,
    endpoint: Endpoint,
    body: Bytes,
    reading: Reading,
) -> Result<Items<LlmEvent>, CallError> {
    let request = lease
        .request(Method::POST, &endpoint, "/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "text/event-stream, application/json")
        .body(body);
    let response = lease.send(request).await?;
    let mut items = pool::decode(lease, response, ChatDecoder::new(reading)).fuse();
    let first = items.next().await.transpose()?;
    Ok(stream::iter(first.map(Ok)).chain(items).boxed())
}

/// A conversation to be continued.
pub(super) struct ChatQuestion {
    pub(super) config: Config,
    pub(super) origin: Arc<str>,
    pub(super) request: Arc<ChatRequest>,
    /// The conversation without its oldest exchanges, if the whole of it was refused.
    pub(super) shortened: Option<ChatContext>,
}

impl Question for ChatQuestion {
    fn body(&self, shape: &Shape, sent: &mut Parts) -> serde_json::Result<Bytes> {
        let (config, request) = (&self.config, &self.request);
        let context = self.shortened.as_ref().unwrap_or(&request.context);
        let mut body = json!({
            "model": config.model,
            "messages": messages(context, shape, &self.origin, sent),
        });
        // A history with calls is refused by some services without the tools that were called.
        let has_tools = request.may_call || has_calls(context);
        let tools = tools(&request.tools, shape, sent).filter(|_| has_tools);
        if let Some(tools) = tools {
            body["tools"] = tools.into();
            if !request.may_call {
                sent.add(Part::ToolChoice);
                if shape.is_first(Part::ToolChoice) {
                    body["tool_choice"] = "none".into();
                }
            }
        }
        options(&mut body, config, shape, sent)?;
        sent.add(Part::Stream);
        if shape.is_first(Part::Stream) {
            body["stream"] = true.into();
            sent.add(Part::StreamOptions);
            if shape.is_first(Part::StreamOptions) {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        serde_json::to_vec(&body).map(Bytes::from)
    }

    fn shorten(&mut self) -> bool {
        let whole = || self.request.context.clone();
        let context = self.shortened.get_or_insert_with(whole);
        let is_shorter = shorten(context);
        if is_shorter {
            tracing::warn!(
                model = self.config.model,
                items = context.items.len(),
                "the conversation is too long for the model; its oldest exchanges are left out"
            );
        }
        is_shorter
    }
}

/// The settings of a model that it may refuse.
pub(super) fn options(
    body: &mut Value,
    config: &Config,
    shape: &Shape,
    sent: &mut Parts,
) -> serde_json::Result<()> {
    let mut option = |part: Part, key: &str, value: Value| {
        if value.is_null() {
            return;
        }
        sent.add(part);
        if shape.value(part) != "off" {
            body[key] = value;
        }
    };
    // Through text: as f64 it would have digits that were never set.
    let temperature = config.temperature.map(|it| it.to_string());
    let temperature = temperature.and_then(|it| it.parse::<f64>().ok());
    option(Part::Temperature, "temperature", json!(temperature));
    let effort = serde_json::to_value(&config.reasoning_effort)?;
    option(Part::ReasoningEffort, "reasoning_effort", effort);
    let limit_key = shape.value(Part::TokenLimit);
    let limit = config.max_completion_tokens;
    option(
        Part::TokenLimit,
        limit_key,
        json!((limit > 0).then_some(limit)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use async_openai::types::chat::ReasoningEffort;

    use super::*;
    use crate::chat::{ChatItem, ToolCall, ToolSpec};

    fn body_as(shape: Shape, config: Config, request: ChatRequest) -> Value {
        let question = ChatQuestion {
            config,
            origin: "host model".into(),
            request: Arc::new(request),
            shortened: None,
        };
        let body = question.body(&shape, &mut Parts::default()).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn asking(tools: Vec<ToolSpec>) -> ChatRequest {
        ChatRequest {
            context: ChatContext::default(),
            tools,
            may_call: true,
        }
    }

    fn tool(is_strict: bool) -> ToolSpec {
        ToolSpec {
            name: "f".to_owned(),
            description: "d".to_owned(),
            parameters: json!({"type": "object"}),
            is_strict,
        }
    }

    fn full() -> Config {
        Config {
            temperature: Some(0.7),
            max_completion_tokens: 99,
            reasoning_effort: Some(ReasoningEffort::Low),
            ..Config::default()
        }
    }

    #[test]
    fn only_what_was_set_is_sent() {
        let config = Config {
            max_completion_tokens: 0,
            ..Config::default()
        };
        assert_eq!(
            body_as(Shape::default(), config, asking(Vec::new())),
            json!({
                "model": "gpt-4.1-mini",
                "messages": [],
                "stream": true,
                "stream_options": {"include_usage": true},
            })
        );
    }

    #[test]
    fn settings_and_tools_are_sent() {
        let body = body_as(
            Shape::default(),
            full(),
            asking(vec![tool(true), tool(false)]),
        );
        assert_eq!(body["temperature"], 0.7);
        assert_eq!(body["max_completion_tokens"], 99);
        assert_eq!(body["reasoning_effort"], "low");
        assert_eq!(body["tools"][0]["function"]["name"], "f");
        assert_eq!(body["tools"][0]["type"], "function");
        assert_eq!(body["tools"][0]["function"]["strict"], true);
        assert_eq!(body["tools"][1]["function"].get("strict"), None);
        assert_eq!(body.get("tool_choice"), None);
    }

    #[test]
    fn each_part_can_be_left_out() {
        for (part, value, pointer) in [
            (Part::Strict, "off", "/tools/0/function/strict"),
            (Part::StreamOptions, "off", "/stream_options"),
            (Part::Stream, "off", "/stream"),
            (Part::Temperature, "off", "/temperature"),
            (Part::ReasoningEffort, "off", "/reasoning_effort"),
            (Part::TokenLimit, "off", "/max_completion_tokens"),
            (Part::TokenLimit, "max_tokens", "/max_completion_tokens"),
            (Part::Tools, "off", "/tools"),
        ] {
            let whole = body_as(Shape::default(), full(), asking(vec![tool(true)]));
            assert!(whole.pointer(pointer).is_some(), "{part:?}");
            let shape = Shape::default().with(part, value);
            let body = body_as(shape, full(), asking(vec![tool(true)]));
            assert_eq!(body.pointer(pointer), None, "{part:?}");
        }
        let shape = Shape::default().with(Part::TokenLimit, "max_tokens");
        assert_eq!(body_as(shape, full(), asking(Vec::new()))["max_tokens"], 99);
    }

    #[test]
    fn tools_stay_as_long_as_the_history_has_calls() {
        let last_round = |items| ChatRequest {
            context: ChatContext {
                instructions: String::new(),
                items,
            },
            may_call: false,
            ..asking(vec![tool(true)])
        };
        let call = ChatItem::ToolCall(ToolCall {
            name: "f".to_owned(),
            ..ToolCall::default()
        });
        let body = body_as(Shape::default(), full(), last_round(vec![call.clone()]));
        assert_eq!(body["tools"][0]["function"]["name"], "f");
        assert_eq!(body["tool_choice"], "none");
        let shape = Shape::default().with(Part::ToolChoice, "off");
        let body = body_as(shape, full(), last_round(vec![call]));
        assert_eq!(body.get("tool_choice"), None);
        let user = ChatItem::User("hi".to_owned());
        let body = body_as(Shape::default(), full(), last_round(vec![user]));
        assert_eq!(body.get("tools"), None);
    }
}
