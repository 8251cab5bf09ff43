//! Decides what two peers agree on: descriptions in, actions out. No I/O, no clock, no str0m.
//!
//! An offer is a pure function of the state: `livekit` edits its text before applying it, may never
//! apply it, and takes one back by applying the peer's current answer again. So creating an offer
//! only hands out section names, and nothing else moves until both descriptions are known; what the
//! two sides agreed on is then read from the texts. A description that cannot be applied is refused
//! before anything has changed.
//!
//! Source: RFC 8829 (JSEP), RFC 8839 (ICE in SDP), RFC 8842 (DTLS roles), RFC 8843 (BUNDLE).

mod agreement;
#[cfg(test)]
mod tests;

pub(crate) use agreement::{Action, MediaPlan, Start};
use agreement::{plan, show, start, transport_of};

use super::{
    describe::{self, Numbers, Own},
    sdp::{
        MediaKind, Sdp, Section,
        attributes::{Direction, IceCredentials, Msid, Setup},
    },
};
use crate::{
    MediaType, RtcError,
    peer_connection::SignalingState,
    rtp_transceiver::RtpTransceiverDirection,
    session_description::{SdpType, SessionDescription},
};

/// Longest section name that str0m can keep apart from others.
const MID_BYTES_MAX: usize = 16;

/// What negotiation needs to know about one transceiver. Its place in the list is its identity.
#[derive(Debug, Clone)]
pub(crate) struct MediaView {
    pub(crate) kind: MediaType,
    pub(crate) direction: RtpTransceiverDirection,
    /// Stream and track that the sender announces; none while it never had a track.
    pub(crate) msid: Option<Msid>,
    pub(crate) ssrc: u32,
    /// Made by `add_track`: may take over a section that the peer offers.
    pub(crate) may_adopt: bool,
}

impl MediaView {
    pub(crate) fn wants(&self) -> Direction {
        match self.direction {
            RtpTransceiverDirection::SendRecv => Direction::SendRecv,
            RtpTransceiverDirection::SendOnly => Direction::SendOnly,
            RtpTransceiverDirection::RecvOnly => Direction::RecvOnly,
            RtpTransceiverDirection::Inactive | RtpTransceiverDirection::Stopped => {
                Direction::Inactive
            }
        }
    }

    pub(crate) fn media_kind(&self) -> MediaKind {
        if self.kind == MediaType::Audio {
            MediaKind::Audio
        } else {
            MediaKind::Video
        }
    }
}

/// One section of every description from its first mention on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Media {
        transceiver: usize,
        mid: String,
    },
    Data {
        mid: String,
    },
    /// Something that the peer offered and that this engine does not know.
    Unknown {
        mid: String,
    },
}

impl Line {
    pub(crate) fn mid(&self) -> &str {
        let (Self::Media { mid, .. } | Self::Data { mid } | Self::Unknown { mid }) = self;
        mid
    }
}

#[derive(Debug, Default)]
struct Descriptions {
    current: Option<SessionDescription>,
    pending: Option<SessionDescription>,
}

/// The signaling side of one connection.
#[derive(Debug)]
pub(crate) struct Negotiation {
    pub(crate) own: Own,
    signaling: SignalingState,
    lines: Vec<Line>,
    mid_next: u32,
    /// Announced, and used once the peer's answer comes with new ones too.
    credentials_next: Option<IceCredentials>,
    restart_wanted: bool,
    dtls_active: Option<bool>,
    data_started: bool,
    local: Descriptions,
    remote: Descriptions,
}

impl Negotiation {
    pub(crate) fn new(own: Own) -> Self {
        Self {
            own,
            signaling: SignalingState::Stable,
            lines: vec![],
            mid_next: 0,
            credentials_next: None,
            restart_wanted: false,
            dtls_active: None,
            data_started: false,
            local: Descriptions::default(),
            remote: Descriptions::default(),
        }
    }

