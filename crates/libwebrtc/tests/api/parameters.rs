//! Senders, receivers, transceivers and their parameters.

use std::{fmt::Debug, future::Future};

use libwebrtc::{
    RtcError,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::{
        DegradationPreference, Priority, RtcpParameters, RtpCapabilities, RtpCodecCapability,
        RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionCapability,
        RtpHeaderExtensionParameters, RtpParameters,
    },
    rtp_receiver::RtpReceiver,
    rtp_sender::{RtpSender, VideoEncoderBackend},
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection, RtpTransceiverInit},
    stats::RtcStats,
};

use crate::{all_fields, all_variants, fields, signatures, traits};

all_variants!(Priority {
    VeryLow,
    Low,
    Medium,
    High,
});
all_variants!(DegradationPreference {
    MaintainFramerateAndResolution,
    MaintainFramerate,
    MaintainResolution,
    Balanced,
});
all_variants!(RtpTransceiverDirection {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
    Stopped,
});

#[expect(deprecated, reason = "that the old name still exists is the test")]
const _: DegradationPreference = DegradationPreference::Disabled;
const _: [VideoEncoderBackend; 7] = [
    VideoEncoderBackend::Auto,
    VideoEncoderBackend::Software,
    VideoEncoderBackend::Hardware,
    VideoEncoderBackend::Nvenc,
    VideoEncoderBackend::Vaapi,
    VideoEncoderBackend::VideoToolbox,
    VideoEncoderBackend::PreEncoded,
];

all_fields!(RtpHeaderExtensionParameters {
    uri: String,
    id: i32,
    encrypted: bool,
});
fields!(RtpParameters {
    codecs: Vec<RtpCodecParameters>,
    header_extensions: Vec<RtpHeaderExtensionParameters>,
    encodings: Vec<RtpEncodingParameters>,
    rtcp: RtcpParameters,
});
fields!(RtpCodecParameters {
    payload_type: u8,
    mime_type: String,
    clock_rate: Option<u64>,
    channels: Option<u16>,
});
fields!(RtcpParameters {
    cname: String,
    reduced_size: bool,
});
all_fields!(RtpEncodingParameters {
    active: bool,
    max_bitrate: Option<u64>,
    max_framerate: Option<f64>,
    priority: Priority,
    rid: String,
    scale_resolution_down_by: Option<f64>,
    scalability_mode: Option<String>,
    has_ssrc: bool,
    ssrc: u32,
});
all_fields!(RtpCodecCapability {
    channels: Option<u16>,
    clock_rate: Option<u64>,
    mime_type: String,
    sdp_fmtp_line: Option<String>,
});
all_fields!(RtpHeaderExtensionCapability {
    uri: String,
    direction: RtpTransceiverDirection,
});
all_fields!(RtpCapabilities {
    header_extensions: Vec<RtpHeaderExtensionCapability>,
    codecs: Vec<RtpCodecCapability>,

});
all_fields!(RtpTransceiverInit {
    direction: RtpTransceiverDirection,
    stream_ids: Vec<String>,
    send_encodings: Vec<RtpEncodingParameters>,
});

signatures! {
    RtpParameters::set_degradation_preference => fn(&mut RtpParameters, DegradationPreference);
    RtpParameters::degradation_preference => fn(&RtpParameters) -> Option<DegradationPreference>;

    RtpSender::track => fn(&RtpSender) -> Option<MediaStreamTrack>;
    RtpSender::set_track => fn(&RtpSender, Option<MediaStreamTrack>) -> Result<(), RtcError>;
    RtpSender::parameters => fn(&RtpSender) -> RtpParameters;
    RtpSender::set_parameters => fn(&RtpSender, RtpParameters) -> Result<(), RtcError>;
    RtpSender::set_video_encoder_backend => fn(&RtpSender, VideoEncoderBackend);

    RtpReceiver::track => fn(&RtpReceiver) -> Option<MediaStreamTrack>;
    RtpReceiver::stream_ids => fn(&RtpReceiver) -> Vec<String>;
    RtpReceiver::streams => fn(&RtpReceiver) -> Vec<MediaStream>;
    RtpReceiver::parameters => fn(&RtpReceiver) -> RtpParameters;

    RtpTransceiver::mid => fn(&RtpTransceiver) -> Option<String>;
    RtpTransceiver::current_direction => fn(&RtpTransceiver) -> Option<RtpTransceiverDirection>;
    RtpTransceiver::direction => fn(&RtpTransceiver) -> RtpTransceiverDirection;
    RtpTransceiver::sender => fn(&RtpTransceiver) -> RtpSender;
    RtpTransceiver::receiver => fn(&RtpTransceiver) -> RtpReceiver;
    RtpTransceiver::set_codec_preferences
        => fn(&RtpTransceiver, Vec<RtpCodecCapability>) -> Result<(), RtcError>;
    RtpTransceiver::stop => fn(&RtpTransceiver) -> Result<(), RtcError>;
}

fn encoder_backends_can_be_listed() -> Vec<VideoEncoderBackend> {
    VideoEncoderBackend::list_available().into_iter().collect()
}

/// Async functions: `livekit` awaits them in tasks that move between threads.
fn futures_can_change_threads(sender: &RtpSender, receiver: &RtpReceiver) {
    fn check(_future: impl Future<Output = Result<Vec<RtcStats>, RtcError>> + Send) {}
    check(sender.get_stats());
    check(receiver.get_stats());
}

traits! {
    Priority: Debug, Copy, Eq;
    DegradationPreference: Debug, Copy, Eq, Default;
    RtpHeaderExtensionParameters: Debug, Clone;
    RtpParameters: Debug, Clone, Default, Send, Sync;
    RtpCodecParameters: Debug, Clone, Default;
    RtcpParameters: Debug, Clone, Default;
    RtpEncodingParameters: Debug, Clone, Default;
    RtpCodecCapability: Debug, Clone;
    RtpHeaderExtensionCapability: Debug, Clone;
    RtpCapabilities: Debug, Clone;
    RtpTransceiverInit: Debug, Clone;
    RtpTransceiverDirection: Debug, Copy, Eq;
    VideoEncoderBackend: Debug, Copy, Eq, Default;
    RtpSender: Debug, Clone, Send, Sync;
    RtpReceiver: Debug, Clone, Send, Sync;
    RtpTransceiver: Debug, Clone, Send, Sync;
}
