//! What the agent says without the service: a greeting that was kept, an apology, a program's words.

use std::time::Duration;

use super::super::protocol::RATE_HZ;
use super::{Dialogue, Moment};
use crate::error::CallError;
use crate::session::apology::Stage;
use crate::session::handle::SpeechEnd;
use crate::session::reply::Failure;
use crate::session::speech::Speech;
use crate::turn::{TurnId, TurnSource};

/// Words with their sound.
pub(in super::super) struct Recorded {
    /// What is heard, for captions and the conversation; empty for a sound that says nothing.
    pub(in super::super) text: String,
    /// At [`RATE_HZ`].
    pub(in super::super) samples: Vec<i16>,
}

/// What comes of words that the voice of `[tts]` speaks.
pub(in super::super) enum Voiced {
    /// The words of the sound that follows, and how many characters the voice was sent of them.
    Sentence(String, u32),
    /// At [`RATE_HZ`].
    Sound(Vec<i16>),
    Failed(CallError),
    End,
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
        let turn = self.begin(TurnId::default(), TurnSource::Agent);
        turn.is_interruptible = is_interruptible;
        turn.begin_ours(&text);
        self.play_ours(at, samples);
        if let Some(turn) = &mut self.turn {
            turn.complete();
        }
    }

    /// More of what the voice speaks.
    pub(in super::super) fn on_voice(&mut self, at: Moment, voiced: Voiced) {
        let Some(turn) = &mut self.turn else { return };
        match voiced {
            Voiced::Sentence(text, n_characters) => {
                turn.begin_ours(&text);
                let used = &mut self.usage.tts_characters;
                *used = used.saturating_add(n_characters);
            }
            Voiced::Sound(samples) => {
                turn.timeline.tts_first_audio.get_or_insert(at.now);
                self.play_ours(at, samples);
            }
            Voiced::Failed(error) => {
                turn.is_voicing = false;
                turn.failure = Some(Failure {
                    stage: Stage::Tts,
                    error,
                });
            }
            Voiced::End => {
                turn.is_voicing = false;
                turn.complete();
            }
        }
        self.follow(at);
    }

    fn play_ours(&mut self, at: Moment, samples: Vec<i16>) {
        let begins = self.queued_until.max(at.position);
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(RATE_HZ));
        let Some(turn) = &mut self.turn else { return };
        if samples.is_empty() {
            return;
        }
        turn.add_our_sound(begins, length);
        turn.timeline.playout_started.get_or_insert(at.now);
        self.play(samples, begins, length);
    }

    /// Says that something went wrong, unless the conversation has gone on meanwhile. With
    /// `ends_with` the session is over after it.
    pub(in super::super) fn apologise(
        &mut self,
        at: Moment,
        recorded: Recorded,
        ends_with: Option<CallError>,
    ) {
        self.is_apology_due = false;
        let is_last = ends_with.is_some();
        if !is_last && (self.turn.is_some() || self.is_user_speaking) {
            return;
        }
        if let Some(turn) = &mut self.turn
            && let Some((_, ending)) = turn.asked.take()
        {
            // It waited for the service that is given up here.
            ending.send_replace(Some(SpeechEnd::Failed));
        }
        self.say(at, recorded, !is_last);
        if let Some(turn) = &mut self.turn {
            turn.ends_with = ends_with;
        }
    }
}