    pub(crate) fn signaling(&self) -> SignalingState {
        self.signaling
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn current_local(&self) -> Option<&SessionDescription> {
        self.local.current.as_ref()
    }

    pub(crate) fn current_remote(&self) -> Option<&SessionDescription> {
        self.remote.current.as_ref()
    }

    /// This side opens the DTLS connection, and SCTP with it.
    pub(crate) fn dtls_active(&self) -> bool {
        self.dtls_active == Some(true)
    }

    /// No more descriptions.
    pub(crate) fn close(&mut self) {
        self.signaling = SignalingState::Closed;
    }

    /// The next offer asks for new paths.
    pub(crate) fn want_restart(&mut self) {
        self.restart_wanted = true;
    }

    /// An offer for all transceivers, old and new, and for data channels if there are any.
    pub(crate) fn create_offer(
        &mut self,
        media: &[MediaView],
        wants_data: bool,
        ice_restart: bool,
        new_credentials: impl FnOnce() -> IceCredentials,
    ) -> SessionDescription {
        if (ice_restart || self.restart_wanted) && self.remote.current.is_some() {
            self.credentials_next.get_or_insert_with(new_credentials);
        }
        for transceiver in 0..media.len() {
            let known = |line: &Line| matches!(line, Line::Media { transceiver: t, .. } if *t == transceiver);
            if !self.lines.iter().any(known) {
                let mid = self.fresh_mid();
                self.lines.push(Line::Media { transceiver, mid });
            }
        }
        if wants_data
            && !self
                .lines
                .iter()
                .any(|line| matches!(line, Line::Data { .. }))
        {
            let mid = self.fresh_mid();
            self.lines.push(Line::Data { mid });
        }
        self.own.version += 1;
        let credentials = self
            .credentials_next
            .as_ref()
            .unwrap_or(&self.own.credentials);
        let sdp = describe::offer(&self.own, credentials, &self.lines, media);
        SessionDescription {
            sdp: sdp.to_string(),
            sdp_type: SdpType::Offer,
        }
    }

    /// An answer to the peer's open offer.
    pub(crate) fn create_answer(
        &mut self,
        media: &[MediaView],
    ) -> Result<SessionDescription, RtcError> {
        let Some(offer) = &self.remote.pending else {
            return Err(RtcError::invalid_state("there is no offer to answer"));
        };
        let offer = parse(offer)?;
        self.own.version += 1;
        let credentials = self
            .credentials_next
            .as_ref()
            .unwrap_or(&self.own.credentials);
        let setup = if self.dtls_active == Some(false) {
            Setup::Passive
        } else {
            Setup::Active
        };
        let sdp = describe::answer(&self.own, credentials, setup, &self.lines, media, &offer);
        Ok(SessionDescription {
            sdp: sdp.to_string(),
            sdp_type: SdpType::Answer,
        })
    }

    /// Applies an own description.
    pub(crate) fn set_local(
        &mut self,
        description: SessionDescription,
        media: &[MediaView],
    ) -> Result<Vec<Action>, RtcError> {
        let mut actions = vec![];
        match description.sdp_type {
            SdpType::Offer => {
                self.expect(&[SignalingState::Stable, SignalingState::HaveLocalOffer])?;
                let sdp = parse(&description)?;
                for section in &sdp.sections {
                    if let Some(Line::Media { transceiver, mid }) = self.line(section) {
                        actions.push(Action::Name {
                            transceiver: *transceiver,
                            mid: mid.clone(),
                        });
                    }
                }
                self.local.pending = Some(description);
                self.signal(SignalingState::HaveLocalOffer, &mut actions);
                actions.push(Action::Gather);
            }
            SdpType::Rollback => {
                self.expect(&[SignalingState::HaveLocalOffer])?;
                self.local.pending = None;
                self.signal(SignalingState::Stable, &mut actions);
            }
            SdpType::Answer | SdpType::PrAnswer => {
                self.expect(&[SignalingState::HaveRemoteOffer])?;
                let offer = self.remote.pending.as_ref();
                let offer = offer.ok_or_else(|| RtcError::invalid_state("no offer is open"))?;
                let remote = parse(offer)?;
                let local = parse(&description)?;
                self.agree(&local, &remote, false, media, &mut actions)?;
                self.remote.current = self.remote.pending.take();
                self.local.current = Some(description);
                self.signal(SignalingState::Stable, &mut actions);
                actions.push(Action::Gather);
            }
        }
        Ok(actions)
    }

    /// Applies the peer's description.
    pub(crate) fn set_remote(
        &mut self,
        description: SessionDescription,
        media: &[MediaView],
        new_credentials: impl FnOnce() -> IceCredentials,
    ) -> Result<Vec<Action>, RtcError> {
        let mut actions = vec![];
        match description.sdp_type {
            SdpType::Offer => {
                self.expect(&[SignalingState::Stable, SignalingState::HaveRemoteOffer])?;
                let sdp = parse(&description)?;
                transport_of(&sdp)?;
                if let (None, Some(numbers)) = (self.dtls_active, Numbers::of_offer(&sdp)) {
                    self.own.numbers = numbers;
                }
                self.take_offer(&sdp, media, &mut actions);
                if self.is_restart(&sdp)? {
                    self.credentials_next.get_or_insert_with(new_credentials);
                }
                self.remote.pending = Some(description);
                self.signal(SignalingState::HaveRemoteOffer, &mut actions);
            }
            SdpType::Rollback => {
                self.expect(&[SignalingState::HaveRemoteOffer])?;
                self.remote.pending = None;
                self.signal(SignalingState::Stable, &mut actions);
            }
            SdpType::Answer | SdpType::PrAnswer => {
                self.expect(&[SignalingState::HaveLocalOffer])?;
                let offer = self.local.pending.as_ref();
                let offer = offer.ok_or_else(|| RtcError::invalid_state("no offer is open"))?;
                let local = parse(offer)?;
                let remote = parse(&description)?;
                self.agree(&local, &remote, true, media, &mut actions)?;
                self.local.current = self.local.pending.take();
                self.remote.current = Some(description);
                self.signal(SignalingState::Stable, &mut actions);
            }
        }
        Ok(actions)
    }

    fn expect(&self, allowed: &[SignalingState]) -> Result<(), RtcError> {
        if allowed.contains(&self.signaling) {
            return Ok(());
        }
        let message = format!(
            "this description does not fit signaling state {:?}",
            self.signaling
        );
        Err(RtcError::invalid_state(message))
    }

    fn signal(&mut self, state: SignalingState, actions: &mut Vec<Action>) {
        if self.signaling != state {
            self.signaling = state;
            actions.push(Action::Signaling(state));
        }
    }

    fn line(&self, section: &Section) -> Option<&Line> {
        let mid = section.mid()?;
        self.lines.iter().find(|line| line.mid() == mid)
    }

    fn fresh_mid(&mut self) -> String {
        loop {
            let mid = self.mid_next.to_string();
            self.mid_next += 1;
            if !self.lines.iter().any(|line| line.mid() == mid) {
                return mid;
            }
        }
    }

    /// The peer's ufrag differs from that of the last negotiation.
    fn is_restart(&self, sdp: &Sdp) -> Result<bool, RtcError> {
        let Some(current) = &self.remote.current else {
            return Ok(false);
        };
        let (old, new) = (transport_of(&parse(current)?)?, transport_of(sdp)?);
        Ok(old.ufrag != new.ufrag)
    }

    /// Finds or makes a transceiver for each section of the peer's offer, and shows its tracks.
    fn take_offer(&mut self, sdp: &Sdp, media: &[MediaView], actions: &mut Vec<Action>) {
        let mut added = media.len();
        for section in &sdp.sections {
            let Some(mid) = section.mid().filter(|mid| mid.len() <= MID_BYTES_MAX) else {
                log::warn!("a section without a usable a=mid is ignored");
                continue;
            };
            if self.line(section).is_some() {
                continue;
            }
            let mid = mid.to_owned();
            let kind = match &section.kind {
                MediaKind::Audio => MediaType::Audio,
                MediaKind::Video => MediaType::Video,
                MediaKind::Application => {
                    self.lines.push(Line::Data { mid });
                    continue;
                }
                MediaKind::Other(_) => {
                    self.lines.push(Line::Unknown { mid });
                    continue;
                }
            };
            let transceiver = self.adoptable(section, media).unwrap_or_else(|| {
                let track_id = section.msid().map(|msid| msid.track);
                let track_id = track_id.filter(|id| !id.is_empty());
                actions.push(Action::Add { kind, track_id });
                added += 1;
                added - 1
            });
            actions.push(Action::Name {
                transceiver,
                mid: mid.clone(),
            });
            self.lines.push(Line::Media { transceiver, mid });
        }
        for section in &sdp.sections {
            let Some(Line::Media { transceiver, .. }) = self.line(section) else {
                continue;
            };
            let wants = media
                .get(*transceiver)
                .map_or(Direction::RecvOnly, MediaView::wants);
            let receiving = section.direction().sends() && wants.receives();
            actions.push(show(*transceiver, section, receiving));
        }
    }

    /// A transceiver of `add_track` that has no section yet and fits one that the peer receives on.
    fn adoptable(&self, section: &Section, media: &[MediaView]) -> Option<usize> {
        if !section.direction().receives() {
            return None;
        }
        let used = |index: usize| {
            let uses = |line: &Line| matches!(line, Line::Media { transceiver, .. } if *transceiver == index);
            self.lines.iter().any(uses)
        };
        let fits = |(index, view): &(usize, &MediaView)| {
            view.may_adopt && view.media_kind() == section.kind && !used(*index)
        };
        media.iter().enumerate().find(fits).map(|(index, _)| index)
    }

    /// Both descriptions are known: what follows from them.
    fn agree(
        &mut self,
        local: &Sdp,
        remote: &Sdp,
        offered: bool,
        media: &[MediaView],
        actions: &mut Vec<Action>,
    ) -> Result<(), RtcError> {
        let credentials = transport_of(remote)?;
        if let Some(_started) = self.dtls_active {
            if self.is_restart(remote)?
                && let Some(own) = self.credentials_next.take()
            {
                self.own.credentials = own.clone();
                self.restart_wanted = false;
                actions.push(Action::RestartIce {
                    local: own,
                    remote: credentials,
                });
            }
        } else {
            let start = start(local, remote, credentials, offered)?;
            self.dtls_active = Some(start.dtls_active);
            actions.push(Action::Start(start));
        }
        for section in remote
            .sections
            .iter()
            .filter(|section| !section.is_rejected())
        {
            for candidate in section.candidates() {
                actions.push(Action::Candidate(format!("candidate:{candidate}")));
            }
        }
        for theirs in &remote.sections {
            let ours = theirs.mid().and_then(|mid| local.section(mid));
            let (Some(line), Some(ours)) = (self.line(theirs), ours) else {
                continue;
            };
            match line {
                Line::Unknown { .. } => {}
                Line::Data { .. } => {
                    if !theirs.is_rejected() && !self.data_started {
                        self.data_started = true;
                        // RFC 8841, 6.1: 64 KiB if the peer does not say.
                        let message_bytes_max = theirs.max_message_size().unwrap_or(65_536);
                        actions.push(Action::StartData { message_bytes_max });
                    }
                }
                Line::Media { transceiver, mid } => {
                    let view = media.get(*transceiver);
                    let plan = plan(*transceiver, mid, ours, theirs, view);
                    let receiving = plan.direction.receives();
                    actions.push(Action::Name {
                        transceiver: *transceiver,
                        mid: mid.clone(),
                    });
                    actions.push(Action::Media(plan));
                    actions.push(show(*transceiver, theirs, receiving));
                }
            }
        }
        Ok(())
    }
}

fn parse(description: &SessionDescription) -> Result<Sdp, RtcError> {
    Sdp::parse(&description.sdp).map_err(|error| RtcError::invalid_sdp(error.to_string()))
}
