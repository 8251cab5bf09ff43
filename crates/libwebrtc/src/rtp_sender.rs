//! The sending half of a transceiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError, engine::sender::Sender, media_stream_track::MediaStreamTrack,
    rtp_parameters::RtpParameters, stats::RtcStats,
};

/// Which encoder to prefer for video. *Never*: video is not encoded here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoEncoderBackend {
    /// The engine's choice.
    #[default]
    Auto,
    /// In software.
    Software,
    /// Any hardware.
    Hardware,
    /// NVIDIA NVENC.
    Nvenc,
    /// VA-API.
    Vaapi,
    /// Apple VideoToolbox.
    VideoToolbox,
    /// Frames arrive encoded.
    PreEncoded,
}

impl VideoEncoderBackend {
    /// The names that upstream always lists, so that callers which pick one find it. *Never* used.
    pub fn list_available() -> impl IntoIterator<Item = VideoEncoderBackend> {
        [Self::Auto, Self::Software]
    }
}

/// What is sent in one section. *Works* for audio.
#[derive(Clone)]
pub struct RtpSender {
    pub(crate) inner: Arc<Sender>,
}

impl RtpSender {
    /// The track being sent, if any. *Works.*
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.inner.track()
    }

    /// Packet and byte figures, with what the peer reported about loss. *Works* for audio, zeros for video.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(self.inner.stats())
    }

    /// Sends another track, or none, without negotiating again. *Works.*
    pub fn set_track(&self, track: Option<MediaStreamTrack>) -> Result<(), RtcError> {
        match track {
            Some(track) => self.inner.attach(track),
            None => self.inner.detach(),
        }
        Ok(())
    }

    /// The encoder's limits. *Works.*
    pub fn parameters(&self) -> RtpParameters {
        self.inner.parameters()
    }

    /// Changes the encoder's limits, from the next packet on. *Works* for the first encoding's `active` and
    /// `max_bitrate`; other fields are kept and have no effect.
    pub fn set_parameters(&self, parameters: RtpParameters) -> Result<(), RtcError> {
        self.inner.set_parameters(parameters);
        Ok(())
    }

    /// *Never*: video is not encoded here.
    pub fn set_video_encoder_backend(&self, backend: VideoEncoderBackend) {
        log::debug!("video encoder {backend:?} ignored: this engine sends no video");
    }
}

impl fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpSender")
            .field("cname", &self.parameters().rtcp.cname)
            .finish()
    }
}
