//! What is done with the streams of participants once they are there.

use livekit::ByteStreamReader;
use livekit::prelude::ParticipantIdentity;
use livekit_protocol::agent::SessionRequest;
use livekit_protocol::agent::session_request::Request;

use super::RoomEvent;
use super::input::Input;
use super::preconnect;
use super::remote::{self, Note};
use super::streams::{Arrived, Arriving, read_recorded, read_request};
use crate::intake::InputKind;
use crate::redact::Pii;

/// Streams that may arrive at the same time; more are not read.
const STREAMS_MAX: usize = 8;

impl Input {
    /// A front end asks something, or has recorded something.
    pub(super) fn on_bytes(
        &mut self,
        topic: &str,
        reader: Option<ByteStreamReader>,
        from: ParticipantIdentity,
    ) {
        match topic {
            remote::TOPIC if self.presence.is_user(from.as_str()) => {
                self.await_stream(reader.map(|reader| read_request(reader, from)));
            }
            // The user may be linked only now.
            preconnect::TOPIC if self.presence.may_be_user(from.as_str()) => {
                self.await_stream(reader.map(|reader| read_recorded(reader, from)));
            }
            _ => {}
        }
    }

    pub(super) fn await_stream(&mut self, arriving: Option<Arriving>) {
        let Some(arriving) = arriving else { return };
        if self.arriving.len() >= STREAMS_MAX {
            let why = "too many streams at once";
            self.intake.refuse(InputKind::Stream, why);
            return;
        }
        self.arriving.push(arriving);
    }

    pub(super) fn on_arrived(&mut self, arrived: Option<Arrived>) {
        match arrived {
            // The sender was the user when the stream began, and may not be by now.
            Some(Arrived::Text(from, text)) if self.presence.is_user(from.as_str()) => {
                self.ready.push_back(RoomEvent::Text(Pii::new(text)));
            }
            Some(Arrived::Request(from, request)) if self.link.is_user(&from) => {
                self.on_request(from, request);
            }
            // A page that is back may ask before the server has told of it.
            Some(Arrived::Request(from, request)) if self.presence.is_user(from.as_str()) => {
                match self.early.len() < STREAMS_MAX {
                    true => self.early.push(request),
                    false => self
                        .intake
                        .refuse(InputKind::Request, "too many while away"),
                }
            }
            Some(Arrived::Recorded(recorded))
                if self.presence.may_be_user(recorded.from.as_str()) =>
            {
                let frames = self.preconnect.on_recorded(recorded);
                self.hear(frames);
            }
            Some(Arrived::Unheard(from)) if self.link.is_user(&from) => {
                let frames = self.preconnect.on_unheard();
                self.hear(frames);
            }
            Some(_) | None => {}
        }
    }

    /// Does what a front end wants of sound and words; the answer is given elsewhere.
    pub(super) fn on_request(&mut self, from: ParticipantIdentity, request: SessionRequest) {
        match &request.request {
            Some(Request::RunInput(input)) => {
                let text = Pii::new(input.text.clone());
                self.ready.push_back(RoomEvent::Text(text));
            }
            Some(Request::UpdateIo(io)) => {
                if let Some(is_listening) = io.input.and_then(|input| input.audio_enabled) {
                    self.is_listening = is_listening;
                }
                if let Some(is_heard) = io.output.and_then(|output| output.audio_enabled) {
                    self.voice.mute(!is_heard);
                }
                let is_shown = io.output.and_then(|output| output.transcription_enabled);
                if let Some(is_shown) = is_shown {
                    self.link.show_transcripts(is_shown);
                }
            }
            _ => {}
        }
        self.notes
            .leave(self.link.number(), Note::Request(from, request));
    }
}
