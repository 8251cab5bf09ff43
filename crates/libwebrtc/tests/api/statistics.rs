//! Statistics: the reports and the dictionaries they are made of.

use std::fmt::Debug;

use libwebrtc::stats::{
    CandidatePairStats, CertificateStats, CodecStats, DataChannelStats, DtlsRole,
    DtlsTransportState, IceCandidatePairState, IceCandidateType, IceRole,
    IceServerTransportProtocol, IceTcpCandidateType, IceTransportState, InboundRtpStats,
    LocalCandidateStats, MediaPlayoutStats, MediaSourceStats, OutboundRtpStats,
    PeerConnectionStats, QualityLimitationReason, RemoteCandidateStats, RemoteInboundRtpStats,
    RemoteOutboundRtpStats, RtcStats, StreamStats, TrackStats, TransportStats, dictionaries,
};
use serde::de::DeserializeOwned;

use crate::{all_fields, all_variants, signatures, traits};

signatures! {
    RtcStats::Codec => fn(CodecStats) -> RtcStats;
    RtcStats::InboundRtp => fn(InboundRtpStats) -> RtcStats;
    RtcStats::OutboundRtp => fn(OutboundRtpStats) -> RtcStats;
    RtcStats::RemoteInboundRtp => fn(RemoteInboundRtpStats) -> RtcStats;
    RtcStats::RemoteOutboundRtp => fn(RemoteOutboundRtpStats) -> RtcStats;
    RtcStats::MediaSource => fn(MediaSourceStats) -> RtcStats;
    RtcStats::MediaPlayout => fn(MediaPlayoutStats) -> RtcStats;
    RtcStats::PeerConnection => fn(PeerConnectionStats) -> RtcStats;
    RtcStats::DataChannel => fn(DataChannelStats) -> RtcStats;
    RtcStats::Transport => fn(TransportStats) -> RtcStats;
    RtcStats::CandidatePair => fn(CandidatePairStats) -> RtcStats;
    RtcStats::LocalCandidate => fn(LocalCandidateStats) -> RtcStats;
    RtcStats::RemoteCandidate => fn(RemoteCandidateStats) -> RtcStats;
    RtcStats::Certificate => fn(CertificateStats) -> RtcStats;
    RtcStats::Stream => fn(StreamStats) -> RtcStats;
    || RtcStats::Track => fn() -> RtcStats;
}

all_variants!(QualityLimitationReason {
    None,
    Cpu,
    Bandwidth,
    Other,
});
all_variants!(IceRole {
    Unknown,
    Controlling,
    Controlled,
});
all_variants!(DtlsTransportState {
    New,
    Connecting,
    Connected,
    Closed,
    Failed,
});
all_variants!(IceTransportState {
    New,
    Checking,
    Connected,
    Completed,
    Disconnected,
    Failed,
    Closed,
});
all_variants!(DtlsRole {
    Client,
    Server,
    Unknown,
});
all_variants!(IceCandidatePairState {
    Frozen,
    Waiting,
    InProgress,
    Failed,
    Succeeded,
});
all_variants!(IceCandidateType {
    Host,
    Srflx,
    Prflx,
    Relay,
});
all_variants!(IceServerTransportProtocol { Udp, Tcp, Tls });
all_variants!(IceTcpCandidateType {
    Active,
    Passive,
    So,
});

