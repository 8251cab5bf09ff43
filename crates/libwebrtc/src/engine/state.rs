//! The state of one peer connection, and how it changes. No socket, no callback: what the program
//! should hear of is noted, what should be sent is put into the outbox, and time is an argument.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, IceConnectionState as Ice, Rtc,
    net::{Protocol, Transmit},
    stats::PeerStats,
};

use super::{
    callbacks::Notice,
    data::Channels,
    describe::{Numbers, Own},
    ice::Gathering,
    media::Routes,
    negotiation::{MediaView, Negotiation, Start},
    session::{self, Identity},
    transceiver::Transceiver,
};
use crate::{
    RtcError,
    ice_candidate::IceCandidate,
    peer_connection::{IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState},
    peer_connection_factory::RtcConfiguration,
};

/// A path that is lost for so long has failed.
const PATH_LOST_MAX: Duration = Duration::from_secs(12);
/// How long after the peer has closed its side the connection has failed. Whoever ends a session says so
/// over signalling, too, and that may come a moment later: a failure in between looks like trouble, and
/// makes LiveKit's client join again. (libwebrtc reports nothing before the path is lost.)
const CLOSED_BY_PEER_MAX: Duration = Duration::from_millis(500);

/// What UDP gets to find a path before TCP is tried.
const UDP_HEAD_START: Duration = Duration::from_secs(1);

/// A peer with more addresses than this is not served better by trying them.
const REMOTE_CANDIDATES_MAX: usize = 128;

/// What the connection's lock guards.
pub(crate) struct State {
    /// Built when both descriptions are known.
    pub(crate) rtc: Option<Rtc>,
    pub(crate) config: RtcConfiguration,
    identity: Identity,
    pub(crate) negotiation: Negotiation,
    pub(crate) transceivers: Vec<Arc<Transceiver>>,
    pub(crate) channels: Channels,
    pub(crate) routes: Routes,
    pub(crate) connection: PeerConnectionState,
    pub(crate) ice: IceConnectionState,
    pub(crate) gathering: Gathering,
    /// Own addresses, for when str0m is built.
    local_candidates: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    dtls_up: bool,
    /// The last figures of the path.
    pub(crate) path: Option<Box<PeerStats>>,
    path_lost_at: Option<Instant>,
    closed_by_peer_at: Option<Instant>,
    pub(crate) closed_at: Option<Instant>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) outbox: Vec<Transmit>,
    /// Sent when the connection was closed, to be sent once more.
    pub(crate) goodbye: Vec<Transmit>,
}

impl State {
    pub(crate) fn new(config: RtcConfiguration) -> Result<Self, RtcError> {
        let identity = Identity::new()?;
        let own = Own {
            session_id: rand::random::<u64>() >> 2,
            version: 1,
            credentials: session::new_credentials(),
            fingerprint: identity.fingerprint(),
            numbers: Numbers::default(),
            candidates: vec![],
        };
        Ok(Self {
            rtc: None,
            config,
            identity,
            negotiation: Negotiation::new(own),
            transceivers: vec![],
            channels: Channels::default(),
            routes: Routes::default(),
            connection: PeerConnectionState::New,
            ice: IceConnectionState::New,
            gathering: Gathering::default(),
            local_candidates: vec![],
            remote_candidates: vec![],
            dtls_up: false,
            path: None,
            path_lost_at: None,
            closed_by_peer_at: None,
            closed_at: None,
            notices: vec![],
            outbox: vec![],
            goodbye: vec![],
        })
    }

    pub(crate) fn check_open(&self) -> Result<(), RtcError> {
        match self.closed_at {
            None => Ok(()),
            Some(_) => Err(RtcError::invalid_state("the peer connection is closed")),
        }
    }

    pub(crate) fn media(&self) -> Vec<MediaView> {
        self.transceivers
            .iter()
            .map(|transceiver| transceiver.view())
            .collect()
    }

    /// Both descriptions are known: ICE and DTLS begin.
    pub(crate) fn start(&mut self, start: Start, now: Instant) -> Result<(), RtcError> {
        let own = &self.negotiation.own;
        let mut rtc = session::begin(&self.identity, &own.credentials, own.numbers, start, now)?;
        for candidate in &self.local_candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        for candidate in &self.remote_candidates {
            rtc.add_remote_candidate(candidate.clone());
        }
        self.rtc = Some(rtc);
        self.set_connection(PeerConnectionState::Connecting);
        Ok(())
    }

    pub(crate) fn restart_ice(
        &mut self,
        local: &super::sdp::attributes::IceCredentials,
        remote: &super::sdp::attributes::IceCredentials,
    ) {
        if let Some(rtc) = &mut self.rtc {
            session::restart_ice(rtc, &mut self.remote_candidates, local, remote);
        }
    }

