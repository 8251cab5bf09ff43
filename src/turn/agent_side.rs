//! The agent's side of the turn machine: speaking, paused, stopped, and what it says next.

use std::time::Duration;

use super::absence::Presence;
use super::machine::{TurnMachine, Voice};
use super::open_turn::OpenTurn;
use super::queue::QueuedSpeech;
use super::{SessionTime, TurnOutput};

/// What the agent does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Agent {
    /// Nothing.
    Idle,
    /// Thinks or speaks.
    Busy { is_interruptible: bool },
    /// Silent where a voice stopped it; whether it was an interruption is not known yet.
    Paused,
}

impl TurnMachine {
    /// Something is to be said, in its turn.
    pub(super) fn on_queued(&mut self, speech: QueuedSpeech) {
        let dropped = self.queue.push(speech).map(TurnOutput::DropSpeech);
        self.outputs.extend(dropped);
    }

    pub(super) fn on_stop(&mut self, now: SessionTime) {
        if self.agent != Agent::Idle {
            self.interrupt();
            self.on_agent_finished(now);
        }
    }

    pub(super) fn on_audible(&mut self, now: SessionTime) {
        self.endpointing.agent_audible(now);
        let is_heard_together = self.turn.is_some() && self.is_user_speaking();
        self.overlap.agent_audible(now, is_heard_together);
        self.first_audible_at.get_or_insert(now);
        self.unheard_text_since = None;
    }

    pub(super) fn on_agent_finished(&mut self, now: SessionTime) {
        self.agent = Agent::Idle;
        self.is_held = false;
        self.overlap.agent_silent();
        if self.turn.is_none()
            && let Voice::Speaking { .. } = self.voice
        {
            // What was said into an uninterruptible reply is lost; what follows it is not.
            self.voice = Voice::Speaking { since: now };
            self.open_turn(now);
        }
        self.unheard_text_since = None;
        self.speak_next();
        self.answer_texts(now);
    }

    /// Begins what waits to be said, once the agent is free and the user is done.
    pub(super) fn speak_next(&mut self) {
        if self.agent != Agent::Idle || !self.is_user_there() {
            return;
        }
        let is_user_turn = self.turn.is_some() || self.is_user_speaking();
        let is_user_turn = is_user_turn && !(self.is_wordless && self.is_user_speaking());
        if let Some(next) = self.queue.pop(is_user_turn) {
            self.drop_prepared();
            self.agent = Agent::Busy {
                is_interruptible: next.is_interruptible,
            };
            self.outputs.push(TurnOutput::Speak(next.id));
        }
    }

    /// Stops the agent when the user's voice has lasted long enough: for good, or until it is known
    /// whether the voice had words.
    pub(super) fn interrupt_by_voice(&mut self, now: SessionTime) {
        if self.voice_interrupts_at().is_none_or(|at| now < at) {
            return;
        }
        let config = &self.config.interruption;
        if config.resume_false_interruption && !config.false_interruption_timeout.is_zero() {
            self.agent = Agent::Paused;
            self.outputs.push(TurnOutput::Pause);
        } else {
            self.voice_interrupts();
        }
    }

    /// When the voice that is heard has lasted long enough to stop the agent.
    pub(super) fn voice_interrupts_at(&self) -> Option<SessionTime> {
        let (Voice::Speaking { since }, Some(turn)) = (self.voice, &self.turn) else {
            return None;
        };
        if self.is_wordless {
            return None;
        }
        let needed = self.voice_needed_to_interrupt()?;
        let long_enough = since + needed.saturating_sub(turn.utterance_voiced);
        let warm_up = self.config.interruption.echo_warm_up;
        let echo_ends = self.first_audible_at.map(|at| at + warm_up);
        Some(echo_ends.map_or(long_enough, |at| at.max(long_enough)))
    }

    /// Lets the agent go on when the voice that paused it has ended and no words came in time.
    pub(super) fn resume_in_time(&mut self, now: SessionTime) {
        if self.resumes_at().is_some_and(|at| now >= at) {
            self.resume();
        }
    }

    /// When the agent goes on if nothing is known of the voice that paused it.
    pub(super) fn resumes_at(&self) -> Option<SessionTime> {
        if self.agent != Agent::Paused || self.is_user_speaking() {
            return None;
        }
        let ended_at = self.turn.as_ref()?.voice_ended_at;
        Some(ended_at + self.config.interruption.false_interruption_timeout)
    }

    /// It was no interruption.
    pub(super) fn resume(&mut self) {
        self.agent = Agent::Busy {
            is_interruptible: true,
        };
        match self.presence {
            Presence::Away => self.is_held = true,
            Presence::Expected | Presence::There => self.outputs.push(TurnOutput::Resume),
        }
    }

    /// What the user says stops the agent.
    pub(super) fn voice_interrupts(&mut self) {
        let overlap = self.overlap.stopped().map(|began| TurnOutput::Overlap {
            began,
            is_interruption: true,
        });
        self.outputs.extend(overlap);
        self.interrupt();
    }

    /// What the user said does not stop the agent.
    pub(super) fn outlasts_voice(&mut self) {
        if self.agent != Agent::Idle {
            let overlap = self.overlap.outlasted().map(|began| TurnOutput::Overlap {
                began,
                is_interruption: false,
            });
            self.outputs.extend(overlap);
        }
    }

    pub(super) fn interrupt(&mut self) {
        self.agent = Agent::Idle;
        self.unheard_text_since = None;
        self.is_held = false;
        self.overlap.agent_silent();
        self.outputs.push(TurnOutput::Interrupt);
    }

    /// Voice that stops the agent as it is now; `None` when no length of voice does.
    fn voice_needed_to_interrupt(&self) -> Option<Duration> {
        match self.agent {
            Agent::Busy {
                is_interruptible: true,
            } if !self.is_rest_of_cut() => self.config.interruption.duration_needed(),
            Agent::Busy { .. } | Agent::Idle | Agent::Paused => None,
        }
    }

    /// Words stop the agent as soon as they are heard, without a pause.
    pub(super) fn on_words(&mut self, words: String) {
        let Some(turn) = &mut self.turn else { return };
        turn.hear(words);
        let words = turn.words_so_far();
        if self.do_words_interrupt(&words) {
            self.voice_interrupts();
        }
    }

    /// Whether these words stop the agent as it is now.
    pub(super) fn do_words_interrupt(&self, transcript: &str) -> bool {
        let is_stoppable =
            !self.is_uninterruptible() && !self.is_rest_of_cut() && self.agent != Agent::Idle;
        is_stoppable && self.config.interruption.words_stop(transcript)
    }

    pub(super) fn is_uninterruptible(&self) -> bool {
        self.agent
            == Agent::Busy {
                is_interruptible: false,
            }
    }

    /// Whether a voice that is heard now is listened to.
    pub(super) fn is_listening(&self) -> bool {
        let config = &self.config.interruption;
        !(self.is_uninterruptible() && config.discard_audio_if_uninterruptible)
    }

    /// Whether what the user has said must wait for the end of what the agent says.
    pub(super) fn must_wait(&self) -> bool {
        let is_heard_out =
            self.is_uninterruptible() || self.is_rest_of_cut() && self.agent != Agent::Idle;
        is_heard_out && self.turn.as_ref().and_then(OpenTurn::transcript).is_some()
    }
}
