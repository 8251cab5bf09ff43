//! A track of either kind. What a track does is in `audio_track` and [`crate::video_track`].

use crate::{audio_track::RtcAudioTrack, enum_dispatch, video_track::RtcVideoTrack};

/// **Works.** Whether a track can still carry media.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcTrackState {
    /// It can.
    Live,
    /// Its source or its connection is gone for good.
    Ended,
}

/// **Works.** A track of either kind.
#[derive(Debug, Clone)]
pub enum MediaStreamTrack {
    /// A video track; it negotiates, but no frame travels on it.
    Video(RtcVideoTrack),
    /// An audio track.
    Audio(RtcAudioTrack),
}

impl MediaStreamTrack {
    enum_dispatch!(
        [Video, Audio];
        /// **Works.** The identifier announced in the session description.
        pub fn id(self: &Self) -> String;
        /// **Works.** Whether media passes; a disabled track carries silence.
        pub fn enabled(self: &Self) -> bool;
        /// **Works.** Lets media pass or not; returns whether that changed anything.
        pub fn set_enabled(self: &Self, enabled: bool) -> bool;
        /// **Works.** Whether the track is live or ended.
        pub fn state(self: &Self) -> RtcTrackState;
    );
}

impl From<RtcAudioTrack> for MediaStreamTrack {
    fn from(track: RtcAudioTrack) -> Self {
        Self::Audio(track)
    }
}

impl From<RtcVideoTrack> for MediaStreamTrack {
    fn from(track: RtcVideoTrack) -> Self {
        Self::Video(track)
    }
}
