//! The question at the start of the process, so that no caller waits while a service is learnt.

use futures::StreamExt;
use serde_json::json;

use super::openai::OpenAiLlm;
use super::{ChatRequest, Config};
use crate::chat::{ChatContext, ChatItem, ToolCall, ToolOutput, ToolSpec};
use crate::error::CallError;
use crate::pool::CallSpec;

const OPERATION: &str = "chat.start";
/// Longest answer: enough for a word, as reasoning models refuse less.
const TOKENS_MAX: u32 = 16;

/// Asks for a word in a conversation that has all that conversations have; once for a host and model.
pub(super) async fn ask(llm: &OpenAiLlm) -> Result<(), CallError> {
    let service = &llm.service;
    let config = &service.config;
    let is_first = (service.pool).is_asked_first(&service.endpoint, &config.model);
    if !config.compatibility.ask_at_start || !is_first {
        return Ok(());
    }
    let mut brief = llm.clone();
    brief.service.config = Config {
        max_completion_tokens: TOKENS_MAX,
        ..config.clone()
    };
    let spec = CallSpec::openai(OPERATION, &service.endpoint, config.timeout)
        .retries_max(Some(0))
        .background();
    let mut events = brief.asked(spec, request());
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => {}
            // So short an answer may end before its first word.
            Err(error) if error.kind == crate::error::ErrorKind::Empty => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A greeting, a tool call without words, and words of the user right after its output.
fn request() -> ChatRequest {
    let call = ToolCall {
        id: "startcall".to_owned(),
        name: "look".to_owned(),
        arguments: "{}".to_owned(),
        ..ToolCall::default()
    };
    let output = ToolOutput {
        text: "a tree".to_owned(),
        is_error: false,
    };
    let greeting = ChatItem::Agent {
        text: "Hello.".to_owned(),
        is_interrupted: false,
    };
    let tool = ToolSpec {
        name: "look".to_owned(),
        description: "Looks around.".to_owned(),
        parameters: json!({
            "type": "object", "properties": {}, "required": [], "additionalProperties": false,
        }),
        is_strict: true,
    };
    ChatRequest {
        context: ChatContext {
            instructions: "Answer with one word.".to_owned(),
            items: vec![
                greeting,
                ChatItem::User("Look around.".to_owned()),
                ChatItem::ToolCall(call.clone()),
                ChatItem::ToolOutput {
                    call_id: call.id,
                    output,
                },
                ChatItem::User("Say yes.".to_owned()),
            ],
        },
        tools: vec![tool],
        may_call: false,
    }
}
