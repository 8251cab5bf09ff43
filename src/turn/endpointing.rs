//! Endpointing: how long after the user's voice stopped the turn is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Settings of endpointing. Delays count from the end of the user's voice.
///
/// Source of the defaults: livekit-agents 1.8.9, `turn.py`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The usual delay.
    #[serde(rename = "delay_ms_min", with = "units::millis")]
    pub delay_min: Duration,
    /// The delay when the words sound unfinished, and the end of all waiting.
    #[serde(rename = "delay_ms_max", with = "units::millis")]
    pub delay_max: Duration,
    /// What decides between the two.
    pub mode: Mode,
}

/// What decides how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Always `delay_min`.
    Fixed,
    /// `delay_max` when the transcript ends in the middle of a clause (English words).
    UnfinishedWaits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_millis(500),
            delay_max: Duration::from_secs(3),
            mode: Mode::Fixed,
        }
    }
}

impl Config {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.delay_min > self.delay_max {
            problems.push(
                "turn.endpointing.delay_ms_min: must be at most turn.endpointing.delay_ms_max"
                    .to_owned(),
            );
        }
        if self.delay_max > Duration::from_secs(30) {
            problems.push("turn.endpointing.delay_ms_max: must be at most 30000".to_owned());
        }
        problems
    }

    /// How long to wait after a turn that reads like this.
    pub fn delay(&self, transcript: &str) -> Duration {
        match self.mode {
            Mode::Fixed => self.delay_min,
            Mode::UnfinishedWaits if is_unfinished(transcript) => self.delay_max,
            Mode::UnfinishedWaits => self.delay_min,
        }
    }
}

/// Words after which an English sentence goes on.
const OPEN_ENDINGS: [&str; 29] = [
    "a", "an", "and", "are", "at", "because", "but", "for", "from", "if", "in", "is", "like", "my",
    "of", "or", "our", "so", "than", "that", "the", "their", "to", "uh", "um", "until", "with",
    "would", "your",
];

fn is_unfinished(transcript: &str) -> bool {
    let text = transcript.trim_end();
    if text.ends_with([',', '-', '…', ':']) || text.ends_with("...") {
        return true;
    }
    let Some(last) = text.rsplit(char::is_whitespace).next() else {
        return false;
    };
    !text.ends_with(['!', '?']) && OPEN_ENDINGS.contains(&bare_word(last).as_str())
}

fn bare_word(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_clauses_are_told_from_finished_ones() {
        for text in [
            "my name is",
            "I like tea and",
            "Well,",
            "so um...",
            "to the.",
        ] {
            assert!(is_unfinished(text), "{text}");
        }
        for text in [
            "",
            "hello there",
            "my name is john",
            "what is it for?",
            "Stop!",
        ] {
            assert!(!is_unfinished(text), "{text}");
        }
    }

    #[test]
    fn only_the_mode_that_reads_the_words_waits_for_more() {
        let fixed = Config::default();
        assert_eq!(fixed.delay("my name is"), fixed.delay_min);
        let reading = Config {
            mode: Mode::UnfinishedWaits,
            ..Config::default()
        };
        assert_eq!(reading.delay("my name is"), reading.delay_max);
        assert_eq!(reading.delay("my name is john"), reading.delay_min);
    }
}
