//! What a speech-to-speech session does about what happens: plain code that takes time as an
//! argument.
//!
//! The service decides when the user has finished; this decides what is heard, shown, remembered
//! and told to the service.

mod service;

use std::time::Duration;

use super::protocol::{ClientEvent, OPERATION};
use super::turn::OpenTurn;
use crate::chat::{ChatItem, ToolCall, ToolOutput};
use crate::error::{CallError, ErrorKind, Service};
use crate::redact::Pii;
use crate::room::{AgentState, SegmentId, SessionEvent, Usage, UserState};
use crate::turn::{ReplyOutcome, SessionTime, Turn, TurnId, TurnSource};

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
    /// Drop what was not played yet.
    Silence,
    /// Run a tool.
    Run(ToolCall),
    /// Drop the tools that run.
    CancelTools,
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
    Trouble { error: CallError, is_final: bool },
}

/// Limits of a dialogue.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) items_max: usize,
    pub(super) tool_rounds_max: u32,
    pub(super) errors_max: u32,
}

/// Something of the conversation, to be told to the next connection.
struct Entry {
    /// The service's name for it, while its words are not known.
    awaited: Option<String>,
    item: ChatItem,
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
    /// The output's position at the end of all that was queued.
    queued_until: Duration,
    shown: Option<AgentState>,
    n_turns: u32,
    n_segments: u32,
    n_errors: u32,
    usage: Usage,
    pub(super) user: Option<Pii<String>>,
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
            queued_until: Duration::ZERO,
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

    /// The conversation so far, for a connection that does not know it.
    pub(super) fn replay(&self) -> Vec<ClientEvent> {
        let known = |entry: &&Entry| entry.awaited.is_none();
        let entries = self.history.iter().filter(known);
        entries
            .map(|entry| ClientEvent::item(&entry.item))
            .collect()
    }

    /// The agent speaks first.
    pub(super) fn greet(&mut self, instructions: String) {
        self.begin(TurnId::default(), TurnSource::Agent);
        self.respond(Some(instructions), false);
    }

    /// The user typed something.
    pub(super) fn typed(&mut self, at: Moment, text: String) {
        self.interrupt(at);
        let item = ChatItem::User(text.clone());
        self.act(Action::Send(ClientEvent::item(&item)));
        let turn = self.begin_next(TurnSource::Text);
        turn.transcript = text;
        turn.timeline.committed = Some(at.now);
        self.remember(item);
        self.respond(None, true);
    }

    /// Another user is there: what was said is not theirs to know.
    pub(super) fn forget(&mut self) {
        self.history.clear();
    }

    /// Time passed: shows what was heard, and closes an exchange that is over.
    pub(super) fn follow(&mut self, at: Moment) {
        let Some(turn) = &mut self.turn else { return };
        if let Some(news) = turn.news(at.position) {
            let segment = turn.segment;
            self.act(Action::AgentWords(segment, news));
        }
        let Some(turn) = &self.turn else { return };
        let is_heard = at.position >= self.queued_until;
        if turn.is_said() && is_heard {
            if !turn.speeches.is_empty() {
                self.n_errors = 0;
            }
            self.finish(at, ReplyOutcome::Finished);
        }
    }

    /// A tool has answered.
    pub(super) fn on_tool(&mut self, call: ToolCall, output: ToolOutput) {
        let Some(turn) = &mut self.turn else { return };
        let Some(place) = turn.running.iter().position(|it| it.id == call.id) else {
            return;
        };
        turn.running.remove(place);
        turn.ran.push((call.clone(), output.clone()));
        let answer = ChatItem::ToolOutput {
            call_id: call.id.clone(),
            output,
        };
        self.act(Action::Send(ClientEvent::item(&answer)));
        self.remember(ChatItem::ToolCall(call));
        self.remember(answer);
        self.go_on();
    }

    /// The connection is gone; what it had sent is still heard.
    pub(super) fn on_lost(&mut self, at: Moment) {
        self.is_user_speaking = false;
        (self.n_asked, self.n_unwanted) = (0, 0);
        if let Some(turn) = &mut self.turn {
            let is_waiting = turn.speeches.is_empty();
            let is_known = turn.user_item.is_none();
            self.is_owed = is_waiting && is_known;
            turn.complete();
            turn.response = self.is_owed.then(String::new);
            turn.running.clear();
            turn.ran.clear();
            self.act(Action::CancelTools);
            if is_waiting && !is_known {
                let (service, kind) = (Service::OpenAi, ErrorKind::Unavailable);
                self.on_failure(CallError::new(service, OPERATION, kind));
            }
        }
        if let Some((_, turn)) = self.unrecorded.take() {
            self.act(Action::Record(turn));
        }
        self.history.retain(|entry| entry.awaited.is_none());
        self.follow(at);
    }

    /// A connection is there that knows the conversation: what the user waits for is asked for once
    /// more.
    pub(super) fn on_connected(&mut self) {
        if std::mem::take(&mut self.is_owed) {
            self.respond(None, true);
        }
    }

