//! The conversation as the model is given it. Plain data: no I/O, no clock.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Longest name of a tool that services take.
///
/// Source: OpenAI's API reference, `tools.function.name`.
const TOOL_NAME_CHARS_MAX: usize = 64;

/// A tool the model wants called.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Names this call in its conversation; echoed with the output.
    pub id: String,
    /// The tool's wire name.
    pub name: String,
    /// JSON text as the model wrote it; may be invalid.
    pub arguments: String,
    /// What the service wrote beside the call and wants to see again.
    pub provider: Option<Arc<ProviderFields>>,
}

/// Fields of a service's own on a tool call, such as the signature of a thought. The service refuses a
/// conversation without them, and another service may refuse them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProviderFields {
    /// Host and model that they came from; they go to no other.
    pub origin: String,
    /// Fields of the call.
    pub call: Map<String, Value>,
    /// Fields of the message that the call was in.
    pub message: Map<String, Value>,
}

/// A tool's name as services take it: letters, digits, `_` and `-`.
pub(crate) fn wire_name(name: &str) -> String {
    let allowed = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        _ => '_',
    };
    name.chars()
        .map(allowed)
        .take(TOOL_NAME_CHARS_MAX)
        .collect()
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
    /// Whether the schema is one that the model can be held to (strict mode).
    pub is_strict: bool,
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

impl ChatContext {
    /// A conversation that has not begun.
    pub fn new(instructions: impl Into<String>) -> Self {
        Self {
            instructions: instructions.into(),
            items: Vec::new(),
        }
    }

    /// Adds what the user said or typed.
    pub fn push_user(&mut self, text: impl Into<String>) {
        self.items.push(ChatItem::User(text.into()));
    }

    /// Adds what the user heard; nothing when nothing was heard.
    pub fn push_heard(&mut self, text: impl Into<String>, is_interrupted: bool) {
        let text = text.into();
        if !text.trim().is_empty() {
            self.items.push(ChatItem::Agent {
                text,
                is_interrupted,
            });
        }
    }

    /// Drops the oldest items until at most `n_items` are left that have at most `n_bytes`, and then whatever would stand at the
    /// beginning without its other half: a tool's output without its call, or a call without its
    /// output. Services refuse a conversation with either.
    pub fn keep_last(&mut self, n_items: usize, n_bytes: usize) {
        let n_kept = n_last_within(self.items.iter(), n_items, n_bytes);
        let mut start = self.items.len() - n_kept;
        if start == 0 {
            return;
        }
        // Inside a group of calls and outputs, go on to its end.
        while start < self.items.len() && self.splits_tools(start) {
            start += 1;
        }
        self.items.drain(..start);
    }

    /// Whether a tool's call lies before `at` and its output behind.
    fn splits_tools(&self, at: usize) -> bool {
        self.items[at..].iter().any(|item| match item {
            ChatItem::ToolOutput { call_id, .. } => self.items[..at]
                .iter()
                .any(|earlier| matches!(earlier, ChatItem::ToolCall(call) if call.id == *call_id)),
            _ => false,
        })
    }
}

impl ChatItem {
    /// Bytes of its text.
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::User(text) | Self::Agent { text, .. } => text.len(),
            Self::ToolCall(call) => call.name.len() + call.arguments.len(),
            Self::ToolOutput { output, .. } => output.text.len(),
        }
    }
}

/// How many of the last items are at most `n_items` and have at most `n_bytes`.
pub(crate) fn n_last_within<'a>(
    items: impl DoubleEndedIterator<Item = &'a ChatItem>,
    n_items: usize,
    n_bytes: usize,
) -> usize {
    let sizes = items.rev().take(n_items).map(ChatItem::n_bytes);
    let sums = sizes.scan(0_usize, |sum, size| {
        *sum = sum.saturating_add(size);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= n_bytes).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ChatItem {
        ChatItem::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments: "{}".to_owned(),
            ..ToolCall::default()
        })
    }

    fn output(id: &str) -> ChatItem {
        ChatItem::ToolOutput {
            call_id: id.to_owned(),
            output: ToolOutput {
                text: "seen".to_owned(),
                is_error: false,
            },
        }
    }

    fn shape(context: &ChatContext) -> String {
        let letter = |item: &ChatItem| match item {
            ChatItem::User(_) => 'u',
            ChatItem::Agent { .. } => 'a',
            ChatItem::ToolCall(_) => 'c',
            ChatItem::ToolOutput { .. } => 'o',
        };
        context.items.iter().map(letter).collect()
    }

    #[test]
    fn truncation_never_separates_a_tool_call_from_its_output() {
        let mut full = ChatContext::new("be kind");
        full.push_user("hello");
        full.items
            .extend([call("1"), call("2"), output("1"), output("2")]);
        full.push_heard("there you are", false);
        full.push_user("thanks");
        for (n_items, expected) in [
            (10, "uccooau"),
            (7, "uccooau"),
            (6, "ccooau"),
            (5, "au"),
            (4, "au"),
            (3, "au"),
            (1, "u"),
            (0, ""),
        ] {
            let mut context = full.clone();
            context.keep_last(n_items, usize::MAX);
            assert_eq!(shape(&context), expected, "keep {n_items}");
            assert_eq!(context.instructions, "be kind");
        }
    }

    #[test]
    fn the_oldest_items_leave_whole_until_the_rest_has_few_enough_bytes() {
        let mut full = ChatContext::new("be kind");
        full.push_user("12345");
        full.items.extend([call("1"), output("1")]);
        full.push_heard("123", false);
        for (n_bytes, expected) in [(18, "ucoa"), (17, "coa"), (12, "a"), (3, "a"), (2, "")] {
            let mut context = full.clone();
            context.keep_last(10, n_bytes);
            assert_eq!(shape(&context), expected, "{n_bytes} bytes");
        }
    }

    #[test]
    fn what_nobody_heard_is_no_item() {
        let mut context = ChatContext::default();
        context.push_heard("  ", true);
        assert!(context.items.is_empty());
        context.push_heard("hello", true);
        assert_eq!(shape(&context), "a");
    }
}
