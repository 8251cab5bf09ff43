//! A track of sound: one that this side sends, or one that the peer sends.

use std::{fmt, sync::Arc};

use crate::{engine::audio_track::AudioTrack, media_stream_track::RtcTrackState};

/// A track of sound. Clones are the same track. *Works.*
#[derive(Clone)]
pub struct RtcAudioTrack {
    pub(crate) inner: Arc<AudioTrack>,
}

impl RtcAudioTrack {
    /// The name of the track. *Works.*
    pub fn id(&self) -> String {
        self.inner.id().to_owned()
    }

    /// Whether a sent track carries sound rather than silence. *Works.*
    pub fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    /// Mutes (false) or unmutes (true) a sent track, and returns whether that changed anything. *Works.* Silence
    /// keeps flowing while muted.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        self.inner.set_enabled(enabled)
    }

    /// `Ended` once the connection that a received track belongs to was closed. *Works.*
    pub fn state(&self) -> RtcTrackState {
        if self.inner.ended() {
            RtcTrackState::Ended
        } else {
            RtcTrackState::Live
        }
    }
}

impl fmt::Debug for RtcAudioTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcAudioTrack")
            .field("id", &self.id())
            .field("enabled", &self.enabled())
            .field("state", &self.state())
            .finish()
    }
}
