//! Peer connections, data channels, descriptions and candidates.

use std::{
    error::Error,
    fmt::{Debug, Display},
    future::Future,
    str::{FromStr, Utf8Error},
};

use libwebrtc::{
    MediaType, RtcError,
    data_channel::{
        DataBuffer, DataChannel, DataChannelError, DataChannelInit, DataChannelState,
        OnBufferedAmountChange, OnMessage, OnStateChange,
    },
    ice_candidate::IceCandidate,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    peer_connection::{
        AnswerOptions, BitrateSettings, IceCandidateError, IceConnectionState, IceGatheringState,
        OfferOptions, OnConnectionChange, OnDataChannel, OnIceCandidate, OnIceCandidateError,
        OnIceConnectionChange, OnIceGatheringChange, OnNegotiationNeeded, OnSignalingChange,
        OnTrack, PeerConnection, PeerConnectionState, SignalingState, TrackEvent,
    },
    peer_connection_factory::{
        ContinualGatheringPolicy, IceServer, IceTransportsType, PeerConnectionFactory,
        RtcConfiguration,
    },
    rtp_parameters::{Priority, RtpCapabilities},
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverInit},
    session_description::{SdpParseError, SdpType, SessionDescription},
    stats::RtcStats,
};
use serde::de::DeserializeOwned;

use crate::{all_fields, all_variants, fields, signatures, traits};

all_variants!(PeerConnectionState {
    New,
    Connecting,
    Connected,
    Disconnected,
    Failed,
    Closed,
});
all_variants!(IceConnectionState {
    New,
    Checking,
    Connected,
    Completed,
    Failed,
    Disconnected,
    Closed,
    Max,
});
all_variants!(IceGatheringState {
    New,
    Gathering,
    Complete,
});
all_variants!(SignalingState {
    Stable,
    HaveLocalOffer,
    HaveLocalPrAnswer,
    HaveRemoteOffer,
    HaveRemotePrAnswer,
    Closed,
});
all_variants!(ContinualGatheringPolicy {
    GatherOnce,
    GatherContinually,
});
all_variants!(IceTransportsType { Relay, NoHost, All });
all_variants!(SdpType {
    Offer,
    PrAnswer,
    Answer,
    Rollback,
});
all_variants!(DataChannelState {
    Connecting,
    Open,
    Closing,
    Closed,
});

all_fields!(OfferOptions {
    ice_restart: bool,
    offer_to_receive_audio: bool,
    offer_to_receive_video: bool,
});
all_fields!(BitrateSettings {
    min_bitrate_bps: Option<u64>,
    start_bitrate_bps: Option<u64>,
    max_bitrate_bps: Option<u64>,
});
all_fields!(IceCandidateError {
    address: String,
    port: i32,
    url: String,
    error_code: i32,
    error_text: String,
});
all_fields!(TrackEvent {
    receiver: RtpReceiver,
    streams: Vec<MediaStream>,
    track: MediaStreamTrack,
    transceiver: RtpTransceiver,
});
all_fields!(IceServer { urls: Vec<String>, username: String, password: String, });
fields!(RtcConfiguration {
    ice_servers: Vec<IceServer>,
    continual_gathering_policy: ContinualGatheringPolicy,
    ice_transport_type: IceTransportsType,
    enable_sctp_snap: bool,
});
all_fields!(DataChannelInit {
    ordered: bool,
    max_retransmit_time: Option<i32>,
    max_retransmits: Option<i32>,
    protocol: String,
    negotiated: bool,
    id: i32,
    priority: Option<Priority>,
});
all_fields!(DataBuffer<'a> { data: &'a [u8], binary: bool, });
all_fields!(SdpParseError {
    line: String,
    description: String,
});

