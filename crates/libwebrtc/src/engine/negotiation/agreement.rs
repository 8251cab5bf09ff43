//! What follows from a pair of descriptions, section by section.

use str0m::config::Fingerprint;

use super::MediaView;
use crate::{
    MediaType, RtcError,
    engine::sdp::{
        Lines, Sdp, Section,
        attributes::{Direction, IceCredentials, Setup},
    },
    peer_connection::SignalingState,
};

/// What is to be done after a description was applied, in this order.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Signaling(SignalingState),
    /// The transceiver has its name for good.
    Name {
        transceiver: usize,
        mid: String,
    },
    /// The peer offered a section: add a transceiver that receives, with the next number.
    Add {
        kind: MediaType,
        track_id: Option<String>,
    },
    /// Begin to collect own addresses.
    Gather,
    Start(Start),
    RestartIce {
        local: IceCredentials,
        remote: IceCredentials,
    },
    /// A `candidate:` line of the peer.
    Candidate(String),
    /// The peer takes data channels.
    StartData {
        message_bytes_max: u64,
    },
    Media(MediaPlan),
    /// What the receiver shows to the program.
    Show {
        transceiver: usize,
        receiving: bool,
        stream: Option<String>,
    },
}

/// What the transport needs to begin.
#[derive(Debug, PartialEq)]
pub(crate) struct Start {
    pub(crate) remote: IceCredentials,
    pub(crate) fingerprint: Fingerprint,
    /// This side opens the DTLS connection.
    pub(crate) dtls_active: bool,
    /// This side decides which path is used.
    pub(crate) controlling: bool,
}

/// What was agreed on for one transceiver.
#[derive(Debug, PartialEq)]
pub(crate) struct MediaPlan {
    pub(crate) transceiver: usize,
    pub(crate) mid: String,
    pub(crate) direction: Direction,
    /// The peer prefers redundant audio (RFC 2198).
    pub(crate) redundant: bool,
    /// The peer wants next to nothing sent during silence (RFC 7587, 6.1, `usedtx`).
    pub(crate) dtx: bool,
    /// Sources that the peer announced, each with the source of its retransmissions.
    pub(crate) sources: Vec<(u32, Option<u32>)>,
}

pub(super) fn transport_of(sdp: &Sdp) -> Result<IceCredentials, RtcError> {
    let credentials = sdp.transport(Lines::ice);
    credentials.ok_or_else(|| RtcError::invalid_sdp("a=ice-ufrag or a=ice-pwd is missing"))
}

pub(super) fn start(
    local: &Sdp,
    remote: &Sdp,
    credentials: IceCredentials,
    offered: bool,
) -> Result<Start, RtcError> {
    let missing = || RtcError::invalid_sdp("a=fingerprint is missing or unreadable");
    let fingerprint = remote.transport(Lines::fingerprint).ok_or_else(missing)?;
    let Ok(fingerprint) = fingerprint.to_string().parse::<Fingerprint>() else {
        return Err(missing());
    };
    // Who answers decides; an answerer that says nothing opens the connection (RFC 8842, 5.3).
    let dtls_active = if offered {
        remote.transport(Lines::setup) == Some(Setup::Passive)
    } else {
        local.transport(Lines::setup) != Some(Setup::Passive)
    };
    let controlling = offered || remote.session.has("ice-lite");
    Ok(Start {
        remote: credentials,
        fingerprint,
        dtls_active,
        controlling,
    })
}

pub(super) fn plan(
    transceiver: usize,
    mid: &str,
    ours: &Section,
    theirs: &Section,
    view: Option<&MediaView>,
) -> MediaPlan {
    let (own, peer) = (ours.direction(), theirs.direction());
    let usable = view.is_none_or(|view| view.media_kind() == theirs.kind);
    let direction = Direction::new(
        usable && own.sends() && peer.receives(),
        usable && own.receives() && peer.sends(),
    );
    let red = theirs.payload_type_of("red");
    let redundant = red.is_some() && theirs.payload_types().next() == red;
    let opus = theirs.payload_type_of("opus");
    let parameters = opus.and_then(|opus| theirs.fmtp(opus)).unwrap_or_default();
    let dtx = parameters.split(';').any(|it| it.trim() == "usedtx=1");
    let sources = if direction.receives() {
        sources(theirs)
    } else {
        vec![]
    };
    MediaPlan {
        transceiver,
        mid: mid.to_owned(),
        direction,
        redundant,
        dtx,
        sources,
    }
}

/// The announced sources, without those that only carry retransmissions.
pub(super) fn sources(section: &Section) -> Vec<(u32, Option<u32>)> {
    let mut groups = vec![];
    for group in section
        .ssrc_groups()
        .filter(|group| group.semantics == "FID")
    {
        if let [main, repair, ..] = group.ssrcs[..] {
            groups.push((main, repair));
        }
    }
    let all = section.ssrcs().into_iter();
    all.filter(|ssrc| !groups.iter().any(|(_, repair)| repair == ssrc))
        .map(|ssrc| {
            let group = groups.iter().find(|(main, _)| *main == ssrc);
            (ssrc, group.map(|(_, repair)| *repair))
        })
        .collect()
}

pub(super) fn show(transceiver: usize, section: &Section, receiving: bool) -> Action {
    let stream = section
        .msid()
        .map(|msid| msid.stream)
        .filter(|stream| stream != "-");
    Action::Show {
        transceiver,
        receiving,
        stream: stream.filter(|_| receiving),
    }
}
