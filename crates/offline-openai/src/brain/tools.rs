//! Finds the tool for a wish by its name, fills in its arguments, and says what came back.

use serde_json::Value;

use super::facts::{self, Fact};
use super::numbers::in_words;
use super::respond::{acknowledge, sentence};
use super::{Call, Conversation, Reply, Role, Tool, phrases, schema};

/// What a tool is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skill {
    Statistics,
    Cleanup,
    Remember,
    Recall,
    Forget,
}

/// Parts of the names that tools of each skill have, in lower case without separators. A tool has the
/// first skill that fits, so "forget" stands before "memory".
const NAMES: &[(Skill, &[&str])] = &[
    (
        Skill::Cleanup,
        &["cleanupconnection", "cleanup", "cleanpool"],
    ),
    (
        Skill::Statistics,
        &["connectionpoolstat", "poolstat", "connectionstat"],
    ),
    (
        Skill::Forget,
        &["forget", "deletememor", "removememor", "erasememor"],
    ),
    (
        Skill::Recall,
        &[
            "recall",
            "searchmemor",
            "getmemor",
            "listmemor",
            "findmemor",
            "readmemor",
            "lookup",
            "whatdoyouknow",
            "getfact",
            "getprofile",
        ],
    ),
    (
        Skill::Remember,
        &[
            "remember",
            "savememor",
            "storememor",
            "addmemor",
            "writememor",
            "savefact",
            "storefact",
            "addfact",
            "creatememor",
            "updateprofile",
        ],
    ),
];

fn skill_of(name: &str) -> Option<Skill> {
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    let fits = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    NAMES
        .iter()
        .find(|(_, parts)| fits(parts))
        .map(|(skill, _)| *skill)
}

/// The offered tool for a skill.
pub(super) fn find(conversation: &Conversation, skill: Skill) -> Option<&Tool> {
    conversation
        .tools
        .iter()
        .find(|tool| skill_of(&tool.name) == Some(skill))
}

/// A call whose arguments carry `facts`, as far as the tool's parameters have a place for them.
pub(super) fn call(tool: &Tool, facts: &[Fact]) -> Reply {
    let arguments = schema::arguments(&tool.parameters, facts);
    let call = Call {
        id: String::new(),
        name: tool.name.clone(),
        arguments: arguments.to_string(),
    };
    Reply::Call(vec![call])
}

/// Says what the last tool gave back.
pub(super) fn speak_result(conversation: &Conversation) -> String {
    let Some(result) = conversation.messages.last() else {
        return phrases::DONE.to_owned();
    };
    let calls = conversation
        .messages
        .iter()
        .flat_map(|message| &message.calls);
    // Without a matching id the latest call is meant.
    let call = calls
        .clone()
        .rfind(|call| result.answers.as_deref() == Some(call.id.as_str()))
        .or_else(|| calls.last());
    let json = serde_json::from_str(&result.text).unwrap_or(Value::Null);
    if is_failure(&json, &result.text) {
        return phrases::FAILED.to_owned();
    }
    match call.and_then(|call| skill_of(&call.name)) {
        Some(Skill::Statistics) => speak_statistics(&json, &result.text),
        Some(Skill::Cleanup) => phrases::CLEAN.to_owned(),
        Some(Skill::Remember) => {
            let said = conversation
                .messages
                .iter()
                .rfind(|message| message.role == Role::User);
            acknowledge(
                &said
                    .map(|message| facts::in_speech(&message.text))
                    .unwrap_or_default(),
            )
        }
        Some(Skill::Recall) => match facts::in_notes(&result.text) {
            facts if facts.is_empty() => phrases::NOTHING_KNOWN.to_owned(),
            facts => speak_facts(&facts),
        },
        Some(Skill::Forget) => phrases::FORGOTTEN.to_owned(),
        None => phrases::DONE.to_owned(),
    }
}

/// Tools say in different ways that they failed.
fn is_failure(json: &Value, text: &str) -> bool {
    match json {
        Value::Object(fields) => {
            let has_error = fields.get("error").is_some_and(|error| !error.is_null());
            has_error
                || ["ok", "success"]
                    .iter()
                    .any(|key| fields.get(*key) == Some(&false.into()))
        }
        _ => text.to_lowercase().starts_with("error"),
    }
}

/// Says up to three facts.
pub(super) fn speak_facts(facts: &[Fact]) -> String {
    let said: Vec<String> = facts.iter().take(3).map(Fact::said_to_user).collect();
    sentence(&said.join(" and "))
}

/// A number or two out of statistics of any shape.
fn speak_statistics(json: &Value, text: &str) -> String {
    let connections = total(
        json,
        &["open"],
        &["max", "limit", "since", "second", "_ms", "circuit"],
    )
    .or_else(|| {
        total(
            json,
            &["connection"],
            &["max", "limit", "reuse", "idle", "second", "_ms"],
        )
    })
    .or_else(|| number_before(text, "connection"));
    let requests = total(
        json,
        &["request"],
        &["max", "limit", "second", "_ms", "flight", "failed"],
    )
    .or_else(|| number_before(text, "request"));
    match (connections, requests) {
        (Some(connections), Some(requests)) => {
            format!(
                "There {} and {}.",
                counted(connections, "connection"),
                count(requests, "request")
            )
        }
        (Some(connections), None) => format!("There {}.", counted(connections, "connection")),
        (None, Some(requests)) => format!("There {}.", counted(requests, "request")),
        (None, None) => phrases::ALL_WELL.to_owned(),
    }
}

/// "is one connection", "are two connections"
fn counted(n: u64, noun: &str) -> String {
    format!("{} {}", if n == 1 { "is" } else { "are" }, count(n, noun))
}

fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", in_words(n), if n == 1 { "" } else { "s" })
}

/// The number at a key that contains one of `names` and none of `except`; without one at this level,
/// the sum over the levels below.
fn total(json: &Value, names: &[&str], except: &[&str]) -> Option<u64> {
    let contains = |key: &str, parts: &[&str]| parts.iter().any(|part| key.contains(part));
    match json {
        Value::Object(fields) => {
            let own = fields.iter().find_map(|(key, value)| {
                let key = key.to_lowercase();
                let fits = contains(&key, names) && !contains(&key, except);
                value.as_u64().filter(|_| fits)
            });
            own.or_else(|| {
                sum(fields
                    .values()
                    .filter_map(|value| total(value, names, except)))
            })
        }
        Value::Array(items) => sum(items.iter().filter_map(|item| total(item, names, except))),
        _ => None,
    }
}

/// The sum, or nothing if there was nothing to add.
fn sum(numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.reduce(u64::saturating_add)
}

/// The number that stands before a noun in plain text, at most two words apart.
fn number_before(text: &str, noun: &str) -> Option<u64> {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let at = words
        .iter()
        .position(|word| word.to_lowercase().starts_with(noun))?;
    words[at.saturating_sub(3)..at]
        .iter()
        .rev()
        .find_map(|word| word.parse().ok())
}
