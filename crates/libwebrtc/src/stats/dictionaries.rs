//! The W3C dictionaries that [`super`]'s reports are put together from.
//!
//! A field carries the value of the dictionary member of the same name, in camelCase; a missing
//! member reads as the type's default. Source: <https://www.w3.org/TR/webrtc-stats/>, plus the
//! members of upstream libwebrtc 0.3.55 that the specification does not list.

#![expect(missing_docs, reason = "each field is the W3C member of the same name")]

use std::collections::HashMap;

use serde::Deserialize;

use super::{
    DtlsRole, DtlsTransportState, IceCandidatePairState, IceCandidateType, IceRole,
    IceServerTransportProtocol, IceTcpCandidateType, IceTransportState, QualityLimitationReason,
};
use crate::data_channel::DataChannelState;

/// **Works.** Members of every report: its identifier and its time in microseconds since the epoch.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RtcStats {
    pub id: String,
    pub timestamp: i64,
}

/// **Works.** A codec in use (`RTCCodecStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CodecStats {
    pub payload_type: u32,
    pub transport_id: String,
    pub mime_type: String,
    pub clock_rate: u32,
    pub channels: u32,
    pub sdp_fmtp_line: String,
}

/// **Works.** What tells RTP streams apart (`RTCRtpStreamStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RtpStreamStats {
    pub ssrc: u32,
    pub kind: String,
    pub transport_id: String,
    pub codec_id: String,
}

/// **Works.** Reception as either side sees it (`RTCReceivedRtpStreamStats`); `jitter` in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReceivedRtpStreamStats {
    pub packets_received: u64,
    pub packets_lost: i64,
    pub jitter: f64,
}

/// **Works.** A stream received here (`RTCInboundRtpStreamStats`); delays and durations in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InboundRtpStreamStats {
    pub track_identifier: String,
    pub mid: String,
    pub remote_id: String,
    pub frames_decoded: u32,
    pub key_frames_decoded: u32,
    pub frames_rendered: u32,
    pub frames_dropped: u32,
    pub frame_width: u32,
    pub frame_height: u32,
    pub frames_per_second: f64,
    pub qp_sum: u64,
    pub total_decode_time: f64,
    pub total_inter_frame_delay: f64,
    pub total_squared_inter_frame_delay: f64,
    pub pause_count: u32,
    pub total_pause_duration: f64,
    pub freeze_count: u32,
    pub total_freeze_duration: f64,
    pub last_packet_received_timestamp: f64,
    pub header_bytes_received: u64,
    pub packets_discarded: u64,
    pub fec_bytes_received: u64,
    pub fec_packets_received: u64,
    pub fec_packets_discarded: u64,
    pub bytes_received: u64,
    pub nack_count: u32,
    pub fir_count: u32,
    pub pli_count: u32,
    pub total_processing_delay: f64,
    pub estimated_playout_timestamp: f64,
    pub jitter_buffer_delay: f64,
    pub jitter_buffer_target_delay: f64,
    pub jitter_buffer_emitted_count: u64,
    pub jitter_buffer_minimum_delay: f64,
    pub total_samples_received: u64,
    pub concealed_samples: u64,
    pub silent_concealed_samples: u64,
    pub concealment_events: u64,
    pub inserted_samples_for_deceleration: u64,
    pub removed_samples_for_acceleration: u64,
    pub audio_level: f64,
    pub total_audio_energy: f64,
    pub total_samples_duration: f64,
    pub frames_received: u64,
    pub decoder_implementation: String,
    pub playout_id: String,
    pub power_efficient_decoder: bool,
    pub frames_assembled_from_multiple_packets: u64,
    pub total_assembly_time: f64,
    pub retransmitted_packets_received: u64,
    pub retransmitted_bytes_received: u64,
    pub rtx_ssrc: u32,
    pub fec_ssrc: u32,
}

/// **Works.** Sending as either side sees it (`RTCSentRtpStreamStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SentRtpStreamStats {
    pub packets_sent: u64,
    pub bytes_sent: u64,
}

/// **Works.** A stream sent from here (`RTCOutboundRtpStreamStats`); rates in bits per second.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundRtpStreamStats {
    pub mid: String,
    pub media_source_id: String,
    pub remote_id: String,
    pub rid: String,
    pub header_bytes_sent: u64,
    pub retransmitted_packets_sent: u64,
    pub retransmitted_bytes_sent: u64,
    pub rtx_ssrc: u32,
    pub target_bitrate: f64,
    pub total_encoded_bytes_target: u64,
    pub frame_width: u32,
    pub frame_height: u32,
    pub frames_per_second: f64,
    pub frames_sent: u32,
    pub huge_frames_sent: u32,
    pub frames_encoded: u32,
    pub key_frames_encoded: u32,
    pub qp_sum: u64,
    pub total_encode_time: f64,
    pub total_packet_send_delay: f64,
    pub quality_limitation_reason: QualityLimitationReason,
    pub quality_limitation_durations: HashMap<String, f64>,
    pub quality_limitation_resolution_changes: u32,
    pub nack_count: u32,
    pub fir_count: u32,
    pub pli_count: u32,
    pub encoder_implementation: String,
    pub power_efficient_encoder: bool,
    pub active: bool,
    pub scalibility_mode: String,
}