signatures! {
    || AnswerOptions {} => fn() -> AnswerOptions;
    || DataChannelError::Send => fn() -> DataChannelError;
    DataChannelError::Utf8 => fn(Utf8Error) -> DataChannelError;

    DataChannel::send => fn(&DataChannel, &[u8], bool) -> Result<(), DataChannelError>;
    DataChannel::id => fn(&DataChannel) -> i32;
    DataChannel::label => fn(&DataChannel) -> String;
    DataChannel::state => fn(&DataChannel) -> DataChannelState;
    DataChannel::close => fn(&DataChannel);
    DataChannel::buffered_amount => fn(&DataChannel) -> u64;
    DataChannel::on_state_change => fn(&DataChannel, Option<OnStateChange>);
    DataChannel::on_message => fn(&DataChannel, Option<OnMessage>);
    DataChannel::on_buffered_amount_change => fn(&DataChannel, Option<OnBufferedAmountChange>);

    IceCandidate::parse => fn(&str, i32, &str) -> Result<IceCandidate, SdpParseError>;
    IceCandidate::sdp_mid => fn(&IceCandidate) -> String;
    IceCandidate::sdp_mline_index => fn(&IceCandidate) -> i32;
    IceCandidate::candidate => fn(&IceCandidate) -> String;
    <IceCandidate as ToString>::to_string => fn(&IceCandidate) -> String;

    SessionDescription::parse => fn(&str, SdpType) -> Result<SessionDescription, SdpParseError>;
    SessionDescription::sdp_type => fn(&SessionDescription) -> SdpType;
    <SessionDescription as ToString>::to_string => fn(&SessionDescription) -> String;
    <SdpType as FromStr>::from_str => fn(&str) -> Result<SdpType, &'static str>;

    PeerConnectionFactory::with_zero_playout_delay => fn() -> PeerConnectionFactory;
    PeerConnectionFactory::with_options => fn(bool, bool) -> PeerConnectionFactory;
    PeerConnectionFactory::create_peer_connection
        => fn(&PeerConnectionFactory, RtcConfiguration) -> Result<PeerConnection, RtcError>;
    PeerConnectionFactory::get_rtp_sender_capabilities
        => fn(&PeerConnectionFactory, MediaType) -> RtpCapabilities;
    PeerConnectionFactory::get_rtp_receiver_capabilities
        => fn(&PeerConnectionFactory, MediaType) -> RtpCapabilities;

    PeerConnection::set_configuration
        => fn(&PeerConnection, RtcConfiguration) -> Result<(), RtcError>;
    PeerConnection::set_bitrate => fn(&PeerConnection, BitrateSettings) -> Result<(), RtcError>;
    PeerConnection::create_data_channel
        => fn(&PeerConnection, &str, DataChannelInit) -> Result<DataChannel, RtcError>;
    PeerConnection::add_track::<&str>
        => fn(&PeerConnection, MediaStreamTrack, &[&'static str]) -> Result<RtpSender, RtcError>;
    PeerConnection::add_track::<String>
        => fn(&PeerConnection, MediaStreamTrack, &[String]) -> Result<RtpSender, RtcError>;
    PeerConnection::remove_track => fn(&PeerConnection, RtpSender) -> Result<(), RtcError>;
    PeerConnection::add_transceiver => fn(
        &PeerConnection, MediaStreamTrack, RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError>;
    PeerConnection::add_transceiver_for_media
        => fn(&PeerConnection, MediaType, RtpTransceiverInit) -> Result<RtpTransceiver, RtcError>;
    PeerConnection::close => fn(&PeerConnection);
    PeerConnection::restart_ice => fn(&PeerConnection);
    PeerConnection::connection_state => fn(&PeerConnection) -> PeerConnectionState;
    PeerConnection::ice_connection_state => fn(&PeerConnection) -> IceConnectionState;
    PeerConnection::ice_gathering_state => fn(&PeerConnection) -> IceGatheringState;
    PeerConnection::signaling_state => fn(&PeerConnection) -> SignalingState;
    PeerConnection::current_local_description => fn(&PeerConnection) -> Option<SessionDescription>;
    PeerConnection::current_remote_description => fn(&PeerConnection) -> Option<SessionDescription>;
    PeerConnection::senders => fn(&PeerConnection) -> Vec<RtpSender>;
    PeerConnection::receivers => fn(&PeerConnection) -> Vec<RtpReceiver>;
    PeerConnection::transceivers => fn(&PeerConnection) -> Vec<RtpTransceiver>;
    PeerConnection::on_connection_state_change => fn(&PeerConnection, Option<OnConnectionChange>);
    PeerConnection::on_data_channel => fn(&PeerConnection, Option<OnDataChannel>);
    PeerConnection::on_ice_candidate => fn(&PeerConnection, Option<OnIceCandidate>);
    PeerConnection::on_ice_candidate_error => fn(&PeerConnection, Option<OnIceCandidateError>);
    PeerConnection::on_ice_connection_state_change
        => fn(&PeerConnection, Option<OnIceConnectionChange>);
    PeerConnection::on_ice_gathering_state_change
        => fn(&PeerConnection, Option<OnIceGatheringChange>);
    PeerConnection::on_negotiation_needed => fn(&PeerConnection, Option<OnNegotiationNeeded>);
    PeerConnection::on_signaling_state_change => fn(&PeerConnection, Option<OnSignalingChange>);
    PeerConnection::on_track => fn(&PeerConnection, Option<OnTrack>);
}

/// The types behind the callbacks' names.
fn callbacks_are_boxed_closures() {
    let _: Option<Box<dyn FnMut(DataChannelState) + Send + Sync>> = None::<OnStateChange>;
    let _: Option<Box<dyn FnMut(DataBuffer<'_>) + Send + Sync>> = None::<OnMessage>;
    let _: Option<Box<dyn FnMut(u64) + Send + Sync>> = None::<OnBufferedAmountChange>;
    let _: Option<Box<dyn FnMut(PeerConnectionState) + Send + Sync>> = None::<OnConnectionChange>;
    let _: Option<Box<dyn FnMut(DataChannel) + Send + Sync>> = None::<OnDataChannel>;
    let _: Option<Box<dyn FnMut(IceCandidate) + Send + Sync>> = None::<OnIceCandidate>;
    let _: Option<Box<dyn FnMut(IceCandidateError) + Send + Sync>> = None::<OnIceCandidateError>;
    let _: Option<Box<dyn FnMut(IceConnectionState) + Send + Sync>> = None::<OnIceConnectionChange>;
    let _: Option<Box<dyn FnMut(IceGatheringState) + Send + Sync>> = None::<OnIceGatheringChange>;
    let _: Option<Box<dyn FnMut(u32) + Send + Sync>> = None::<OnNegotiationNeeded>;
    let _: Option<Box<dyn FnMut(SignalingState) + Send + Sync>> = None::<OnSignalingChange>;
    let _: Option<Box<dyn FnMut(TrackEvent) + Send + Sync>> = None::<OnTrack>;
}

/// Async functions: `livekit` awaits them in tasks that move between threads.
fn futures_can_change_threads(
    connection: &PeerConnection,
    description: SessionDescription,
    candidate: IceCandidate,
) {
    fn check<T>(_future: impl Future<Output = Result<T, RtcError>> + Send) {}
    check::<SessionDescription>(connection.create_offer(OfferOptions::default()));
    check::<SessionDescription>(connection.create_answer(AnswerOptions::default()));
    check::<()>(connection.set_local_description(description.clone()));
    check::<()>(connection.set_remote_description(description));
    check::<()>(connection.add_ice_candidate(candidate));
    check::<Vec<RtcStats>>(connection.get_stats());
}

traits! {
    PeerConnectionState: Debug, Copy, Eq;
    IceConnectionState: Debug, Copy, Eq;
    IceGatheringState: Debug, Copy, Eq;
    SignalingState: Debug, Copy, Eq;
    ContinualGatheringPolicy: Debug, Copy, Eq;
    IceTransportsType: Debug, Copy, Eq;
    OfferOptions: Debug, Clone, Default;
    AnswerOptions: Debug, Clone, Default;
    BitrateSettings: Debug, Copy, Default, Eq;
    IceCandidateError: Debug, Clone, Send, Sync;
    TrackEvent: Debug, Clone, Send, Sync;
    PeerConnection: Debug, Clone, Send, Sync;
    IceServer: Debug, Clone, Send, Sync;
    RtcConfiguration: Debug, Clone, Default, Send, Sync;
    PeerConnectionFactory: Debug, Clone, Default, Send, Sync;
    SdpType: Debug, Copy, Eq, Display, FromStr;
    SessionDescription: Debug, Clone, Send, Sync;
    SdpParseError: Error, Debug, Clone, Send, Sync;
    IceCandidate: Debug, Send, Sync;
    DataChannelInit: Debug, Clone, Default;
    DataChannelError: Error, Debug, From<Utf8Error>, Send, Sync;
    DataChannelState: Debug, Copy, Eq, DeserializeOwned;
    DataBuffer<'static>: Debug;
    DataChannel: Debug, Clone, Send, Sync;
}