all_fields!(CodecStats {
    rtc: dictionaries::RtcStats,
    codec: dictionaries::CodecStats,
});
all_fields!(InboundRtpStats {
    rtc: dictionaries::RtcStats,
    stream: dictionaries::RtpStreamStats,
    received: dictionaries::ReceivedRtpStreamStats,
    inbound: dictionaries::InboundRtpStreamStats,
});
all_fields!(OutboundRtpStats {
    rtc: dictionaries::RtcStats,
    stream: dictionaries::RtpStreamStats,
    sent: dictionaries::SentRtpStreamStats,
    outbound: dictionaries::OutboundRtpStreamStats,
});
all_fields!(RemoteInboundRtpStats {
    rtc: dictionaries::RtcStats,
    stream: dictionaries::RtpStreamStats,
    received: dictionaries::ReceivedRtpStreamStats,
    remote_inbound: dictionaries::RemoteInboundRtpStreamStats,
});
all_fields!(RemoteOutboundRtpStats {
    rtc: dictionaries::RtcStats,
    stream: dictionaries::RtpStreamStats,
    sent: dictionaries::SentRtpStreamStats,
    remote_outbound: dictionaries::RemoteOutboundRtpStreamStats,
});
all_fields!(MediaSourceStats {
    rtc: dictionaries::RtcStats,
    source: dictionaries::MediaSourceStats,
    audio: dictionaries::AudioSourceStats,
    video: dictionaries::VideoSourceStats,
});
all_fields!(MediaPlayoutStats {
    rtc: dictionaries::RtcStats,
    audio_playout: dictionaries::AudioPlayoutStats,
});
all_fields!(PeerConnectionStats {
    rtc: dictionaries::RtcStats,
    pc: dictionaries::PeerConnectionStats,
});
all_fields!(DataChannelStats {
    rtc: dictionaries::RtcStats,
    dc: dictionaries::DataChannelStats,
});
all_fields!(TransportStats {
    rtc: dictionaries::RtcStats,
    transport: dictionaries::TransportStats,
});
all_fields!(CandidatePairStats {
    rtc: dictionaries::RtcStats,
    candidate_pair: dictionaries::CandidatePairStats,
});
all_fields!(LocalCandidateStats {
    rtc: dictionaries::RtcStats,
    local_candidate: dictionaries::IceCandidateStats,
});
all_fields!(RemoteCandidateStats {
    rtc: dictionaries::RtcStats,
    remote_candidate: dictionaries::IceCandidateStats,
});
all_fields!(CertificateStats {
    rtc: dictionaries::RtcStats,
    certificate: dictionaries::CertificateStats,
});
all_fields!(StreamStats {
    rtc: dictionaries::RtcStats,
    stream: dictionaries::StreamStats,
});

traits! {
    RtcStats: Debug, Clone, DeserializeOwned, Send, Sync;
    QualityLimitationReason: Debug, Copy, Eq, DeserializeOwned;
    IceRole: Debug, Copy, Eq, DeserializeOwned;
    DtlsTransportState: Debug, Copy, Eq, DeserializeOwned;
    IceTransportState: Debug, Copy, Eq, DeserializeOwned;
    DtlsRole: Debug, Copy, Eq, DeserializeOwned;
    IceCandidatePairState: Debug, Copy, Eq, DeserializeOwned;
    IceCandidateType: Debug, Copy, Eq, DeserializeOwned;
    IceServerTransportProtocol: Debug, Copy, Eq, DeserializeOwned;
    IceTcpCandidateType: Debug, Copy, Eq, DeserializeOwned;
    CodecStats: Debug, Clone, Default, DeserializeOwned;
    InboundRtpStats: Debug, Clone, Default, DeserializeOwned;
    OutboundRtpStats: Debug, Clone, Default, DeserializeOwned;
    RemoteInboundRtpStats: Debug, Clone, Default, DeserializeOwned;
    RemoteOutboundRtpStats: Debug, Clone, Default, DeserializeOwned;
    MediaSourceStats: Debug, Clone, Default, DeserializeOwned;
    MediaPlayoutStats: Debug, Clone, Default, DeserializeOwned;
    PeerConnectionStats: Debug, Clone, Default, DeserializeOwned;
    DataChannelStats: Debug, Clone, Default, DeserializeOwned;
    TransportStats: Debug, Clone, Default, DeserializeOwned;
    CandidatePairStats: Debug, Clone, Default, DeserializeOwned;
    LocalCandidateStats: Debug, Clone, Default, DeserializeOwned;
    RemoteCandidateStats: Debug, Clone, Default, DeserializeOwned;
    CertificateStats: Debug, Clone, Default, DeserializeOwned;
    StreamStats: Debug, Clone, Default, DeserializeOwned;
    TrackStats: Debug, Clone, Default, DeserializeOwned;
}

mod members {
    use std::collections::HashMap;

    use libwebrtc::{
        data_channel::DataChannelState,
        stats::{
            DtlsRole, DtlsTransportState, IceCandidatePairState, IceCandidateType, IceRole,
            IceServerTransportProtocol, IceTcpCandidateType, IceTransportState,
            QualityLimitationReason,
            dictionaries::{
                AudioPlayoutStats, AudioSourceStats, CandidatePairStats, CertificateStats,
                CodecStats, DataChannelStats, IceCandidateStats, InboundRtpStreamStats,
                MediaSourceStats, OutboundRtpStreamStats, PeerConnectionStats,
                ReceivedRtpStreamStats, RemoteInboundRtpStreamStats, RemoteOutboundRtpStreamStats,
                RtcStats, RtpStreamStats, SentRtpStreamStats, StreamStats, TransportStats,
                VideoSourceStats,
            },
        },
    };
    use serde::de::DeserializeOwned;

