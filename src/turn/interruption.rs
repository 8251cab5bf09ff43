//! Interruption: what the user does that stops the agent, and what does not.
//!
//! Two things stop it: a voice that lasts (`min_duration`, no words needed), or words that mean
//! something, however short: "stop" takes less than half a second. Small sounds of listening
//! (backchannels, "mhm") and noises without words do not: a voice that lasts only pauses the agent
//! until its words are known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::text::{count_words, words};
use crate::units;

/// Settings of interruption.
///
/// Source of the defaults: livekit-agents 1.8.9, `turn.py`; the list of backchannels is ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Voice that stops the agent by its length alone. From this moment on the caller hears silence
    /// within 200 ms.
    #[serde(rename = "min_duration_ms", with = "units::millis")]
    pub min_duration: Duration,
    /// Words needed to stop the agent. Above 0, length alone never does.
    pub min_words: usize,
    /// Whether a voice without known words only pauses the agent, who goes on when there were none.
    pub resume_false_interruption: bool,
    /// The longest pause for a voice that has ended and whose words are not known; earlier when it
    /// is certain that there were none. A voice that goes on for as long is asked for its words, and
    /// without any the agent talks over it: it is a noise.
    #[serde(rename = "false_interruption_timeout_seconds", with = "units::seconds")]
    pub false_interruption_timeout: Duration,
    /// How long after the agent is first heard its own echo must be expected: until then a voice
    /// does not stop it, only words do.
    #[serde(rename = "echo_warm_up_seconds", with = "units::seconds")]
    pub echo_warm_up: Duration,
    /// Whether what is said into an uninterruptible speech is dropped; else it is answered after it.
    pub discard_audio_if_uninterruptible: bool,
    /// Words that only say "I am listening"; a short remark of nothing else lets the agent talk on.
    pub backchannels: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let words = [
            "ah", "aha", "ha", "hm", "hmm", "huh", "mhm", "mm", "mmm", "oh", "okay", "ok", "right",
            "uh", "uhhuh", "um", "yeah", "yep", "yes",
        ];
        Self {
            min_duration: Duration::from_millis(500),
            min_words: 0,
            resume_false_interruption: true,
            false_interruption_timeout: Duration::from_secs(2),
            echo_warm_up: Duration::from_secs(3),
            discard_audio_if_uninterruptible: true,
            backchannels: words.map(str::to_owned).to_vec(),
        }
    }
}

impl Config {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.min_duration > Duration::from_secs(10) {
            problems.push("turn.interruption.min_duration_ms: must be at most 10000".to_owned());
        }
        if self.min_words > 20 {
            problems.push("turn.interruption.min_words: must be at most 20".to_owned());
        }
        let seconds = [
            (
                "false_interruption_timeout_seconds",
                self.false_interruption_timeout,
            ),
            ("echo_warm_up_seconds", self.echo_warm_up),
        ];
        for (name, value) in seconds {
            if value > Duration::from_secs(60) {
                problems.push(format!("turn.interruption.{name}: must be at most 60"));
            }
        }
        problems
    }

    /// How long a voice must last to stop the agent; `None` when only words do.
    pub fn duration_needed(&self) -> Option<Duration> {
        (self.min_words == 0).then_some(self.min_duration)
    }

    /// Whether these words stop the agent.
    pub fn words_stop(&self, transcript: &str) -> bool {
        count_words(transcript) >= self.min_words.max(1) && !self.is_backchannel(transcript)
    }

    fn is_backchannel(&self, transcript: &str) -> bool {
        let is_known = |word: &str| {
            let letters = word.chars().filter(|c| c.is_alphanumeric());
            let bare: String = letters.flat_map(char::to_lowercase).collect();
            bare.is_empty() || self.backchannels.contains(&bare)
        };
        // "uh-huh" is in the list as one word, or each half of it is; "嗯嗯" has no space.
        let mut parts = transcript.split_whitespace();
        parts.all(|part| is_known(part) || words(part).all(is_known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_of_listening_do_not_stop_the_agent() {
        let config = Config::default();
        for text in ["Mhm.", "uh-huh", "Yeah, yeah", "okay right", "", "…"] {
            assert!(!config.words_stop(text), "{text}");
        }
    }

    #[test]
    fn a_short_word_that_means_something_stops_the_agent() {
        let config = Config::default();
        for text in ["Stop!", "no", "wait", "yes but", "okay stop"] {
            assert!(config.words_stop(text), "{text}");
        }
    }

    #[test]
    fn with_a_minimum_of_words_length_alone_does_not_count() {
        let config = Config {
            min_words: 2,
            ..Config::default()
        };
        assert_eq!(config.duration_needed(), None);
        assert!(!config.words_stop("stop"));
        assert!(config.words_stop("stop now"));
        assert!(config.words_stop("等一下我想问别的事情"));
        assert!(config.words_stop("หยุดก่อน"));
    }
}
