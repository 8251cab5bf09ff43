//! Codec, encoding and header-extension settings of senders and receivers: plain data.
//!
//! Which of them a sender honours is said at `rtp_sender`; nothing here acts on them.

use crate::rtp_transceiver::RtpTransceiverDirection;

/// **Works** as plain data: how much a stream or channel matters against others.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Priority {
    /// Below everything else.
    VeryLow,
    /// The usual.
    Low,
    /// Above the usual.
    Medium,
    /// Above everything else.
    High,
}

/// **Works** as plain data: what a video encoder gives up first when bandwidth is short.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum DegradationPreference {
    /// Neither frame rate nor size; whole frames are dropped.
    MaintainFramerateAndResolution,
    /// Size before frame rate.
    MaintainFramerate,
    /// Frame rate before size.
    MaintainResolution,
    /// Some of both.
    #[default]
    Balanced,
}

impl DegradationPreference {
    /// The older name of [`MaintainFramerateAndResolution`](Self::MaintainFramerateAndResolution).
    #[deprecated(since = "0.8.0", note = "use MaintainFramerateAndResolution")]
    #[expect(
        non_upper_case_globals,
        reason = "it was a variant once and is used like one"
    )]
    pub const Disabled: Self = Self::MaintainFramerateAndResolution;
}

/// **Works.** A negotiated RTP header extension.
#[derive(Debug, Clone)]
pub struct RtpHeaderExtensionParameters {
    /// The URI that names the extension.
    pub uri: String,
    /// Its number in this session, 1 to 255.
    pub id: i32,
    /// Whether the extension itself is encrypted (RFC 9335).
    pub encrypted: bool,
}

/// **Works.** All settings of one sender or receiver.
///
/// To change some, read them, change the fields and hand the same value back.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RtpParameters {
    /// Negotiated codecs, preferred first.
    pub codecs: Vec<RtpCodecParameters>,
    /// Negotiated header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// One entry per stream sent; a single one for audio.
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP settings.
    pub rtcp: RtcpParameters,
    degradation_preference: Option<DegradationPreference>,
}

impl RtpParameters {
    /// **Works** as plain data: remembered, without effect as no video is encoded.
    pub fn set_degradation_preference(&mut self, preference: DegradationPreference) {
        self.degradation_preference = Some(preference);
    }

    /// **Works.** The preference last set; `None` before that.
    pub fn degradation_preference(&self) -> Option<DegradationPreference> {
        self.degradation_preference
    }
}

/// **Works.** One negotiated codec.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RtpCodecParameters {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Kind and name, such as `audio/opus`.
    pub mime_type: String,
    /// RTP clock (Hz).
    pub clock_rate: Option<u64>,
    /// Channels, for audio.
    pub channels: Option<u16>,
}

/// **Works.** RTCP settings of a sender or receiver.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RtcpParameters {
    /// The canonical name in RTCP source descriptions.
    pub cname: String,
    /// Whether reduced-size RTCP (RFC 5506) is in use.
    pub reduced_size: bool,
}

/// **Works** as plain data. One stream of a sender.
#[derive(Debug, Clone)]
pub struct RtpEncodingParameters {
    /// Whether it is sent at all.
    pub active: bool,
    /// Upper limit in bits per second.
    pub max_bitrate: Option<u64>,
    /// Upper limit in frames per second; video only.
    pub max_framerate: Option<f64>,
    /// Weight against other streams.
    pub priority: Priority,
    /// Restriction identifier (RFC 8851) of a simulcast layer; empty without simulcast.
    pub rid: String,
    /// Factor, at least 1, by which width and height are divided; video only.
    pub scale_resolution_down_by: Option<f64>,
    /// Layers of a scalable codec, such as `L3T3_KEY`; video only.
    pub scalability_mode: Option<String>,
    /// Whether `ssrc` means anything.
    pub has_ssrc: bool,
    /// The stream's RTP synchronisation source.
    pub ssrc: u32,
}

impl Default for RtpEncodingParameters {
    fn default() -> Self {
        Self {
            active: true,
            max_bitrate: None,
            max_framerate: None,
            priority: Priority::Low,
            rid: String::new(),
            scale_resolution_down_by: None,
            scalability_mode: None,
            has_ssrc: false,
            ssrc: 0,
        }
    }
}

/// **Works.** A codec that could be negotiated.
#[derive(Debug, Clone)]
pub struct RtpCodecCapability {
    /// Channels, for audio.
    pub channels: Option<u16>,
    /// RTP clock (Hz).
    pub clock_rate: Option<u64>,
    /// Kind and name, such as `audio/opus`.
    pub mime_type: String,
    /// Format parameters as in an `a=fmtp` line, such as `minptime=10;useinbandfec=1`.
    pub sdp_fmtp_line: Option<String>,
}

/// **Works.** A header extension that could be negotiated.
#[derive(Debug, Clone)]
pub struct RtpHeaderExtensionCapability {
    /// The URI that names the extension.
    pub uri: String,
    /// Whether it could be sent, received or both.
    pub direction: RtpTransceiverDirection,
}

/// **Works.** Everything that could be negotiated for one kind of media.
#[derive(Debug, Clone)]
pub struct RtpCapabilities {
    /// Codecs, preferred first.
    pub codecs: Vec<RtpCodecCapability>,
    /// Header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionCapability>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degradation_preference_is_unset_until_set() {
        let mut parameters = RtpParameters::default();
        assert_eq!(parameters.degradation_preference(), None);
        parameters.set_degradation_preference(DegradationPreference::MaintainFramerate);
        let preference = parameters.clone().degradation_preference();
        assert_eq!(preference, Some(DegradationPreference::MaintainFramerate));
    }
}
