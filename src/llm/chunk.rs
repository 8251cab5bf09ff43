//! One piece of a streamed chat completion, read as leniently as it can be.
//!
//! Only what is needed is looked at, and anything may be missing or null: compatible servers leave
//! out `created`, send `"delta": null` (Azure), put arguments as an object (Ollama) or answer with
//! one whole completion although a stream was asked for.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One piece.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
    /// A failure in the middle of a stream that began with status 200.
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    #[serde(default, alias = "message", deserialize_with = "nullable")]
    pub(super) delta: Delta,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) tool_calls: Vec<ToolCallDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ToolCallDelta {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) function: FunctionDelta,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "json_text")]
    pub(super) arguments: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) prompt_tokens: u32,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) completion_tokens: u32,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// JSON as text, or as itself.
fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Chunk {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn anything_may_be_missing_or_null() {
        for json in [
            "{}",
            r#"{"choices":null,"usage":null,"error":null}"#,
            r#"{"choices":[{}]}"#,
            r#"{"choices":[{"delta":null,"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"content":null,"tool_calls":null}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":null}]}}]}"#,
            r#"{"id":1,"object":[],"created":"x","model":null,"choices":[]}"#,
        ] {
            let chunk = read(json);
            assert!(
                chunk.choices.iter().all(|c| c.delta.content.is_none()),
                "{json}"
            );
        }
    }

    #[test]
    fn arguments_may_be_an_object() {
        let chunk = read(
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}}]}"#,
        );
        let call = &chunk.choices[0].delta.tool_calls[0];
        assert_eq!(call.function.arguments, r#"{"a":1}"#);
    }

    #[test]
    fn a_whole_completion_reads_like_a_piece() {
        let chunk = read(
            r#"{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#,
        );
        assert_eq!(chunk.choices[0].delta.content.as_deref(), Some("hi"));
    }
}