    use crate::{all_fields, traits};

    all_fields!(RtcStats {
        id: String,
        timestamp: i64,
    });
    all_fields!(CodecStats {
        payload_type: u32,
        transport_id: String,
        mime_type: String,
        clock_rate: u32,
        channels: u32,
        sdp_fmtp_line: String,
    });
    all_fields!(RtpStreamStats {
        ssrc: u32,
        kind: String,
        transport_id: String,
        codec_id: String,
    });
    all_fields!(ReceivedRtpStreamStats {
        packets_received: u64,
        packets_lost: i64,
        jitter: f64,
    });
    all_fields!(InboundRtpStreamStats {
        track_identifier: String,
        mid: String,
        remote_id: String,
        frames_decoded: u32,
        key_frames_decoded: u32,
        frames_rendered: u32,
        frames_dropped: u32,
        frame_width: u32,
        frame_height: u32,
        frames_per_second: f64,
        qp_sum: u64,
        total_decode_time: f64,
        total_inter_frame_delay: f64,
        total_squared_inter_frame_delay: f64,
        pause_count: u32,
        total_pause_duration: f64,
        freeze_count: u32,
        total_freeze_duration: f64,
        last_packet_received_timestamp: f64,
        header_bytes_received: u64,
        packets_discarded: u64,
        fec_bytes_received: u64,
        fec_packets_received: u64,
        fec_packets_discarded: u64,
        bytes_received: u64,
        nack_count: u32,
        fir_count: u32,
        pli_count: u32,
        total_processing_delay: f64,
        estimated_playout_timestamp: f64,
        jitter_buffer_delay: f64,
        jitter_buffer_target_delay: f64,
        jitter_buffer_emitted_count: u64,
        jitter_buffer_minimum_delay: f64,
        total_samples_received: u64,
        concealed_samples: u64,
        silent_concealed_samples: u64,
        concealment_events: u64,
        inserted_samples_for_deceleration: u64,
        removed_samples_for_acceleration: u64,
        audio_level: f64,
        total_audio_energy: f64,
        total_samples_duration: f64,
        frames_received: u64,
        decoder_implementation: String,
        playout_id: String,
        power_efficient_decoder: bool,
        frames_assembled_from_multiple_packets: u64,
        total_assembly_time: f64,
        retransmitted_packets_received: u64,
        retransmitted_bytes_received: u64,
        rtx_ssrc: u32,
        fec_ssrc: u32,
    });
    all_fields!(SentRtpStreamStats {
        packets_sent: u64,
        bytes_sent: u64,
    });
    all_fields!(OutboundRtpStreamStats {
        mid: String,
        media_source_id: String,
        remote_id: String,
        rid: String,
        header_bytes_sent: u64,
        retransmitted_packets_sent: u64,
        retransmitted_bytes_sent: u64,
        rtx_ssrc: u32,
        target_bitrate: f64,
        total_encoded_bytes_target: u64,
        frame_width: u32,
        frame_height: u32,
        frames_per_second: f64,
        frames_sent: u32,
        huge_frames_sent: u32,
        frames_encoded: u32,
        key_frames_encoded: u32,
        qp_sum: u64,
        total_encode_time: f64,
        total_packet_send_delay: f64,
        quality_limitation_reason: QualityLimitationReason,
        quality_limitation_durations: HashMap<String, f64>,
        quality_limitation_resolution_changes: u32,
        nack_count: u32,
        fir_count: u32,
        pli_count: u32,
        encoder_implementation: String,
        power_efficient_encoder: bool,
        active: bool,
        scalibility_mode: String,
    });
    all_fields!(RemoteInboundRtpStreamStats {
        local_id: String,
        round_trip_time: f64,
        total_round_trip_time: f64,
        fraction_lost: f64,
        round_trip_time_measurements: u64,
    });
    all_fields!(RemoteOutboundRtpStreamStats {
        local_id: String,
        remote_timestamp: f64,
        reports_sent: u64,
        round_trip_time: f64,
        total_round_trip_time: f64,
        round_trip_time_measurements: u64,
    });
    all_fields!(MediaSourceStats {
        track_identifier: String,
        kind: String,
    });
    all_fields!(AudioSourceStats {
        audio_level: f64,
        total_audio_energy: f64,
        total_samples_duration: f64,
        echo_return_loss: f64,
        echo_return_loss_enhancement: f64,
        dropped_samples_duration: f64,
        dropped_samples_events: u32,
        total_capture_delay: f64,
        total_samples_captured: u64,
    });
    all_fields!(VideoSourceStats {
        width: u32,
        height: u32,
        frames: u32,
        frames_per_second: f64,
    });
    all_fields!(AudioPlayoutStats {
        kind: String,
        synthesized_samples_duration: f64,
        synthesized_samples_events: u32,
        total_samples_duration: f64,
        total_playout_delay: f64,
        total_samples_count: u64,
    });
    all_fields!(PeerConnectionStats {
        data_channels_opened: u32,
        data_channels_closed: u32,
    });
    all_fields!(DataChannelStats {
        label: String,
        protocol: String,
        data_channel_identifier: i32,
        state: Option<DataChannelState>,
        messages_sent: u32,
        bytes_sent: u64,
        messages_received: u32,
        bytes_received: u64,
    });
    all_fields!(TransportStats {
        packets_sent: u64,
        packets_received: u64,
        bytes_sent: u64,
        bytes_received: u64,
        ice_role: IceRole,
        ice_local_username_fragment: String,
        dtls_state: Option<DtlsTransportState>,
        ice_state: Option<IceTransportState>,
        selected_candidate_pair_id: String,
        local_certificate_id: String,
        remote_certificate_id: String,
        tls_version: String,
        dtls_cipher: String,
        dtls_role: DtlsRole,
        srtp_cipher: String,
        selected_candidate_pair_changes: u32,
    });
    all_fields!(CandidatePairStats {
        transport_id: String,
        local_candidate_id: String,
        remote_candidate_id: String,
        state: Option<IceCandidatePairState>,
        nominated: bool,
        packets_sent: u64,
        packets_received: u64,
        bytes_sent: u64,
        bytes_received: u64,
        last_packet_sent_timestamp: f64,
        last_packet_received_timestamp: f64,
        total_round_trip_time: f64,
        current_round_trip_time: f64,
        available_outgoing_bitrate: f64,
        available_incoming_bitrate: f64,
        requests_received: u64,
        requests_sent: u64,
        responses_received: u64,
        responses_sent: u64,
        consent_requests_sent: u64,
        packets_discarded_on_send: u32,
        bytes_discarded_on_send: u64,
    });
    all_fields!(IceCandidateStats {
        transport_id: String,
        address: String,
        port: i32,
        protocol: String,
        candidate_type: Option<IceCandidateType>,
        priority: i32,
        url: String,
        relay_protocol: Option<IceServerTransportProtocol>,
        foundation: String,
        related_address: String,
        related_port: i32,
        username_fragment: String,
        tcp_type: Option<IceTcpCandidateType>,
        network_type: Option<String>,
    });
    all_fields!(CertificateStats {
        fingerprint: String,
        fingerprint_algorithm: String,
        base64_certificate: String,
        issuer_certificate_id: String,
    });
    all_fields!(StreamStats {
        id: String,
        stream_identifier: String,
    });
    traits! {
        RtcStats: Clone, Default, DeserializeOwned;
        CodecStats: Clone, Default, DeserializeOwned;
        RtpStreamStats: Clone, Default, DeserializeOwned;
        ReceivedRtpStreamStats: Clone, Default, DeserializeOwned;
        InboundRtpStreamStats: Clone, Default, DeserializeOwned;
        SentRtpStreamStats: Clone, Default, DeserializeOwned;
        OutboundRtpStreamStats: Clone, Default, DeserializeOwned;
        RemoteInboundRtpStreamStats: Clone, Default, DeserializeOwned;
        RemoteOutboundRtpStreamStats: Clone, Default, DeserializeOwned;
        MediaSourceStats: Clone, Default, DeserializeOwned;
        AudioSourceStats: Clone, Default, DeserializeOwned;
        VideoSourceStats: Clone, Default, DeserializeOwned;
        AudioPlayoutStats: Clone, Default, DeserializeOwned;
        PeerConnectionStats: Clone, Default, DeserializeOwned;
        DataChannelStats: Clone, Default, DeserializeOwned;
        TransportStats: Clone, Default, DeserializeOwned;
        CandidatePairStats: Clone, Default, DeserializeOwned;
        IceCandidateStats: Clone, Default, DeserializeOwned;
        CertificateStats: Clone, Default, DeserializeOwned;
        StreamStats: Clone, Default, DeserializeOwned;
    }
}
