//! Writes offers and answers. What they say was decided in `negotiation`.
//!
//! All sections share one transport (BUNDLE, rtcp-mux). Audio is Opus, with redundancy (RED)
//! listed in every audio section from the first offer on: LiveKit's SFU fixes its list of codecs
//! with the first section it sees. Video is listed so that rooms with video negotiate.
//!
//! Source: RFC 8829, 5 (contents), RFC 7587 (Opus), RFC 2198 (RED), RFC 8285 (header extensions).

use super::{
    data::MESSAGE_BYTES_MAX,
    negotiation::{Line, MediaView},
    sdp::{
        MediaKind, Sdp, Section,
        attributes::{Direction, ExtMap, IceCredentials, RtpMap, Setup},
    },
};

/// Header extensions that this engine writes and reads.
pub(crate) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
pub(crate) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

const RTP: &str = "UDP/TLS/RTP/SAVPF";

/// Names of the video codecs that are listed: payload type, that of its retransmissions, codec.
const VIDEO: [(u8, u8, &str, Option<&str>); 2] =
    [(96, 97, "VP8", None), (98, 99, "VP9", Some("profile-id=0"))];

/// What every description of this side repeats.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) session_id: u64,
    pub(crate) version: u64,
    pub(crate) credentials: IceCredentials,
    /// As `a=fingerprint` has it.
    pub(crate) fingerprint: String,
    pub(crate) numbers: Numbers,
    /// Own `candidate:` lines known so far.
    pub(crate) candidates: Vec<String>,
}

/// The numbers that stand for codecs and header extensions in packets. Fixed with the first audio
/// section that is applied, because str0m is built for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) opus: u8,
    pub(crate) red: u8,
    pub(crate) audio_level: u8,
    pub(crate) mid: u8,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            opus: 111,
            red: 63,
            audio_level: 1,
            mid: 4,
        }
    }
}

impl Numbers {
    /// The peer's numbers, as far as its offer has an audio section with Opus in it.
    pub(crate) fn of_offer(offer: &Sdp) -> Option<Self> {
        let audio =
            |s: &&Section| s.kind == MediaKind::Audio && s.payload_type_of("opus").is_some();
        let section = offer.sections.iter().find(audio)?;
        let own = Self::default();
        let opus = section.payload_type_of("opus")?;
        let spare = if opus == own.red { own.opus } else { own.red };
        let extension = |uri: &str| {
            let id = section.ext_maps().find(|e| e.uri == uri).map(|e| e.id);
            id.filter(|id| (1..=14).contains(id))
        };
        let (level, mid) = (extension(AUDIO_LEVEL_URI), extension(MID_URI));
        let (audio_level, mid) = match (level, mid) {
            (Some(level), Some(mid)) if level != mid => (level, mid),
            (Some(level), _) => (
                level,
                if level == own.mid {
                    own.audio_level
                } else {
                    own.mid
                },
            ),
            (None, Some(mid)) => (
                if mid == own.audio_level {
                    own.mid
                } else {
                    own.audio_level
                },
                mid,
            ),
            (None, None) => (own.audio_level, own.mid),
        };
        Some(Self {
            opus,
            red: section.payload_type_of("red").unwrap_or(spare),
            audio_level,
            mid,
        })
    }
}

/// An offer with all sections.
pub(crate) fn offer(
    own: &Own,
    credentials: &IceCredentials,
    lines: &[Line],
    media: &[MediaView],
) -> Sdp {
    let live = lines
        .iter()
        .filter(|line| !matches!(line, Line::Unknown { .. }));
    let mut sdp = session(own, live.map(Line::mid).collect());
    for line in lines {
        let mut section = match line {
            Line::Unknown { mid } => {
                let mut section = Section::new(MediaKind::Application, 0, RTP, vec!["0".into()]);
                reject(&mut section, mid);
                sdp.sections.push(section);
                continue;
            }
            Line::Data { .. } => data_section(),
            Line::Media { transceiver, .. } => {
                let Some(view) = media.get(*transceiver) else {
                    continue;
                };
                offer_media(own, view)
            }
        };
        transport(&mut section, own, credentials, Setup::ActPass, line.mid());
        finish(&mut section, own, line, media, None);
        sdp.sections.push(section);
    }
    sdp
}

