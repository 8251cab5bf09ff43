//! The words by which services name a part of a request that they refuse. In lower case.
//!
//! They are those of OpenAI ("Unsupported parameter: 'max_tokens'"), vLLM and llama.cpp (messages of chat
//! templates), FastAPI ("extra fields not permitted"), Mistral, Gemini, Groq and OpenRouter.

use super::Part;

const TURNS: &[&str] = &[
    "alternat",
    "first message",
    "last message",
    "start with a user",
    "starts with",
    "begin with a user",
    "turn comes",
    "multiturn",
    "consecutive",
    "unexpected role",
    "after role",
    "no user query",
    "must be from the user",
    "must be a user",
    "roles must",
];

/// Of these, the words of services that want more than a user in front.
const ALTERNATION: &[&str] = &["alternat", "unexpected role", "after role", "consecutive"];

const RESPONSE_FORMAT: &[&str] = &[
    "response_format",
    "json_schema",
    "json schema",
    "json_object",
    "structured output",
    "guided",
];

const CONTENT_IS_MISSING: &[&str] = &[
    "required",
    "missing",
    "null",
    "none",
    "must be",
    "should be",
    "valid string",
    "expected",
    "empty",
];

const INSTRUCTIONS: &[&str] = &[
    "system role",
    "role system",
    "role: system",
    "'system'",
    "\"system\"",
    "`system`",
    "system message",
    "system prompt",
    "system instruction",
    "developer instruction",
    "only user and assistant",
];

const PROVIDER_FIELDS: &[&str] = &[
    "extra_content",
    "thought_signature",
    "thought signature",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "messages.reasoning",
    "'reasoning'",
    "provider_specific",
];

const TOOLS_ARE_UNKNOWN: &[&str] = &[
    "support",
    "no endpoints",
    "not enabled",
    "jinja",
    "tool-call-parser",
];

/// Whether words name a part.
pub(super) fn name(part: Part, words: &str) -> bool {
    let any = |list: &[&str]| list.iter().any(|word| words.contains(word));
    match part {
        Part::Turns => any(TURNS),
        Part::Strict => any(&["strict"]),
        Part::StreamOptions => any(&["stream_options", "include_usage"]),
        Part::ResponseFormat => any(RESPONSE_FORMAT),
        // Not one of the fields of a service's own, such as `reasoning_content`.
        Part::Content => {
            words.replace("_content", "").contains("content") && any(CONTENT_IS_MISSING)
        }
        Part::TokenLimit => any(&["max_completion_tokens", "max_tokens", "max_output_tokens"]),
        Part::Instructions => any(INSTRUCTIONS),
        Part::ToolChoice => any(&["tool_choice", "tool choice"]),
        Part::ProviderFields => any(PROVIDER_FIELDS),
        Part::Temperature => any(&["temperature"]),
        Part::ReasoningEffort => any(&["reasoning_effort", "reasoning effort", "reasoning.effort"]),
        Part::Stream => any(&["stream"]) && any(&["support", "must be false", "not allowed"]),
        Part::Tools => any(&["tool", "function call", "functions"]) && any(TOOLS_ARE_UNKNOWN),
    }
}

/// Whether words say that user and assistant must take turns.
pub(super) fn want_alternation(words: &str) -> bool {
    ALTERNATION.iter().any(|word| words.contains(word))
}
