//! A connection to one peer: negotiation, tracks and data channels.

use std::{fmt, sync::Arc};

use crate::{
    MediaType, RtcError,
    data_channel::{DataChannel, DataChannelInit},
    engine::connection::{Connection, Handle},
    ice_candidate::IceCandidate,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    peer_connection_factory::RtcConfiguration,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection, RtpTransceiverInit},
    session_description::SessionDescription,
    stats::RtcStats,
};

/// The state of the connection as a whole. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum PeerConnectionState {
    /// Nothing happened yet.
    New,
    /// Looking for a path, or agreeing on keys.
    Connecting,
    /// Media and data flow.
    Connected,
    /// The path is lost, for now.
    Disconnected,
    /// The path is lost, or the peer is gone. ICE restart or a new connection may help.
    Failed,
    /// Closed by this side.
    Closed,
}

/// The state of the search for a path. *Works*, without `Max`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceConnectionState {
    /// Nothing happened yet.
    New,
    /// Trying paths.
    Checking,
    /// A path was found.
    Connected,
    /// The best path was found.
    Completed,
    /// No path was found in 12 s.
    Failed,
    /// The path was lost.
    Disconnected,
    /// Closed by this side.
    Closed,
    /// Never reported; upstream's name for "past the last".
    Max,
}

/// The state of the collection of own addresses. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceGatheringState {
    /// Not begun.
    New,
    /// Under way.
    Gathering,
    /// Done.
    Complete,
}

/// Who has offered what. *Works*, without the provisional ones: a provisional answer is applied as an answer.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SignalingState {
    /// Nothing is open.
    Stable,
    /// An own offer waits for its answer.
    HaveLocalOffer,
    /// Never reported.
    HaveLocalPrAnswer,
    /// The peer's offer waits for an answer.
    HaveRemoteOffer,
    /// Never reported.
    HaveRemotePrAnswer,
    /// Closed by this side.
    Closed,
}

/// Options of [`PeerConnection::create_offer`]. *Works* for `ice_restart`.
#[derive(Debug, Clone, Default)]
pub struct OfferOptions {
    /// Ask for new paths. Takes effect when the answer comes; the old path is used until then.
    pub ice_restart: bool,
    /// Not used: add a transceiver that receives instead.
    pub offer_to_receive_audio: bool,
    /// Not used: add a transceiver that receives instead.
    pub offer_to_receive_video: bool,
}

/// Options of [`PeerConnection::create_answer`]. There are none.
#[derive(Debug, Clone, Default)]
pub struct AnswerOptions {}

/// Limits for the sum of what a connection sends, in bits per second. Checked and then *never* used: one voice needs
/// no bandwidth estimation; set an encoding's `max_bitrate` to change what Opus uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitrateSettings {
    /// Not below this.
    pub min_bitrate_bps: Option<u64>,
    /// Begin here.
    pub start_bitrate_bps: Option<u64>,
    /// Not above this.
    pub max_bitrate_bps: Option<u64>,
}

/// A STUN or TURN server that did not answer as it should. *Works.*
#[derive(Debug, Clone)]
pub struct IceCandidateError {
    /// The local address used.
    pub address: String,
    /// Its port.
    pub port: i32,
    /// The server, as configured.
    pub url: String,
    /// The STUN error code, or 701 if the server was not reached.
    pub error_code: i32,
    /// What happened, for people.
    pub error_text: String,
}

/// The peer began to send a track. *Works.*
#[derive(Debug, Clone)]
pub struct TrackEvent {
    /// The receiving half of the section.
    pub receiver: RtpReceiver,
    /// The streams that the peer put the track into.
    pub streams: Vec<MediaStream>,
    /// The track.
    pub track: MediaStreamTrack,
    /// The section.
    pub transceiver: RtpTransceiver,
}

/// Called with the new [`PeerConnectionState`].
pub type OnConnectionChange = Box<dyn FnMut(PeerConnectionState) + Send + Sync>;
/// Called with a channel that the peer opened.
pub type OnDataChannel = Box<dyn FnMut(DataChannel) + Send + Sync>;
/// Called with an own candidate, to be sent to the peer.
pub type OnIceCandidate = Box<dyn FnMut(IceCandidate) + Send + Sync>;
/// Called when a STUN or TURN server did not help.
pub type OnIceCandidateError = Box<dyn FnMut(IceCandidateError) + Send + Sync>;
/// Called with the new [`IceConnectionState`].
pub type OnIceConnectionChange = Box<dyn FnMut(IceConnectionState) + Send + Sync>;
/// Called with the new [`IceGatheringState`].
pub type OnIceGatheringChange = Box<dyn FnMut(IceGatheringState) + Send + Sync>;
/// Called when an offer should be made.
pub type OnNegotiationNeeded = Box<dyn FnMut(u32) + Send + Sync>;
/// Called with the new [`SignalingState`].
pub type OnSignalingChange = Box<dyn FnMut(SignalingState) + Send + Sync>;
/// Called with a track that the peer began to send.
pub type OnTrack = Box<dyn FnMut(TrackEvent) + Send + Sync>;