/// An answer, with the offer's sections in the offer's order.
pub(crate) fn answer(
    own: &Own,
    credentials: &IceCredentials,
    setup: Setup,
    lines: &[Line],
    media: &[MediaView],
    offer: &Sdp,
) -> Sdp {
    let mut bundled = vec![];
    let mut sections = vec![];
    for theirs in &offer.sections {
        let mid = theirs.mid().unwrap_or("");
        let line = lines.iter().find(|line| line.mid() == mid);
        let view = match line {
            Some(Line::Media { transceiver, .. }) => media.get(*transceiver),
            _ => None,
        };
        let accepted = match (line, view) {
            _ if theirs.is_rejected() => None,
            (Some(Line::Data { .. }), _) => Some(data_section()),
            (Some(Line::Media { .. }), Some(_)) => answer_media(own, theirs),
            _ => None,
        };
        let (Some(mut section), Some(line)) = (accepted, line) else {
            let formats = theirs.formats.clone();
            let mut section = Section::new(theirs.kind.clone(), 0, &theirs.proto, formats);
            reject(&mut section, mid);
            sections.push(section);
            continue;
        };
        transport(&mut section, own, credentials, setup, mid);
        finish(&mut section, own, line, media, Some(theirs));
        bundled.push(mid);
        sections.push(section);
    }
    let mut sdp = session(own, bundled);
    sdp.sections = sections;
    sdp
}

fn session(own: &Own, bundled: Vec<&str>) -> Sdp {
    let mut sdp = Sdp::new(own.session_id, own.version);
    sdp.session
        .push("group", format_args!("BUNDLE {}", bundled.join(" ")));
    sdp.session.push_flag("extmap-allow-mixed");
    sdp.session.push("msid-semantic", "WMS *");
    sdp
}

fn reject(section: &mut Section, mid: &str) {
    section.lines.push_other('c', "IN IP4 0.0.0.0");
    section.lines.push("mid", mid);
    section.lines.push_flag("inactive");
}

fn data_section() -> Section {
    let format = "webrtc-datachannel".to_owned();
    Section::new(MediaKind::Application, 9, "UDP/DTLS/SCTP", vec![format])
}

fn offer_media(own: &Own, view: &MediaView) -> Section {
    let payload_types = if view.media_kind() == MediaKind::Audio {
        vec![own.numbers.opus, own.numbers.red]
    } else {
        VIDEO
            .iter()
            .flat_map(|(codec, repair, ..)| [*codec, *repair])
            .collect()
    };
    let formats = payload_types.iter().map(u8::to_string).collect();
    Section::new(view.media_kind(), 9, RTP, formats)
}

/// The formats of an offered section that this engine knows, in the peer's order; none if there are
/// none.
fn answer_media(own: &Own, theirs: &Section) -> Option<Section> {
    let maps: Vec<RtpMap> = theirs.rtp_maps().collect();
    let known = |payload_type: &u8| {
        let Some(map) = maps.iter().find(|map| map.payload_type == *payload_type) else {
            return false;
        };
        let is = |codec: &str| map.codec.eq_ignore_ascii_case(codec);
        match theirs.kind {
            MediaKind::Audio => {
                is("opus") && *payload_type == own.numbers.opus
                    || is("red") && *payload_type == own.numbers.red
            }
            _ => true,
        }
    };
    let formats: Vec<String> = theirs
        .payload_types()
        .filter(known)
        .map(|pt| pt.to_string())
        .collect();
    if formats.is_empty() {
        log::warn!(
            "an offered {} section has no known codec: refused",
            theirs.kind.as_str()
        );
        return None;
    }
    Some(Section::new(theirs.kind.clone(), 9, RTP, formats))
}

fn transport(
    section: &mut Section,
    own: &Own,
    credentials: &IceCredentials,
    setup: Setup,
    mid: &str,
) {
    let lines = &mut section.lines;
    lines.push_other('c', "IN IP4 0.0.0.0");
    for candidate in &own.candidates {
        lines.push("candidate", candidate.trim_start_matches("candidate:"));
    }
    lines.push("ice-ufrag", &credentials.ufrag);
    lines.push("ice-pwd", &credentials.pwd);
    lines.push("ice-options", "trickle");
    lines.push("fingerprint", &own.fingerprint);
    lines.push("setup", setup);
    lines.push("mid", mid);
}

