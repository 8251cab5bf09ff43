//! One set of clients, pooled or not.

use anyhow::Result;
use futures::StreamExt;
use std::net::SocketAddr;
use std::time::Duration;
use voxpool::chat::{ChatContext, ChatItem};
use voxpool::error::CallError;
use voxpool::llm::openai::OpenAiLlm;
use voxpool::llm::{ChatRequest, Llm, LlmEvent, OpenAiStructuredLlm};
use voxpool::pool::{Config, ConnectionPool, EndpointConfig, OpenAiClient, PARALLEL_TIMEOUT};
use voxpool::redact::Pii;
use voxpool::tts::Tts;
use voxpool::tts::openai::OpenAiTts;

/// One set of clients.
pub(crate) struct Side {
    pub(crate) pool: ConnectionPool,
    pub(crate) llm: OpenAiLlm,
    tts: OpenAiTts,
    shared: EndpointConfig,
}

impl Side {
    /// Clients that lead to the TLS door at `address`.
    pub(crate) fn new(address: SocketAddr, is_pooled: bool) -> Result<Self> {
        let config = Config {
            enabled: is_pooled,
            // For the 50 calls side by side; the default of 30 would be two rounds.
            connections_per_host_max: 64,
            ..Config::default()
        };
        let shared = EndpointConfig {
            base_url: format!("https://localhost:{}/v1", address.port()),
            api_key: Pii::new("bench".to_owned()),
            ..EndpointConfig::default()
        };
        let pool = ConnectionPool::new(config)?;
        Ok(Self {
            llm: OpenAiLlm::new(pool.clone(), &shared, Default::default())?,
            tts: OpenAiTts::new(pool.clone(), &shared, Default::default())?,
            pool,
            shared,
        })
    }

    pub(crate) fn client(&self) -> OpenAiClient {
        self.pool.openai(self.llm.endpoint(), PARALLEL_TIMEOUT)
    }

    /// The model that finds what is worth remembering.
    pub(crate) fn structured(&self, timeout: Duration) -> Result<OpenAiStructuredLlm> {
        let pool = self.pool.clone();
        let llm = OpenAiStructuredLlm::new(pool, &self.shared, Default::default(), "", timeout)?;
        Ok(llm)
    }

    pub(crate) async fn chat(&self) -> Result<String, CallError> {
        let mut context = ChatContext {
            instructions: "Answer shortly.".to_owned(),
            ..ChatContext::default()
        };
        context.items.push(ChatItem::User("hello there".to_owned()));
        let request = ChatRequest {
            context,
            tools: Vec::new(),
            may_call: true,
        };
        let mut events = self.llm.chat(request);
        let mut text = String::new();
        while let Some(event) = events.next().await {
            if let LlmEvent::Text(piece) = event? {
                text += &piece;
            }
        }
        Ok(text)
    }

    /// Words and sound of a greeting, to its first sound or to its end.
    pub(crate) async fn greeting(&self, is_whole: bool) -> Result<Vec<i16>, CallError> {
        let text = self.chat().await?;
        let mut frames = self.tts.speak(text);
        let mut samples = Vec::new();
        while let Some(frame) = frames.next().await {
            samples.extend(frame?.samples);
            if !is_whole {
                break;
            }
        }
        Ok(samples)
    }
}
