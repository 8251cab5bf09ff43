//! The transcripts of both speakers: text streams, and beside them the packets that older front ends
//! read.

use std::collections::HashMap;
use std::sync::Arc;

use livekit::prelude::{
    LocalParticipant, ParticipantIdentity, TrackSid, Transcription, TranscriptionSegment,
};
use livekit::{SendTextOptions, StreamTextOptions, StreamWriter, TextStreamWriter};

use super::SegmentId;
use super::link::{Link, UserNumber};
use super::text::Command;

/// Source of the names: livekit-agents 1.8.9, `types.py`.
const TOPIC: &str = "lk.transcription";
const ATTRIBUTE_FINAL: &str = "lk.transcription_final";
const ATTRIBUTE_SEGMENT: &str = "lk.segment_id";
const ATTRIBUTE_TRACK: &str = "lk.transcribed_track_id";

/// Why something was not sent; only ever logged.
type SendError = Box<dyn std::error::Error + Send + Sync>;

/// Sends transcripts, in order.
pub(super) struct Transcripts {
    participant: LocalParticipant,
    link: Arc<Link>,
    voice: TrackSid,
    /// Makes the segments of different sessions in one room distinct.
    prefix: String,
    /// The agent's segment that is being heard.
    open: Option<Open>,
    has_failed: bool,
}

struct Open {
    segment: SegmentId,
    stream: TextStreamWriter,
    /// All of it so far, for the packets.
    text: String,
}

impl Transcripts {
    pub(super) fn new(participant: LocalParticipant, link: Arc<Link>, voice: TrackSid) -> Self {
        Self {
            participant,
            link,
            voice,
            prefix: format!("SG_{:08x}", rand::random::<u32>()),
            open: None,
            has_failed: false,
        }
    }

    /// Sends what was said in the time of `user`; of an earlier one only that nothing more comes.
    pub(super) async fn send(&mut self, user: UserNumber, command: Command) {
        if !self.link.shows_transcripts() {
            self.open = None;
            return;
        }
        if self.link.number() != user && !matches!(command, Command::AgentEnd { .. }) {
            return;
        }
        let sent = match command {
            Command::User {
                segment,
                text,
                is_final,
            } => self.user(segment, text, is_final).await,
            Command::Agent { segment, delta } => self.agent(segment, &delta).await,
            Command::AgentEnd { segment } => self.agent_end(segment).await,
        };
        if let Err(error) = sent
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!(%error, "transcripts do not reach the room");
        }
    }

    fn name(&self, segment: SegmentId) -> String {
        format!("{}{:04}", self.prefix, segment.0)
    }

    fn attributes(
        &self,
        segment: SegmentId,
        track: Option<&TrackSid>,
        is_final: bool,
    ) -> HashMap<String, String> {
        let mut attributes = HashMap::from([
            (ATTRIBUTE_FINAL.to_owned(), is_final.to_string()),
            (ATTRIBUTE_SEGMENT.to_owned(), self.name(segment)),
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
        text: String,
        is_final: bool,
    ) -> Result<(), SendError> {
        let linked = self.link.get();
        // Without their name the words of somebody who has left would look like the agent's.
        let Some(user) = linked.user else {
            return Ok(());
        };
        let mut options = SendTextOptions::new_with_topic(TOPIC);
        options.attributes = self.attributes(segment, linked.microphone.as_ref(), is_final);
        options.sender_identity = Some(user.clone());
        self.participant.send_text(&text, options).await?;
        match &linked.microphone {
            Some(track) => self.packet(user, track, segment, text, is_final).await,
            None => Ok(()),
        }
    }

    /// One stream for the segment; the receiver appends.
    async fn agent(&mut self, segment: SegmentId, delta: &str) -> Result<(), SendError> {
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.segment != segment)
        {
            let mut options = StreamTextOptions::new_with_topic(TOPIC);
            options.attributes = self.attributes(segment, Some(&self.voice), false);
            options.sender_identity = Some(self.participant.identity());
            self.open = Some(Open {
                segment,
                stream: self.participant.stream_text(options).await?,
                text: String::new(),
            });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.text.push_str(delta);
        open.stream.write(delta).await?;
        let (text, agent) = (open.text.clone(), self.participant.identity());
        self.packet(agent, &self.voice, segment, text, false).await
    }

    async fn agent_end(&mut self, segment: SegmentId) -> Result<(), SendError> {
        let Some(open) = self.open.take_if(|open| open.segment == segment) else {
            return Ok(());
        };
        let attributes = self.attributes(segment, Some(&self.voice), true);
        open.stream
            .close_with_options(None, Some(attributes))
            .await?;
        let agent = self.participant.identity();
        self.packet(agent, &self.voice, segment, open.text, true)
            .await
    }

    /// What front ends read before there were text streams: all of the segment, each time.
    ///
    /// Source: livekit-agents 1.8.9, `room_io/_output.py`, `_ParticipantLegacyTranscriptionOutput`.
    async fn packet(
        &self,
        speaker: ParticipantIdentity,
        track: &TrackSid,
        segment: SegmentId,
        text: String,
        is_final: bool,
    ) -> Result<(), SendError> {
        let segment = TranscriptionSegment {
            id: self.name(segment),
            text,
            r#final: is_final,
            ..TranscriptionSegment::default()
        };
        let packet = Transcription {
            participant_identity: speaker.to_string(),
            track_id: track.to_string(),
            segments: vec![segment],
        };
        self.participant.publish_transcription(packet).await?;
        Ok(())
    }
}