/// What differs between data and media, and between an offer and an answer.
fn finish(
    section: &mut Section,
    own: &Own,
    line: &Line,
    media: &[MediaView],
    theirs: Option<&Section>,
) {
    let view = match line {
        Line::Media { transceiver, .. } => media.get(*transceiver),
        _ => None,
    };
    let Some(view) = view else {
        section.lines.push("sctp-port", 5000);
        section.lines.push("max-message-size", MESSAGE_BYTES_MAX);
        return;
    };
    for extension in extensions(own, view, theirs) {
        section.lines.push("extmap", extension);
    }
    let peer = theirs.map_or(Direction::SendRecv, Section::direction);
    let wants = view.wants();
    let direction = Direction::new(
        wants.sends() && peer.receives(),
        wants.receives() && peer.sends(),
    );
    section.lines.push_flag(direction.as_str());
    let msid = view.msid.as_ref().filter(|_| direction.sends());
    if let Some(msid) = msid {
        section.lines.push("msid", msid);
    }
    section.lines.push_flag("rtcp-mux");
    section.lines.push_flag("rtcp-rsize");
    match theirs {
        Some(theirs) => answer_codecs(section, theirs),
        None if view.media_kind() == MediaKind::Audio => audio_codecs(section, own.numbers),
        None => video_codecs(section),
    }
    if let Some(msid) = msid {
        section.lines.push(
            "ssrc",
            format_args!("{} cname:{:x}", view.ssrc, own.session_id),
        );
        section
            .lines
            .push("ssrc", format_args!("{} msid:{msid}", view.ssrc));
    }
}

fn extensions(own: &Own, view: &MediaView, theirs: Option<&Section>) -> Vec<ExtMap> {
    let mut mine = vec![];
    if view.media_kind() == MediaKind::Audio {
        mine.push(ExtMap {
            id: own.numbers.audio_level,
            uri: AUDIO_LEVEL_URI.into(),
        });
    }
    mine.push(ExtMap {
        id: own.numbers.mid,
        uri: MID_URI.into(),
    });
    if let Some(theirs) = theirs {
        let offered: Vec<ExtMap> = theirs.ext_maps().collect();
        mine.retain(|extension| offered.contains(extension));
    }
    mine
}

fn audio_codecs(section: &mut Section, numbers: Numbers) {
    let Numbers { opus, red, .. } = numbers;
    let lines = &mut section.lines;
    lines.push("rtpmap", format_args!("{opus} opus/48000/2"));
    lines.push("rtcp-fb", format_args!("{opus} nack"));
    lines.push("fmtp", format_args!("{opus} minptime=10;useinbandfec=1"));
    lines.push("rtpmap", format_args!("{red} red/48000/2"));
    lines.push("fmtp", format_args!("{red} {opus}/{opus}"));
}

fn video_codecs(section: &mut Section) {
    for (codec, repair, name, parameters) in VIDEO {
        let lines = &mut section.lines;
        lines.push("rtpmap", format_args!("{codec} {name}/90000"));
        for feedback in ["ccm fir", "nack", "nack pli"] {
            lines.push("rtcp-fb", format_args!("{codec} {feedback}"));
        }
        if let Some(parameters) = parameters {
            lines.push("fmtp", format_args!("{codec} {parameters}"));
        }
        lines.push("rtpmap", format_args!("{repair} rtx/90000"));
        lines.push("fmtp", format_args!("{repair} apt={codec}"));
    }
}

/// Repeats what the peer said of the formats that were kept.
fn answer_codecs(section: &mut Section, theirs: &Section) {
    for payload_type in section.payload_types().collect::<Vec<_>>() {
        if let Some(map) = theirs
            .rtp_maps()
            .find(|map| map.payload_type == payload_type)
        {
            section.lines.push("rtpmap", map);
        }
        let prefix = format!("{payload_type} ");
        for feedback in theirs
            .lines
            .attributes("rtcp-fb")
            .filter(|f| f.starts_with(&prefix))
        {
            if feedback.contains("nack") || feedback.contains("fir") {
                section.lines.push("rtcp-fb", feedback);
            }
        }
        if let Some(parameters) = theirs.fmtp(payload_type) {
            section
                .lines
                .push("fmtp", format_args!("{payload_type} {parameters}"));
        }
    }
}
