//! Session descriptions (SDP) as text: reading, asking, building and writing.
//!
//! A description is kept as what it is on the wire, lines in order, so that nothing a peer wrote is
//! lost; typed views of single attributes live in [`attributes`]. What an offer or an answer must
//! contain is decided elsewhere (negotiation), not here.
//!
//! **Invariant:** no text makes this module panic or keep more than the limits below, and
//! `parse(write(parse(text))) == parse(text)`.
//!
//! Source: RFC 8866 (grammar), RFC 8829 (which attributes WebRTC uses).

pub(crate) mod attributes;
#[cfg(test)]
mod tests;

use std::fmt;

use attributes::{
    Direction, ExtMap, Fingerprint, IceCredentials, Msid, RtpMap, Setup, SsrcGroup, parse_number,
};

/// Longest description that is read. A room with some hundred tracks needs about 200 KiB.
const TEXT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most `m=` sections of one description.
const SECTIONS_MAX: usize = 1024;
/// Most lines of one section (and of the part before the first section).
const LINES_PER_SECTION_MAX: usize = 1024;
/// Most payload types or formats on one `m=` line.
const FORMATS_MAX: usize = 128;

/// Why a text is not a session description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid session description, line {line}: {reason}")]
pub(crate) struct SdpError {
    /// Line that could not be read, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) reason: &'static str,
}

/// One `a=` line: `a=name` or `a=name:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// One line of a section or of the session part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// `a=…`
    Attribute(Attribute),
    /// Any other line: its letter and what follows `=`.
    Other(char, String),
}

/// What a section carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Audio,
    Video,
    /// The data channels.
    Application,
    Other(String),
}

/// A whole description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sdp {
    /// Everything between `v=` (which is always 0) and the first `m=`.
    pub(crate) session: Lines,
    pub(crate) sections: Vec<Section>,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: MediaKind,
    /// 0 = rejected (unless `a=bundle-only`), 9 = to be found by ICE.
    pub(crate) port: u16,
    /// `UDP/TLS/RTP/SAVPF`, `UDP/DTLS/SCTP`…
    pub(crate) proto: String,
    /// Payload types in order of preference, or `webrtc-datachannel`.
    pub(crate) formats: Vec<String>,
    pub(crate) lines: Lines,
}

/// Lines in the order they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<Line>);

impl Line {
    /// Value of the line if it is the attribute `name`.
    fn value_of(&self, name: &str) -> Option<&str> {
        match self {
            Self::Attribute(a) if a.name == name => Some(a.value.as_deref().unwrap_or("")),
            _ => None,
        }
    }
}

impl Lines {
    /// Value of the first attribute of that name; `Some("")` for one without a value.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|line| line.value_of(name))
    }

    /// Values of all attributes of that name, in order.
    pub(crate) fn attributes(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |line| line.value_of(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// Appends `a=name`.
    pub(crate) fn push_flag(&mut self, name: &str) {
        self.0.push(Line::Attribute(Attribute {
            name: one_line(name),
            value: None,
        }));
    }

    /// Appends `a=name:value`. A line break ends the value: one call never writes two lines.
    pub(crate) fn push(&mut self, name: &str, value: impl fmt::Display) {
        let value = Some(one_line(&value.to_string()));
        self.0.push(Line::Attribute(Attribute {
            name: one_line(name),
            value,
        }));
    }

    /// Appends a line that is no attribute, such as `c=`.
    pub(crate) fn push_other(&mut self, letter: char, value: impl fmt::Display) {
        self.0
            .push(Line::Other(letter, one_line(&value.to_string())));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter()
    }

    /// ICE user fragment and password, when both are there.
    pub(crate) fn ice(&self) -> Option<IceCredentials> {
        let ufrag = self.attribute("ice-ufrag")?.to_owned();
        let pwd = self.attribute("ice-pwd")?.to_owned();
        Some(IceCredentials { ufrag, pwd })
    }

    /// First certificate fingerprint that can be read.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.attributes("fingerprint").find_map(Fingerprint::parse)
    }

    pub(crate) fn setup(&self) -> Option<Setup> {
        self.attribute("setup").and_then(Setup::parse)
    }
}

impl Section {
    pub(crate) fn new(kind: MediaKind, port: u16, proto: &str, formats: Vec<String>) -> Self {
        Self {
            kind,
            port,
            proto: proto.to_owned(),
            formats,
            lines: Lines::default(),
        }
    }

