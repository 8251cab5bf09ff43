//! Several models, of which one answers: the first whose service is well.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::BoxStream;

use super::openai::OpenAiLlm;
use super::{ChatRequest, Llm, LlmEvent, OpenAiStructuredLlm, StructuredLlm, StructuredRequest};
use crate::error::CallError;
use crate::pool::{CallOptions, Choice, ConnectionPool};

/// Asks the first of several models whose service is well. Another one takes over only before the
/// first word.
pub struct FallbackLlm {
    choice: Arc<Choice>,
    all: Arc<[OpenAiLlm]>,
}

impl FallbackLlm {
    /// A choice of `all`, in the order of preference; at least one.
    pub fn new(pool: ConnectionPool, all: Vec<OpenAiLlm>) -> Self {
        let candidates = all.iter().map(OpenAiLlm::candidate).collect();
        Self {
            choice: Arc::new(Choice::new("llm", pool, candidates)),
            all: all.into(),
        }
    }
}

impl Llm for FallbackLlm {
    fn model(&self) -> &str {
        self.all[0].model()
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        self.chat_with(request, &CallOptions::default())
    }

    fn chat_with(
        &self,
        request: ChatRequest,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        let (all, options) = (Arc::clone(&self.all), options.clone());
        self.choice
            .stream(move |place| all[place].chat_with(request.clone(), &options))
    }

    fn prewarm(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let all: Vec<_> = self.all.iter().map(Llm::prewarm).collect();
        async move { join_all(all).await.into_iter().collect() }.boxed()
    }
}

/// The same for questions whose answer is JSON.
pub struct FallbackStructuredLlm {
    choice: Arc<Choice>,
    all: Arc<[OpenAiStructuredLlm]>,
}

impl FallbackStructuredLlm {
    /// A choice of `all`, in the order of preference; at least one.
    pub fn new(pool: ConnectionPool, all: Vec<OpenAiStructuredLlm>) -> Self {
        let candidates = all.iter().map(OpenAiStructuredLlm::candidate).collect();
        Self {
            choice: Arc::new(Choice::new("extraction", pool, candidates)),
            all: all.into(),
        }
    }
}

impl StructuredLlm for FallbackStructuredLlm {
    fn ask(&self, request: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>> {
        let (choice, all) = (Arc::clone(&self.choice), Arc::clone(&self.all));
        async move { choice.call(|place| all[place].ask(request.clone())).await }.boxed()
    }
}
