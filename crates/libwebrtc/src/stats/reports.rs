//! The reports: each is a set of W3C dictionaries flattened into one object.

use serde::Deserialize;

use super::dictionaries;

/// Declares a report: one flattened dictionary per field, the common one first.
macro_rules! report {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $dictionary:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Clone, Deserialize)]
        pub struct $name {
            /// Identifier and time.
            #[serde(flatten)]
            pub rtc: dictionaries::RtcStats,
            $(
                $(#[$field_doc])*
                #[serde(flatten)]
                pub $field: dictionaries::$dictionary,
            )+
        }
    };
}

report! {
    /// **Works.** A codec in use.
    CodecStats {
        /// Its members.
        codec: CodecStats,
    }
}

report! {
    /// **Works.** An RTP stream received here.
    InboundRtpStats {
        /// Which stream.
        stream: RtpStreamStats,
        /// What arrived.
        received: ReceivedRtpStreamStats,
        /// The members of this kind alone.
        inbound: InboundRtpStreamStats,
    }
}

report! {
    /// **Works.** An RTP stream sent from here.
    OutboundRtpStats {
        /// Which stream.
        stream: RtpStreamStats,
        /// What was sent.
        sent: SentRtpStreamStats,
        /// The members of this kind alone.
        outbound: OutboundRtpStreamStats,
    }
}

report! {
    /// **Works.** A stream sent from here, as the far end reports receiving it.
    RemoteInboundRtpStats {
        /// Which stream.
        stream: RtpStreamStats,
        /// What arrived.
        received: ReceivedRtpStreamStats,
        /// The members of this kind alone.
        remote_inbound: RemoteInboundRtpStreamStats,
    }
}

report! {
    /// **Works.** A stream received here, as the far end reports sending it.
    RemoteOutboundRtpStats {
        /// Which stream.
        stream: RtpStreamStats,
        /// What was sent.
        sent: SentRtpStreamStats,
        /// The members of this kind alone.
        remote_outbound: RemoteOutboundRtpStreamStats,
    }
}

report! {
    /// **Works.** What feeds a sender.
    MediaSourceStats {
        /// Which source.
        source: MediaSourceStats,
        /// Levels, for audio.
        audio: AudioSourceStats,
        /// Size and rate, for video.
        video: VideoSourceStats,
    }
}

report! {
    /// **Works.** Playout of received audio.
    MediaPlayoutStats {
        /// Its members.
        audio_playout: AudioPlayoutStats,
    }
}

report! {
    /// **Works.** A whole connection.
    PeerConnectionStats {
        /// Its members.
        pc: PeerConnectionStats,
    }
}

report! {
    /// **Works.** One data channel.
    DataChannelStats {
        /// Its members.
        dc: DataChannelStats,
    }
}

report! {
    /// **Works.** The ICE and DTLS transport.
    TransportStats {
        /// Its members.
        transport: TransportStats,
    }
}

report! {
    /// **Works.** A pair of ICE candidates.
    CandidatePairStats {
        /// Its members.
        candidate_pair: CandidatePairStats,
    }
}

report! {
    /// **Works.** One of our ICE candidates.
    LocalCandidateStats {
        /// Its members.
        local_candidate: IceCandidateStats,
    }
}

report! {
    /// **Works.** One of the far end's ICE candidates.
    RemoteCandidateStats {
        /// Its members.
        remote_candidate: IceCandidateStats,
    }
}

report! {
    /// **Works.** A DTLS certificate.
    CertificateStats {
        /// Its members.
        certificate: CertificateStats,
    }
}

report! {
    /// **Works.** A media stream (deprecated by the W3C).
    StreamStats {
        /// Its members.
        stream: StreamStats,
    }
}

/// **Never** filled: the W3C dropped track reports.
#[derive(Debug, Default, Clone, Deserialize)]
pub struct TrackStats {}
