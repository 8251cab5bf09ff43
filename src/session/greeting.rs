//! How a conversation begins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::writing::Source;
use super::{Agent, Config};
use crate::chat::ChatContext;
use crate::units::seconds;

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
    /// Whether words and sound are made once for many calls.
    pub is_cached: bool,
    /// How long a greeting is used before it is made anew.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub ttl: Duration,
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
            is_cached: true,
            ttl: Duration::from_secs(3600),
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
        if self.ttl.is_zero() {
            problems.push("agent.greeting.ttl_seconds: must be more than 0".to_owned());
        }
        problems
    }

    fn source(&self, chat: &ChatContext) -> Option<Source> {
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

impl Agent {
    /// Makes the greeting, or gets it from where workers share it, so that the first caller need not
    /// wait for it. A failure is told to the first caller, who makes it fail again.
    pub async fn prewarm(&self, config: &Config) {
        let chat = ChatContext::new(self.instructions.clone());
        if let Some(Source::Recorded(recording)) = self.opening(config, &chat) {
            recording.done().await;
        }
    }

    /// What the agent says first.
    pub(super) fn opening(&self, config: &Config, chat: &ChatContext) -> Option<Source> {
        let source = self.greeting.source(chat)?;
        // What was said before is for those who said it. A greeting that is made with notes about the
        // user is not cached: no copy of them outlives the call, and forgetting reaches all of them.
        let is_personal = !chat.items.is_empty() || chat.instructions != self.instructions;
        let is_shared = self.greeting.is_cached && !is_personal;
        let greetings = self.greetings.as_ref().filter(|_| is_shared);
        Some(match greetings {
            Some(greetings) => Source::Recorded(greetings.open(self, config, source)),
            None => source,
        })
    }
}
