//! `lk.agent.session`: front ends ask about the session and are told what happens in it.
//!
//! The session knows nothing of this: what it tells the room is kept here ([`History`]), and every
//! question is answered from that. Only the user's front end asks and is told.
//!
//! Source: livekit-agents 1.8.9, `voice/remote_session.py`; the messages are those of
//! livekit-protocol 0.8.2, `livekit_agent_session.proto`.

mod encode;
mod history;
mod rtc_stats;
mod runs;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use livekit::prelude::ParticipantIdentity;
use livekit::{Room, SendByteOptions};
use livekit_protocol::agent::agent_session_event as pb_event;
use livekit_protocol::agent::agent_session_message::Message;
use livekit_protocol::agent::session_request::Request;
use livekit_protocol::agent::session_response::{self as pb, Response};
use livekit_protocol::agent::{
    AgentSessionEvent, AgentSessionMessage, SessionRequest, SessionResponse,
};
use prost::Message as _;
use tokio::sync::mpsc;

use self::encode::{Clocks, agent_state, set_time, usage, user_state};
use self::history::History;
use self::runs::{RunLimit, RunPermit, Runs};
use super::link::{Link, UserNumber};
use super::{AgentCard, AgentState, SessionEvent, Usage, UserState};

/// Source: livekit-agents 1.8.9, `TOPIC_SESSION_MESSAGES`.
pub(super) const TOPIC: &str = "lk.agent.session";

/// Notes that may wait, dropped when full: a turn makes about ten.
const NOTES_MAX: usize = 256;

/// What the room notes for the front end.
pub(super) enum Note {
    /// What happened, and when.
    Event(SystemTime, SessionEvent),
    /// A request of this participant.
    Request(ParticipantIdentity, SessionRequest),
    /// The front end of this participant wants to see the turn of a text.
    Run {
        from: ParticipantIdentity,
        request_id: String,
        text: String,
        /// Or why it will not be answered.
        admitted: Result<RunPermit, &'static str>,
    },
}

/// A note, and the user whom it concerns.
pub(super) type NumberedNote = (UserNumber, Note);

/// Where notes are left.
#[derive(Clone)]
pub(super) struct Notes {
    notes: mpsc::Sender<NumberedNote>,
    runs: RunLimit,
}

impl Notes {
    pub(super) fn new() -> (Self, mpsc::Receiver<NumberedNote>) {
        let (notes, notes_out) = mpsc::channel(NOTES_MAX);
        let runs = RunLimit::default();
        (Self { notes, runs }, notes_out)
    }

    pub(super) fn event(&self, user: UserNumber, event: SessionEvent) {
        self.leave(user, Note::Event(SystemTime::now(), event));
    }

    /// Returns whether the room takes it.
    pub(super) fn leave(&self, user: UserNumber, note: Note) -> bool {
        let is_left = self.notes.try_send((user, note)).is_ok();
        if !is_left {
            tracing::debug!("a session event was dropped: the room takes none");
        }
        is_left
    }

    /// A front end gives a text to the agent. Returns whether the agent is to answer it.
    pub(super) fn begin_run(
        &self,
        user: UserNumber,
        from: ParticipantIdentity,
        request_id: String,
        text: &str,
    ) -> bool {
        let admitted = self.runs.admit(text);
        let is_admitted = admitted.is_ok();
        let run = Note::Run {
            from,
            request_id,
            text: text.to_owned(),
            admitted,
        };
        self.leave(user, run) && is_admitted
    }
}

/// Reads a front end's message: a request or nothing of interest.
///
/// # Errors
/// It is no message of a session.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<SessionRequest>, &'static str> {
    let message = AgentSessionMessage::decode(bytes);
    let message = message.map_err(|_| "it is no AgentSessionMessage")?;
    Ok(match message.message {
        Some(Message::Request(request)) => Some(request),
        _ => None,
    })
}

