//! What the room reads: the agent's state, the transcripts of both speakers, session events.
//!
//! The session only leaves a note; one task sends them in order, so that a slow connection never
//! holds up the conversation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use livekit::Room;
use livekit::prelude::{LocalParticipant, TrackSid};
use tokio::sync::{mpsc, watch};

use super::link::{Link, UserNumber};
use super::remote::{self, Notes, NumberedNote};
use super::transcripts::Transcripts;
use super::{AgentCard, AgentState, RoomOutput, SegmentId, SessionEvent};

/// Source of the name: livekit-agents 1.8.9, `types.py`.
const ATTRIBUTE_STATE: &str = "lk.agent.state";

/// Notes that may wait, dropped when full: several seconds of both speakers.
const COMMANDS_MAX: usize = 256;

/// A piece of transcript.
pub(super) enum Command {
    User {
        segment: SegmentId,
        text: String,
        is_final: bool,
    },
    Agent {
        segment: SegmentId,
        delta: String,
    },
    AgentEnd {
        segment: SegmentId,
    },
}

/// The session's side.
pub(super) struct RoomText {
    link: Arc<Link>,
    /// The user whom the session speaks of: not another one before it has forgotten this one.
    user: Mutex<UserNumber>,
    commands: mpsc::Sender<(UserNumber, Command)>,
    state: watch::Sender<AgentState>,
    notes: Notes,
}

/// The sending task's side.
pub(super) struct Commands {
    commands: mpsc::Receiver<(UserNumber, Command)>,
    notes: mpsc::Receiver<NumberedNote>,
}

impl RoomText {
    pub(super) fn new(link: Arc<Link>) -> (Self, Commands) {
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        let state = watch::Sender::new(AgentState::Initializing);
        let (notes_in, notes) = Notes::new();
        let output = Self {
            user: Mutex::new(link.number()),
            link,
            commands: commands_in,
            state,
            notes: notes_in,
        };
        (output, Commands { commands, notes })
    }

    /// What the agent does, for [`show_state`].
    pub(super) fn states(&self) -> watch::Receiver<AgentState> {
        self.state.subscribe()
    }

    /// Where others leave notes for the front end.
    pub(super) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    fn user(&self) -> UserNumber {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command) {
        if self.commands.try_send((self.user(), command)).is_err() {
            tracing::debug!("a piece of transcript was dropped: the room takes none");
        }
    }
}

impl RoomOutput for RoomText {
    fn set_agent_state(&self, state: AgentState) {
        self.state.send_replace(state);
        self.session_event(SessionEvent::AgentStateChanged(state));
    }

    fn user_transcript(&self, segment: SegmentId, text: &str, is_final: bool) {
        self.send(Command::User {
            segment,
            text: text.to_owned(),
            is_final,
        });
        self.session_event(SessionEvent::UserInputTranscribed {
            transcript: text.to_owned(),
            is_final,
        });
    }

    fn agent_transcript(&self, segment: SegmentId, delta: &str) {
        self.send(Command::Agent {
            segment,
            delta: delta.to_owned(),
        });
    }

    fn end_agent_transcript(&self, segment: SegmentId) {
        self.send(Command::AgentEnd { segment });
    }

    fn session_event(&self, event: SessionEvent) {
        self.notes.event(self.user(), event);
    }

    fn forget_user(&self) {
        let next = self.link.number();
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// Sends what the session notes, until the session's side is dropped and everything is sent.
pub(super) async fn publish(
    room: Arc<Room>,
    link: Arc<Link>,
    voice: TrackSid,
    card: AgentCard,
    commands: Commands,
) {
    let Commands {
        mut commands,
        notes,
    } = commands;
    let mut transcripts = Transcripts::new(room.local_participant(), Arc::clone(&link), voice);
    let texts = async {
        while let Some((user, command)) = commands.recv().await {
            transcripts.send(user, command).await;
        }
    };
    tokio::join!(texts, remote::serve(&room, link, card, notes));
}

/// Shows the latest state, until the session's side is dropped; states that came and went while one was
/// sent are skipped. The first makes the agent visible: without tracks, others hear of a participant
/// only every 3 s, but at once when its attributes are set.
///
/// Source: livekit-server 1.13.5 `pkg/rtc/room.go`, `onParticipantUpdate`, `PushAndDequeueUpdates`.
pub(super) async fn show_state(
    participant: LocalParticipant,
    mut state: watch::Receiver<AgentState>,
) {
    loop {
        let label = state.borrow_and_update().label();
        let attributes = HashMap::from([(ATTRIBUTE_STATE.to_owned(), label.to_owned())]);
        if let Err(error) = participant.set_attributes(attributes).await {
            tracing::debug!(%error, "the agent's state was not shown");
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
