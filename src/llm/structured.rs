//! Questions whose answer is JSON of a given shape: for work beside a conversation, such as finding
//! what is worth remembering. Not streamed; nobody waits for the first word.

use std::time::Duration;

use async_openai::types::chat::{
    CreateChatCompletionRequest, ResponseFormat, ResponseFormatJsonSchema,
};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::Config;
use super::messages::messages;
use crate::chat::ChatContext;
use crate::error::{CallError, ErrorKind};
use crate::pool::{
    CallSpec, Candidate, ConnectionPool, Endpoint, EndpointConfig, EndpointError, Lease,
};

const OPERATION: &str = "chat.json";
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A question and the shape of its answer.
#[derive(Clone)]
pub struct StructuredRequest {
    /// The shape's name for the service: letters, digits and `_`.
    pub name: &'static str,
    /// JSON schema of the answer, within what structured outputs allow: every property required, no
    /// others.
    pub schema: Value,
    /// What the model is told to do.
    pub instructions: String,
    /// What it is to do it with.
    pub input: String,
}

/// Answers in JSON.
pub trait StructuredLlm: Send + Sync {
    /// Asks the model, which no caller waits for. The text should be JSON of the wanted shape, and may
    /// be anything: a service that knows no schemas answers all the same, and a model may refuse with
    /// an empty text.
    ///
    /// Cancel safety: dropping the future closes the request.
    fn ask(&self, request: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>>;
}

/// Asks the model over the pool: `POST /chat/completions`.
#[derive(Clone)]
pub struct OpenAiStructuredLlm {
    pool: ConnectionPool,
    endpoint: Endpoint,
    config: Config,
    timeout: Duration,
    retries_max: Option<u32>,
}

impl OpenAiStructuredLlm {
    /// A model at the endpoint that `config` and the shared section make together, named by `model`
    /// or, when that is empty, by `config`. `timeout` is for one answer, all attempts together.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(
        pool: ConnectionPool,
        shared: &EndpointConfig,
        config: Config,
        model: &str,
        timeout: Duration,
    ) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::for_stage(shared, &config.base_url, &config.api_key)?;
        let mut config = config;
        if !model.trim().is_empty() {
            model.trim().clone_into(&mut config.model);
            // Set for the other model, which this one may refuse.
            config.temperature = None;
            config.reasoning_effort = None;
        }
        Ok(Self {
            pool,
            endpoint,
            config,
            timeout,
            retries_max: None,
        })
    }

    /// The model of `config` and all its fallbacks, in the order of preference; `model`, unless it is
    /// empty, is asked for at the first. Each has its share of `timeout`.
    ///
    /// # Errors
    /// When an address or a key cannot be used.
    pub fn all(
        pool: &ConnectionPool,
        shared: &EndpointConfig,
        config: &Config,
        model: &str,
        timeout: Duration,
    ) -> Result<Vec<Self>, EndpointError> {
        let all = config.all(shared)?;
        let n_all = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let all = all.into_iter().enumerate().map(|(place, (at, config))| {
            let model = if place == 0 { model } else { "" };
            // Nobody listens meanwhile, so each may take its share of the time.
            let mut one = Self::new(pool.clone(), &at, config, model, timeout / n_all)?;
            one.retries_max = (n_all > 1).then_some(1);
            Ok(one)
        });
        all.collect()
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What a choice of several has to know of it.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            endpoint: self.endpoint.clone(),
            model: self.config.model.clone(),
        }
    }

    fn body(&self, request: StructuredRequest) -> serde_json::Result<Bytes> {
        let mut context = ChatContext::new(request.instructions);
        context.push_user(request.input);
        let body = CreateChatCompletionRequest {
            model: self.config.model.clone(),
            messages: messages(&context),
            temperature: self.config.temperature,
            reasoning_effort: self.config.reasoning_effort.clone(),
            response_format: Some(ResponseFormat::JsonSchema {
                json_schema: ResponseFormatJsonSchema {
                    description: None,
                    name: request.name.to_owned(),
                    schema: request.schema,
                    strict: Some(true),
                },
            }),
            ..CreateChatCompletionRequest::default()
        };
        serde_json::to_vec(&body).map(Bytes::from)
    }
}

impl StructuredLlm for OpenAiStructuredLlm {
    fn ask(&self, request: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>> {
        let spec = CallSpec::openai(OPERATION, &self.endpoint, self.timeout)
            .retries_max(self.retries_max)
            .background();
        let body = self
            .body(request)
            .map_err(|error| spec.error(ErrorKind::Rejected).because(error));
        let (pool, endpoint) = (self.pool.clone(), self.endpoint.clone());
        async move {
            let body = body?;
            pool.call(spec, move |lease| {
                answer(lease, endpoint.clone(), body.clone())
            })
            .await
        }
        .boxed()
    }
}

/// One attempt.
async fn answer(lease: Lease, endpoint: Endpoint, body: Bytes) -> Result<String, CallError> {
    let request = lease
        .request(Method::POST, &endpoint, "/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let response = lease.send(request).await?;
    let json = lease.read(response, ANSWER_BYTES_MAX).await?;
    text(&json).ok_or_else(|| lease.malformed("the answer is no chat completion"))
}

/// The text of a completion; empty when the model refused.
fn text(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Completion {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        content: Option<String>,
    }
    let completion: Completion = serde_json::from_slice(json).ok()?;
    let choice = completion.choices.into_iter().next()?;
    Some(choice.message.content.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool;

    fn body(model: &str) -> Value {
        let pool = ConnectionPool::new(pool::Config::default()).unwrap();
        let config = Config {
            temperature: Some(0.5),
            ..Config::default()
        };
        let timeout = Duration::from_secs(20);
        let llm =
            OpenAiStructuredLlm::new(pool, &EndpointConfig::default(), config, model, timeout)
                .unwrap();
        let request = StructuredRequest {
            name: "facts",
            schema: serde_json::json!({"type": "object"}),
            instructions: "Find facts.".to_owned(),
            input: "I like tea.".to_owned(),
        };
        serde_json::from_slice(&llm.body(request).unwrap()).unwrap()
    }

    #[test]
    fn the_shape_is_strict_and_nothing_is_streamed() {
        assert_eq!(
            body(""),
            serde_json::json!({
                "model": "gpt-4.1-mini",
                "temperature": 0.5,
                "messages": [
                    {"role": "system", "content": "Find facts."},
                    {"role": "user", "content": "I like tea."},
                ],
                "response_format": {"type": "json_schema", "json_schema": {
                    "name": "facts", "strict": true, "schema": {"type": "object"},
                }},
            })
        );
    }

    #[test]
    fn a_model_of_its_own_comes_without_the_settings_of_the_other() {
        let body = body(" small ");
        assert_eq!(body["model"], "small");
        assert!(body.get("temperature").is_none());
    }

    #[test]
    fn answers_are_read_leniently() {
        for (json, expected) in [
            (r#"{"choices":[{"message":{"content":"{}"}}]}"#, Some("{}")),
            (
                r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#,
                Some(""),
            ),
            (r#"{"choices":[]}"#, None),
            (r#"{"error":{}}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(text(json.as_bytes()).as_deref(), expected, "{json}");
        }
    }
}
