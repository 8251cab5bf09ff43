//! The receiving half of a transceiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError, engine::receiver::Receiver, media_stream::MediaStream,
    media_stream_track::MediaStreamTrack, rtp_parameters::RtpParameters, stats::RtcStats,
};

/// What arrives in one section. *Works.*
#[derive(Clone)]
pub struct RtpReceiver {
    pub(crate) inner: Arc<Receiver>,
}

impl RtpReceiver {
    /// The track, which lives as long as the transceiver. *Works.*
    pub fn track(&self) -> Option<MediaStreamTrack> {
        Some(self.inner.track().clone())
    }

    /// Names of the streams that the peer put the track into. *Works.*
    pub fn stream_ids(&self) -> Vec<String> {
        self.inner.streams().iter().map(MediaStream::id).collect()
    }

    /// The streams that the peer put the track into; empty while nothing is sent. *Works.*
    pub fn streams(&self) -> Vec<MediaStream> {
        self.inner.streams()
    }

    /// Packet, loss and jitter buffer figures. *Works* for audio, empty for video.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(self.inner.stats())
    }

    /// What was negotiated. *Works*, with empty lists: the engine has one codec and keeps no table of it.
    pub fn parameters(&self) -> RtpParameters {
        RtpParameters::default()
    }
}

impl fmt::Debug for RtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpReceiver")
            .field("track", &self.track())
            .finish()
    }
}
