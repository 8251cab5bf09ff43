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
            remote::TOPIC if self.link.is_user(&from) => {
                self.await_stream(reader.map(read_request));
            }
            // The user may be linked only now.
            preconnect::TOPIC if self.link.is_free() || self.link.is_user(&from) => {
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
            Some(Arrived::Text(text)) => self.ready.push_back(RoomEvent::Text(Pii::new(text))),
            Some(Arrived::Request(request)) => self.on_request(request),
            Some(Arrived::Recorded(recorded))
                if self.link.is_free() || self.link.is_user(&recorded.from) =>
            {
                let frames = self.preconnect.on_recorded(recorded);
                self.hear(frames);
            }
            Some(Arrived::Unheard(from)) if self.link.is_user(&from) => {
                let frames = self.preconnect.on_unheard();
                self.hear(frames);
            }
            Some(Arrived::Recorded(_) | Arrived::Unheard(_)) | None => {}
        }
    }

    /// Does what a front end wants of sound and words; the answer is given elsewhere.
    fn on_request(&mut self, request: SessionRequest) {
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
        self.notes.leave(Note::Request(request));
    }
}
