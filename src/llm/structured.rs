//! Questions whose answer is JSON of a given shape: for work beside a conversation, such as finding
//! what is worth remembering. Not streamed; nobody waits for the first word.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::answer::{ChatDecoder, Reading};
use super::asking::{Question, Service};
use super::compatibility::{Part, Parts, Shape};
use super::messages::messages;
use super::openai::options;
use super::{Config, LlmEvent};
use crate::chat::ChatContext;
use crate::error::CallError;
use crate::pool::{
    CallSpec, Candidate, ConnectionPool, Decode, Endpoint, EndpointConfig, EndpointError, Fault,
    Lease,
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
    service: Service,
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
        // An answer in JSON is as long as it must be.
        config.max_completion_tokens = 0;
        Ok(Self {
            service: Service {
                pool,
                endpoint,
                config,
            },
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
        &self.service.endpoint
    }

    /// What a choice of several has to know of it.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            endpoint: self.service.endpoint.clone(),
            model: self.service.config.model.clone(),
        }
    }
}

impl StructuredLlm for OpenAiStructuredLlm {
    fn ask(&self, request: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>> {
        let spec = CallSpec::openai(OPERATION, &self.service.endpoint, self.timeout)
            .retries_max(self.retries_max)
            .background();
        let (service, request) = (self.service.clone(), Arc::new(request));
        async move {
            let pool = service.pool.clone();
            let attempt = move |lease| attempt(lease, service.clone(), Arc::clone(&request));
            pool.call(spec, attempt).await
        }
        .boxed()
    }
}

/// One attempt: as many requests as it takes to find out what the service takes.
async fn attempt(
    lease: Lease,
    service: Service,
    request: Arc<StructuredRequest>,
) -> Result<String, CallError> {
    let question = JsonQuestion {
        config: service.config.clone(),
        request,
    };
    let endpoint = service.endpoint.clone();
    let send = move |body: Bytes, _: Shape| answer(lease.clone(), endpoint.clone(), body).boxed();
    service.ask(question, send).await
}

/// One request.
async fn answer(lease: Lease, endpoint: Endpoint, body: Bytes) -> Result<String, CallError> {
    let request = lease
        .request(Method::POST, &endpoint, "/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let response = lease.send(request).await?;
    let json = lease.read(response, ANSWER_BYTES_MAX).await?;
    text(&json).map_err(|fault| lease.spec().error(fault.kind).because(fault.cause))
}

/// A question whose answer is JSON.
struct JsonQuestion {
    config: Config,
    request: Arc<StructuredRequest>,
}

impl Question for JsonQuestion {
    fn body(&self, shape: &Shape, sent: &mut Parts) -> serde_json::Result<Bytes> {
        let (config, request) = (&self.config, &self.request);
        sent.add(Part::ResponseFormat);
        let format = match shape.value(Part::ResponseFormat) {
            "json_schema" => json!({"type": "json_schema", "json_schema": {
                "name": request.name,
                "schema": request.schema,
                "strict": true,
            }}),
            "json_object" => json!({"type": "json_object"}),
            _ => Value::Null,
        };
        let mut context = ChatContext::new(request.instructions.as_str());
        if !shape.is_first(Part::ResponseFormat) {
            // The only way left to say what is wanted.
            let schema = &request.schema;
            context.instructions +=
                &format!("\n\nAnswer with one JSON object of this JSON schema:\n{schema}");
        }
        context.push_user(request.input.as_str());
        let mut body = json!({
            "model": config.model,
            "messages": messages(&context, shape, "", sent),
        });
        if !format.is_null() {
            body["response_format"] = format;
        }
        options(&mut body, config, shape, sent)?;
        serde_json::to_vec(&body).map(Bytes::from)
    }

    fn shorten(&mut self) -> bool {
        false
    }
}

/// The text of a completion; empty when the model refused.
fn text(json: &[u8]) -> Result<String, Fault> {
    let whole: Value = serde_json::from_slice(json).unwrap_or_default();
    let message = &whole["choices"][0]["message"];
    if message["refusal"].is_string() && message["content"].is_null() {
        return Ok(String::new());
    }
    let mut decoder = ChatDecoder::new(Reading {
        is_data: true,
        ..Reading::default()
    });
    let mut events = VecDeque::new();
    decoder.push(json, &mut events)?;
    decoder.finish(&mut events)?;
    let texts = events.into_iter().filter_map(|event| match event {
        LlmEvent::Text(text) => Some(text),
        _ => None,
    });
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::pool;

    fn body(model: &str) -> Value {
        body_as(Shape::default(), model)
    }

    fn body_as(shape: Shape, model: &str) -> Value {
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
            schema: json!({"type": "object"}),
            instructions: "Find facts.".to_owned(),
            input: "I like tea.".to_owned(),
        };
        let question = JsonQuestion {
            config: llm.service.config,
            request: Arc::new(request),
        };
        let body = question.body(&shape, &mut Parts::default()).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn a_service_that_knows_no_schema_reads_it() {
        let shape = |value: &str| Shape::default().with(Part::ResponseFormat, value);
        let body = body_as(shape("json_object"), "");
        assert_eq!(body["response_format"], json!({"type": "json_object"}));
        let instructions = body["messages"][0]["content"].as_str().unwrap();
        assert!(instructions.contains("JSON schema:\n{\"type\":\"object\"}"));
        assert_eq!(body_as(shape("off"), "").get("response_format"), None);
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
            (r#"{"choices":[{"message":{"content":"{}"}}]}"#, Ok("{}")),
            (
                r#"{"choices":[{"message":{"content":[{"type":"text","text":"{\"a\":1}"}]}}]}"#,
                Ok("{\"a\":1}"),
            ),
            (
                r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#,
                Ok(""),
            ),
            (r#"{"choices":[]}"#, Err(ErrorKind::Empty)),
            (
                r#"{"error":{"type":"overloaded_error"}}"#,
                Err(ErrorKind::Unavailable),
            ),
            ("<html>", Err(ErrorKind::Malformed)),
        ] {
            let found = text(json.as_bytes()).map_err(|fault| fault.kind);
            assert_eq!(found.as_deref().map_err(|kind| *kind), expected, "{json}");
        }
    }
}
