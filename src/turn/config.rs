//! Settings of turn-taking.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{endpointing, interruption};
use crate::units;

/// Settings of turn-taking.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// When the user is done.
    pub endpointing: endpointing::Config,
    /// What stops the agent.
    pub interruption: interruption::Config,
    /// Work that is begun before the turn is over.
    pub speculation: Speculation,
    /// The most that a turn may be.
    pub limit: Limit,
    /// When a silent user counts as away.
    pub away: Away,
}

/// The most that one turn of the user may be; it is answered then, whether they are done or not.
///
/// Source: livekit-agents 1.8.9, `user_turn_limit`, both off by default there, too. There they count from
/// one answer to the next, over turns without any, and the agent then asks for a word without being
/// interruptible; here they are of one turn, whose words are answered as always.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// The longest turn; 0 for any length.
    #[serde(rename = "duration_seconds_max", with = "units::seconds")]
    pub duration_max: Duration,
    /// The most words that are known at a pause; 0 for any number.
    pub words_max: usize,
}

/// When a silent user counts as away.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Away {
    /// Silence of both after which the user is shown as away; 0 for never.
    ///
    /// Source of the default: livekit-agents 1.8.9, `user_away_timeout`.
    #[serde(rename = "after_seconds", with = "units::seconds")]
    pub after: Duration,
}

impl Default for Away {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(15),
        }
    }
}

/// How much is begun at a pause, before the end of the turn is certain.
///
/// Source of the limits: livekit-agents 1.8.9, `preemptive_generation`; it waits for longer pauses, so it needs
/// fewer of them (3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speculation {
    /// Transcribe and prepare the reply at the first pause; off, both wait until it is certain.
    pub enabled: bool,
    /// Turns with more speech than this are not guessed at: long speakers pause often.
    #[serde(rename = "speech_max_seconds", with = "units::seconds")]
    pub speech_max: Duration,
    /// Pauses of one turn that are guessed at.
    pub per_turn_max: u32,
}

impl Default for Speculation {
    fn default() -> Self {
        Self {
            enabled: true,
            speech_max: Duration::from_secs(10),
            per_turn_max: 5,
        }
    }
}

impl Config {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.endpointing.problems();
        problems.extend(self.interruption.problems());
        if self.speculation.per_turn_max > 20 {
            problems.push("turn.speculation.per_turn_max: must be at most 20".to_owned());
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
        let mut broken = Config::default();
        broken.endpointing.delay_max = Duration::from_millis(1);
        broken.interruption.min_duration = Duration::from_secs(60);
        broken.speculation.per_turn_max = 1000;
        assert_eq!(broken.problems().len(), 3);
    }
}
