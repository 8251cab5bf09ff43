//! The language model: one trait, one file per provider.

mod answer;
mod asking;
mod at_start;
mod compatibility;
mod config;
mod fallback;
mod messages;
pub mod openai;
mod structured;

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use futures::stream::BoxStream;

pub(crate) use self::answer::{ARGUMENTS_BYTES_MAX, CALLS_MAX};
pub use self::compatibility::Compatibility;
pub use self::config::{Config, Fallback};
pub use self::fallback::{FallbackLlm, FallbackStructuredLlm};
pub use self::structured::{OpenAiStructuredLlm, StructuredLlm, StructuredRequest};
use crate::chat::{ChatContext, ToolCall, ToolSpec};
use crate::error::CallError;
use crate::pool::CallOptions;

/// What a model is asked.
#[derive(Clone)]
pub struct ChatRequest {
    /// Instructions and conversation.
    pub context: ChatContext,
    /// Tools of the agent; none are offered when empty.
    pub tools: Vec<ToolSpec>,
    /// Whether the model may call one of them. Without that it must answer in words.
    pub may_call: bool,
}

/// One piece of a model's answer.
#[derive(Clone, PartialEq, Eq)]
pub enum LlmEvent {
    /// Text to append to the reply; never empty.
    Text(String),
    /// A complete tool call.
    ToolCall(ToolCall),
    /// Tokens used, when the service says so; comes last.
    Usage {
        /// Tokens of the request.
        prompt_tokens: u32,
        /// Tokens of the answer.
        completion_tokens: u32,
    },
}

/// Streams a reply.
pub trait Llm: Send + Sync {
    /// The model's name, as far as it is known.
    fn model(&self) -> &str {
        ""
    }

    /// Asks the model. The stream ends after the last event or the first error; a stream that the
    /// service cut short ends with [`crate::error::ErrorKind::Malformed`].
    ///
    /// Cancel safety: dropping the stream closes the request.
    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, CallError>>;

    /// The same for a caller and as urgent as `options` say, where the model shares a pool with others.
    fn chat_with(
        &self,
        request: ChatRequest,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        let _ = options;
        self.chat(request)
    }

    /// Finds out before the first call what the service takes; nothing by default.
    ///
    /// # Errors
    /// When the service cannot be asked. The first call will meet that again.
    fn prewarm(&self) -> BoxFuture<'static, Result<(), CallError>> {
        future::ready(Ok(())).boxed()
    }
}
