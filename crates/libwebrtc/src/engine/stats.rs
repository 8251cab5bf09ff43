//! Puts figures into the reports of the public API.

use std::time::{SystemTime, UNIX_EPOCH};

use super::jitter::JitterStats;
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
pub(crate) fn inbound(received: Received, playing: Option<JitterStats>) -> Vec<RtcStats> {
    let mut inbound = dictionaries::InboundRtpStreamStats::default();
    inbound.track_identifier = received.track_id;
    inbound.bytes_received = received.bytes;
    inbound.decoder_implementation = "libopus".into();
    let mut counts = dictionaries::ReceivedRtpStreamStats {
        packets_received: received.packets,
        ..Default::default()
    };
    if let Some(heard) = playing {
        counts.packets_lost = i64::try_from(heard.packets_lost).unwrap_or(i64::MAX);
        counts.jitter = heard.jitter_ms / 1e3;
        fill_heard(&mut inbound, &heard);
    }
    vec![RtcStats::InboundRtp(InboundRtpStats {
        rtc: report(format!("IT{}", received.ssrc)),
        stream: stream(received.ssrc, MediaType::Audio),
        received: counts,
        inbound,
    })]
}

/// What became of the sound, by W3C's names.
fn fill_heard(inbound: &mut dictionaries::InboundRtpStreamStats, heard: &JitterStats) {
    inbound.packets_discarded = heard.packets_discarded;
    inbound.fec_packets_received = heard.packets_recovered_by_red + heard.packets_recovered_by_fec;
    inbound.jitter_buffer_delay = heard.delay_sum_s;
    inbound.jitter_buffer_target_delay = heard.target_delay_sum_s;
    inbound.jitter_buffer_emitted_count = heard.samples_emitted;
    inbound.total_samples_received = heard.samples_emitted;
    inbound.concealed_samples = heard.samples_concealed;
    inbound.silent_concealed_samples = heard.samples_concealed_silent;
    inbound.concealment_events = heard.concealment_events;
    inbound.inserted_samples_for_deceleration = heard.samples_inserted;
    inbound.removed_samples_for_acceleration = heard.samples_removed;
}