/// A connection to one peer. Clones are the same connection, which closes when the last one is dropped. *Works.*
///
/// All methods return without waiting for the network; the `async` ones are so because upstream's are. Callbacks run
/// one after the other on the engine's own threads: a slow one holds up this connection and no other.
#[derive(Clone)]
pub struct PeerConnection {
    handle: Arc<Handle>,
}

impl PeerConnection {
    pub(crate) fn new(config: RtcConfiguration) -> Result<Self, RtcError> {
        Ok(Self {
            handle: Arc::new(Handle::new(config)?),
        })
    }

    fn connection(&self) -> &Arc<Connection> {
        self.handle.connection()
    }

    /// Replaces the STUN and TURN servers. *Works* until addresses were collected and from the next ICE restart on.
    pub fn set_configuration(&self, config: RtcConfiguration) -> Result<(), RtcError> {
        self.connection().set_configuration(config)
    }

    /// Checks the limits. *Error* for limits out of order and after [`close`](Self::close); otherwise without effect.
    pub fn set_bitrate(&self, settings: BitrateSettings) -> Result<(), RtcError> {
        let BitrateSettings {
            min_bitrate_bps: min,
            start_bitrate_bps: start,
            max_bitrate_bps: max,
        } = settings;
        self.connection().check_open()?;
        let floor = min.max(start);
        if start.is_some() && start < min || max.is_some_and(|max| floor > Some(max)) {
            return Err(RtcError::internal(
                "bitrates must satisfy min <= start <= max",
            ));
        }
        Ok(())
    }

    /// Describes what this side wants. Changes nothing else: an offer that is never applied costs nothing. *Works.*
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn create_offer(
        &self,
        options: OfferOptions,
    ) -> Result<SessionDescription, RtcError> {
        self.connection().create_offer(options.ice_restart)
    }

    /// Describes what this side accepts of the peer's offer. *Works.*
    ///
    /// # Errors
    /// No offer is open, or the connection is closed.
    pub async fn create_answer(
        &self,
        options: AnswerOptions,
    ) -> Result<SessionDescription, RtcError> {
        let AnswerOptions {} = options;
        self.connection().create_answer()
    }

