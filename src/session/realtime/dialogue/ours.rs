//! What the agent says without the service: a greeting that was kept, an apology.

use std::time::Duration;

use super::super::protocol::RATE_HZ;
use super::{Action, Dialogue, Moment};
use crate::error::CallError;
use crate::room::AgentState;
use crate::session::speech::Speech;
use crate::turn::{TurnId, TurnSource};

/// Words with their sound.
pub(in super::super) struct Recorded {
    /// What is heard, for captions and the conversation; empty for a sound that says nothing.
    pub(in super::super) text: String,
    /// At [`RATE_HZ`].
    pub(in super::super) samples: Vec<i16>,
}

impl From<Speech> for Recorded {
    fn from(speech: Speech) -> Self {
        let (texts, sounds): (Vec<_>, Vec<_>) = speech.sentences.into_iter().unzip();
        let sound = sounds.concat();
        let (samples, _) = sound.as_chunks();
        Self {
            text: texts.join(" "),
            samples: samples.iter().map(|it| i16::from_le_bytes(*it)).collect(),
        }
    }
}

impl Dialogue {
    /// Says this now. The service is told what was heard of it afterwards.
    pub(in super::super) fn say(&mut self, at: Moment, recorded: Recorded, is_interruptible: bool) {
        let Recorded { text, samples } = recorded;
        self.stop(at);
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(RATE_HZ));
        let begins = self.queued_until.max(at.position);
        let turn = self.begin(TurnId::default(), TurnSource::Agent);
        turn.is_interruptible = is_interruptible;
        turn.add_ours(&text, begins, length);
        turn.timeline.playout_started = Some(at.now);
        self.queued_until = begins + length;
        self.act(Action::Play(samples));
        self.show(AgentState::Speaking);
    }

    /// Says that something went wrong, unless the conversation has gone on meanwhile. With
    /// `ends_with` the session is over after it.
    pub(in super::super) fn apologise(
        &mut self,
        at: Moment,
        recorded: Recorded,
        ends_with: Option<CallError>,
    ) {
        let is_last = ends_with.is_some();
        if !is_last && (self.turn.is_some() || self.is_user_speaking) {
            return;
        }
        self.say(at, recorded, !is_last);
        if let Some(turn) = &mut self.turn {
            turn.ends_with = ends_with;
        }
    }
}
