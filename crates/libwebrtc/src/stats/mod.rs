//! Statistics of a connection as the W3C describes them.
//!
//! A [`RtcStats`] is read from the JSON object of the specification (its `type` member chooses the
//! variant) or built directly. [`dictionaries`] holds the members, `reports` how they are put
//! together. Which members the engine fills in is said at `PeerConnection::get_stats`; all others
//! keep their default. Source: <https://www.w3.org/TR/webrtc-stats/>.

pub mod dictionaries;
mod reports;

use serde::Deserialize;

pub use reports::{
    CandidatePairStats, CertificateStats, CodecStats, DataChannelStats, InboundRtpStats,
    LocalCandidateStats, MediaPlayoutStats, MediaSourceStats, OutboundRtpStats,
    PeerConnectionStats, RemoteCandidateStats, RemoteInboundRtpStats, RemoteOutboundRtpStats,
    StreamStats, TrackStats, TransportStats,
};

/// **Works.** One report.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RtcStats {
    /// A codec in use.
    Codec(CodecStats),
    /// An RTP stream received here.
    InboundRtp(InboundRtpStats),
    /// An RTP stream sent from here.
    OutboundRtp(OutboundRtpStats),
    /// A stream sent from here, as the far end reports receiving it.
    RemoteInboundRtp(RemoteInboundRtpStats),
    /// A stream received here, as the far end reports sending it.
    RemoteOutboundRtp(RemoteOutboundRtpStats),
    /// What feeds a sender.
    MediaSource(MediaSourceStats),
    /// Playout of received audio.
    MediaPlayout(MediaPlayoutStats),
    /// A whole connection.
    PeerConnection(PeerConnectionStats),
    /// One data channel.
    DataChannel(DataChannelStats),
    /// The ICE and DTLS transport.
    Transport(TransportStats),
    /// A pair of ICE candidates.
    CandidatePair(CandidatePairStats),
    /// One of our ICE candidates.
    LocalCandidate(LocalCandidateStats),
    /// One of the far end's ICE candidates.
    RemoteCandidate(RemoteCandidateStats),
    /// A DTLS certificate.
    Certificate(CertificateStats),
    /// A media stream.
    Stream(StreamStats),
    /// A track; the W3C dropped these.
    Track,
}

/// Declares one of the specification's enums, in the spelling that its JSON has.
macro_rules! values {
    ($(#[$attribute:meta])* $name:ident as $case:literal { $($(#[$value_attribute:meta])* $value:ident,)+ }) => {
        $(#[$attribute])*
        #[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = $case)]
        #[expect(missing_docs, reason = "the values are the specification's own")]
        pub enum $name {
            $($(#[$value_attribute])* $value,)+
        }
    };
}

values! {
    /// **Works.** What limits the quality of sent video.
    #[derive(Default)]
    QualityLimitationReason as "lowercase" { #[default] None, Cpu, Bandwidth, Other, }
}
values! {
    /// **Works.** Who decides which candidate pair is used.
    #[derive(Default)]
    IceRole as "lowercase" { #[default] Unknown, Controlling, Controlled, }
}
values! {
    /// **Works.** State of the DTLS transport.
    DtlsTransportState as "lowercase" { New, Connecting, Connected, Closed, Failed, }
}
values! {
    /// **Works.** State of the ICE transport.
    IceTransportState as "lowercase" {
        New, Checking, Connected, Completed, Disconnected, Failed, Closed,
    }
}
values! {
    /// **Works.** Our side of the DTLS handshake.
    #[derive(Default)]
    DtlsRole as "lowercase" { Client, Server, #[default] Unknown, }
}
values! {
    /// **Works.** Progress of the check of a candidate pair.
    IceCandidatePairState as "kebab-case" { Frozen, Waiting, InProgress, Failed, Succeeded, }
}
values! {
    /// **Works.** How a candidate was found.
    IceCandidateType as "lowercase" { Host, Srflx, Prflx, Relay, }
}
values! {
    /// **Works.** How a TURN server is reached.
    IceServerTransportProtocol as "lowercase" { Udp, Tcp, Tls, }
}
values! {
    /// **Works.** Who opens the connection of a TCP candidate.
    IceTcpCandidateType as "lowercase" { Active, Passive, So, }
}

#[cfg(test)]
mod tests;
