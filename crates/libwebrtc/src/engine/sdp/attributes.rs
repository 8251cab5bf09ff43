//! Typed views of the SDP attributes that WebRTC uses: each with `parse` and `Display`.
//!
//! `parse` takes the value only (what follows `a=name:`), gives `None` for what it cannot read, and
//! never panics. Writing a value and reading it again gives the same value.

use std::{fmt, str::FromStr};

/// Most synchronisation sources in one `a=ssrc-group`.
const GROUP_SSRCS_MAX: usize = 16;

/// Who sends, as the writer of the description sees it (RFC 8866, 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    pub(crate) fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Who opens the DTLS connection (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// Either; only in offers.
    ActPass,
    /// The writer opens it.
    Active,
    /// The writer waits.
    Passive,
}

impl Setup {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        Some(match value.trim() {
            "actpass" => Self::ActPass,
            "active" => Self::Active,
            "passive" => Self::Passive,
            _ => return None,
        })
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        })
    }
}

/// `a=ice-ufrag` and `a=ice-pwd`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IceCredentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

impl fmt::Debug for IceCredentials {
    // The password must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

/// Hash of the writer's DTLS certificate (RFC 8122).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Name of the hash in lower case, such as `sha-256`.
    pub(crate) hash: String,
    pub(crate) bytes: Vec<u8>,
}

impl Fingerprint {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let hash = words.next()?.to_ascii_lowercase();
        // SHA-512, the longest hash in use, has 64 bytes.
        let digits = words.next().filter(|w| w.len() <= 3 * 64)?;
        let byte = |pair: &str| {
            u8::from_str_radix(pair, 16)
                .ok()
                .filter(|_| pair.len() == 2)
        };
        let bytes = digits.split(':').map(byte).collect::<Option<Vec<u8>>>()?;
        Some(Self { hash, bytes })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash)?;
        for (index, byte) in self.bytes.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// `a=msid:stream track` (RFC 8830). A `-` as stream means none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Msid {
    pub(crate) stream: String,
    /// Empty if the peer gave none.
    pub(crate) track: String,
}

impl Msid {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let stream = words.next()?.to_owned();
        Some(Self {
            stream,
            track: words.next().unwrap_or("").to_owned(),
        })
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stream, self.track)
    }
}

/// `a=ssrc-group:FID 1 2` (RFC 5576).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SsrcGroup {
    /// `FID` = a stream and its retransmissions, `SIM` = simulcast layers.
    pub(crate) semantics: String,
    pub(crate) ssrcs: Vec<u32>,
}

impl SsrcGroup {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let semantics = words.next()?.to_owned();
        let ssrcs: Option<Vec<u32>> = words.take(GROUP_SSRCS_MAX).map(parse_number).collect();
        Some(Self {
            semantics,
            ssrcs: ssrcs?,
        })
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
    }
}

/// `a=rtpmap:111 opus/48000/2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RtpMap {
    pub(crate) payload_type: u8,
    pub(crate) codec: String,
    /// Ticks of the RTP clock per second.
    pub(crate) clock_rate: u32,
    pub(crate) channels: Option<u8>,
}

impl RtpMap {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (payload_type, rest) = value.split_once(' ')?;
        let mut parts = rest.trim().split('/');
        let codec = parts
            .next()
            .filter(|c| !c.is_empty() && !c.contains(char::is_whitespace))?;
        Some(Self {
            payload_type: parse_number(payload_type).filter(|pt| *pt < 128)?,
            codec: codec.to_owned(),
            clock_rate: parts.next().and_then(parse_number)?,
            channels: parts.next().and_then(parse_number),
        })
    }
}

impl fmt::Display for RtpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}/{}",
            self.payload_type, self.codec, self.clock_rate
        )?;
        self.channels
            .map_or(Ok(()), |channels| write!(f, "/{channels}"))
    }
}

/// `a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 8285).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtMap {
    pub(crate) id: u8,
    pub(crate) uri: String,
}

impl ExtMap {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        // The id may carry a direction: `1/recvonly`.
        let id = words.next()?.split('/').next().and_then(parse_number)?;
        Some(Self {
            id,
            uri: words.next()?.to_owned(),
        })
    }
}

impl fmt::Display for ExtMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.uri)
    }
}

/// A decimal number: digits only, so neither `+1` nor ` 1`.
pub(crate) fn parse_number<T: FromStr>(text: &str) -> Option<T> {
    let is_decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}
