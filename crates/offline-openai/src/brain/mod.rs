//! A handful of rules that answer like a friendly, slow-witted assistant.
//!
//! This is no model and pretends nothing: it looks for known words, states what it was told in this
//! very conversation, and calls tools whose names it understands. Input is a transcript (any case, no
//! punctuation, now and then misheard), output is made of short common words, because it is spoken by a
//! simple voice and understood by a simple recogniser.
//!
//! In reading order: [`reply`], then `respond`; `words` reads what was said, `facts` what was told,
//! `tools` calls and reads tools, `schema` writes JSON of a wanted shape, `phrases` holds what is said.
//!
//! **Invariant:** no clock, no randomness, no state: the same conversation has the same answer.

mod facts;
mod numbers;
mod phrases;
mod respond;
mod schema;
mod tools;
mod words;

use serde_json::Value;

/// All that a reply depends on.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// What was said so far, oldest first.
    pub messages: Vec<Message>,
    /// The tools that may be called.
    pub tools: Vec<Tool>,
    /// The tool that must be called, if any.
    pub forced_tool: Option<String>,
    /// The JSON schema of the answer if JSON is wanted; null when any object will do.
    pub schema: Option<Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whose it is.
    pub role: Role,
    /// Its text; empty if it has none.
    pub text: String,
    /// The tools that it calls (assistant only).
    pub calls: Vec<Call>,
    /// The id of the call that it answers (tool only).
    pub answers: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions, from `system` or `developer`.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// A tool that is offered.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The name it is called by.
    pub name: String,
    /// The JSON schema of its arguments; null if it takes none.
    pub parameters: Value,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Tells calls apart; given when the answer is sent.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

/// What the brain answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Words, or JSON where that was wanted.
    Say(String),
    /// Tools to be called before anything is said.
    Call(Vec<Call>),
}

impl Conversation {
    /// How many words the conversation has, for the usage figures.
    pub fn n_words(&self) -> usize {
        self.messages
            .iter()
            .map(|message| message.text.split_whitespace().count())
            .sum()
    }

    /// The tool of this name.
    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// The answer to a conversation.
pub fn reply(conversation: &Conversation) -> Reply {
    if let Some(schema) = &conversation.schema {
        let facts = facts::told(&conversation.messages);
        return Reply::Say(schema::instance(schema, &facts).to_string());
    }
    match conversation.messages.last() {
        Some(last) if last.role == Role::Tool => {
            return Reply::Say(tools::speak_result(conversation));
        }
        _ => {}
    }
    let forced = conversation
        .forced_tool
        .as_deref()
        .and_then(|name| conversation.tool(name));
    if let Some(tool) = forced {
        return tools::call(tool, &facts::told(&conversation.messages));
    }
    let spoken = |message: &&Message| matches!(message.role, Role::User | Role::Assistant);
    match conversation.messages.iter().rfind(spoken) {
        Some(last) if last.role == Role::User => respond::respond(&last.text, conversation),
        _ => respond::open(conversation),
    }
}

#[cfg(test)]
mod tests;
