//! A chat request as clients send it, read leniently: unknown fields are ignored, and what may be null
//! or missing is.

use serde::Deserialize;
use serde_json::Value;

use crate::brain::{Call, Conversation, Message, Role, Tool};
use crate::error::ApiError;

#[derive(Deserialize)]
pub(super) struct ChatRequest {
    pub(super) model: String,
    messages: Vec<WireMessage>,
    #[serde(default)]
    pub(super) stream: bool,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<Value>,
    response_format: Option<ResponseFormat>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct WireMessage {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
}

/// Text, or a list of parts of which the text ones count.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

#[derive(Deserialize)]
struct WireCall {
    #[serde(default)]
    id: String,
    function: WireCallFunction,
}

#[derive(Deserialize)]
struct WireCallFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct WireTool {
    function: Option<WireFunction>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct ResponseFormat {
    r#type: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    #[serde(default)]
    schema: Value,
}

impl ChatRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// 400 when it is not JSON, or lacks what every request needs.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let request: Self = serde_json::from_slice(body)
            .map_err(|why| ApiError::bad_request(format!("cannot read the request: {why}")))?;
        if request.messages.is_empty() {
            let error = ApiError::bad_request("`messages` is empty; send at least one message");
            return Err(error.with_param("messages"));
        }
        Ok(request)
    }

    pub(super) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage)
    }

    /// What the brain needs of the request.
    pub(super) fn into_conversation(self) -> Conversation {
        let choice = self.tool_choice.unwrap_or_default();
        let tools = self
            .tools
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tool| tool.function);
        let tools: Vec<Tool> = tools
            .map(|function| Tool {
                name: function.name,
                parameters: function.parameters,
            })
            .collect();
        let forced_tool = match (choice.as_str(), choice.pointer("/function/name")) {
            (_, Some(name)) => name.as_str().map(str::to_owned),
            (Some("required"), _) => tools.first().map(|tool| tool.name.clone()),
            _ => None,
        };
        Conversation {
            messages: self
                .messages
                .into_iter()
                .map(WireMessage::into_message)
                .collect(),
            tools: if choice == "none" { Vec::new() } else { tools },
            forced_tool,
            schema: self.response_format.and_then(ResponseFormat::schema),
        }
    }
}

impl WireMessage {
    fn into_message(self) -> Message {
        let role = match self.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" | "function" => Role::Tool,
            _ => Role::System,
        };
        let text = match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.collect::<Vec<_>>().join(" ")
            }
            None => String::new(),
        };
        let calls = self.tool_calls.unwrap_or_default().into_iter();
        let calls = calls
            .map(|call| Call {
                id: call.id,
                name: call.function.name,
                arguments: call.function.arguments,
            })
            .collect();
        Message {
            role,
            text,
            calls,
            answers: self.tool_call_id,
        }
    }
}

impl ResponseFormat {
    /// The schema of the JSON that is wanted; null when any object will do.
    fn schema(self) -> Option<Value> {
        match self.r#type.as_str() {
            "json_schema" => Some(
                self.json_schema
                    .map(|named| named.schema)
                    .unwrap_or_default(),
            ),
            "json_object" => Some(Value::Null),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Conversation {
        ChatRequest::read(json.as_bytes())
            .unwrap()
            .into_conversation()
    }

    #[test]
    fn content_may_be_text_parts_or_nothing() {
        let conversation = read(
            r#"{"model":"m","messages":[
                {"role":"developer","content":"a"},
                {"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url"},{"type":"text","text":"c"}]},
                {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
                {"role":"tool","tool_call_id":"1","content":"d"}]}"#,
        );
        let texts: Vec<&str> = conversation
            .messages
            .iter()
            .map(|m| m.text.as_str())
            .collect();
        assert_eq!(texts, ["a", "b c", "", "d"]);
        assert_eq!(conversation.messages[2].calls[0].name, "f");
        assert_eq!(conversation.messages[3].answers.as_deref(), Some("1"));
    }

    #[test]
    fn tool_choice_decides_which_tools_there_are() {
        let with_choice = |choice: &str| {
            read(&format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],
                    "tools":[{{"type":"function","function":{{"name":"f"}}}},{{"type":"function","function":{{"name":"g"}}}}],
                    "tool_choice":{choice}}}"#
            ))
        };
        assert!(with_choice("\"none\"").tools.is_empty());
        assert_eq!(with_choice("\"auto\"").forced_tool, None);
        assert_eq!(
            with_choice("\"required\"").forced_tool.as_deref(),
            Some("f")
        );
        let named = r#"{"type":"function","function":{"name":"g"}}"#;
        assert_eq!(with_choice(named).forced_tool.as_deref(), Some("g"));
    }

    proptest! {
        #[test]
        fn any_damage_to_a_request_is_read_or_refused(
            text in ".{0,20}",
            role in "user|assistant|tool|system|odd",
            content in prop_oneof![Just("null"), Just("\"a\""), Just("[{\"type\":\"text\",\"text\":\"b\"}]"), Just("7")],
            cut in 0usize..40,
            damage in proptest::collection::vec((0usize..400, any::<u8>()), 0..3),
        ) {
            let text = serde_json::json!(text);
            let request = format!(
                r#"{{"model":{text},"messages":[{{"role":"{role}","content":{content},"tool_call_id":{text},
                    "tool_calls":[{{"id":{text},"function":{{"name":{text},"arguments":{text}}}}}]}}],
                    "tools":[{{"function":{{"name":"f","parameters":{{}}}}}}],"tool_choice":"auto"}}"#
            );
            let is_valid = role != "odd" && content != "7";
            prop_assert!(!is_valid || ChatRequest::read(request.as_bytes()).is_ok(), "{}", request);
            let mut bytes = request.into_bytes();
            for (place, byte) in damage {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            bytes.truncate(bytes.len() - cut);
            ChatRequest::read(&bytes).ok();
        }
    }
}
