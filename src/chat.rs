//! The conversation as the model is given it. Plain data: no I/O, no clock.

use serde_json::Value;

/// A tool the model wants called.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's id for this call; echoed with the output.
    pub id: String,
    /// The tool's wire name.
    pub name: String,
    /// JSON text as the model wrote it; may be invalid.
    pub arguments: String,
}

/// What a tool answered, in words or JSON for the model.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// The text the model reads.
    pub text: String,
    /// Whether the tool failed; the model is told and the conversation goes on.
    pub is_error: bool,
}

/// A tool as the model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Wire name.
    pub name: String,
    /// One or two sentences for the model.
    pub description: String,
    /// JSON schema of the arguments.
    pub parameters: Value,
}

/// One entry of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub enum ChatItem {
    /// What the user said or typed.
    User(String),
    /// What the agent said **and the user heard**.
    Agent {
        /// The heard text.
        text: String,
        /// Whether the user stopped the agent there.
        is_interrupted: bool,
    },
    /// The model called a tool.
    ToolCall(ToolCall),
    /// The answer to the call with this id.
    ToolOutput {
        /// [`ToolCall::id`] of the call.
        call_id: String,
        /// What the tool said.
        output: ToolOutput,
    },
}

/// Instructions and conversation, oldest first.
#[derive(Clone, Default)]
pub struct ChatContext {
    /// The agent's standing instructions (the system message).
    pub instructions: String,
    /// The conversation so far.
    pub items: Vec<ChatItem>,
}
