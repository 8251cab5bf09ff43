//! Turns that become too long: the agent answers what it has understood.

use super::agent_side::Agent;
use super::machine::{TurnMachine, Voice};
use super::open_turn::OpenTurn;
use super::{SessionTime, TurnOutput};
use crate::text::count_words;

impl TurnMachine {
    /// When a turn that has become too long is asked for and answered while the user still speaks.
    pub(super) fn cuts_in_at(&self) -> Option<SessionTime> {
        let turn = self.turn.as_ref()?;
        let is_due = self.is_user_speaking()
            && turn.is_unasked()
            && turn.cut_off_at.is_none()
            && self.agent == Agent::Idle;
        (is_due && !self.config.limit.duration_max.is_zero())
            .then(|| turn.started_at + self.config.limit.duration_max)
    }

    /// Asks for the words of a turn that has become too long. What is said from here on is kept for
    /// the next one.
    pub(super) fn cut_in(&mut self, now: SessionTime) {
        if self.cuts_in_at().is_none_or(|at| now < at) {
            return;
        }
        self.transcribe();
        if let Some(turn) = &mut self.turn {
            turn.cut_off(now);
            self.voice = Voice::Speaking { since: now };
            self.outputs.push(TurnOutput::CutSound);
        }
    }

    /// Whether the user is in the middle of what follows a cut: the agent answers first.
    pub(super) fn is_rest_of_cut(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.is_rest)
    }

    /// Whether the turn is as long as one may be.
    pub(super) fn is_at_limit(&self, turn: &OpenTurn, transcript: &str) -> bool {
        let limit = &self.config.limit;
        let is_long = turn.voice_ended_at.since(turn.started_at) >= limit.duration_max;
        let is_wordy = count_words(transcript) >= limit.words_max;
        is_long && !limit.duration_max.is_zero() || is_wordy && limit.words_max > 0
    }
}
