//! Metadata that travels with video frames, behind their encoded payload.
//!
//! As no frame travels in this engine, a handler keeps its switch and nothing else: what is stored
//! is dropped, lookups find nothing and observers are never called. `livekit` creates handlers for
//! every video track that announces such metadata, so all of this must be callable.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    peer_connection_factory::PeerConnectionFactory, rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// **Never** reported: how far a frame got on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishTimingStage {
    /// Handed to the encoder.
    EncoderUpload,
    /// Encoded.
    EncoderOutput,
    /// Handed on to be split into packets.
    WebrtcPacketize,
}

/// **Never** reported: how far a frame got on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeTimingStage {
    /// Put together from its packets.
    WebrtcReceive,
    /// Handed to the decoder.
    DecoderUpload,
    /// Decoded.
    DecoderOutput,
}

/// **Never** produced: a frame reached a stage on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishTimingEvent {
    /// The stage.
    pub stage: PublishTimingStage,
    /// When, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// When the frame was captured, in microseconds since the Unix epoch.
    pub capture_timestamp_us: u64,
    /// The application's number for the frame.
    pub frame_id: Option<u32>,
}

/// **Never** produced: a frame reached a stage on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeTimingEvent {
    /// The stage.
    pub stage: SubscribeTimingStage,
    /// When, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// When the frame was captured, in microseconds since the Unix epoch.
    pub capture_timestamp_us: u64,
    /// The application's number for the frame.
    pub frame_id: Option<u32>,
}

/// **Never** called: takes the events of frames on their way out.
pub type PublishTimingObserver = Arc<dyn Fn(PublishTimingEvent) + Send + Sync + 'static>;
/// **Never** called: takes the events of frames on their way in.
pub type SubscribeTimingObserver = Arc<dyn Fn(SubscribeTimingEvent) + Send + Sync + 'static>;

/// **Works** as a switch; **Never** sees a frame. Clones are the same handler.
#[derive(Clone)]
pub struct PacketTrailerHandler {
    enabled: Arc<AtomicBool>,
}

impl PacketTrailerHandler {
    fn new() -> Self {
        Self {
            enabled: Arc::new(AtomicBool::new(true)),
        }
    }

    /// **Works.** Remembers `enabled`, without effect as there are no frames.
    pub fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Release);
    }

    /// **Works.** The value last given to [`set_enabled`](Self::set_enabled); true at first.
    pub fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    /// **Never** finds anything. Would give user timestamp (µs), frame number and user data.
    pub fn lookup_frame_metadata(&self, _rtp_timestamp: u32) -> Option<(u64, u32, Vec<u8>)> {
        None
    }

    /// **Never** has an effect: the metadata is dropped, as its frame will be.
    pub fn store_frame_metadata(
        &self,
        _capture_timestamp_us: i64,
        _user_timestamp: u64,
        _frame_id: u32,
        _user_data: &[u8],
    ) {
    }

    /// **Never** calls the observer; it is dropped at once.
    pub fn set_publish_timing_observer(&self, _observer: Option<PublishTimingObserver>) {}

    /// **Never** calls the observer; it is dropped at once.
    pub fn set_subscribe_timing_observer(&self, _observer: Option<SubscribeTimingObserver>) {}
}

/// **Works.** A handler for the frames that `sender` would send.
pub fn create_sender_handler(
    _peer_factory: &PeerConnectionFactory,
    _sender: &RtpSender,
) -> PacketTrailerHandler {
    PacketTrailerHandler::new()
}

/// **Works.** A handler for the frames that `receiver` would receive.
pub fn create_receiver_handler(
    _peer_factory: &PeerConnectionFactory,
    _receiver: &RtpReceiver,
) -> PacketTrailerHandler {
    PacketTrailerHandler::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_keeps_its_switch_and_finds_nothing() {
        let handler = PacketTrailerHandler::new();
        handler.clone().set_enabled(false);
        assert!(!handler.enabled());
        handler.store_frame_metadata(1, 2, 3, b"data");
        assert_eq!(handler.lookup_frame_metadata(1), None);
    }
}
