//! Settings of a session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Limits of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Items of the conversation that the model is given; older ones are dropped. A spoken exchange
    /// is two items.
    pub chat_items_max: usize,
    /// Bytes of the conversation that the model is given; the oldest items are dropped whole. Four bytes
    /// are about a token, and the default fits into the context of common models.
    pub chat_bytes_max: usize,
    /// Times the model may call tools before it has to answer. Source: livekit-agents 1.8.9,
    /// `max_tool_steps`.
    pub tool_rounds_max: u32,
    /// Failures in a row after which the session gives up. Source: livekit-agents 1.8.9,
    /// `max_unrecoverable_errors`.
    pub errors_max: u32,
    /// The longest silence of a service in the middle of its answer. The pool's own deadlines are
    /// shorter; this one holds whatever a provider does.
    #[serde(rename = "stall_max_seconds", with = "units::seconds")]
    pub stall_max: Duration,
    /// How long the call waits for a user who is gone and may come back, before it ends or another
    /// participant becomes the user. Zero: not at all.
    #[serde(rename = "return_within_seconds", with = "units::seconds")]
    pub return_within: Duration,
    /// The longest that the agent speaks in one reply of the model; time in tools does not count. Five
    /// minutes: a caller who wants more can ask, a model that repeats itself for ever cannot be asked.
    #[serde(rename = "reply_max_seconds", with = "units::seconds")]
    pub reply_max: Duration,
    /// The longest text of one reply of the model, as it wrote it: five minutes of speech are about
    /// 4,500 characters, and the rest is for marks and links that are not spoken.
    pub reply_characters_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chat_items_max: 200,
            chat_bytes_max: 262_144,
            tool_rounds_max: 3,
            errors_max: 3,
            stall_max: Duration::from_secs(30),
            return_within: Duration::from_secs(10),
            reply_max: Duration::from_secs(300),
            reply_characters_max: 6000,
        }
    }
}

impl Config {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(2..=10_000).contains(&self.chat_items_max) {
            problems.push("session.chat_items_max: must be from 2 to 10000".to_owned());
        }
        if !(16_384..=16_777_216).contains(&self.chat_bytes_max) {
            problems.push("session.chat_bytes_max: must be from 16384 to 16777216".to_owned());
        }
        if self.tool_rounds_max > 20 {
            problems.push("session.tool_rounds_max: must be at most 20".to_owned());
        }
        if !(1..=100).contains(&self.errors_max) {
            problems.push("session.errors_max: must be from 1 to 100".to_owned());
        }
        if self.stall_max < Duration::from_secs(1) || self.stall_max > Duration::from_secs(300) {
            problems.push("session.stall_max_seconds: must be from 1 to 300".to_owned());
        }
        if self.return_within > Duration::from_secs(600) {
            problems.push("session.return_within_seconds: must be at most 600".to_owned());
        }
        if self.reply_max < Duration::from_secs(10) || self.reply_max > Duration::from_secs(3600) {
            problems.push("session.reply_max_seconds: must be from 10 to 3600".to_owned());
        }
        if !(100..=100_000).contains(&self.reply_characters_max) {
            problems.push("session.reply_characters_max: must be from 100 to 100000".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        assert!(Config::default().problems().is_empty());
        let broken = Config {
            chat_items_max: 0,
            chat_bytes_max: 0,
            tool_rounds_max: 99,
            errors_max: 0,
            stall_max: Duration::ZERO,
            return_within: Duration::from_secs(601),
            reply_max: Duration::ZERO,
            reply_characters_max: 0,
        };
        assert_eq!(broken.problems().len(), 8);
    }
}
