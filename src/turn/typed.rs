//! What the user types: a turn at once, or several texts as one.

use super::absence::Presence;
use super::agent_side::Agent;
use super::machine::TurnMachine;
use super::texts::TEXTS_APART;
use super::{Commit, SessionTime, Timeline, TurnId, TurnOutput, TurnSource};

impl TurnMachine {
    pub(super) fn on_text(&mut self, text: String) {
        if self.presence != Presence::Away {
            self.attention.notice_user();
        }
        let n_dropped = self.waiting_texts.push(text);
        if n_dropped > 0 {
            self.outputs.push(TurnOutput::DropTexts(n_dropped));
        }
        self.texts_wait_for_end = self.is_uninterruptible();
    }

    /// When the texts that wait are answered; `None` before the agent may be stopped for them. A text
    /// that the user sent before they were lost waits for them.
    pub(super) fn texts_answered_at(&self) -> Option<SessionTime> {
        let is_away = self.presence == Presence::Away;
        if is_away || self.waiting_texts.is_empty() || self.is_uninterruptible() {
            return None;
        }
        if self.texts_wait_for_end && self.agent != Agent::Idle {
            return None;
        }
        let earliest = self.unheard_text_since.map(|since| since + TEXTS_APART);
        Some(earliest.unwrap_or(SessionTime::ZERO))
    }

    /// Answers the texts that wait, as one turn.
    pub(super) fn answer_texts(&mut self, now: SessionTime) {
        if self.texts_answered_at().is_none_or(|at| now < at) {
            return;
        }
        let Some(transcript) = self.waiting_texts.take() else {
            return;
        };
        self.texts_wait_for_end = false;
        self.drop_prepared();
        if self.agent != Agent::Idle {
            self.interrupt();
        }
        let timeline = Timeline {
            committed: Some(now),
            ..Timeline::default()
        };
        self.commit(Commit {
            id: TurnId(0),
            source: TurnSource::Text,
            transcript,
            is_prepared: false,
            is_cut_off: false,
            timeline,
        });
        self.unheard_text_since = Some(now);
    }
}
