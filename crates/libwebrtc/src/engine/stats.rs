//! Puts figures into the reports of the public API.

use std::time::{SystemTime, UNIX_EPOCH};

use super::audio_receive::ReceiveStats;
use crate::{
    MediaType,
    stats::{InboundRtpStats, OutboundRtpStats, RtcStats, dictionaries},
};

/// What a sender counted.
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) kind: MediaType,
    pub(crate) track_id: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) is_active: bool,
}

/// What a receiver counted.
pub(crate) struct Received {
    pub(crate) ssrc: u32,
    pub(crate) track_id: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Microseconds since 1970, as all reports have it.
fn report(id: String) -> dictionaries::RtcStats {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let timestamp = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    dictionaries::RtcStats { id, timestamp }
}

fn stream(ssrc: u32, kind: MediaType) -> dictionaries::RtpStreamStats {
    let kind = if kind == MediaType::Audio {
        "audio"
    } else {
        "video"
    };
    dictionaries::RtpStreamStats {
        ssrc,
        kind: kind.into(),
        ..Default::default()
    }
}

/// The reports of a sender.
pub(crate) fn outbound(sent: Sent) -> Vec<RtcStats> {
    let mut outbound = dictionaries::OutboundRtpStreamStats::default();
    outbound.media_source_id = sent.track_id;
    outbound.active = sent.is_active;
    outbound.encoder_implementation = "libopus".into();
    vec![RtcStats::OutboundRtp(OutboundRtpStats {
        rtc: report(format!("OT{}", sent.ssrc)),
        stream: stream(sent.ssrc, sent.kind),
        sent: dictionaries::SentRtpStreamStats {
            packets_sent: sent.packets,
            bytes_sent: sent.bytes,
        },
        outbound,
    })]
}

/// The reports of a receiver. `playing` is there while somebody listens.
pub(crate) fn inbound(received: Received, playing: Option<ReceiveStats>) -> Vec<RtcStats> {
    let mut inbound = dictionaries::InboundRtpStreamStats::default();
    inbound.track_identifier = received.track_id;
    inbound.bytes_received = received.bytes;
    inbound.decoder_implementation = "libopus".into();
    let counts = dictionaries::ReceivedRtpStreamStats {
        packets_received: received.packets,
        ..Default::default()
    };
    drop(playing);
    vec![RtcStats::InboundRtp(InboundRtpStats {
        rtc: report(format!("IT{}", received.ssrc)),
        stream: stream(received.ssrc, MediaType::Audio),
        received: counts,
        inbound,
    })]
}