/// Answers and tells until nobody is left who could leave notes.
pub(super) async fn serve(
    room: &Room,
    link: Arc<Link>,
    card: AgentCard,
    mut notes: mpsc::Receiver<NumberedNote>,
) {
    let participant = room.local_participant();
    let mut remote = RemoteSession::new(card, SystemTime::now());
    let mut has_failed = false;
    while let Some((number, note)) = notes.recv().await {
        if !remote.belongs_to(number) {
            continue;
        }
        let mut asked_by = None;
        let messages = match note {
            Note::Event(at, event) => remote.on_event(at, event),
            Note::Request(from, request) => {
                asked_by = Some(from);
                if matches!(request.request, Some(Request::GetRtcStats(_))) {
                    remote.rtc_stats = rtc_stats::read(room).await;
                }
                vec![remote.on_request(SystemTime::now(), request)]
            }
            Note::Run {
                from,
                request_id,
                text,
                admitted,
            } => {
                asked_by = Some(from);
                let answer = remote.on_run(SystemTime::now(), request_id, &text, admitted);
                answer.into_iter().collect()
            }
        };
        let linked = link.get();
        // The user may have changed since the note was left.
        let is_theirs = |user: &ParticipantIdentity| {
            linked.number == number && asked_by.as_ref().is_none_or(|from| from == user)
        };
        let Some(user) = linked.user.as_ref().filter(|user| is_theirs(user)) else {
            continue;
        };
        for message in messages {
            let mut options = SendByteOptions::new_with_topic(TOPIC);
            options.destination_identities = vec![user.clone()];
            let sent = participant.send_bytes(message.encode_to_vec(), options);
            if let Err(error) = sent.await
                && !std::mem::replace(&mut has_failed, true)
            {
                tracing::warn!(%error, "session events do not reach the front end");
            }
        }
    }
}

/// What a front end can know of the session. Plain code: time is handed in.
struct RemoteSession {
    /// Whom all of it concerns.
    user: UserNumber,
    card: AgentCard,
    started: SystemTime,
    agent_state: AgentState,
    user_state: UserState,
    usage: Usage,
    /// As they were when they were asked for last.
    rtc_stats: pb::GetRtcStatsResponse,
    history: History,
    runs: Runs,
}

impl RemoteSession {
    fn new(card: AgentCard, started: SystemTime) -> Self {
        Self {
            user: UserNumber::default(),
            card,
            started,
            agent_state: AgentState::Initializing,
            user_state: UserState::default(),
            usage: Usage::default(),
            rtc_stats: pb::GetRtcStatsResponse::default(),
            history: History::default(),
            runs: Runs::default(),
        }
    }

    /// Whether a note that concerns this user is taken. With the first of a new user nothing is left of
    /// the one before.
    fn belongs_to(&mut self, user: UserNumber) -> bool {
        if self.user < user {
            let card = std::mem::take(&mut self.card);
            *self = Self {
                user,
                agent_state: self.agent_state,
                ..Self::new(card, self.started)
            };
        }
        self.user == user
    }

    /// Takes note of what happened and returns what is to be told.
    fn on_event(&mut self, now: SystemTime, event: SessionEvent) -> Vec<AgentSessionMessage> {
        let mut answers = self.runs.expire(now);
        let event = match event {
            SessionEvent::AgentStateChanged(new) => {
                let old = std::mem::replace(&mut self.agent_state, new);
                if new == AgentState::Listening {
                    answers.extend(self.runs.finish());
                }
                pb_event::Event::AgentStateChanged(pb_event::AgentStateChanged {
                    old_state: agent_state(old),
                    new_state: agent_state(new),
                })
            }
            SessionEvent::UserStateChanged(new) => {
                let old = std::mem::replace(&mut self.user_state, new);
                pb_event::Event::UserStateChanged(pb_event::UserStateChanged {
                    old_state: user_state(old),
                    new_state: user_state(new),
                })
            }
            SessionEvent::UserInputTranscribed {
                transcript,
                is_final,
            } => pb_event::Event::UserInputTranscribed(pb_event::UserInputTranscribed {
                transcript,
                is_final,
                language: None,
            }),
            SessionEvent::ConversationItemAdded { item, timeline, at } => {
                let pb_item = self.history.add(Clocks { now, at }, &item, &timeline);
                self.runs.on_item(&item, &pb_item);
                let added = pb_event::ConversationItemAdded {
                    item: Some(pb_item),
                };
                pb_event::Event::ConversationItemAdded(added)
            }
            SessionEvent::FunctionToolsExecuted { calls, outputs } => {
                pb_event::Event::FunctionToolsExecuted(encode::tools_executed(&calls, &outputs))
            }
            SessionEvent::Error(message) => pb_event::Event::Error(pb_event::Error { message }),
            SessionEvent::OverlappingSpeech {
                is_interruption,
                began_ago,
            } => {
                let overlap = encode::overlapping_speech(now, is_interruption, began_ago);
                pb_event::Event::OverlappingSpeech(overlap)
            }
            SessionEvent::AgentFalseInterruption { resumed } => {
                let interruption = pb_event::AgentFalseInterruption { resumed };
                pb_event::Event::AgentFalseInterruption(interruption)
            }
            SessionEvent::SessionUsageUpdated(used) => {
                self.usage = used;
                let usage = Some(usage(&used, &self.card.models));
                pb_event::Event::SessionUsageUpdated(pb_event::SessionUsageUpdated { usage })
            }
        };
        let mut message = AgentSessionEvent {
            event: Some(event),
            ..Default::default()
        };
        set_time!(message.created_at, now);
        let mut messages = vec![AgentSessionMessage {
            message: Some(Message::Event(message)),
        }];
        messages.append(&mut answers);
        messages
    }

