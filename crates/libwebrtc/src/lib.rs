//! A WebRTC engine in Rust with the public API of LiveKit's `libwebrtc` 0.3.55.
//!
//! It stands in for that crate through `[patch.crates-io]`, so that the official `livekit` crate runs without
//! Google's C++ library. What a voice agent needs is here: peer connections, audio both ways, data channels, ICE
//! restart. What it does not need (video frames, screen capture, end-to-end encryption, sound cards) keeps its names
//! and says so when used.
//!
//! Every public item is documented with one of three words. *Works*: does what upstream's does. *Error*: present, and
//! returns an error, `false` or nothing, which its documentation explains. *Never*: a callback that is accepted and
//! never called.
//!
//! The modules at this level hold the public API, one per upstream file; how it works is in `engine`.
//!
//! Source of the names and signatures: `libwebrtc` 0.3.55, `src/*.rs`.

mod engine;
mod enum_dispatch;
mod unsupported;
mod yuv;

pub mod audio_frame;
pub mod audio_source;
pub mod audio_stream;
pub mod audio_track;
pub mod data_channel;
#[cfg(any(target_os = "macos", target_os = "windows", target_os = "linux"))]
pub mod desktop_capturer;
pub mod ice_candidate;
pub mod media_stream;
pub mod media_stream_track;
pub mod native;
pub mod peer_connection;
pub mod peer_connection_factory;
pub mod prelude;
pub mod rtp_parameters;
pub mod rtp_receiver;
pub mod rtp_sender;
pub mod rtp_transceiver;
pub mod session_description;
pub mod stats;
pub mod video_frame;
pub mod video_source;
pub mod video_stream;
pub mod video_track;

/// What a track, transceiver or section of a description carries. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum MediaType {
    /// Sound, as Opus.
    Audio,
    /// Pictures. Negotiated, never sent or decoded by this engine.
    Video,
    /// Data channels.
    Data,
    /// Anything else.
    Unsupported,
}

/// The kind of an [`RtcError`]. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcErrorType {
    /// The engine could not do what it was asked for.
    Internal,
    /// A session description that cannot be applied.
    InvalidSdp,
    /// The call does not fit the state that the object is in.
    InvalidState,
}

/// Why a call failed. *Works.*
#[derive(thiserror::Error, Debug)]
#[error("an RtcError occurred: {error_type:?} - {message}")]
pub struct RtcError {
    /// The kind.
    pub error_type: RtcErrorType,
    /// What happened, for people.
    pub message: String,
}

impl RtcError {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::Internal,
            message: message.into(),
        }
    }

    pub(crate) fn invalid_sdp(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::InvalidSdp,
            message: message.into(),
        }
    }

    pub(crate) fn invalid_state(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::InvalidState,
            message: message.into(),
        }
    }
}
