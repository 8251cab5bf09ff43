//! The record of one turn, from the first sample to what the user heard.

use std::time::Duration;

use super::SessionTime;
use crate::chat::ToolCall;
use crate::error::CallError;

/// The number of a turn within its session, from 1; the greeting is turn 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(pub u32);

/// Where the user's words came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnSource {
    /// Spoken.
    Speech,
    /// Typed.
    Text,
    /// Nobody: the agent speaks first (greeting) or of itself (apology).
    Agent,
}

impl TurnSource {
    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Text => "text",
            Self::Agent => "agent",
        }
    }
}

/// How a reply ended.
#[derive(Debug)]
pub enum ReplyOutcome {
    /// Everything was said and heard.
    Finished,
    /// The user stopped it, or left.
    Interrupted,
    /// A service failed before the end.
    Failed(CallError),
}

impl ReplyOutcome {
    /// The label in metrics and logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed(_) => "failed",
        }
    }
}

/// One exchange: what the user said and what was heard in reply.
#[derive(Debug)]
pub struct Turn {
    /// Which one of the session.
    pub id: TurnId,
    /// The identity of the user, if anybody was there.
    pub user: Option<crate::redact::Pii<String>>,
    /// Where the user's words came from.
    pub source: TurnSource,
    /// What the user said; empty when the agent spoke of itself.
    pub transcript: crate::redact::Pii<String>,
    /// What the agent meant to say.
    pub reply: crate::redact::Pii<String>,
    /// What the user heard of it.
    pub heard: crate::redact::Pii<String>,
    /// Tools that were called on the way.
    pub tool_calls: crate::redact::Pii<Vec<ToolCall>>,
    /// How the reply ended.
    pub outcome: ReplyOutcome,
    /// When what happened.
    pub timeline: Timeline,
}

/// When the steps of a turn happened; a step that was skipped has no stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The user's voice began.
    pub speech_started: Option<SessionTime>,
    /// The user's voice ended; the beginning of the wait that the user feels.
    pub speech_ended: Option<SessionTime>,
    /// The transcript that counted arrived.
    pub transcript_final: Option<SessionTime>,
    /// The turn was decided to be over.
    pub committed: Option<SessionTime>,
    /// The model was asked; before `committed` when the reply was prepared in advance.
    pub llm_started: Option<SessionTime>,
    /// The model's first token arrived.
    pub llm_first_token: Option<SessionTime>,
    /// The first sentence was handed to the speech service.
    pub tts_started: Option<SessionTime>,
    /// The first sound arrived from the speech service.
    pub tts_first_audio: Option<SessionTime>,
    /// The first sound left for the caller.
    pub playout_started: Option<SessionTime>,
    /// The last sound that the caller hears left.
    pub playout_ended: Option<SessionTime>,
    /// How long the user had spoken over the agent when it was silenced.
    pub interruption_delay: Option<Duration>,
    /// How long the turn's requests waited for permits of the pool, up to its first sound. It is part of
    /// the times above.
    pub permit_wait: Option<Duration>,
}

impl Timeline {
    /// End of voice to transcript.
    pub fn transcription_delay(&self) -> Option<Duration> {
        between(self.speech_ended, self.transcript_final)
    }

    /// End of voice to the decision that the turn is over.
    pub fn end_of_turn_delay(&self) -> Option<Duration> {
        between(self.speech_ended, self.committed)
    }

    /// Question to first token.
    pub fn llm_ttft(&self) -> Option<Duration> {
        between(self.llm_started, self.llm_first_token)
    }

    /// Sentence to first sound.
    pub fn tts_ttfb(&self) -> Option<Duration> {
        between(self.tts_started, self.tts_first_audio)
    }

    /// End of voice (or typed text) to the model's first token.
    pub fn first_token(&self) -> Option<Duration> {
        self.waited(self.llm_first_token)
    }

    /// End of voice (or typed text) to the first sound from the speech service.
    pub fn first_audio(&self) -> Option<Duration> {
        self.waited(self.tts_first_audio)
    }

    /// What the user waits: end of voice (or typed text) to the first sound of the reply.
    pub fn e2e_latency(&self) -> Option<Duration> {
        self.waited(self.playout_started)
    }

    /// How long the user had waited then: since the end of their voice, or since they sent a text.
    pub fn waited(&self, moment: Option<SessionTime>) -> Option<Duration> {
        between(self.speech_ended.or(self.committed), moment)
    }
}

fn between(from: Option<SessionTime>, to: Option<SessionTime>) -> Option<Duration> {
    Some(to?.since(from?))
}
