//! What the room reads: the agent's state and the transcripts of both speakers.
//!
//! The session only leaves a note; one task sends them in order, so that a slow connection never
//! holds up the conversation.

use std::collections::HashMap;
use std::sync::Arc;

use livekit::prelude::{LocalParticipant, TrackSid};
use livekit::{SendTextOptions, StreamError, StreamTextOptions, StreamWriter, TextStreamWriter};
use tokio::sync::{mpsc, watch};

use super::link::Link;
use super::{AgentState, RoomOutput, SegmentId};

/// Source of the names: livekit-agents 1.8.9, `types.py`.
const TRANSCRIPTION_TOPIC: &str = "lk.transcription";
const ATTRIBUTE_FINAL: &str = "lk.transcription_final";
const ATTRIBUTE_SEGMENT: &str = "lk.segment_id";
const ATTRIBUTE_TRACK: &str = "lk.transcribed_track_id";
const ATTRIBUTE_STATE: &str = "lk.agent.state";

/// Notes that may wait, dropped when full: several seconds of both speakers.
const COMMANDS_MAX: usize = 256;

enum Command {
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
    commands: mpsc::Sender<Command>,
    state: watch::Sender<AgentState>,
}

/// The sending task's side.
pub(super) struct Commands {
    commands: mpsc::Receiver<Command>,
    state: watch::Receiver<AgentState>,
}

impl RoomText {
    pub(super) fn new() -> (Self, Commands) {
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        let (state_in, state) = watch::channel(AgentState::Initializing);
        let output = Self {
            commands: commands_in,
            state: state_in,
        };
        (output, Commands { commands, state })
    }

    fn send(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("a piece of transcript was dropped: the room takes none");
        }
    }
}

impl RoomOutput for RoomText {
    fn set_agent_state(&self, state: AgentState) {
        self.state.send_replace(state);
    }

    fn user_transcript(&self, segment: SegmentId, text: &str, is_final: bool) {
        self.send(Command::User {
            segment,
            text: text.to_owned(),
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
}

/// Sends what the session notes, until the session's side is dropped and everything is sent.
pub(super) async fn publish(
    participant: LocalParticipant,
    link: Arc<Link>,
    voice: TrackSid,
    commands: Commands,
) {
    let Commands {
        mut commands,
        state,
    } = commands;
    let texts = async {
        let mut transcripts = Transcripts {
            participant: participant.clone(),
            link,
            voice,
            prefix: format!("SG_{:08x}", rand::random::<u32>()),
            open: None,
            has_failed: false,
        };
        while let Some(command) = commands.recv().await {
            transcripts.send(command).await;
        }
    };
    tokio::join!(texts, publish_state(&participant, state));
}

/// Shows the latest state; states that came and went while one was sent are skipped.
async fn publish_state(participant: &LocalParticipant, mut state: watch::Receiver<AgentState>) {
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

struct Transcripts {
    participant: LocalParticipant,
    link: Arc<Link>,
    voice: TrackSid,
    /// Makes the segments of different sessions in one room distinct.
    prefix: String,
    /// The agent's segment that is being heard.
    open: Option<(SegmentId, TextStreamWriter)>,
    has_failed: bool,
}

impl Transcripts {
    async fn send(&mut self, command: Command) {
        let sent = match command {
            Command::User {
                segment,
                text,
                is_final,
            } => self.user(segment, &text, is_final).await,
            Command::Agent { segment, delta } => self.agent(segment, &delta).await,
            Command::AgentEnd { segment } => self.agent_end(segment).await,
        };
        if let Err(error) = sent
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!(%error, "transcripts do not reach the room");
        }
    }

    fn attributes(
        &self,
        segment: SegmentId,
        track: Option<&TrackSid>,
        is_final: bool,
    ) -> HashMap<String, String> {
        let mut attributes = HashMap::from([
            (ATTRIBUTE_FINAL.to_owned(), is_final.to_string()),
            (
                ATTRIBUTE_SEGMENT.to_owned(),
                format!("{}{:04}", self.prefix, segment.0),
            ),
        ]);
        if let Some(track) = track {
            attributes.insert(ATTRIBUTE_TRACK.to_owned(), track.to_string());
        }
        attributes
    }

    /// A new stream each time, in the user's name: the receiver replaces the segment's text.
    async fn user(
        &self,
        segment: SegmentId,
        text: &str,
        is_final: bool,
    ) -> Result<(), StreamError> {
        let linked = self.link.get();
        let mut options = SendTextOptions::new_with_topic(TRANSCRIPTION_TOPIC);
        options.attributes = self.attributes(segment, linked.microphone.as_ref(), is_final);
        options.sender_identity = linked.user;
        self.participant.send_text(text, options).await.map(drop)
    }

    /// One stream for the segment; the receiver appends.
    async fn agent(&mut self, segment: SegmentId, delta: &str) -> Result<(), StreamError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            let mut options = StreamTextOptions::new_with_topic(TRANSCRIPTION_TOPIC);
            options.attributes = self.attributes(segment, Some(&self.voice), false);
            options.sender_identity = Some(self.participant.identity());
            let writer = self.participant.stream_text(options).await?;
            self.open = Some((segment, writer));
        }
        match &self.open {
            Some((_, writer)) => writer.write(delta).await,
            None => Ok(()),
        }
    }

    async fn agent_end(&mut self, segment: SegmentId) -> Result<(), StreamError> {
        let Some((_, writer)) = self.open.take_if(|(open, _)| *open == segment) else {
            return Ok(());
        };
        let attributes = self.attributes(segment, Some(&self.voice), true);
        writer.close_with_options(None, Some(attributes)).await
    }
}
