//! A pure-Rust WebRTC engine with the public API of LiveKit's `libwebrtc` crate.
//!
//! STUB: this file belongs to the engine branch. It declares the modules of the API branch and, at
//! the end, the smallest stand-ins for the engine's own types so that they compile alone.

mod enum_dispatch;
mod unsupported;
mod yuv;

pub mod audio_frame;
#[cfg(any(target_os = "macos", target_os = "windows", target_os = "linux"))]
pub mod desktop_capturer;
pub mod media_stream_track;
pub mod native;
pub mod rtp_parameters;
pub mod stats;
pub mod video_frame;
pub mod video_source;
pub mod video_stream;
pub mod video_track;

/// What a track or a section carries.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum MediaType {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data channels.
    Data,
    /// Anything else.
    Unsupported,
}

/// The class of an [`RtcError`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcErrorType {
    /// The engine could not do it.
    Internal,
    /// The session description could not be read.
    InvalidSdp,
    /// Not possible in the present state.
    InvalidState,
}

/// An error of this crate.
#[derive(thiserror::Error, Debug)]
#[error("{error_type:?}: {message}")]
pub struct RtcError {
    /// Its class.
    pub error_type: RtcErrorType,
    /// What happened and what to do.
    pub message: String,
}

// STUB, all below: replaced by the engine branch on merge.
#[expect(missing_docs, reason = "stand-ins for the engine's own types")]
mod stub {
    pub mod data_channel {
        #[derive(Debug, Copy, Clone, PartialEq, Eq, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum DataChannelState {
            Connecting,
            Open,
            Closing,
            Closed,
        }
    }
    pub mod rtp_transceiver {
        #[derive(Debug, Copy, Clone, PartialEq, Eq)]
        pub enum RtpTransceiverDirection {
            SendRecv,
            SendOnly,
            RecvOnly,
            Inactive,
            Stopped,
        }
    }
    pub mod peer_connection_factory {
        use crate::video_track::RtcVideoTrack;

        #[derive(Debug, Clone, Default)]
        pub struct PeerConnectionFactory;
        impl PeerConnectionFactory {
            pub fn stub_video_track(&self, id: String) {
                RtcVideoTrack::new(id).end();
            }
        }
    }
    pub mod rtp_sender {
        use crate::{RtcError, media_stream_track::MediaStreamTrack};
        use std::sync::Arc;

        #[derive(Debug, Clone)]
        pub struct RtpSender(Arc<parking_lot::Mutex<Option<MediaStreamTrack>>>);
        impl RtpSender {
            pub fn set_track(&self, track: Option<MediaStreamTrack>) -> Result<(), RtcError> {
                *self.0.lock() = track;
                Ok(())
            }
            pub fn track(&self) -> Option<MediaStreamTrack> {
                self.0.lock().clone()
            }
        }
    }
    pub mod rtp_receiver {
        use crate::media_stream_track::MediaStreamTrack;

        #[derive(Debug, Clone)]
        pub struct RtpReceiver(pub Option<MediaStreamTrack>);
        impl RtpReceiver {
            pub fn track(&self) -> Option<MediaStreamTrack> {
                self.0.clone()
            }
        }
    }
    pub mod audio_track {
        use crate::media_stream_track::RtcTrackState;

        #[derive(Debug, Clone)]
        pub struct RtcAudioTrack;
        impl RtcAudioTrack {
            pub fn id(&self) -> String {
                String::new()
            }
            pub fn enabled(&self) -> bool {
                true
            }
            pub fn set_enabled(&self, _enabled: bool) -> bool {
                false
            }
            pub fn state(&self) -> RtcTrackState {
                RtcTrackState::Live
            }
        }
    }
}
pub use stub::{
    audio_track, data_channel, peer_connection_factory, rtp_receiver, rtp_sender, rtp_transceiver,
};
