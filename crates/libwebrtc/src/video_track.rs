//! Video tracks: identity and state only.
//!
//! A video track can be published and subscribed, so that rooms with video in them negotiate and
//! report as usual. No frame travels on it: see [`crate::video_source`] and
//! [`crate::video_stream`] for what happens at its two ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{media_stream_track::RtcTrackState, native::packet_trailer::PacketTrailerHandler};

/// **Works** as an identity; **Never** carries a frame. Clones are the same track.
#[derive(Clone)]
pub struct RtcVideoTrack {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    enabled: AtomicBool,
    ended: AtomicBool,
    packet_trailer_handler: Mutex<Option<PacketTrailerHandler>>,
}

impl RtcVideoTrack {
    /// A live, enabled track called `id`.
    pub(crate) fn new(id: String) -> Self {
        Self {
            shared: Arc::new(Shared {
                id,
                enabled: AtomicBool::new(true),
                ended: AtomicBool::new(false),
                packet_trailer_handler: Mutex::new(None),
            }),
        }
    }

    /// Ends the track for good: its connection was closed.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, Ordering::Release);
    }

    /// **Works.** The identifier announced in the session description.
    pub fn id(&self) -> String {
        self.shared.id.clone()
    }

    /// **Works.** The value last given to [`set_enabled`](Self::set_enabled); true at first.
    pub fn enabled(&self) -> bool {
        self.shared.enabled.load(Ordering::Acquire)
    }

    /// **Works.** Remembers `enabled`; returns whether that changed anything.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        self.shared.enabled.swap(enabled, Ordering::AcqRel) != enabled
    }

    /// **Works.** Whether the track is live or ended.
    pub fn state(&self) -> RtcTrackState {
        if self.shared.ended.load(Ordering::Acquire) {
            RtcTrackState::Ended
        } else {
            RtcTrackState::Live
        }
    }

    /// **Works.** Keeps `handler` for [`packet_trailer_handler`](Self::packet_trailer_handler);
    /// as no frame arrives, it is never asked for anything.
    pub fn set_packet_trailer_handler(&self, handler: PacketTrailerHandler) {
        *self.shared.packet_trailer_handler.lock() = Some(handler);
    }

    /// **Works.** The handler last set, if any.
    pub fn packet_trailer_handler(&self) -> Option<PacketTrailerHandler> {
        self.shared.packet_trailer_handler.lock().clone()
    }
}

impl fmt::Debug for RtcVideoTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcVideoTrack")
            .field("id", &self.shared.id)
            .field("enabled", &self.enabled())
            .field("state", &self.state())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enabling_reports_whether_it_changed_anything() {
        let track = RtcVideoTrack::new("v".into());
        assert!(!track.set_enabled(true));
        assert!(track.set_enabled(false));
        assert!(!track.clone().enabled());
    }

    #[test]
    fn an_ended_track_stays_ended_in_every_clone() {
        let track = RtcVideoTrack::new("v".into());
        let clone = track.clone();
        track.end();
        assert_eq!(clone.state(), RtcTrackState::Ended);
    }
}
