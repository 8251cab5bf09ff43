//! What a speech-to-speech session does about what happens: plain code that takes time as an
//! argument.
//!
//! The service decides when the user has finished; this decides what is heard, shown, remembered
//! and told to the service.

mod connection;
mod history;
mod interruption;
mod ours;
mod presence;
mod service;
mod speeches;
mod tools;
mod typed;

use std::time::Duration;

use self::history::Entry;
pub(super) use self::ours::{Recorded, Voiced};
use self::presence::Presence;
use self::speeches::Speeches;
use super::protocol::ClientEvent;
use super::turn::{GRAIN, OpenTurn};
use crate::chat::{ChatItem, ToolCall};
use crate::error::CallError;
use crate::redact::Pii;
use crate::room::{AgentState, SegmentId, SessionEvent, Usage, UserState};
use crate::session::apology::Stage;
use crate::session::handle::{SpeechEnd, Words};
use crate::session::reply::{Failure, SILENCE};
use crate::turn::{Attention, ReplyOutcome, SessionTime, Turn, TurnId, TurnSource, WaitingTexts};

/// When something happens: the session's time, and how much sound the output has played.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) now: SessionTime,
    pub(super) position: Duration,
}

/// Something to do.
pub(super) enum Action {
    /// Tell the service.
    Send(ClientEvent),
    /// Play this sound after all earlier.
    Play(Vec<i16>),
    /// Speak this with the voice of `[tts]`.
    Speak(Words),
    /// Drop what was not played yet, and what the voice has to say.
    Silence,
    /// Run a tool.
    Run(ToolCall),
    /// Drop the tools that run.
    CancelTools,
    /// Count texts that are not answered: too many wait.
    DropTexts(usize),
    /// Show what the agent does.
    Show(AgentState),
    /// Show what the user said.
    UserWords(SegmentId, String, bool),
    /// Show more of what the agent said.
    AgentWords(SegmentId, String),
    /// Nothing more of this is said.
    EndAgentWords(SegmentId),
    /// Tell front ends.
    Tell(SessionEvent),
    /// The exchange is over.
    Record(Box<Turn>),
    /// The user hears that something went wrong; the session ends if it must.
    Trouble {
        stage: Stage,
        error: CallError,
        is_final: bool,
    },
    /// The service does not answer: another connection, perhaps to another service.
    Reconnect(CallError),
    /// The session is over.
    End(CallError),
}

/// Limits of a dialogue.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) items_max: usize,
    pub(super) bytes_max: usize,
    pub(super) tool_rounds_max: u32,
    pub(super) errors_max: u32,
    /// The longest wait for the service's next step in an answer.
    pub(super) silence_max: Duration,
    /// How often an answer is asked for: once of each service there is.
    pub(super) tries_max: u32,
    /// The most audio and text of one answer.
    pub(super) reply_max: Duration,
    pub(super) reply_characters_max: usize,
    /// Age at which a connection is replaced.
    pub(super) connection_age_max: Duration,
    /// After how much silence the user counts as away; zero for never.
    pub(super) away_after: Duration,
}

/// See the module.
pub(super) struct Dialogue {
    limits: Limits,
    turn: Option<OpenTurn>,
    /// An exchange that is over but for the words of the user.
    unrecorded: Option<(String, Box<Turn>)>,
    history: Vec<Entry>,
    /// What the room was shown of the user's words, by item.
    user_words: Option<(String, SegmentId, String)>,
    /// A response that is not to be heard any more.
    cancelled: Option<String>,
    /// Responses that were asked for and have not begun, and how many of them nobody wants any more.
    n_asked: u32,
    n_unwanted: u32,
    /// Whether the user waits for an answer that went with its connection.
    is_owed: bool,
    speech_started: Option<SessionTime>,
    speech_ended: Option<SessionTime>,
    is_user_speaking: bool,
    attention: Attention,
    /// Since when there is a connection, and how old it was then.
    connected: Option<(SessionTime, Duration)>,
    /// What programs want to be said.
    speeches: Speeches,
    presence: Presence,
    /// Whether words about a failure are being made.
    is_apology_due: bool,
    /// Whether the user is being told that it is over.
    is_ending: bool,
    /// Whether the user was told that there is no service.
    is_known_lost: bool,
    /// What the user typed and is not answered yet.
    typed: WaitingTexts,
    /// The output's position at the end of all that was queued.
    queued_until: Duration,
    /// Since when the agent has not been heard, as far as it was noticed.
    silent_since: Option<SessionTime>,
    shown: Option<AgentState>,
    n_turns: u32,
    n_segments: u32,
    n_errors: u32,
    usage: Usage,
    /// The identity of the user, there or away.
    user: Option<Pii<String>>,
    actions: Vec<Action>,
}