    pub(crate) fn mid(&self) -> Option<&str> {
        self.lines.attribute("mid")
    }

    /// Whether the section was turned down (port 0 without `a=bundle-only`).
    pub(crate) fn is_rejected(&self) -> bool {
        self.port == 0 && !self.lines.has("bundle-only")
    }

    /// Direction as its writer sees it; a rejected section is inactive, none given is `sendrecv`.
    pub(crate) fn direction(&self) -> Direction {
        if self.is_rejected() {
            return Direction::Inactive;
        }
        let of = |line: &Line| match line {
            Line::Attribute(a) if a.value.is_none() => Direction::parse(&a.name),
            _ => None,
        };
        self.lines
            .iter()
            .find_map(of)
            .unwrap_or(Direction::SendRecv)
    }

    /// Stream and track announced for this section, by `a=msid` or by the older `a=ssrc:… msid:`.
    pub(crate) fn msid(&self) -> Option<Msid> {
        let legacy = || {
            self.lines
                .attributes("ssrc")
                .find_map(|v| v.split_once(" msid:"))
        };
        let text = self
            .lines
            .attribute("msid")
            .or_else(|| legacy().map(|(_, v)| v))?;
        Msid::parse(text)
    }

    /// Every synchronisation source named by `a=ssrc`, once each, in order.
    pub(crate) fn ssrcs(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for value in self.lines.attributes("ssrc") {
            if let Some(ssrc) = value.split_whitespace().next().and_then(parse_number)
                && !found.contains(&ssrc)
            {
                found.push(ssrc);
            }
        }
        found
    }

    pub(crate) fn ssrc_groups(&self) -> impl Iterator<Item = SsrcGroup> {
        self.lines
            .attributes("ssrc-group")
            .filter_map(SsrcGroup::parse)
    }

    /// Payload types of the `m=` line, in order of preference.
    pub(crate) fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats
            .iter()
            .filter_map(|f| f.parse().ok())
            .filter(|pt| *pt < 128)
    }

    pub(crate) fn rtp_maps(&self) -> impl Iterator<Item = RtpMap> {
        self.lines.attributes("rtpmap").filter_map(RtpMap::parse)
    }

    /// Payload type of a codec, names compared without regard to case.
    pub(crate) fn payload_type_of(&self, codec: &str) -> Option<u8> {
        self.rtp_maps()
            .find(|m| m.codec.eq_ignore_ascii_case(codec))
            .map(|m| m.payload_type)
    }

    /// Format parameters of a payload type.
    pub(crate) fn fmtp(&self, payload_type: u8) -> Option<&str> {
        self.lines.attributes("fmtp").find_map(|value| {
            let (pt, parameters) = value.split_once(' ')?;
            (parse_number::<u8>(pt)? == payload_type).then_some(parameters.trim())
        })
    }

    pub(crate) fn ext_maps(&self) -> impl Iterator<Item = ExtMap> {
        self.lines.attributes("extmap").filter_map(ExtMap::parse)
    }

    /// Values of `a=candidate:` lines, without the name; see [`super::candidate`].
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &str> {
        self.lines.attributes("candidate")
    }

    /// Largest message the writer takes, in bytes; 0 = any size (RFC 8841, 6.1).
    pub(crate) fn max_message_size(&self) -> Option<u64> {
        self.lines
            .attribute("max-message-size")
            .and_then(parse_number)
    }
}

impl Sdp {
    /// An empty description with the lines every WebRTC description starts with.
    pub(crate) fn new(session_id: u64, version: u64) -> Self {
        let mut session = Lines::default();
        session.push_other(
            'o',
            format_args!("- {session_id} {version} IN IP4 127.0.0.1"),
        );
        session.push_other('s', "-");
        session.push_other('t', "0 0");
        Self {
            session,
            sections: Vec::new(),
        }
    }

