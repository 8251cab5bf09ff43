//! Sets str0m up: keys, codecs, limits; and ICE restart, which its direct API lacks.
//!
//! str0m is built late, when both descriptions are known, because the numbers of codecs and header
//! extensions are fixed then and the offerer chooses them.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, CandidateKind, IceCreds, Rtc, RtcConfig,
    config::{CryptoProvider, DtlsCert, Fingerprint},
    format::{Codec, FormatParams},
    media::{Frequency, Pt},
    net::{Protocol, TcpType},
    rtp::{Extension, ExtensionMap},
};

use super::{
    candidate::{self, Transport},
    data::MESSAGE_BYTES_MAX,
    describe::Numbers,
    negotiation::Start,
    sdp::attributes::IceCredentials,
};
use crate::RtcError;

/// What SCTP may hold unacknowledged. It also limits what is in flight: with str0m's default of
/// 128 KiB a long way is slow.
const SCTP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How old the figures about the path may be.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

static CRYPTO: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(str0m::crypto::from_feature_flags()));

/// The certificate that a connection proves itself with.
pub(crate) struct Identity {
    certificate: DtlsCert,
    fingerprint: Fingerprint,
}

impl Identity {
    /// A new self-signed certificate.
    pub(crate) fn new() -> Result<Self, RtcError> {
        let certificate = CRYPTO.dtls_provider.generate_certificate();
        let certificate =
            certificate.ok_or_else(|| RtcError::internal("no DTLS certificate could be made"))?;
        let digest = CRYPTO.sha256_provider.sha256(&certificate.certificate);
        let fingerprint = Fingerprint {
            hash_func: "sha-256".into(),
            bytes: digest.to_vec(),
        };
        Ok(Self {
            certificate,
            fingerprint,
        })
    }

    /// As `a=fingerprint` has it.
    pub(crate) fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }
}

/// Random credentials for one ICE session.
pub(crate) fn new_credentials() -> IceCredentials {
    let IceCreds { ufrag, pass } = IceCreds::new();
    IceCredentials { ufrag, pwd: pass }
}

fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds {
        ufrag: credentials.ufrag.clone(),
        pass: credentials.pwd.clone(),
    }
}

/// Builds str0m and starts ICE and DTLS.
pub(crate) fn begin(
    identity: &Identity,
    own: &IceCredentials,
    numbers: Numbers,
    start: Start,
    now: Instant,
) -> Result<Rtc, RtcError> {
    let mut extensions = ExtensionMap::empty();
    extensions.set(numbers.audio_level, Extension::AudioLevel);
    extensions.set(numbers.mid, Extension::RtpMid);
    let mut config = RtcConfig::new()
        .set_crypto_provider(CRYPTO.clone())
        .set_dtls_cert(identity.certificate.clone())
        .set_local_ice_credentials(creds(own))
        .clear_codecs()
        .enable_vp8(true)
        .enable_vp9(true)
        .set_extension_map(extensions)
        .set_rtp_mode(true)
        .set_sctp_max_message_size(MESSAGE_BYTES_MAX)
        .set_sctp_max_buffered_amount(SCTP_BUFFER_BYTES)
        .set_stats_interval(Some(STATS_INTERVAL));
    // In RTP mode a codec is no more than a payload type and its clock; RED is one of its own.
    for payload_type in [numbers.opus, numbers.red] {
        config.codec_config().add_config(
            Pt::from(payload_type),
            None,
            Codec::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            FormatParams::default(),
        );
    }
    let mut rtc = config.build(now);
    let Start {
        remote,
        fingerprint,
        dtls_active,
        controlling,
    } = start;
    let mut api = rtc.direct_api();
    api.set_ice_controlling(controlling);
    api.set_remote_ice_credentials(creds(&remote));
    api.set_remote_fingerprint(fingerprint);
    let started = api.start_dtls(dtls_active);
    started.map_err(|error| RtcError::internal(format!("DTLS did not start: {error}")))?;
    Ok(rtc)
}

/// Leaves the old paths behind: both sides use new credentials, and the peer's addresses come anew.
pub(crate) fn restart_ice(
    rtc: &mut Rtc,
    known: &mut Vec<Candidate>,
    local: &IceCredentials,
    remote: &IceCredentials,
) {
    let mut api = rtc.direct_api();
    for candidate in known.drain(..) {
        api.invalidate_candidate(&candidate);
    }
    api.set_local_ice_credentials(creds(local));
    api.set_remote_ice_credentials(creds(remote));
}

/// The peer's address on a `candidate:` line, if it is one that can be reached.
pub(crate) fn remote_candidate(line: &str) -> Option<Candidate> {
    let read = match candidate::Candidate::parse(line) {
        Ok(read) => read,
        Err(error) => {
            log::debug!("a candidate of the peer is not used: {error}");
            return None;
        }
    };
    let Some(ip) = read.ip() else {
        log::debug!("a candidate of the peer is not used: it has a name, not an address");
        return None;
    };
    let (proto, tcp_type) = match (read.transport, read.tcp_type) {
        (Transport::Udp, _) => (Protocol::Udp, None),
        // Only this side connects, see `ice::tcp`.
        (Transport::Tcp, Some(candidate::TcpType::Active)) => return None,
        (Transport::Tcp, _) => (Protocol::Tcp, Some(TcpType::Passive)),
    };
    let kind = match read.kind {
        candidate::CandidateKind::Host => CandidateKind::Host,
        candidate::CandidateKind::ServerReflexive => CandidateKind::ServerReflexive,
        candidate::CandidateKind::PeerReflexive => CandidateKind::PeerReflexive,
        candidate::CandidateKind::Relay => CandidateKind::Relayed,
    };
    let ufrag = read.extension("ufrag").map(str::to_owned);
    let address = SocketAddr::new(ip, read.port);
    let related = None; // only for diagnosis
    Some(Candidate::from_parts(
        read.foundation,
        read.component,
        proto,
        read.priority,
        address,
        kind,
        related,
        tcp_type,
        ufrag,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_that_can_be_reached_are_used() {
        for (line, proto) in [
            (
                "candidate:1 1 udp 2130706431 192.0.2.7 7882 typ host",
                Protocol::Udp,
            ),
            (
                "candidate:1 1 tcp 1671430143 192.0.2.7 7881 typ host tcptype passive",
                Protocol::Tcp,
            ),
            (
                "candidate:1 1 udp 1 2001:db8::1 9 typ relay raddr 192.0.2.1 rport 5",
                Protocol::Udp,
            ),
        ] {
            assert_eq!(
                remote_candidate(line).map(|c| c.proto()),
                Some(proto),
                "{line}"
            );
        }
    }

    #[test]
    fn other_candidates_are_dropped() {
        for line in [
            "",
            "nonsense",
            "candidate:1 1 udp 1 0a1b.local 4000 typ host",
            "candidate:1 1 tcp 1 192.0.2.7 9 typ host tcptype active",
        ] {
            assert!(remote_candidate(line).is_none(), "{line}");
        }
    }
}
