//! The state behind a transceiver: direction, name, sender and receiver.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{
    connection::Connection, negotiation::MediaView, receiver::Receiver,
    sdp::attributes::Direction as Agreed, sender::Sender,
};
use crate::{
    MediaType,
    peer_connection::TrackEvent,
    rtp_receiver::RtpReceiver,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection as Direction, RtpTransceiverInit},
};

struct State {
    mid: Option<String>,
    direction: Direction,
    current: Option<Direction>,
}

/// One section of audio or video.
pub(crate) struct Transceiver {
    pub(crate) kind: MediaType,
    /// Made by `add_track`.
    by_track: bool,
    state: Mutex<State>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) receiver: Arc<Receiver>,
}

impl Transceiver {
    /// `remote_track_id` is the name of the received track, if the peer announced one already.
    pub(crate) fn new(
        connection: Weak<Connection>,
        kind: MediaType,
        init: RtpTransceiverInit,
        by_track: bool,
        remote_track_id: Option<String>,
    ) -> Arc<Self> {
        let RtpTransceiverInit {
            direction,
            stream_ids,
            send_encodings,
        } = init;
        let track_id = remote_track_id.unwrap_or_else(crate::native::create_random_uuid);
        Arc::new(Self {
            kind,
            by_track,
            state: Mutex::new(State {
                mid: None,
                direction,
                current: None,
            }),
            sender: Sender::new(connection, kind, stream_ids, send_encodings),
            receiver: Receiver::new(kind, track_id),
        })
    }

    pub(crate) fn view(&self) -> MediaView {
        MediaView {
            kind: self.kind,
            direction: self.direction(),
            msid: self.sender.msid(),
            ssrc: self.sender.ssrc(),
            may_adopt: self.by_track,
        }
    }

    pub(crate) fn mid(&self) -> Option<String> {
        self.state.lock().mid.clone()
    }

    pub(crate) fn set_mid(&self, mid: String) {
        self.state.lock().mid = Some(mid);
    }

    pub(crate) fn direction(&self) -> Direction {
        self.state.lock().direction
    }

    pub(crate) fn current_direction(&self) -> Option<Direction> {
        self.state.lock().current
    }

    pub(crate) fn set_current(&self, agreed: Agreed) {
        self.state.lock().current = Some(match agreed {
            Agreed::SendRecv => Direction::SendRecv,
            Agreed::SendOnly => Direction::SendOnly,
            Agreed::RecvOnly => Direction::RecvOnly,
            Agreed::Inactive => Direction::Inactive,
        });
    }

    /// The next offer sends nothing in this section.
    pub(crate) fn stop_sending(&self) {
        let mut state = self.state.lock();
        state.direction = match state.direction {
            Direction::SendRecv => Direction::RecvOnly,
            Direction::SendOnly => Direction::Inactive,
            other => other,
        };
    }

    /// Keeps the receiver's streams in step with the peer's description; an event if it begins to
    /// receive.
    pub(crate) fn show(
        self: &Arc<Self>,
        receiving: bool,
        stream: Option<String>,
    ) -> Option<TrackEvent> {
        let begins = self.receiver.show(receiving, stream);
        begins.then(|| TrackEvent {
            receiver: RtpReceiver {
                inner: self.receiver.clone(),
            },
            streams: self.receiver.streams(),
            track: self.receiver.track().clone(),
            transceiver: RtpTransceiver {
                inner: self.clone(),
            },
        })
    }

    /// The connection is closed.
    pub(crate) fn end(&self) {
        self.sender.detach();
        self.receiver.end();
    }

    pub(crate) fn stop(&self) {
        self.sender.detach();
        self.state.lock().direction = Direction::Stopped;
    }
}