/// **Works.** Our stream as the far end receives it (`RTCRemoteInboundRtpStreamStats`); times in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteInboundRtpStreamStats {
    pub local_id: String,
    pub round_trip_time: f64,
    pub total_round_trip_time: f64,
    pub fraction_lost: f64,
    pub round_trip_time_measurements: u64,
}

/// **Works.** The far end's stream as it sends it (`RTCRemoteOutboundRtpStreamStats`); times in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteOutboundRtpStreamStats {
    pub local_id: String,
    pub remote_timestamp: f64,
    pub reports_sent: u64,
    pub round_trip_time: f64,
    pub total_round_trip_time: f64,
    pub round_trip_time_measurements: u64,
}

/// **Works.** What feeds a sender (`RTCMediaSourceStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaSourceStats {
    pub track_identifier: String,
    pub kind: String,
}

/// **Works.** An audio source (`RTCAudioSourceStats`); `audio_level` from 0 to 1, durations in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AudioSourceStats {
    pub audio_level: f64,
    pub total_audio_energy: f64,
    pub total_samples_duration: f64,
    pub echo_return_loss: f64,
    pub echo_return_loss_enhancement: f64,
    pub dropped_samples_duration: f64,
    pub dropped_samples_events: u32,
    pub total_capture_delay: f64,
    pub total_samples_captured: u64,
}

/// **Works.** A video source (`RTCVideoSourceStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoSourceStats {
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub frames_per_second: f64,
}

/// **Works.** Playout of received audio (`RTCAudioPlayoutStats`); durations in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AudioPlayoutStats {
    pub kind: String,
    pub synthesized_samples_duration: f64,
    pub synthesized_samples_events: u32,
    pub total_samples_duration: f64,
    pub total_playout_delay: f64,
    pub total_samples_count: u64,
}

/// **Works.** Channel counts of a connection (`RTCPeerConnectionStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerConnectionStats {
    pub data_channels_opened: u32,
    pub data_channels_closed: u32,
}

/// **Works.** One data channel (`RTCDataChannelStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataChannelStats {
    pub label: String,
    pub protocol: String,
    pub data_channel_identifier: i32,
    pub state: Option<DataChannelState>,
    pub messages_sent: u32,
    pub bytes_sent: u64,
    pub messages_received: u32,
    pub bytes_received: u64,
}

/// **Works.** The ICE and DTLS transport (`RTCTransportStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransportStats {
    pub packets_sent: u64,
    pub packets_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub ice_role: IceRole,
    pub ice_local_username_fragment: String,
    pub dtls_state: Option<DtlsTransportState>,
    pub ice_state: Option<IceTransportState>,
    pub selected_candidate_pair_id: String,
    pub local_certificate_id: String,
    pub remote_certificate_id: String,
    pub tls_version: String,
    pub dtls_cipher: String,
    pub dtls_role: DtlsRole,
    pub srtp_cipher: String,
    pub selected_candidate_pair_changes: u32,
}

/// **Works.** A pair of ICE candidates (`RTCIceCandidatePairStats`); round trips in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CandidatePairStats {
    pub transport_id: String,
    pub local_candidate_id: String,
    pub remote_candidate_id: String,
    pub state: Option<IceCandidatePairState>,
    pub nominated: bool,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub last_packet_sent_timestamp: f64,
    pub last_packet_received_timestamp: f64,
    pub total_round_trip_time: f64,
    pub current_round_trip_time: f64,
    pub available_outgoing_bitrate: f64,
    pub available_incoming_bitrate: f64,
    pub requests_received: u64,
    pub requests_sent: u64,
    pub responses_received: u64,
    pub responses_sent: u64,
    pub consent_requests_sent: u64,
    pub packets_discarded_on_send: u32,
    pub bytes_discarded_on_send: u64,
}

/// **Works.** One ICE candidate (`RTCIceCandidateStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IceCandidateStats {
    pub transport_id: String,
    pub address: String,
    pub port: i32,
    pub protocol: String,
    pub candidate_type: Option<IceCandidateType>,
    pub priority: i32,
    pub url: String,
    pub relay_protocol: Option<IceServerTransportProtocol>,
    pub foundation: String,
    pub related_address: String,
    pub related_port: i32,
    pub username_fragment: String,
    pub tcp_type: Option<IceTcpCandidateType>,
    pub network_type: Option<String>,
}

/// **Works.** A DTLS certificate (`RTCCertificateStats`).
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateStats {
    pub fingerprint: String,
    pub fingerprint_algorithm: String,
    pub base64_certificate: String,
    pub issuer_certificate_id: String,
}

/// **Works.** A media stream, from an older draft of the specification.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamStats {
    pub id: String,
    pub stream_identifier: String,
}
