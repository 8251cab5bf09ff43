//! One question to a STUN server: how does this socket look from outside? No I/O, time is given.
//!
//! Source: RFC 8489, 5 (header), 6.2.1 (retransmissions), RFC 8445, 5.1.1.2 (server reflexive).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use turn_client_proto::stun::types::{
    attribute::XorMappedAddress,
    message::{Message, MessageClass},
};

use crate::peer_connection::IceCandidateError;

const BINDING_REQUEST: u16 = 0x0001;
const MAGIC_COOKIE: u32 = 0x2112_A442;
const HEADER_BYTES: usize = 20;

const RETRANSMIT_FIRST: Duration = Duration::from_millis(500);
/// After 0.5, 1 and 2 s, and given up 4 s later.
const REQUESTS_MAX: u32 = 4;

/// An open question.
pub(super) struct Probe {
    pub(super) local: SocketAddr,
    pub(super) server: SocketAddr,
    url: String,
    transaction: [u8; 12],
    requests: u32,
    next_at: Instant,
}

impl Probe {
    pub(super) fn new(local: SocketAddr, server: SocketAddr, url: &str, now: Instant) -> Self {
        let transaction = rand::random();
        Self {
            local,
            server,
            url: url.to_owned(),
            transaction,
            requests: 0,
            next_at: now,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.requests == REQUESTS_MAX && now >= self.next_at
    }

    /// The request, when it is time to send it (again).
    pub(super) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.next_at || self.requests == REQUESTS_MAX {
            return None;
        }
        self.next_at = now + RETRANSMIT_FIRST * 2u32.pow(self.requests);
        self.requests += 1;
        let mut request = Vec::with_capacity(HEADER_BYTES);
        request.extend(BINDING_REQUEST.to_be_bytes());
        request.extend(0u16.to_be_bytes()); // no attributes
        request.extend(MAGIC_COOKIE.to_be_bytes());
        request.extend(self.transaction);
        Some(request)
    }

    /// Whether the packet is an answer (of any kind) to this question.
    pub(super) fn is_answer(&self, bytes: &[u8]) -> bool {
        bytes.len() >= HEADER_BYTES
            && bytes[4..8] == MAGIC_COOKIE.to_be_bytes()
            && bytes[8..20] == self.transaction
    }

    /// The address that the server saw.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<SocketAddr> {
        let message = Message::from_bytes(bytes).ok()?;
        if !message.has_class(MessageClass::Success) {
            return None;
        }
        let mapped = message.attribute::<XorMappedAddress>().ok()?;
        Some(mapped.addr(message.transaction_id()))
    }

    pub(super) fn error(&self, error_code: i32) -> IceCandidateError {
        IceCandidateError {
            address: self.local.ip().to_string(),
            port: self.local.port().into(),
            url: self.url.clone(),
            error_code,
            error_text: format!(
                "the STUN server {} did not answer as it should",
                self.server
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(now: Instant) -> Probe {
        let (local, server) = ("10.0.0.1:5000", "192.0.2.1:3478");
        Probe::new(
            local.parse().unwrap(),
            server.parse().unwrap(),
            "stun:example.org",
            now,
        )
    }

    /// A success response with XOR-MAPPED-ADDRESS 198.51.100.7:4660.
    fn response(probe: &Probe) -> Vec<u8> {
        let mut bytes = vec![0x01, 0x01, 0, 12];
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend(probe.transaction);
        bytes.extend([0, 0x20, 0, 8, 0, 1]);
        bytes.extend((4660 ^ (MAGIC_COOKIE >> 16) as u16).to_be_bytes());
        bytes.extend((u32::from_be_bytes([198, 51, 100, 7]) ^ MAGIC_COOKIE).to_be_bytes());
        bytes
    }

    #[test]
    fn the_answer_says_how_the_socket_looks_from_outside() {
        let probe = probe(Instant::now());
        let bytes = response(&probe);
        assert!(probe.is_answer(&bytes));
        assert_eq!(
            probe.read(&bytes),
            Some("198.51.100.7:4660".parse().unwrap())
        );
    }

    #[test]
    fn anything_else_is_no_answer() {
        let probe = probe(Instant::now());
        let mut other = response(&probe);
        other[8] ^= 1;
        assert!(!probe.is_answer(&other));
        let bytes = response(&probe);
        for length in 0..HEADER_BYTES {
            assert!(!probe.is_answer(&bytes[..length]));
        }
        assert_eq!(probe.read(&bytes[..HEADER_BYTES]), None);
    }

    proptest::proptest! {
        /// Whatever a server sends, with or without the right start.
        #[test]
        fn no_answer_can_do_harm(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
            with_header in proptest::prelude::any::<bool>(),
        ) {
            let probe = probe(Instant::now());
            let mut packet = bytes;
            if with_header {
                let mut header = response(&probe)[..HEADER_BYTES].to_vec();
                let length = u16::try_from(packet.len() / 4 * 4).unwrap();
                header[2..4].copy_from_slice(&length.to_be_bytes());
                packet.truncate(length.into());
                packet.splice(0..0, header);
                proptest::prop_assert!(probe.is_answer(&packet));
            }
            probe.read(&packet);
        }
    }

    #[test]
    fn a_question_is_repeated_and_then_given_up() {
        let start = Instant::now();
        let mut probe = probe(start);
        let mut sent_ms = vec![];
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if probe.is_over(now) {
                assert_eq!(ms, 7_500);
                break;
            }
            if probe.poll(now).is_some() {
                sent_ms.push(ms);
            }
        }
        assert_eq!(sent_ms, [0, 500, 1_500, 3_500]);
    }
}
