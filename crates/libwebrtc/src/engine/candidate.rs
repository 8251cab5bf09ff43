//! ICE candidates as text: the value of `a=candidate:` and what trickles in by signalling.
//!
//! Addresses stay text, because a browser may give a name (`….local`, mDNS) instead of an address;
//! whether such a candidate can be used is for the ICE agent to decide.
//!
//! Source: RFC 8839, 5.1 (grammar); RFC 6544, 4.5 (TCP types).

use std::{fmt, net::IpAddr};

use super::sdp::attributes::parse_number;

/// Longest candidate that is read, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Most extension pairs that are kept; further ones are dropped.
const EXTENSIONS_MAX: usize = 16;

/// Why a text is not a candidate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid ICE candidate: {0}")]
pub(crate) struct CandidateError(&'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CandidateKind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpType {
    Active,
    Passive,
    SimultaneousOpen,
}

/// One address a peer may be reached at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) foundation: String,
    /// 1 = RTP (and everything bundled with it), 2 = RTCP.
    pub(crate) component: u16,
    pub(crate) transport: Transport,
    pub(crate) priority: u32,
    /// IP address or mDNS name.
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) kind: CandidateKind,
    /// Address and port this one was derived from (`raddr`, `rport`).
    pub(crate) related: Option<(String, u16)>,
    /// Always there for TCP.
    pub(crate) tcp_type: Option<TcpType>,
    /// Other name and value pairs, in order: `generation 0`, `ufrag …`.
    pub(crate) extensions: Vec<(String, String)>,
}

impl Candidate {
    /// Reads `candidate:…`, with or without `a=` in front and line break behind.
    ///
    /// # Errors
    /// A mandatory part is missing or unreadable, or the transport is unknown.
    pub(crate) fn parse(text: &str) -> Result<Self, CandidateError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(CandidateError("it is too long"));
        }
        let text = text.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let mut words = text.split_whitespace();
        let mut next = |missing| words.next().ok_or(CandidateError(missing));
        let foundation = next("it is empty")?.to_owned();
        let component = parse_number(next("the component is missing")?);
        let transport = Transport::parse(next("the transport is missing")?);
        let priority = parse_number(next("the priority is missing")?);
        let address = next("the address is missing")?.to_owned();
        let port = parse_number(next("the port is missing")?);
        if next("the type is missing")? != "typ" {
            return Err(CandidateError("typ does not follow the port"));
        }
        let kind = CandidateKind::parse(next("the type is missing")?);
        let mut candidate = Self {
            foundation,
            component: component.ok_or(CandidateError("the component is not a number"))?,
            transport: transport.ok_or(CandidateError("the transport is neither UDP nor TCP"))?,
            priority: priority.ok_or(CandidateError("the priority is not a 32-bit number"))?,
            address,
            port: port.ok_or(CandidateError("the port is not a 16-bit number"))?,
            kind: kind.ok_or(CandidateError("the type is unknown"))?,
            related: None,
            tcp_type: None,
            extensions: Vec::new(),
        };
        candidate.read_extensions(words)?;
        if candidate.transport == Transport::Tcp && candidate.tcp_type.is_none() {
            // RFC 6544 demands it; what has none is taken for the one kind a server offers.
            candidate.tcp_type = Some(TcpType::Passive);
        }
        Ok(candidate)
    }

    fn read_extensions<'a>(
        &mut self,
        mut words: impl Iterator<Item = &'a str>,
    ) -> Result<(), CandidateError> {
        let mut related_address = None;
        let mut related_port = None;
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "raddr" => related_address = Some(value.to_owned()),
                "rport" => {
                    let port = parse_number(value);
                    related_port =
                        Some(port.ok_or(CandidateError("rport is not a 16-bit number"))?);
                }
                "tcptype" => self.tcp_type = TcpType::parse(value),
                _ if self.extensions.len() < EXTENSIONS_MAX => {
                    self.extensions.push((name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
        self.related = related_address.map(|address| (address, related_port.unwrap_or(0)));
        Ok(())
    }

    /// The address, unless it is a name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Value of an extension such as `ufrag`.
    pub(crate) fn extension(&self, name: &str) -> Option<&str> {
        self.extensions
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Transport {
    fn parse(word: &str) -> Option<Self> {
        if word.eq_ignore_ascii_case("udp") {
            Some(Self::Udp)
        } else if word.eq_ignore_ascii_case("tcp") {
            Some(Self::Tcp)
        } else {
            None
        }
    }
}

impl CandidateKind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "host" => Self::Host,
            "srflx" => Self::ServerReflexive,
            "prflx" => Self::PeerReflexive,
            "relay" => Self::Relay,
            _ => return None,
        })
    }
}

