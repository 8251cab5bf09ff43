//! Settings of the recorder (`[memory.recorder]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::Category;
use crate::units::seconds;

/// What is remembered of conversations, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The kinds of memories; the model can use no others.
    pub categories: Vec<String>,
    /// Turns of a call that wait to be looked at; the oldest is dropped when there are more.
    pub queue_max: usize,
    /// Questions to the model in flight for all calls together.
    pub extractions_max: usize,
    /// The model that finds what is worth remembering; empty for that of `[llm]`.
    pub extraction_model: String,
    /// One answer of it, all attempts together.
    #[serde(rename = "extraction_timeout_seconds", with = "seconds")]
    pub extraction_timeout: Duration,
    /// Turns after which the summary of the user is written anew; 0: at the end of the call only.
    pub profile_every_turns: u32,
    /// What the end of a call waits for the last turns to be saved.
    #[serde(rename = "flush_timeout_seconds", with = "seconds")]
    pub flush_timeout: Duration,
    /// Memories that the model is told of, the latest first.
    pub known_max: u32,
    /// Whether waiting turns are looked at together, the summary is written beside that, and what
    /// was found is saved at once. Without, one after the other: to measure what that is worth.
    pub side_by_side: bool,
}

impl Default for Config {
    fn default() -> Self {
        let categories = [
            "FACT",
            "PREFERENCE",
            "INTEREST",
            "GOAL",
            "PLAN",
            "OPINION",
            "EXPERIENCE",
            "RELATIONSHIP",
        ];
        Self {
            categories: categories.map(str::to_owned).to_vec(),
            queue_max: 32,
            extractions_max: 8,
            extraction_model: String::new(),
            extraction_timeout: Duration::from_secs(20),
            profile_every_turns: 5,
            flush_timeout: Duration::from_secs(8),
            known_max: 50,
            side_by_side: true,
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, problem: &str| {
            if !is_valid {
                problems.push(format!("memory.recorder.{problem}"));
            }
        };
        let is_name = |name: &String| {
            let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (1..=32).contains(&name.len()) && name.chars().all(is_letter)
        };
        check(
            (1..=64).contains(&self.categories.len()) && self.categories.iter().all(is_name),
            "categories: must be 1 to 64 names of up to 32 letters, digits and _",
        );
        let is_profile = |name: &String| name.eq_ignore_ascii_case(Category::PROFILE);
        check(
            !self.categories.iter().any(is_profile),
            "categories: must not contain PROFILE, which holds the summary",
        );
        check(
            (1..=10_000).contains(&self.queue_max),
            "queue_max: must be from 1 to 10000",
        );
        check(
            (1..=1_000).contains(&self.extractions_max),
            "extractions_max: must be from 1 to 1000",
        );
        let second = Duration::from_secs(1);
        check(
            (second..=300 * second).contains(&self.extraction_timeout),
            "extraction_timeout_seconds: must be from 1 to 300",
        );
        check(
            self.flush_timeout <= 300 * second,
            "flush_timeout_seconds: must be at most 300",
        );
        check(
            (1..=1_000).contains(&self.known_max),
            "known_max: must be from 1 to 1000",
        );
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
            categories: vec!["profile".to_owned(), "a b".to_owned()],
            queue_max: 0,
            extractions_max: 0,
            extraction_timeout: Duration::ZERO,
            flush_timeout: Duration::from_secs(1_000),
            known_max: 0,
            ..Config::default()
        };
        assert_eq!(broken.problems().len(), 7);
    }
}
