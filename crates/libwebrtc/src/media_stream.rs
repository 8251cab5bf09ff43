//! A named group of tracks that the remote peer sends together.

use std::fmt;

use crate::{
    audio_track::RtcAudioTrack, media_stream_track::MediaStreamTrack, video_track::RtcVideoTrack,
};

/// The tracks that share the stream name of an `a=msid` line. *Works.*
#[derive(Clone)]
pub struct MediaStream {
    id: String,
    tracks: Vec<MediaStreamTrack>,
}

impl MediaStream {
    pub(crate) fn new(id: String, track: MediaStreamTrack) -> Self {
        Self {
            id,
            tracks: vec![track],
        }
    }

    /// The name, as the remote peer gave it. *Works.*
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// The audio tracks in it. *Works.*
    pub fn audio_tracks(&self) -> Vec<RtcAudioTrack> {
        self.tracks
            .iter()
            .filter_map(|track| match track {
                MediaStreamTrack::Audio(audio) => Some(audio.clone()),
                MediaStreamTrack::Video(_) => None,
            })
            .collect()
    }

    /// The video tracks in it. *Works*; the tracks themselves carry no frames.
    pub fn video_tracks(&self) -> Vec<RtcVideoTrack> {
        self.tracks
            .iter()
            .filter_map(|track| match track {
                MediaStreamTrack::Video(video) => Some(video.clone()),
                MediaStreamTrack::Audio(_) => None,
            })
            .collect()
    }
}

impl fmt::Debug for MediaStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStream")
            .field("id", &self.id)
            .field("audio_tracks", &self.audio_tracks())
            .field("video_tracks", &self.video_tracks())
            .finish()
    }
}
