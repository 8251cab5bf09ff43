//! A voice that has paused the agent and does not end: somebody with much to say, or a noise. Only
//! words tell which, so they are asked for while it lasts.

use super::agent_side::Agent;
use super::machine::{TurnMachine, Voice};
use super::{SessionTime, TurnOutput};

impl TurnMachine {
    /// When the words of the voice are asked for though it goes on; again and again while the agent
    /// talks over it.
    pub(super) fn asks_at(&self) -> Option<SessionTime> {
        let (Voice::Speaking { since }, Some(turn)) = (self.voice, &self.turn) else {
            return None;
        };
        let is_talked_over = self.is_wordless && self.agent != Agent::Idle;
        let is_due = turn.is_unasked() && (self.agent == Agent::Paused || is_talked_over);
        let timeout = self.config.interruption.false_interruption_timeout;
        is_due.then(|| since.max(turn.started_at) + timeout)
    }

    pub(super) fn ask_in_time(&mut self, now: SessionTime) {
        if self.asks_at().is_some_and(|at| now >= at) {
            self.transcribe();
            if let Some(turn) = &mut self.turn {
                turn.is_asked_early = true;
            }
        }
    }

    /// What was said so far is known, and the voice goes on.
    pub(super) fn on_words_so_far(&mut self, now: SessionTime, words: &str) {
        let Some(turn) = &mut self.turn else { return };
        // It has been answered, and the words that follow are not in it.
        turn.reopen();
        if self.do_words_interrupt(words) {
            self.voice_interrupts();
        } else if self.config.interruption.words_stop(words) {
            self.is_wordless = false;
        } else {
            self.is_wordless = true;
            self.outlasts_voice();
            self.outputs.push(TurnOutput::Discard);
            if self.agent == Agent::Paused {
                self.resume();
            }
            self.open_turn(now);
        }
    }
}
