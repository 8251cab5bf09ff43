//! What is done with the streams of participants once they are there.

use std::sync::Arc;

use livekit::prelude::ParticipantIdentity;
use livekit::{ByteStreamReader, TextStreamReader};
use livekit_protocol::agent::SessionRequest;
use livekit_protocol::agent::session_request::Request;

use super::RoomEvent;
use super::input::Input;
use super::preconnect;
use super::remote::{self, Note};
use super::streams::{Arrived, Arriving, read_recorded, read_request, read_text};
use crate::intake::InputKind;
use crate::redact::Pii;

/// Streams that may arrive at the same time; more are not read.
const STREAMS_MAX: usize = 8;

/// Those of them that participants may take while there is no user: the others are for the user.
pub(super) const STRANGERS_STREAMS_MAX: usize = 2;

/// Requests come faster than they are answered.
const NO_ROOM: &str = "too many requests wait for their answers";

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
                self.await_request(reader, from);
            }
            // The user may be linked only now.
            preconnect::TOPIC if self.presence.may_be_user(from.as_str()) => {
                self.await_recording(reader, from);
            }
            _ => {}
        }
    }

    pub(super) fn await_text(
        &mut self,
        reader: Option<TextStreamReader>,
        from: ParticipantIdentity,
    ) {
        if let Some(reader) = reader
            && self.admits(InputKind::Text)
        {
            self.await_stream(read_text(reader, from, self.intake.clone()));
        }
    }

    fn await_request(&mut self, reader: Option<ByteStreamReader>, from: ParticipantIdentity) {
        if let Some(reader) = reader
            && self.admits(InputKind::Request)
        {
            self.await_stream(read_request(reader, from, self.intake.clone()));
        }
    }

    fn await_recording(&mut self, reader: Option<ByteStreamReader>, from: ParticipantIdentity) {
        let Some(reader) = reader else { return };
        if !self.admits(InputKind::Recording) {
            return;
        }
        let is_stranger = !self.presence.is_user(from.as_str());
        let permit = is_stranger.then(|| Arc::clone(&self.strangers).try_acquire_owned());
        let Ok(permit) = permit.transpose() else {
            let why = "too many streams at once without a user";
            self.intake.refuse(InputKind::Stream, why);
            return;
        };
        let arriving = read_recorded(reader, from, self.intake.clone());
        self.await_stream(Box::pin(async move {
            let _permit = permit;
            arriving.await
        }));
    }

    fn await_stream(&mut self, arriving: Arriving) {
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
    fn on_request(&mut self, from: ParticipantIdentity, request: SessionRequest) {
        let SessionRequest {
            request_id,
            request,
        } = request;
        match &request {
            Some(Request::RunInput(input)) => return self.on_run(from, request_id, &input.text),
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
        let request = SessionRequest {
            request_id,
            request,
        };
        let note = Note::Request(from, request);
        if !self.notes.leave(self.link.number(), note) {
            self.intake.refuse(InputKind::Request, NO_ROOM);
        }
    }

    /// The text reaches the session only if its answer can be told.
    fn on_run(&mut self, from: ParticipantIdentity, request_id: String, text: &str) {
        let user = self.link.number();
        if self.notes.begin_run(user, from, request_id, text) {
            self.ready
                .push_back(RoomEvent::Text(Pii::new(text.to_owned())));
        } else {
            self.intake
                .refuse(InputKind::Request, "a run that cannot be taken");
        }
    }
}
