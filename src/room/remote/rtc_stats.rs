//! WebRTC figures of the agent's connection, for front ends that show how far away it is.
//!
//! By the names that livekit-agents gives them: reports of `livekit-ffi`'s `stats.proto` as objects, of
//! which only what tells about the path and the sound is filled in. Counts are numbers here and strings
//! of digits there, which readers take alike.
//! Source: livekit-agents 1.8.9, `remote_session.py`, `get_rtc_stats`.

use livekit::Room;
use livekit::webrtc::stats::{RtcStats, dictionaries};
use livekit_protocol::agent::session_response::GetRtcStatsResponse;
use serde_json::{Value, json};

/// What is known of the connection now; nothing while there is none.
pub(super) async fn read(room: &Room) -> GetRtcStatsResponse {
    match room.get_stats().await {
        Ok(stats) => answer(&[stats.publisher_stats, stats.subscriber_stats].concat()),
        Err(error) => {
            tracing::debug!(%error, "the connection has no figures now");
            GetRtcStatsResponse::default()
        }
    }
}

/// What is received is the subscriber's, also where one connection carries both.
fn answer(stats: &[RtcStats]) -> GetRtcStatsResponse {
    let is_received = |stats: &&RtcStats| matches!(stats, RtcStats::InboundRtp(_));
    let (received, sent): (Vec<_>, Vec<_>) = stats.iter().partition(is_received);
    let objects = |stats: Vec<&RtcStats>| stats.into_iter().filter_map(object).collect::<Vec<_>>();
    let answer = json!({
        "publisherStats": objects(sent),
        "subscriberStats": objects(received),
    });
    serde_json::from_value(answer).unwrap_or_default()
}

fn object(stats: &RtcStats) -> Option<Value> {
    Some(match stats {
        RtcStats::CandidatePair(it) => json!({
            "candidatePair": {
                "rtc": rtc(&it.rtc),
                "candidatePair": {
                    "nominated": it.candidate_pair.nominated,
                    "bytesSent": it.candidate_pair.bytes_sent,
                    "bytesReceived": it.candidate_pair.bytes_received,
                    "currentRoundTripTime": it.candidate_pair.current_round_trip_time,
                    "totalRoundTripTime": it.candidate_pair.total_round_trip_time,
                },
            }
        }),
        RtcStats::InboundRtp(it) => json!({
            "inboundRtp": {
                "rtc": rtc(&it.rtc),
                "stream": stream(&it.stream),
                "received": {
                    "packetsReceived": it.received.packets_received,
                    "packetsLost": it.received.packets_lost,
                    "jitter": it.received.jitter,
                },
                "inbound": {
                    "bytesReceived": it.inbound.bytes_received,
                    "packetsDiscarded": it.inbound.packets_discarded,
                    "jitterBufferDelay": it.inbound.jitter_buffer_delay,
                    "jitterBufferTargetDelay": it.inbound.jitter_buffer_target_delay,
                    "jitterBufferEmittedCount": it.inbound.jitter_buffer_emitted_count,
                    "totalSamplesReceived": it.inbound.total_samples_received,
                    "concealedSamples": it.inbound.concealed_samples,
                    "concealmentEvents": it.inbound.concealment_events,
                },
            }
        }),
        RtcStats::OutboundRtp(it) => json!({
            "outboundRtp": {
                "rtc": rtc(&it.rtc),
                "stream": stream(&it.stream),
                "sent": {
                    "packetsSent": it.sent.packets_sent,
                    "bytesSent": it.sent.bytes_sent,
                },
            }
        }),
        RtcStats::RemoteInboundRtp(it) => json!({
            "remoteInboundRtp": {
                "rtc": rtc(&it.rtc),
                "stream": stream(&it.stream),
                "received": {
                    "packetsLost": it.received.packets_lost,
                    "jitter": it.received.jitter,
                },
                "remoteInbound": {
                    "roundTripTime": it.remote_inbound.round_trip_time,
                    "fractionLost": it.remote_inbound.fraction_lost,
                },
            }
        }),
        _ => return None,
    })
}

fn rtc(it: &dictionaries::RtcStats) -> Value {
    json!({ "id": it.id, "timestamp": it.timestamp })
}

fn stream(it: &dictionaries::RtpStreamStats) -> Value {
    json!({ "ssrc": it.ssrc, "kind": it.kind })
}
