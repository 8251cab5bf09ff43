//! How a conversation begins.

use serde::{Deserialize, Serialize};

use super::writing::Source;
use crate::chat::ChatContext;

/// Whether the agent speaks first, and what it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Greeting {
    /// Where the words come from.
    pub mode: Mode,
    /// The words themselves, or what the model is told about them.
    pub text: String,
    /// Whether the user can talk over it.
    pub is_interruptible: bool,
}

/// Where the words of the greeting come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The user speaks first.
    None,
    /// `text` is spoken as it is.
    Say,
    /// The model greets; `text` tells it how.
    Generate,
}

impl Default for Greeting {
    fn default() -> Self {
        Self {
            mode: Mode::Say,
            text: "Hello! How can I help you today?".to_owned(),
            is_interruptible: true,
        }
    }
}

impl Greeting {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.mode != Mode::None && self.text.trim().is_empty() {
            problems.push(
                "agent.greeting.text: must not be empty unless agent.greeting.mode is none"
                    .to_owned(),
            );
        }
        problems
    }

    pub(super) fn source(&self, chat: &ChatContext) -> Option<Source> {
        match self.mode {
            Mode::None => None,
            Mode::Say => Some(Source::Say(self.text.clone())),
            Mode::Generate => {
                let mut context = chat.clone();
                context.instructions = format!("{}\n\n{}", context.instructions, self.text);
                Some(Source::Chat(context))
            }
        }
    }
}