impl TcpType {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "active" => Self::Active,
            "passive" => Self::Passive,
            "so" => Self::SimultaneousOpen,
            _ => return None,
        })
    }
}

impl fmt::Display for Candidate {
    /// Writes `candidate:…`, without `a=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let kind = match self.kind {
            CandidateKind::Host => "host",
            CandidateKind::ServerReflexive => "srflx",
            CandidateKind::PeerReflexive => "prflx",
            CandidateKind::Relay => "relay",
        };
        let Self {
            foundation,
            component,
            priority,
            address,
            port,
            ..
        } = self;
        write!(
            f,
            "candidate:{foundation} {component} {transport} {priority} {address} {port}"
        )?;
        write!(f, " typ {kind}")?;
        if let Some((address, port)) = &self.related {
            write!(f, " raddr {address} rport {port}")?;
        }
        match self.tcp_type {
            Some(TcpType::Active) => f.write_str(" tcptype active")?,
            Some(TcpType::Passive) => f.write_str(" tcptype passive")?,
            Some(TcpType::SimultaneousOpen) => f.write_str(" tcptype so")?,
            None => {}
        }
        self.extensions
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_candidate_of_a_server_is_read_and_written_alike() {
        let text = "candidate:2384176372 1 udp 2130706431 192.0.2.7 7882 typ host";
        let candidate = Candidate::parse(text).unwrap();
        assert_eq!(candidate.ip(), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(
            (candidate.kind, candidate.port),
            (CandidateKind::Host, 7882)
        );
        assert_eq!(candidate.to_string(), text);
    }

    #[test]
    fn a_prefix_and_a_line_break_do_not_matter() {
        let text = "a=candidate:1 1 UDP 1 2001:db8::1 9 typ relay raddr 192.0.2.1 rport 5\r\n";
        let candidate = Candidate::parse(text).unwrap();
        assert_eq!(candidate.related, Some(("192.0.2.1".into(), 5)));
        assert!(candidate.ip().unwrap().is_ipv6());
    }

    #[test]
    fn a_name_instead_of_an_address_is_kept() {
        let text = "candidate:1 1 udp 1 0a1b.local 4000 typ host generation 0 ufrag abcd";
        let candidate = Candidate::parse(text).unwrap();
        assert_eq!(candidate.ip(), None);
        assert_eq!(candidate.extension("ufrag"), Some("abcd"));
        assert_eq!(candidate.to_string(), text);
    }

    #[test]
    fn a_tcp_candidate_has_a_type() {
        let text = "candidate:1 1 tcp 1671430143 192.0.2.7 7881 typ host tcptype passive";
        assert_eq!(
            Candidate::parse(text).unwrap().tcp_type,
            Some(TcpType::Passive)
        );
        assert_eq!(Candidate::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_candidate_is_an_error_that_says_why() {
        for (text, reason) in [
            ("", "empty"),
            ("candidate:1 1 udp", "priority"),
            ("candidate:1 1 sctp 1 192.0.2.1 1 typ host", "transport"),
            ("candidate:1 1 udp 1 192.0.2.1 70000 typ host", "port"),
            ("candidate:1 1 udp 1 192.0.2.1 1 type host", "typ"),
            ("candidate:1 1 udp 1 192.0.2.1 1 typ moon", "type"),
            (
                "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 1.1.1.1 rport x",
                "rport",
            ),
            ("candidate:1 1 udp +1 192.0.2.1 1 typ host", "priority"),
        ] {
            let error = Candidate::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,400}") {
            drop(Candidate::parse(&text));
        }

        #[test]
        fn words_like_those_of_a_candidate_survive_a_round_trip(
            tail in proptest::collection::vec(
                prop_oneof![
                    Just("raddr".to_owned()), Just("rport".to_owned()), Just("tcptype".to_owned()),
                    Just("active".to_owned()), Just("host".to_owned()), "[a-z0-9.:]{1,12}",
                ],
                0..40,
            ),
            port: u16, priority: u32,
            transport in "udp|tcp|TCP", kind in "host|srflx|prflx|relay",
        ) {
            let tail = tail.join(" ");
            let text = format!("candidate:f 1 {transport} {priority} h {port} typ {kind} {tail}");
            if let Ok(candidate) = Candidate::parse(&text) {
                prop_assert_eq!(candidate.port, port);
                prop_assert_eq!(Candidate::parse(&candidate.to_string()), Ok(candidate));
            }
        }
    }
}
