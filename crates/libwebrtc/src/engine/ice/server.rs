//! STUN and TURN servers as they are configured.
//!
//! Source: RFC 7064 (`stun:`), RFC 7065 (`turn:`, `turns:`).

use std::{io, net::SocketAddr};

use crate::{peer_connection::IceCandidateError, peer_connection_factory::IceServer};

/// How a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Udp,
    Tcp,
    Tls,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Stun,
    Turn {
        via: Via,
        username: String,
        password: String,
    },
}

/// One server, reached in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// As configured.
    pub(super) url: String,
    pub(super) kind: Kind,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Server {
    /// The servers behind an entry; what cannot be read is logged and left out.
    pub(super) fn read_all(entry: &IceServer) -> Vec<Self> {
        let read = |url: &String| {
            let server = Self::read(url, entry);
            if server.is_none() {
                log::warn!(
                    "ICE server {url:?} is not used: expected stun:, turn: or turns: HOST[:PORT]"
                );
            }
            server
        };
        entry.urls.iter().filter_map(read).collect()
    }

    fn read(url: &str, entry: &IceServer) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once(':')?;
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let is_tcp = match query {
            None => false,
            Some(query) => match query.strip_prefix("transport=")? {
                "udp" => false,
                "tcp" => true,
                _ => return None,
            },
        };
        let turn = |via| Kind::Turn {
            via,
            username: entry.username.clone(),
            password: entry.password.clone(),
        };
        let (kind, port_default) = match scheme.to_ascii_lowercase().as_str() {
            "stun" if !is_tcp => (Kind::Stun, 3478),
            "turn" if is_tcp => (turn(Via::Tcp), 3478),
            "turn" => (turn(Via::Udp), 3478),
            "turns" => (turn(Via::Tls), 5349), // TLS over TCP, whatever the query says
            _ => return None,
        };
        let (host, port) = host_and_port(place.trim_start_matches("//"))?;
        Some(Self {
            url: url.to_owned(),
            kind,
            host,
            port: port.unwrap_or(port_default),
        })
    }

    /// Its address; an IPv4 one if there is one, since those are what peers have.
    pub(super) async fn look_up(&self) -> io::Result<SocketAddr> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        let first = found
            .iter()
            .find(|address| address.is_ipv4())
            .or(found.first());
        first
            .copied()
            .ok_or_else(|| io::Error::other("the name has no address"))
    }

    pub(super) fn error(&self, error_code: i32, what: impl std::fmt::Display) -> IceCandidateError {
        IceCandidateError {
            address: String::new(),
            port: 0,
            url: self.url.clone(),
            error_code,
            error_text: what.to_string(),
        }
    }
}

fn host_and_port(place: &str) -> Option<(String, Option<u16>)> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (place, None),
    };
    let is_name = !host.is_empty() && !host.contains([':', '/', '@', ' ']);
    is_name.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<Server> {
        let entry = IceServer {
            urls: vec![],
            username: "u".into(),
            password: "p".into(),
        };
        Server::read(url, &entry)
    }

    fn turn(via: Via) -> Kind {
        Kind::Turn {
            via,
            username: "u".into(),
            password: "p".into(),
        }
    }

    #[test]
    fn urls_are_read_with_their_defaults() {
        for (url, kind, host, port) in [
            (
                "stun:stun.example.org",
                Kind::Stun,
                "stun.example.org",
                3478,
            ),
            ("STUN:192.0.2.1:19302", Kind::Stun, "192.0.2.1", 19302),
            ("turn:t.example.org", turn(Via::Udp), "t.example.org", 3478),
            (
                "turn:t.example.org?transport=udp",
                turn(Via::Udp),
                "t.example.org",
                3478,
            ),
            (
                "turn:t.example.org:443?transport=tcp",
                turn(Via::Tcp),
                "t.example.org",
                443,
            ),
            (
                "turns:t.example.org:443?transport=tcp",
                turn(Via::Tls),
                "t.example.org",
                443,
            ),
            ("turns:[2001:db8::1]", turn(Via::Tls), "2001:db8::1", 5349),
        ] {
            let host = host.to_owned();
            assert_eq!(
                read(url),
                Some(Server {
                    url: url.into(),
                    kind,
                    host,
                    port
                }),
                "{url}"
            );
        }
    }

    #[test]
    fn other_urls_are_left_out() {
        for url in [
            "",
            "stun",
            "http:x",
            "stun:",
            "stun:a:b",
            "turn:x?transport=sctp",
            "turn:[::1",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }
}