    /// Reads a description. Lines that mean nothing here are kept; malformed ones are skipped.
    ///
    /// # Errors
    /// The text is no description at all, an `m=` line cannot be read, or a limit is passed.
    pub(crate) fn parse(text: &str) -> Result<Self, SdpError> {
        let error = |line, reason| Err(SdpError { line, reason });
        if text.len() > TEXT_BYTES_MAX {
            return error(1, "the description is too long");
        }
        let mut sdp = Self::default();
        let mut seen_version = false;
        for (index, raw) in text.lines().enumerate() {
            let raw = raw.split(['\r', '\0']).next().unwrap_or("").trim();
            if raw.is_empty() {
                continue;
            }
            if !seen_version {
                if !raw.starts_with("v=") {
                    return error(index + 1, "a description starts with v=0");
                }
                seen_version = true;
                continue;
            }
            let Some((letter, value)) = split_line(raw) else {
                continue;
            };
            if letter == 'm' {
                if sdp.sections.len() == SECTIONS_MAX {
                    return error(index + 1, "too many m= sections");
                }
                match parse_media(value) {
                    Ok(section) => sdp.sections.push(section),
                    Err(reason) => return error(index + 1, reason),
                }
                continue;
            }
            let lines = match sdp.sections.last_mut() {
                Some(section) => &mut section.lines,
                None => &mut sdp.session,
            };
            if lines.0.len() == LINES_PER_SECTION_MAX {
                return error(index + 1, "too many lines in one section");
            }
            lines.0.push(parse_line(letter, value));
        }
        if !seen_version {
            return error(1, "the description is empty");
        }
        Ok(sdp)
    }

    pub(crate) fn section(&self, mid: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.mid() == Some(mid))
    }

    /// Mids of the first `a=group:BUNDLE` line.
    #[cfg(test)]
    pub(crate) fn bundle(&self) -> Vec<&str> {
        let groups = self
            .session
            .attributes("group")
            .map(|v| v.split_whitespace());
        let mut bundles = groups.filter_map(|mut words| {
            (words.next() == Some("BUNDLE")).then(|| words.collect::<Vec<_>>())
        });
        bundles.next().unwrap_or_default()
    }

    /// What `read` finds in the first section that is in use, else in the session part.
    ///
    /// Transport attributes of a bundle stand in its first section or for the whole session.
    pub(crate) fn transport<T>(&self, read: impl Fn(&Lines) -> Option<T>) -> Option<T> {
        let mut live = self.sections.iter().filter(|s| !s.is_rejected());
        live.find_map(|s| read(&s.lines))
            .or_else(|| read(&self.session))
    }
}

/// Splits `x=value`.
fn split_line(raw: &str) -> Option<(char, &str)> {
    let (letter, value) = raw.split_once('=')?;
    let mut letters = letter.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => Some((letter, value.trim_start())),
        _ => None,
    }
}

fn parse_line(letter: char, value: &str) -> Line {
    if letter != 'a' {
        return Line::Other(letter, value.to_owned());
    }
    let (name, value) = match value.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim().to_owned())),
        None => (value, None),
    };
    Line::Attribute(Attribute {
        name: name.to_owned(),
        value,
    })
}

/// Reads what follows `m=`: kind, port (`port/count` too), protocol and formats.
fn parse_media(value: &str) -> Result<Section, &'static str> {
    let mut words = value.split_whitespace();
    let kind = MediaKind::parse(words.next().ok_or("an m= line names its kind")?);
    let port = words
        .next()
        .and_then(|w| w.split('/').next())
        .and_then(parse_number);
    let port = port.ok_or("an m= line has a port from 0 to 65535")?;
    let proto = words.next().ok_or("an m= line has a protocol")?;
    let formats: Vec<String> = words.map(str::to_owned).collect();
    if formats.len() > FORMATS_MAX {
        return Err("an m= line has too many formats");
    }
    Ok(Section::new(kind, port, proto, formats))
}

/// Text up to its first line break, so that a value cannot smuggle in a line.
fn one_line(text: &str) -> String {
    text.split(['\r', '\n', '\0'])
        .next()
        .unwrap_or("")
        .trim()
        .to_owned()
}

impl MediaKind {
    fn parse(word: &str) -> Self {
        match word {
            "audio" => Self::Audio,
            "video" => Self::Video,
            "application" => Self::Application,
            other => Self::Other(other.to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(Attribute {
                name,
                value: Some(value),
            }) => {
                write!(f, "a={name}:{value}\r\n")
            }
            Self::Attribute(Attribute { name, value: None }) => write!(f, "a={name}\r\n"),
            Self::Other(letter, value) => write!(f, "{letter}={value}\r\n"),
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind.as_str(), self.port, self.proto)?;
        for format in &self.formats {
            write!(f, " {format}")?;
        }
        f.write_str("\r\n")?;
        self.lines.iter().try_for_each(|line| line.fmt(f))
    }
}

impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=0\r\n")?;
        self.session.iter().try_for_each(|line| line.fmt(f))?;
        self.sections.iter().try_for_each(|section| section.fmt(f))
    }
}