    /// SCTP begins: the side that opens DTLS opens it.
    pub(crate) fn start_data(&mut self, message_bytes_max: u64) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.direct_api().start_sctp(self.negotiation.dtls_active());
        self.channels.start(rtc, message_bytes_max);
    }

    pub(crate) fn add_remote_candidate(&mut self, line: &str) {
        let Some(candidate) = session::remote_candidate(line) else {
            return;
        };
        // Each description repeats them.
        if self.remote_candidates.contains(&candidate) {
            return;
        }
        if self.remote_candidates.len() == REMOTE_CANDIDATES_MAX {
            log::debug!("the peer has too many candidates: one is not used");
            return;
        }
        self.remote_candidates.push(candidate.clone());
        if let Some(rtc) = &mut self.rtc {
            rtc.add_remote_candidate(candidate);
        }
    }

    /// Uses an own address, and tells the peer of it.
    pub(crate) fn add_local_candidate(&mut self, candidate: Candidate) {
        let line = candidate.to_sdp_string();
        self.negotiation.own.candidates.push(line.clone());
        if let Some(rtc) = &mut self.rtc {
            rtc.add_local_candidate(candidate.clone());
        }
        self.local_candidates.push(candidate);
        let mid = self
            .negotiation
            .lines()
            .first()
            .map(|line| line.mid().to_owned());
        self.notices.push(Notice::Candidate(IceCandidate {
            sdp_mid: mid.unwrap_or_default(),
            sdp_mline_index: 0,
            candidate: line,
        }));
    }

    pub(crate) fn set_gathering(&mut self, state: IceGatheringState) {
        if mem::replace(&mut self.gathering.state, state) != state {
            self.notices.push(Notice::IceGathering(state));
        }
    }

    pub(crate) fn set_connection(&mut self, state: PeerConnectionState) {
        if self.connection != state && self.connection != PeerConnectionState::Closed {
            log::debug!("peer connection {:?} -> {state:?}", self.connection);
            self.connection = state;
            self.notices.push(Notice::Connection(state));
        }
    }

    fn set_ice(&mut self, state: IceConnectionState) {
        if self.ice != state && self.ice != IceConnectionState::Closed {
            self.ice = state;
            self.notices.push(Notice::IceConnection(state));
        }
    }

    /// Keys are agreed on; packets can be read.
    pub(crate) fn on_dtls_up(&mut self) {
        self.dtls_up = true;
        if matches!(
            self.ice,
            IceConnectionState::Connected | IceConnectionState::Completed
        ) {
            self.set_connection(PeerConnectionState::Connected);
        }
    }

    pub(crate) fn on_ice(&mut self, ice: Ice, now: Instant) {
        self.path_lost_at = None;
        match ice {
            Ice::New => {}
            Ice::Checking => {
                self.set_ice(IceConnectionState::Checking);
                self.set_connection(PeerConnectionState::Connecting);
            }
            Ice::Connected | Ice::Completed => {
                self.set_ice(match ice {
                    Ice::Connected => IceConnectionState::Connected,
                    _ => IceConnectionState::Completed,
                });
                if self.dtls_up {
                    self.set_connection(PeerConnectionState::Connected);
                }
            }
            Ice::Disconnected => {
                self.path_lost_at = Some(now);
                // str0m says this as soon as every known pair failed; before the first connection
                // more candidates are likely on their way, and the W3C knows no such step.
                if self.dtls_up {
                    self.set_ice(IceConnectionState::Disconnected);
                    self.set_connection(PeerConnectionState::Disconnected);
                }
            }
        }
    }

    /// How long to wait with TCP; none if a path is found already.
    pub(crate) fn tcp_after(&self) -> Option<Duration> {
        let is_up = matches!(
            self.ice,
            IceConnectionState::Connected | IceConnectionState::Completed
        );
        let has_udp = self
            .remote_candidates
            .iter()
            .any(|c| c.proto() == Protocol::Udp);
        let wait = if has_udp {
            UDP_HEAD_START
        } else {
            Duration::ZERO
        };
        (!is_up).then_some(wait)
    }

    /// The peer has closed its side.
    pub(crate) fn on_closed_by_peer(&mut self, now: Instant) {
        self.closed_by_peer_at.get_or_insert(now);
    }

    /// Gives a path up that is lost or closed for a while. Returns when to look again, if at all.
    pub(crate) fn check_path(&mut self, now: Instant) -> Option<Instant> {
        let lost = self.path_lost_at.map(|at| at + PATH_LOST_MAX);
        let closed = self.closed_by_peer_at.map(|at| at + CLOSED_BY_PEER_MAX);
        let fails_at = [lost, closed].into_iter().flatten().min()?;
        if now < fails_at {
            return Some(fails_at);
        }
        self.path_lost_at = None;
        self.closed_by_peer_at = None;
        self.set_ice(IceConnectionState::Failed);
        self.set_connection(PeerConnectionState::Failed);
        None
    }

    /// Ends everything; str0m may still tell the peer.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closed_at = Some(now);
        self.negotiation.close();
        self.routes.clear();
        self.notices.push(Notice::Signaling(SignalingState::Closed));
        let closed = self.channels.close_all();
        self.notices.extend(closed);
        self.set_ice(IceConnectionState::Closed);
        self.set_connection(PeerConnectionState::Closed);
        if let Some(rtc) = &mut self.rtc
            && let Err(error) = rtc.close()
        {
            log::debug!("the peer may not learn of the end: {error}");
            rtc.disconnect();
        }
    }
}
