//! Turns that become too long: the agent answers what it has understood.

use super::SessionTime;
use super::agent_side::Agent;
use super::machine::TurnMachine;
use super::open_turn::OpenTurn;

impl TurnMachine {
    /// When a turn that has become too long is asked for and answered while the user still speaks.
    pub(super) fn cuts_in_at(&self) -> Option<SessionTime> {
        let turn = self.turn.as_ref()?;
        let is_due = self.is_user_speaking() && turn.is_unasked() && self.agent == Agent::Idle;
        (is_due && !self.config.limit.duration_max.is_zero())
            .then(|| turn.started_at + self.config.limit.duration_max)
    }

    /// Asks for the words of a turn that has become too long.
    pub(super) fn cut_in(&mut self, now: SessionTime) {
        if self.cuts_in_at().is_some_and(|at| now >= at)
            && let Some(turn) = &mut self.turn
        {
            turn.is_cut_off = true;
            turn.voice_ended_at = now;
            self.transcribe();
        }
    }

    /// Whether the turn is as long as one may be.
    pub(super) fn is_at_limit(&self, turn: &OpenTurn, transcript: &str) -> bool {
        let limit = &self.config.limit;
        let is_long = turn.voice_ended_at.since(turn.started_at) >= limit.duration_max;
        let is_wordy = transcript.split_whitespace().count() >= limit.words_max;
        is_long && !limit.duration_max.is_zero() || is_wordy && limit.words_max > 0
    }
}