impl Dialogue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            turn: None,
            unrecorded: None,
            history: Vec::new(),
            user_words: None,
            cancelled: None,
            n_asked: 0,
            n_unwanted: 0,
            is_owed: false,
            speech_started: None,
            speech_ended: None,
            is_user_speaking: false,
            attention: Attention::new(limits.away_after),
            connected: None,
            speeches: Speeches::default(),
            presence: Presence::Expected,
            is_apology_due: false,
            is_ending: false,
            is_known_lost: false,
            typed: WaitingTexts::default(),
            queued_until: Duration::ZERO,
            silent_since: None,
            shown: None,
            n_turns: 0,
            n_segments: 0,
            n_errors: 0,
            usage: Usage::default(),
            user: None,
            actions: Vec::new(),
        }
    }

    /// What there is to do since the last time.
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Whether nobody speaks, thinks or works.
    pub(super) fn is_idle(&self) -> bool {
        self.turn.is_none() && !self.is_user_speaking && self.unrecorded.is_none()
    }

    /// The tools that run.
    #[cfg(test)]
    pub(super) fn running(&self) -> &[ToolCall] {
        self.turn.as_ref().map_or(&[], |turn| &turn.running)
    }

    /// Whether there is something to follow from moment to moment.
    pub(super) fn is_speaking(&self) -> bool {
        self.turn
            .as_ref()
            .is_some_and(|turn| !turn.speeches.is_empty())
    }

    /// Whether what the user says now is not to be heard.
    pub(super) fn is_deaf(&self) -> bool {
        self.turn
            .as_ref()
            .is_some_and(|turn| !turn.is_interruptible)
    }

    /// The agent speaks first: the model finds the words.
    pub(super) fn greet(&mut self, at: Moment, instructions: String, is_interruptible: bool) {
        let turn = self.begin(TurnId::default(), TurnSource::Agent);
        turn.is_interruptible = is_interruptible;
        turn.instructions = Some(instructions);
        turn.may_use_tools = false;
        self.respond(at);
    }

    /// Time passed: shows what was heard, and closes an exchange that is over.
    pub(super) fn follow(&mut self, at: Moment) {
        self.take_typed(at);
        let Some(turn) = &mut self.turn else {
            self.notice_absence(at);
            return;
        };
        self.attention.update(at.now, false);
        if let Some(news) = turn.news(at.position) {
            let segment = turn.segment;
            self.act(Action::AgentWords(segment, news));
        }
        if self.is_heard(at) {
            self.silent_since = None;
            return;
        }
        let silent_since = *self.silent_since.get_or_insert(at.now);
        let Some(turn) = &mut self.turn else { return };
        if !turn.is_said() {
            if at.now.since(silent_since) >= SILENCE {
                self.show(AgentState::Thinking);
            }
            self.notice_silence(at);
        } else if let Some(Failure { stage, error }) = turn.failure.take() {
            self.finish(at, ReplyOutcome::Failed(error.without_cause()));
            self.on_failure(stage, error);
        } else {
            let is_answer = turn.speeches.iter().any(|speech| !speech.is_ours);
            let ends_with = turn.ends_with.take();
            if is_answer {
                self.n_errors = 0;
            }
            self.finish(at, ReplyOutcome::Finished);
            match ends_with {
                Some(error) => self.act(Action::End(error)),
                None => self.take_typed(at),
            }
        }
    }

    /// Whether there is sound that the user has not heard yet.
    fn is_heard(&self, at: Moment) -> bool {
        self.queued_until.saturating_sub(at.position) >= GRAIN
    }

    /// Asks the service for the answer, or for it once more.
    fn respond(&mut self, at: Moment) {
        let Some(turn) = &mut self.turn else { return };
        turn.response = Some(String::new());
        turn.n_tries += 1;
        turn.progress = at.now;
        let asked = ClientEvent::respond(turn.instructions.clone(), turn.may_use_tools);
        self.n_asked += 1;
        self.act(Action::Send(asked));
        self.show_work();
    }

    /// Has this heard after all that is queued, which ends at `begins`.
    fn play(&mut self, samples: Vec<i16>, begins: Duration, length: Duration) {
        self.queued_until = begins + length;
        self.silent_since = None;
        self.act(Action::Play(samples));
        self.show(AgentState::Speaking);
    }

    /// The agent is at work. In the middle of an answer that is seen once it is silent.
    fn show_work(&mut self) {
        let turn = self.turn.as_ref();
        if turn.is_none_or(|turn| turn.timeline.playout_started.is_none()) {
            self.show(AgentState::Thinking);
        }
    }

    fn begin(&mut self, id: TurnId, source: TurnSource) -> &mut OpenTurn {
        let segment = self.new_segment();
        let user = self.user.clone();
        self.turn.insert(OpenTurn::new(id, user, source, segment))
    }

    fn begin_next(&mut self, source: TurnSource) -> &mut OpenTurn {
        self.n_turns += 1;
        self.begin(TurnId(self.n_turns), source)
    }

    fn finish(&mut self, at: Moment, outcome: ReplyOutcome) {
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        if let Some(news) = turn.news(at.position) {
            self.act(Action::AgentWords(turn.segment, news));
        }
        self.act(Action::EndAgentWords(turn.segment));
        if turn.timeline.playout_started.is_some() {
            turn.timeline.playout_ended = Some(self.silent_since.unwrap_or(at.now));
        }
        if let Some((_, ending)) = turn.asked.take() {
            ending.send_replace(Some(SpeechEnd::from(&outcome)));
        }
        let heard = turn.heard_text(at.position);
        if !heard.trim().is_empty() {
            let item = ChatItem::Agent {
                text: heard,
                is_interrupted: matches!(outcome, ReplyOutcome::Interrupted),
            };
            let timeline = turn.timeline;
            if turn.speeches.iter().any(|speech| speech.is_ours) {
                self.act(Action::Send(ClientEvent::item(&item)));
            }
            self.remember(item.clone());
            self.act(Action::Tell(SessionEvent::ConversationItemAdded {
                item,
                timeline: Box::new(timeline),
                at: at.now,
            }));
        }
        self.act(Action::Tell(SessionEvent::SessionUsageUpdated(self.usage)));
        let awaited = turn.user_item.take();
        let record = Box::new(turn.record(outcome, at.position));
        if let Some((_, earlier)) = self.unrecorded.take() {
            self.act(Action::Record(earlier));
        }
        match awaited {
            Some(item) => self.unrecorded = Some((item, record)),
            None => self.act(Action::Record(record)),
        }
        self.show(AgentState::Listening);
    }

    fn new_segment(&mut self) -> SegmentId {
        self.n_segments += 1;
        SegmentId(self.n_segments)
    }

    fn tell_user_state(&mut self, state: UserState) {
        self.act(Action::Tell(SessionEvent::UserStateChanged(state)));
    }

    fn show(&mut self, state: AgentState) {
        if self.shown.replace(state) != Some(state) {
            self.act(Action::Show(state));
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}
