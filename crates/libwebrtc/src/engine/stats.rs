//! Puts figures into the reports of the public API.

use std::time::{SystemTime, UNIX_EPOCH};

use str0m::stats::{MediaEgressStats, PeerStats};

use super::{jitter::JitterStats, pcm::RTP_CLOCK_HZ};
use crate::{
    MediaType,
    stats::{
        CandidatePairStats, DataChannelStats, IceCandidatePairState, InboundRtpStats,
        OutboundRtpStats, RemoteInboundRtpStats, RtcStats, TransportStats, dictionaries,
    },
};

/// There is one transport: everything is bundled.
const TRANSPORT_ID: &str = "T0";

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

/// The reports of a sender. `reported` is what the peer last said of it.
pub(crate) fn outbound(sent: Sent, reported: Option<&MediaEgressStats>) -> Vec<RtcStats> {
    let local_id = format!("OT{}", sent.ssrc);
    let mut reports = vec![];
    let mut outbound = dictionaries::OutboundRtpStreamStats {
        media_source_id: sent.track_id,
        active: sent.is_active,
        encoder_implementation: "libopus".into(),
        ..Default::default()
    };
    if let Some(reported) = reported {
        outbound.nack_count = u32::try_from(reported.nacks).unwrap_or(u32::MAX);
        reports.extend(reported.remote.as_ref().map(|remote| {
            RtcStats::RemoteInboundRtp(RemoteInboundRtpStats {
                rtc: report(format!("RI{}", sent.ssrc)),
                stream: stream(sent.ssrc, sent.kind),
                received: dictionaries::ReceivedRtpStreamStats {
                    packets_lost: i64::try_from(remote.packets_lost).unwrap_or(i64::MAX),
                    jitter: f64::from(remote.jitter) / f64::from(RTP_CLOCK_HZ),
                    ..Default::default()
                },
                remote_inbound: dictionaries::RemoteInboundRtpStreamStats {
                    local_id: local_id.clone(),
                    round_trip_time: reported.rtt.unwrap_or_default().as_secs_f64(),
                    fraction_lost: f64::from(reported.loss.unwrap_or_default()),
                    ..Default::default()
                },
            })
        }));
    }
    let sent_counts = dictionaries::SentRtpStreamStats {
        packets_sent: sent.packets,
        bytes_sent: sent.bytes,
    };
    reports.push(RtcStats::OutboundRtp(OutboundRtpStats {
        rtc: report(local_id),
        stream: stream(sent.ssrc, sent.kind),
        sent: sent_counts,
        outbound,
    }));
    reports
}

/// The reports of the path: the transport, and the pair of addresses in use.
pub(crate) fn path(peer: &PeerStats) -> Vec<RtcStats> {
    let mut transport = dictionaries::TransportStats {
        bytes_sent: peer.peer_bytes_tx,
        bytes_received: peer.peer_bytes_rx,
        ..Default::default()
    };
    let mut reports = vec![];
    if let Some(pair) = &peer.selected_candidate_pair {
        let id = "CP0".to_owned();
        transport.selected_candidate_pair_id.clone_from(&id);
        let rtt = pair
            .current_round_trip_time
            .or(peer.rtt)
            .unwrap_or_default();
        reports.push(RtcStats::CandidatePair(CandidatePairStats {
            rtc: report(id),
            candidate_pair: dictionaries::CandidatePairStats {
                transport_id: TRANSPORT_ID.into(),
                local_candidate_id: pair.local.addr.to_string(),
                remote_candidate_id: pair.remote.addr.to_string(),
                state: Some(IceCandidatePairState::Succeeded),
                nominated: true,
                bytes_sent: peer.peer_bytes_tx,
                bytes_received: peer.peer_bytes_rx,
                current_round_trip_time: rtt.as_secs_f64(),
                total_round_trip_time: pair.total_round_trip_time.as_secs_f64(),
                responses_received: pair.responses_received,
                ..Default::default()
            },
        }));
    }
    reports.push(RtcStats::Transport(TransportStats {
        rtc: report(TRANSPORT_ID.into()),
        transport,
    }));
    reports
}

/// The report of a data channel.
pub(crate) fn data_channel(dc: dictionaries::DataChannelStats) -> RtcStats {
    let rtc = report(format!("D{}", dc.data_channel_identifier));
    RtcStats::DataChannel(DataChannelStats { rtc, dc })
}

/// The reports of a receiver. `playing` is there while somebody listens.
pub(crate) fn inbound(received: Received, playing: Option<JitterStats>) -> Vec<RtcStats> {
    let mut inbound = dictionaries::InboundRtpStreamStats {
        track_identifier: received.track_id,
        bytes_received: received.bytes,
        decoder_implementation: "libopus".into(),
        ..Default::default()
    };
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
    inbound.jitter_buffer_emitted_count = heard.samples_delayed;
    inbound.total_samples_received = heard.samples_emitted;
    inbound.concealed_samples = heard.samples_concealed;
    inbound.silent_concealed_samples = heard.samples_concealed_silent;
    inbound.concealment_events = heard.concealment_events;
    inbound.inserted_samples_for_deceleration = heard.samples_inserted;
    inbound.removed_samples_for_acceleration = heard.samples_removed;
}