    /// The service failed the conversation.
    pub(super) fn on_failure(&mut self, error: CallError) {
        self.n_errors += 1;
        let is_final = self.n_errors >= self.limits.errors_max || error.kind.needs_operator();
        self.act(Action::Tell(SessionEvent::Error(error.to_string())));
        self.act(Action::Trouble { error, is_final });
    }

    /// Stops the agent: silence, and what was heard is what was said.
    pub(super) fn interrupt(&mut self, at: Moment) {
        let Some(turn) = &mut self.turn else { return };
        self.cancelled = turn.response.take();
        self.is_owed = false;
        if self.cancelled.as_deref() == Some("") {
            self.n_unwanted = self.n_asked;
        }
        let cut = turn.speeches.iter().filter(|it| it.is_cut(at.position));
        let truncations: Vec<_> = cut
            .map(|speech| ClientEvent::Truncate {
                item_id: speech.item.clone(),
                content_index: 0,
                audio_end_ms: u64::try_from(speech.heard(at.position).as_millis())
                    .unwrap_or(u64::MAX),
            })
            .collect();
        let unanswered: Vec<_> = turn.running.drain(..).collect();
        self.act(Action::Silence);
        if self.cancelled.is_some() {
            self.act(Action::Send(ClientEvent::CancelResponse));
        }
        for event in truncations {
            self.act(Action::Send(event));
        }
        if !unanswered.is_empty() {
            self.act(Action::CancelTools);
        }
        for call in unanswered {
            let output = ToolOutput {
                text: "the user interrupted before the tool had answered".to_owned(),
                is_error: true,
            };
            let answer = ChatItem::ToolOutput {
                call_id: call.id,
                output,
            };
            self.act(Action::Send(ClientEvent::item(&answer)));
        }
        self.queued_until = at.position;
        self.finish(at, ReplyOutcome::Interrupted);
    }

    /// The session is over: what is being said ends here.
    pub(super) fn close(&mut self, at: Moment) {
        self.interrupt(at);
        if let Some((_, segment, text)) = self.user_words.take() {
            self.act(Action::UserWords(segment, text, true));
        }
        if let Some((_, turn)) = self.unrecorded.take() {
            self.act(Action::Record(turn));
        }
    }

    /// Once all tools of a round have answered, the model goes on.
    fn go_on(&mut self) {
        let rounds_max = self.limits.tool_rounds_max;
        let Some(turn) = &mut self.turn else { return };
        if turn.response.is_some() || !turn.running.is_empty() || turn.ran.is_empty() {
            return;
        }
        turn.n_rounds += 1;
        let may_use_tools = turn.n_rounds < rounds_max;
        let (calls, outputs) = turn.ran.drain(..).unzip();
        self.act(Action::Tell(SessionEvent::FunctionToolsExecuted {
            calls,
            outputs,
        }));
        self.respond(None, may_use_tools);
    }

    fn respond(&mut self, instructions: Option<String>, may_use_tools: bool) {
        if let Some(turn) = &mut self.turn {
            turn.response = Some(String::new());
        }
        self.n_asked += 1;
        self.act(Action::Send(ClientEvent::respond(
            instructions,
            may_use_tools,
        )));
        self.show(AgentState::Thinking);
    }

    fn begin(&mut self, id: TurnId, source: TurnSource) -> &mut OpenTurn {
        let segment = self.new_segment();
        self.turn.insert(OpenTurn::new(id, source, segment))
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
            turn.timeline.playout_ended = Some(at.now);
        }
        let heard = turn.heard_text(at.position);
        if !heard.trim().is_empty() {
            let item = ChatItem::Agent {
                text: heard,
                is_interrupted: matches!(outcome, ReplyOutcome::Interrupted),
            };
            let timeline = turn.timeline;
            self.remember(item.clone());
            self.act(Action::Tell(SessionEvent::ConversationItemAdded {
                item,
                timeline,
            }));
        }
        self.act(Action::Tell(SessionEvent::SessionUsageUpdated(self.usage)));
        let awaited = turn.user_item.take();
        let record = Box::new(turn.record(self.user.clone(), outcome, at.position));
        if let Some((_, earlier)) = self.unrecorded.take() {
            self.act(Action::Record(earlier));
        }
        match awaited {
            Some(item) => self.unrecorded = Some((item, record)),
            None => self.act(Action::Record(record)),
        }
        self.show(AgentState::Listening);
    }

    fn remember(&mut self, item: ChatItem) {
        self.history.push(Entry {
            awaited: None,
            item,
        });
        let n_surplus = self.history.len().saturating_sub(self.limits.items_max);
        self.history.drain(..n_surplus);
        // A tool's answer without its call is refused.
        while matches!(self.history.first(), Some(entry)
            if matches!(entry.item, ChatItem::ToolOutput { .. }))
        {
            self.history.remove(0);
        }
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