    fn on_request(&mut self, now: SystemTime, request: SessionRequest) -> AgentSessionMessage {
        let answer = match request.request {
            Some(request) => self.answer(now, &request),
            None => Err("this request is not known to this version of the agent".to_owned()),
        };
        response(request.request_id, answer)
    }

    /// Answers a run that is refused; the answer to another comes with its turn.
    fn on_run(
        &mut self,
        now: SystemTime,
        request_id: String,
        text: &str,
        admitted: Result<RunPermit, &'static str>,
    ) -> Option<AgentSessionMessage> {
        match admitted {
            Ok(permit) => {
                self.runs.begin(now, request_id, text, permit);
                None
            }
            Err(why) => Some(response(request_id, Err(why.to_owned()))),
        }
    }

    fn answer(&self, now: SystemTime, request: &Request) -> Result<Response, String> {
        Ok(match request {
            Request::Ping(_) => Response::Pong(pb::Pong {}),
            Request::GetChatHistory(_) => Response::GetChatHistory(pb::GetChatHistoryResponse {
                items: self.history.items(),
            }),
            Request::GetAgentInfo(_) => Response::GetAgentInfo(pb::GetAgentInfoResponse {
                id: self.card.id.clone(),
                instructions: self.card.instructions.clone(),
                tools: self.card.tools.clone(),
                chat_ctx: self.history.items(),
            }),
            Request::GetSessionState(_) => {
                let mut state = pb::GetSessionStateResponse {
                    agent_state: agent_state(self.agent_state),
                    user_state: user_state(self.user_state),
                    agent_id: self.card.id.clone(),
                    options: self.card.options.clone().into_iter().collect(),
                    created_at: None,
                };
                set_time!(state.created_at, self.started);
                Response::GetSessionState(state)
            }
            Request::GetSessionUsage(_) => {
                let mut answer = pb::GetSessionUsageResponse {
                    usage: Some(usage(&self.usage, &self.card.models)),
                    created_at: None,
                };
                set_time!(answer.created_at, now);
                Response::GetSessionUsage(answer)
            }
            Request::GetFrameworkInfo(_) => {
                Response::GetFrameworkInfo(pb::GetFrameworkInfoResponse {
                    sdk: env!("CARGO_PKG_NAME").to_owned(),
                    sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
                })
            }
            Request::GetRtcStats(_) => Response::GetRtcStats(self.rtc_stats.clone()),
            // Done by the input, where sound and words pass.
            Request::UpdateIo(_) => Response::UpdateIo(pb::UpdateIoResponse {}),
            Request::RunInput(_) | Request::FinalizeSimulation(_) => {
                return Err("this agent takes no part in simulations".to_owned());
            }
        })
    }
}

fn response(id: String, answer: Result<Response, String>) -> AgentSessionMessage {
    let (response, error) = match answer {
        Ok(response) => (Some(response), None),
        Err(error) => (None, Some(error)),
    };
    AgentSessionMessage {
        message: Some(Message::Response(SessionResponse {
            request_id: id,
            error,
            response,
        })),
    }
}
