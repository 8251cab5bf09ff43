//! The user is away, comes back, or does not: what becomes of a turn, of a speech and of what waits.
//!
//! An absence freezes the machine: no turn ends in the name of a user who is not there, and the
//! agent's speech is held where it is. Transcripts that were asked for still arrive. A user who is
//! back goes on from there; for the next user the machine is as new.

use super::TurnOutput;
use super::agent_side::Agent;
use super::machine::TurnMachine;

/// Whether the user is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// No user yet.
    Expected,
    There,
    /// They may come back.
    Away,
}

impl TurnMachine {
    pub(super) fn is_user_there(&self) -> bool {
        self.presence == Presence::There
    }

    pub(super) fn on_user_joined(&mut self) {
        self.presence = Presence::There;
        self.attention.notice_user();
    }

    pub(super) fn on_user_away(&mut self) {
        self.presence = Presence::Away;
        self.attention.leave();
        // A prepared reply would hold its requests for as long as the user is away.
        self.drop_prepared();
        // An agent that a voice has paused is silent already, and goes on when that is settled.
        if let Agent::Busy { .. } = self.agent {
            self.is_held = true;
            self.outputs.push(TurnOutput::Hold);
        }
    }

    pub(super) fn on_user_returned(&mut self) {
        self.on_user_joined();
        let is_held = std::mem::take(&mut self.is_held);
        if is_held && self.agent != Agent::Idle {
            self.outputs.push(TurnOutput::GoOn);
        }
    }

    /// Nothing of this user is left: neither what they said nor what was meant for them.
    pub(super) fn on_user_gone(&mut self) {
        self.drop_prepared();
        let speeches = self.queue.take().map(TurnOutput::DropSpeech);
        self.outputs.extend(speeches);
        if self.agent != Agent::Idle {
            self.interrupt();
        }
        if let Some(turn) = self.turn.take() {
            let awaited = turn.awaited().map(TurnOutput::CancelTranscription);
            self.outputs.extend(awaited);
            self.outputs.push(TurnOutput::Discard);
        }
        // Numbers go on: what is still on its way for this user must match nothing of the next.
        *self = Self {
            n_turns: self.n_turns,
            n_requests: self.n_requests,
            outputs: std::mem::take(&mut self.outputs),
            ..Self::new(self.config.clone())
        };
    }
}
