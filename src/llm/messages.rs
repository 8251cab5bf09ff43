//! The conversation as chat messages.
//!
//! The service is strict about tools: every call must be answered right after the message that
//! made it, and nothing may be answered that was not asked. A conversation in which people
//! interrupt keeps to that only if this module sees to it.

use std::collections::HashMap;

use async_openai::types::chat::{
    ChatCompletionMessageToolCall, ChatCompletionMessageToolCalls,
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestAssistantMessageContent,
    ChatCompletionRequestMessage as Message, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestToolMessage, ChatCompletionRequestToolMessageContent,
    ChatCompletionRequestUserMessage, ChatCompletionTool, ChatCompletionTools, FunctionCall,
    FunctionObject,
};

use crate::chat::{ChatContext, ChatItem, ToolCall, ToolSpec};

/// What the model reads where a call was never answered.
const UNANSWERED: &str = "no answer: the conversation went on before the tool was done";

/// The messages of a conversation, instructions first.
pub(super) fn messages(context: &ChatContext) -> Vec<Message> {
    let mut outputs: HashMap<&str, &str> = context
        .items
        .iter()
        .filter_map(|item| match item {
            ChatItem::ToolOutput { call_id, output } => {
                Some((call_id.as_str(), output.text.as_str()))
            }
            _ => None,
        })
        .collect();
    let mut messages = Vec::with_capacity(context.items.len() + 1);
    if !context.instructions.is_empty() {
        messages.push(Message::System(ChatCompletionRequestSystemMessage::from(
            context.instructions.as_str(),
        )));
    }
    let mut items = context.items.iter().peekable();
    while let Some(item) = items.next() {
        let mut assistant = match item {
            ChatItem::User(text) => {
                messages.push(Message::User(ChatCompletionRequestUserMessage::from(
                    text.as_str(),
                )));
                continue;
            }
            ChatItem::ToolOutput { .. } => continue, // follows its call
            ChatItem::Agent { text, .. } => (text.as_str(), Vec::new()),
            ChatItem::ToolCall(call) => ("", vec![call]),
        };
        while let Some(ChatItem::ToolCall(call)) =
            items.next_if(|item| matches!(item, ChatItem::ToolCall(_)))
        {
            assistant.1.push(call);
        }
        push_assistant(&mut messages, assistant.0, &assistant.1, &mut outputs);
    }
    messages
}

/// The tools as the request lists them; `None` without any.
pub(super) fn tools(specs: &[ToolSpec]) -> Option<Vec<ChatCompletionTools>> {
    let tool = |spec: &ToolSpec| {
        ChatCompletionTools::Function(ChatCompletionTool {
            function: FunctionObject {
                name: spec.name.clone(),
                description: Some(spec.description.clone()),
                parameters: Some(spec.parameters.clone()),
                strict: spec.is_strict.then_some(true),
            },
        })
    };
    (!specs.is_empty()).then(|| specs.iter().map(tool).collect())
}

fn push_assistant(
    messages: &mut Vec<Message>,
    text: &str,
    calls: &[&ToolCall],
    outputs: &mut HashMap<&str, &str>,
) {
    if text.is_empty() && calls.is_empty() {
        return; // interrupted before a word was heard
    }
    let content = ChatCompletionRequestAssistantMessageContent::Text(text.to_owned());
    let tool_calls: Vec<_> = calls.iter().map(|call| tool_call(call)).collect();
    messages.push(Message::Assistant(ChatCompletionRequestAssistantMessage {
        content: (!text.is_empty()).then_some(content),
        tool_calls: (!tool_calls.is_empty()).then_some(tool_calls),
        ..ChatCompletionRequestAssistantMessage::default()
    }));
    for call in calls {
        let output = outputs.remove(call.id.as_str()).unwrap_or(UNANSWERED);
        messages.push(Message::Tool(ChatCompletionRequestToolMessage {
            content: ChatCompletionRequestToolMessageContent::Text(output.to_owned()),
            tool_call_id: call.id.clone(),
        }));
    }
}

fn tool_call(call: &ToolCall) -> ChatCompletionMessageToolCalls {
    // Servers parse the arguments they are shown; what the model wrote may not be JSON.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok();
    let arguments = if is_json { &call.arguments } else { "{}" };
    ChatCompletionMessageToolCalls::Function(ChatCompletionMessageToolCall {
        id: call.id.clone(),
        function: FunctionCall {
            name: call.name.clone(),
            arguments: arguments.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ToolOutput;

    fn user(text: &str) -> ChatItem {
        ChatItem::User(text.to_owned())
    }

    fn agent(text: &str) -> ChatItem {
        ChatItem::Agent {
            text: text.to_owned(),
            is_interrupted: false,
        }
    }

    fn call(id: &str) -> ChatItem {
        ChatItem::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments: "{}".to_owned(),
        })
    }

    fn output(id: &str, text: &str) -> ChatItem {
        ChatItem::ToolOutput {
            call_id: id.to_owned(),
            output: ToolOutput {
                text: text.to_owned(),
                is_error: false,
            },
        }
    }

    /// Messages as short words: role, then content, calls or the call that is answered.
    fn check(items: Vec<ChatItem>, expected: &[&str]) {
        let context = ChatContext {
            instructions: String::new(),
            items,
        };
        let json = serde_json::to_value(messages(&context)).unwrap();
        let found: Vec<String> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                let mut words = vec![message["role"].as_str().unwrap().to_owned()];
                words.extend(message["tool_call_id"].as_str().map(str::to_owned));
                words.extend(message["content"].as_str().map(str::to_owned));
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    words.push(format!("+{}", call["id"].as_str().unwrap()));
                }
                words.join(" ")
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn instructions_come_first_and_only_if_there_are_any() {
        let context = ChatContext {
            instructions: "be brief".to_owned(),
            items: vec![user("hi")],
        };
        let json = serde_json::to_value(messages(&context)).unwrap();
        assert_eq!(
            json[0],
            serde_json::json!({"role": "system", "content": "be brief"})
        );
        check(vec![user("hi")], &["user hi"]);
    }

    #[test]
    fn calls_made_together_are_one_message_with_the_words_before_them() {
        check(
            vec![
                user("stats?"),
                agent("let me see"),
                call("a"),
                call("b"),
                output("b", "2"),
                output("a", "1"),
                agent("done"),
            ],
            &[
                "user stats?",
                "assistant let me see +a +b",
                "tool a 1",
                "tool b 2",
                "assistant done",
            ],
        );
    }

    #[test]
    fn a_call_without_answer_gets_one() {
        check(
            vec![call("a"), user("stop")],
            &["assistant +a", &format!("tool a {UNANSWERED}"), "user stop"],
        );
    }

    #[test]
    fn an_answer_that_came_late_is_put_after_its_call() {
        check(
            vec![call("a"), user("well?"), output("a", "1")],
            &["assistant +a", "tool a 1", "user well?"],
        );
    }

    #[test]
    fn an_answer_without_call_and_words_nobody_heard_are_left_out() {
        check(vec![output("x", "1"), agent(""), user("hi")], &["user hi"]);
    }

    #[test]
    fn arguments_that_are_no_json_are_not_sent_back() {
        let call = ToolCall {
            id: "a".to_owned(),
            name: "f".to_owned(),
            arguments: "{\"cut".to_owned(),
        };
        let json = serde_json::to_value(tool_call(&call)).unwrap();
        assert_eq!(json["function"]["arguments"], "{}");
        assert_eq!(json["type"], "function");
    }

    #[test]
    fn no_tools_means_no_list() {
        assert!(tools(&[]).is_none());
    }
}
