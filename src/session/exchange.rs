//! A reply and the turn it answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{SetOnce, watch};

use super::event_loop::Core;
use super::handle::Ending;
use super::reply::{Making, Reply, ReplyId};
use super::spoken::SpokenLog;
use super::writing::Source;
use crate::error::CallError;
use crate::pool::{CallOptions, PermitWait};
use crate::redact::Pii;
use crate::room::{AgentState, SegmentId};
use crate::turn::{
    Commit, ReplyOutcome, SessionTime, SpeechId, Timeline, Turn, TurnId, TurnSource,
};

/// Why a reply is given.
pub(super) enum Kind {
    /// The agent speaks first.
    Greeting,
    /// The user took a turn.
    Answer,
    /// Something failed; the session ends after it when it holds the reason.
    Apology { ends_with: Option<CallError> },
}

/// A reply and the turn it belongs to.
pub(super) struct Exchange {
    /// The user it was begun for, also if another one is there when it ends.
    pub(super) user: Option<Pii<String>>,
    pub(super) reply: Reply,
    pub(super) kind: Kind,
    id: TurnId,
    source: TurnSource,
    transcript: String,
    pub(super) segment: SegmentId,
    pub(super) timeline: Timeline,
    /// Whether it is heard, or would be if it were not paused.
    pub(super) is_audible: bool,
    /// Whether the agent is silent in the middle of it.
    pub(super) is_paused: bool,
    /// What it was called in the queue.
    pub(super) speech: Option<SpeechId>,
    /// Who wants to know how it ends.
    pub(super) ending: Option<Ending>,
    /// How long its requests have waited for permits.
    waited: PermitWait,
    /// How long they had when the first sound came, and how long the turn's transcription had.
    waited_for_sound: Option<Duration>,
    transcription_waited: Duration,
}

impl Exchange {
    /// Its first sound has come: later waits are behind it.
    pub(super) fn has_sound(&mut self) {
        self.waited_for_sound.get_or_insert(self.waited.total());
    }

    /// Nothing more of it is heard, unless it goes on.
    pub(super) fn fall_silent(&mut self, now: SessionTime) {
        if self.timeline.playout_started.is_some() {
            self.timeline.playout_ended.get_or_insert(now);
        }
    }

    /// Silence, but it can go on from here; the caller clears the output after this.
    pub(super) fn pause(&mut self, now: SessionTime) {
        self.fall_silent(now);
        self.is_paused = true;
        self.reply.pause();
    }

    /// Goes on where it was paused. Returns what the agent does then.
    pub(super) fn resume(&mut self) -> AgentState {
        self.is_paused = false;
        if self.is_audible {
            self.timeline.playout_ended = None;
        }
        self.reply.resume();
        match self.is_audible {
            true => AgentState::Speaking,
            false => AgentState::Thinking,
        }
    }

    /// It is the answer to this turn of the user.
    pub(super) fn answers(&mut self, commit: Commit, transcription_waited: Duration) {
        self.transcription_waited = transcription_waited;
        self.id = commit.id;
        self.source = commit.source;
        self.transcript = commit.transcript;
        self.timeline.speech_started = commit.timeline.speech_started;
        self.timeline.speech_ended = commit.timeline.speech_ended;
        self.timeline.transcript_final = commit.timeline.transcript_final;
        self.timeline.committed = commit.timeline.committed;
    }

    /// How it went, once it is over; the output has played up to `position`.
    pub(super) fn into_turn(self, outcome: ReplyOutcome, position: Duration) -> Turn {
        let heard = match outcome {
            ReplyOutcome::Finished => self.reply.log(SpokenLog::full_text),
            ReplyOutcome::Interrupted | ReplyOutcome::Failed(_) => self.reply.heard_text(position),
        };
        let waited = self.waited_for_sound.unwrap_or(self.waited.total());
        let timeline = Timeline {
            permit_wait: Some(self.transcription_waited + waited),
            ..self.timeline
        };
        Turn {
            id: self.id,
            user: self.user,
            source: self.source,
            transcript: Pii::new(self.transcript),
            reply: Pii::new(self.reply.log(SpokenLog::full_text)),
            heard: Pii::new(heard),
            tool_calls: Pii::new(self.reply.log(SpokenLog::tool_calls)),
            outcome,
            timeline,
        }
    }
}

impl Core {
    /// Begins to make a reply; nothing is heard of it before it is released.
    pub(super) fn make(&mut self, source: Source, kind: Kind) -> Exchange {
        self.begin(source, kind, false)
    }

    /// The same for a reply that may turn out to be of no use: its requests are urgent only once it is
    /// released.
    pub(super) fn make_in_advance(&mut self, source: Source) -> Exchange {
        self.begin(source, Kind::Answer, true)
    }

    fn begin(&mut self, source: Source, kind: Kind, is_speculation: bool) -> Exchange {
        self.n_replies += 1;
        let released = Arc::<SetOnce<()>>::default();
        let options = CallOptions {
            caller: Some(self.caller),
            committed: is_speculation.then(|| Arc::clone(&released)),
            ..CallOptions::default()
        };
        let waited = options.waited.clone();
        let making = Making {
            id: ReplyId(self.n_replies),
            agent: self.agent.clone(),
            config: self.config.clone(),
            output: Arc::clone(&self.output),
            events: self.events.clone(),
            log: Arc::new(Mutex::new(SpokenLog::default())),
            released,
            is_paused: watch::Sender::new(false),
            options,
        };
        Exchange {
            user: self.user.clone(),
            reply: Reply::prepare(making, source),
            kind,
            id: TurnId::default(),
            source: TurnSource::Agent,
            transcript: String::new(),
            segment: self.new_segment(),
            timeline: Timeline::default(),
            is_audible: false,
            is_paused: false,
            speech: None,
            ending: None,
            waited,
            waited_for_sound: None,
            transcription_waited: Duration::ZERO,
        }
    }

    /// Begins to make the greeting, if the agent speaks first.
    pub(super) fn make_greeting(&mut self) -> Option<Exchange> {
        let source = self.agent.opening(&self.config, &self.chat)?;
        Some(self.make(source, Kind::Greeting))
    }

    pub(super) fn new_segment(&mut self) -> SegmentId {
        self.n_segments += 1;
        SegmentId(self.n_segments)
    }
}
