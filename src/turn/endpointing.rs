//! Endpointing: how long after the user's voice stopped the turn is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SessionTime;
use super::judge::{EndOfTurnJudge, TranscriptJudge};
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
    /// Whether the two follow the user.
    pub mode: Mode,
    /// What decides between the two.
    pub judge: Judge,
}

/// Whether the delays follow the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They stay as they are set.
    Fixed,
    /// They move with this user's own pauses, between `delay_min` and `delay_max`.
    Dynamic,
}

/// What decides whether the user sounds unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// Nothing: the shorter delay always holds.
    None,
    /// The words of the transcript (English).
    Transcript,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_millis(500),
            delay_max: Duration::from_secs(3),
            mode: Mode::Fixed,
            judge: Judge::None,
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
}

/// What a new pause counts against those before it.
///
/// Source: livekit-agents 1.8.9, `endpointing.py`, `alpha` 0.9.
const NEW_PAUSE_WEIGHT: f64 = 0.1;

/// An exponential moving average within two bounds.
#[derive(Debug)]
struct Average {
    value: Duration,
    min: Duration,
    max: Duration,
}

impl Average {
    fn add(&mut self, pause: Duration) {
        let value = self.value.mul_f64(1.0 - NEW_PAUSE_WEIGHT);
        let value = value + pause.min(self.max).mul_f64(NEW_PAUSE_WEIGHT);
        self.value = value.clamp(self.min, self.max);
    }
}

/// How long this user's pauses are, and what that means for the end of their turns.
///
/// Three pauses tell: one inside a turn, and one that the agent took for the end of a turn and the
/// user did not, are what the shorter delay has to cover; one between the user's voice and the
/// agent's, when the user let the agent speak, is what the longer one may shrink to.
///
/// Source of the three cases: livekit-agents 1.8.9, `endpointing.py`.
pub(super) struct Endpointing {
    mode: Mode,
    judge: Option<Box<dyn EndOfTurnJudge>>,
    shorter: Average,
    longer: Average,
    voice_ended_at: Option<SessionTime>,
    /// When the agent began to be heard since then.
    agent_audible_at: Option<SessionTime>,
}

impl Endpointing {
    pub(super) fn new(config: &Config) -> Self {
        let (min, max) = (config.delay_min, config.delay_max);
        let judge: Option<Box<dyn EndOfTurnJudge>> = match config.judge {
            Judge::None => None,
            Judge::Transcript => Some(Box::new(TranscriptJudge)),
        };
        Self {
            mode: config.mode,
            judge,
            shorter: Average {
                value: min,
                min,
                max,
            },
            longer: Average {
                value: max,
                min,
                max,
            },
            voice_ended_at: None,
            agent_audible_at: None,
        }
    }

    /// How long to wait after a turn that reads like this.
    pub(super) fn delay(&self, transcript: &str) -> Duration {
        let is_unfinished = self
            .judge
            .as_ref()
            .is_some_and(|judge| judge.is_unfinished(transcript));
        match is_unfinished {
            true => self.longer.value.max(self.shorter.value),
            false => self.shorter.value,
        }
    }

    /// The user's voice begins.
    pub(super) fn user_begins(&mut self, onset: SessionTime) {
        let (Some(ended_at), audible_at) = (self.voice_ended_at, self.agent_audible_at.take())
        else {
            return;
        };
        let pause = onset.since(ended_at);
        let Some(audible_at) = audible_at else {
            self.shorter.add(pause);
            return;
        };
        let into_the_agent = onset.since(audible_at);
        if into_the_agent <= self.shorter.value {
            // The agent was too early.
            self.shorter.add(pause);
        } else {
            self.longer.add(audible_at.since(ended_at));
        }
    }

    /// The user's voice ended.
    pub(super) fn user_ends(&mut self, at: SessionTime) {
        if self.mode == Mode::Dynamic {
            self.voice_ended_at = Some(at);
        }
    }

    /// The agent's voice begins.
    pub(super) fn agent_audible(&mut self, at: SessionTime) {
        if self.voice_ended_at.is_some() {
            self.agent_audible_at.get_or_insert(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> SessionTime {
        SessionTime::after_start(Duration::from_millis(ms))
    }

    fn dynamic() -> Endpointing {
        Endpointing::new(&Config {
            mode: Mode::Dynamic,
            judge: Judge::Transcript,
            ..Config::default()
        })
    }

    #[test]
    fn long_pauses_inside_turns_make_the_shorter_delay_longer() {
        let mut endpointing = dynamic();
        for n in 0..40 {
            endpointing.user_ends(at(n * 2000));
            endpointing.user_begins(at(n * 2000 + 1000));
        }
        let delay = endpointing.delay("hello there").as_millis();
        assert!((900..=1000).contains(&delay), "{delay}");
        // And one short pause counts for a tenth.
        endpointing.user_ends(at(100_000));
        endpointing.user_begins(at(100_100));
        assert!(endpointing.delay("hello there").as_millis() > 800);
    }

    #[test]
    fn a_user_who_speaks_into_the_agents_first_words_was_not_done() {
        let mut endpointing = dynamic();
        endpointing.user_ends(at(1000));
        endpointing.agent_audible(at(1600));
        endpointing.user_begins(at(1900));
        assert_eq!(endpointing.delay("so"), Duration::from_secs(3));
        assert_eq!(
            endpointing.delay("hello there"),
            Duration::from_millis(540),
            "0.9 of 500 ms and 0.1 of 900 ms"
        );
    }

    #[test]
    fn a_user_who_lets_the_agent_speak_makes_the_longer_delay_shorter() {
        let mut endpointing = dynamic();
        for n in 0..60 {
            endpointing.user_ends(at(n * 10_000));
            endpointing.agent_audible(at(n * 10_000 + 700));
            endpointing.user_begins(at(n * 10_000 + 6000));
        }
        let delay = endpointing.delay("my name is").as_millis();
        assert!((700..=720).contains(&delay), "{delay}");
        assert_eq!(endpointing.delay("hello there").as_millis(), 500);
    }

    #[test]
    fn the_delays_stay_within_their_bounds_and_fixed_ones_where_they_are() {
        let mut fixed = Endpointing::new(&Config::default());
        let mut dynamic = dynamic();
        for n in 0..200 {
            for endpointing in [&mut fixed, &mut dynamic] {
                endpointing.user_ends(at(n * 100_000));
                endpointing.user_begins(at(n * 100_000 + 60_000));
            }
        }
        assert_eq!(fixed.delay("my name is").as_millis(), 500);
        let delay = dynamic.delay("hello there").as_millis();
        assert!((2990..=3000).contains(&delay), "{delay}");
    }
}