    /// Applies an own description, which may have been edited since it was created. *Works.*
    ///
    /// # Errors
    /// It does not fit the signaling state or is not usable SDP; nothing has changed then.
    pub async fn set_local_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        self.connection().set_local_description(desc)
    }

    /// Applies the peer's description. *Works.* The receivers show the new tracks when this returns.
    ///
    /// # Errors
    /// It does not fit the signaling state or is not usable SDP; nothing has changed then.
    pub async fn set_remote_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        self.connection().set_remote_description(desc)
    }

    /// Adds an address of the peer. *Works.* A line that cannot be used is logged and dropped.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn add_ice_candidate(&self, candidate: IceCandidate) -> Result<(), RtcError> {
        self.connection().add_ice_candidate(&candidate.candidate)
    }

    /// Creates a channel, which opens when the transport is up. *Works.*
    ///
    /// # Errors
    /// The connection is closed, the `id` of a negotiated channel is in use, or a number is out of range.
    pub fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannel, RtcError> {
        let inner = self.connection().create_data_channel(label, init)?;
        Ok(DataChannel { inner })
    }

    /// Sends a track, in a new transceiver that also receives. *Works.*
    ///
    /// # Errors
    /// The connection is closed.
    pub fn add_track<T: AsRef<str>>(
        &self,
        track: MediaStreamTrack,
        streams_ids: &[T],
    ) -> Result<RtpSender, RtcError> {
        let init = RtpTransceiverInit {
            direction: RtpTransceiverDirection::SendRecv,
            stream_ids: streams_ids
                .iter()
                .map(|id| id.as_ref().to_owned())
                .collect(),
            send_encodings: vec![],
        };
        let inner = self.connection().add_track(track, init)?;
        Ok(RtpSender {
            inner: inner.sender.clone(),
        })
    }

    /// Stops sending what `sender` sends; the section stays. *Works.*
    ///
    /// # Errors
    /// The connection is closed.
    pub fn remove_track(&self, sender: RtpSender) -> Result<(), RtcError> {
        self.connection().remove_track(&sender.inner)
    }

    /// Figures of all senders, receivers, channels and of the path. *Works.*
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(self.connection().stats())
    }

    /// Adds a section that sends `track`. *Works.*
    ///
    /// # Errors
    /// The connection is closed.
    pub fn add_transceiver(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let inner = self.connection().add_transceiver(track, init)?;
        Ok(RtpTransceiver { inner })
    }

    /// Adds a section of audio or video without a track. *Works.*
    ///
    /// # Errors
    /// Another media type, or the connection is closed.
    pub fn add_transceiver_for_media(
        &self,
        media_type: MediaType,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let inner = self
            .connection()
            .add_transceiver_for_media(media_type, init)?;
        Ok(RtpTransceiver { inner })
    }

    /// Ends the connection; the peer is told. *Works.* Further calls return errors, further callbacks report only this.
    ///
    /// Returns when the sockets are released, which takes one to two milliseconds.
    pub fn close(&self) {
        self.connection().close();
        self.connection().wait_until_released();
    }

    /// Makes the next offer an ICE restart and asks for one. *Works.*
    pub fn restart_ice(&self) {
        self.connection().restart_ice();
    }

    /// The state as a whole. *Works.*
    pub fn connection_state(&self) -> PeerConnectionState {
        self.connection().connection_state()
    }

    /// The state of the search for a path. *Works.*
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.connection().ice_connection_state()
    }

    /// The state of the collection of own addresses. *Works.*
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.connection().ice_gathering_state()
    }

    /// Who has offered what. *Works.*
    pub fn signaling_state(&self) -> SignalingState {
        self.connection().signaling_state()
    }

    /// The own description that the last completed negotiation used. *Works.*
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.connection().current_local_description()
    }

    /// The peer's description that the last completed negotiation used. *Works.*
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.connection().current_remote_description()
    }

    /// The sending halves, in the order of their creation. *Works.*
    pub fn senders(&self) -> Vec<RtpSender> {
        self.transceivers()
            .iter()
            .map(RtpTransceiver::sender)
            .collect()
    }

    /// The receiving halves, in the order of their creation. *Works.*
    pub fn receivers(&self) -> Vec<RtpReceiver> {
        self.transceivers()
            .iter()
            .map(RtpTransceiver::receiver)
            .collect()
    }

    /// The sections, in the order of their creation. *Works.*
    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        let all = self.connection().transceivers();
        all.into_iter()
            .map(|inner| RtpTransceiver { inner })
            .collect()
    }

    /// Sets or removes the callback for the state as a whole. *Works.*
    pub fn on_connection_state_change(&self, f: Option<OnConnectionChange>) {
        self.connection().callbacks.connection_change.set(f);
    }

    /// Sets or removes the callback for channels that the peer opens. *Works.*
    pub fn on_data_channel(&self, f: Option<OnDataChannel>) {
        self.connection().callbacks.data_channel.set(f);
    }

    /// Sets or removes the callback for own candidates. *Works.*
    pub fn on_ice_candidate(&self, f: Option<OnIceCandidate>) {
        self.connection().callbacks.ice_candidate.set(f);
    }

    /// Sets or removes the callback for STUN and TURN servers that did not help. *Works.*
    pub fn on_ice_candidate_error(&self, f: Option<OnIceCandidateError>) {
        self.connection().callbacks.ice_candidate_error.set(f);
    }

    /// Sets or removes the callback for the search for a path. *Works.*
    pub fn on_ice_connection_state_change(&self, f: Option<OnIceConnectionChange>) {
        self.connection().callbacks.ice_connection_change.set(f);
    }

    /// Sets or removes the callback for the collection of own addresses. *Works.*
    pub fn on_ice_gathering_state_change(&self, f: Option<OnIceGatheringChange>) {
        self.connection().callbacks.ice_gathering_change.set(f);
    }

    /// Sets or removes the callback for needed offers. *Works*: called after new tracks, a first channel, removed
    /// tracks and [`restart_ice`](Self::restart_ice).
    pub fn on_negotiation_needed(&self, f: Option<OnNegotiationNeeded>) {
        self.connection().callbacks.negotiation_needed.set(f);
    }

    /// Sets or removes the callback for the signaling state. *Works.*
    pub fn on_signaling_state_change(&self, f: Option<OnSignalingChange>) {
        self.connection().callbacks.signaling_change.set(f);
    }

    /// Sets or removes the callback for tracks that the peer begins to send. *Works*: called when the description that
    /// announces them is applied.
    pub fn on_track(&self, f: Option<OnTrack>) {
        self.connection().callbacks.track.set(f);
    }
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("state", &self.connection_state())
            .field("ice_state", &self.ice_connection_state())
            .finish()
    }
}
