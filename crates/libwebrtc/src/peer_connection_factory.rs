//! Creates peer connections and tracks.

use std::fmt;

use crate::{
    MediaType, RtcError,
    peer_connection::PeerConnection,
    rtp_parameters::{RtpCapabilities, RtpCodecCapability, RtpHeaderExtensionCapability},
    rtp_transceiver::RtpTransceiverDirection,
};

/// A STUN or TURN server. *Works.*
#[derive(Debug, Clone)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs of the same server.
    pub urls: Vec<String>,
    /// For TURN.
    pub username: String,
    /// For TURN.
    pub password: String,
}

/// Whether to go on looking for own addresses. Addresses are collected once per connection, whatever is asked.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum ContinualGatheringPolicy {
    /// Collect once.
    GatherOnce,
    /// Collect again when the network changes.
    GatherContinually,
}

/// Which kinds of own addresses the peer may learn. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceTransportsType {
    /// Only those of TURN servers.
    Relay,
    /// All but those of this machine itself.
    NoHost,
    /// All.
    All,
}

/// How to set up a connection. Begin with the default and set fields: more may come. *Works.*
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RtcConfiguration {
    /// Servers that help to find a path.
    pub ice_servers: Vec<IceServer>,
    /// See [`ContinualGatheringPolicy`].
    pub continual_gathering_policy: ContinualGatheringPolicy,
    /// See [`IceTransportsType`].
    pub ice_transport_type: IceTransportsType,
    /// Accepted and not used: SCTP is set up in the usual way, which every peer understands.
    pub enable_sctp_snap: bool,
}

impl Default for RtcConfiguration {
    fn default() -> Self {
        Self {
            ice_servers: vec![],
            continual_gathering_policy: ContinualGatheringPolicy::GatherContinually,
            ice_transport_type: IceTransportsType::All,
            enable_sctp_snap: false,
        }
    }
}

/// Creates peer connections and tracks. All factories share the engine's threads. *Works.*
#[derive(Clone, Default)]
pub struct PeerConnectionFactory {
    _private: (),
}

impl fmt::Debug for PeerConnectionFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnectionFactory")
            .finish_non_exhaustive()
    }
}

impl PeerConnectionFactory {
    /// The same as the default: the wish concerns video. *Works.*
    pub fn with_zero_playout_delay() -> Self {
        Self::default()
    }

    /// The same as the default: the wishes concern video and a faster handshake that both sides may do without.
    /// *Works.*
    pub fn with_options(zero_playout_delay: bool, enable_warp: bool) -> Self {
        log::trace!("zero playout delay {zero_playout_delay}, WARP {enable_warp}: not used");
        Self::default()
    }

    /// A new connection. *Works.*
    ///
    /// # Errors
    /// No key could be made.
    pub fn create_peer_connection(
        &self,
        config: RtcConfiguration,
    ) -> Result<PeerConnection, RtcError> {
        PeerConnection::new(config)
    }

    /// What can be sent: Opus with redundancy; for video the codecs that are negotiated. *Works.*
    pub fn get_rtp_sender_capabilities(&self, media_type: MediaType) -> RtpCapabilities {
        capabilities(media_type)
    }

    /// What can be received: the same. *Works.*
    pub fn get_rtp_receiver_capabilities(&self, media_type: MediaType) -> RtpCapabilities {
        capabilities(media_type)
    }
}

fn capabilities(media_type: MediaType) -> RtpCapabilities {
    let codec = |mime: &str, clock_rate, channels, fmtp: Option<&str>| RtpCodecCapability {
        channels,
        clock_rate: Some(clock_rate),
        mime_type: mime.to_owned(),
        sdp_fmtp_line: fmtp.map(str::to_owned),
    };
    let codecs = match media_type {
        MediaType::Audio => vec![
            codec(
                "audio/opus",
                48_000,
                Some(2),
                Some("minptime=10;useinbandfec=1"),
            ),
            codec("audio/red", 48_000, Some(2), None),
        ],
        MediaType::Video => vec![
            codec("video/VP8", 90_000, None, None),
            codec("video/VP9", 90_000, None, Some("profile-id=0")),
        ],
        MediaType::Data | MediaType::Unsupported => vec![],
    };
    let header_extensions = crate::engine::header_extensions(media_type)
        .iter()
        .map(|uri| RtpHeaderExtensionCapability {
            uri: (*uri).to_owned(),
            direction: RtpTransceiverDirection::SendRecv,
        })
        .collect();
    RtpCapabilities {
        codecs,
        header_extensions,
    }
}

/// What only exists outside browsers: own tracks, and sound cards.
pub mod native {
    use super::PeerConnectionFactory;
    use crate::{
        audio_source::native::NativeAudioSource,
        audio_track::RtcAudioTrack,
        engine::audio_track::{AudioTrack, Origin},
        video_source::native::NativeVideoSource,
        video_track::RtcVideoTrack,
    };

    /// Tracks, and sound cards, of which this engine has none: whatever asks for one answers that there are none.
    pub trait PeerConnectionFactoryExt {
        /// A track of pictures. *Works* as far as negotiation goes; no frame is sent.
        fn create_video_track(&self, label: &str, source: NativeVideoSource) -> RtcVideoTrack;
        /// A track of the sound that `source` is given. *Works.*
        fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack;
        /// A track of a microphone. *Error*: it stays silent, and the log says so.
        fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack;
        /// Number of loudspeakers: 0. *Works.*
        fn playout_devices(&self) -> i16;
        /// Number of microphones: 0. *Works.*
        fn recording_devices(&self) -> i16;
        /// *Error*: there is none, the name is empty.
        fn playout_device_name(&self, index: u16) -> String;
        /// *Error*: there is none, the name is empty.
        fn recording_device_name(&self, index: u16) -> String;
        /// *Error*: there is none, the identifier is empty.
        fn playout_device_guid(&self, index: u16) -> String;
        /// *Error*: there is none, the identifier is empty.
        fn recording_device_guid(&self, index: u16) -> String;
        /// *Error*: false, there is none.
        fn set_playout_device(&self, index: u16) -> bool;
        /// *Error*: false, there is none.
        fn set_recording_device(&self, index: u16) -> bool;
        /// *Error*: false, there is none.
        fn set_playout_device_by_guid(&self, guid: &str) -> bool;
        /// *Error*: false, there is none.
        fn set_recording_device_by_guid(&self, guid: &str) -> bool;
        /// *Error*: false, there is no microphone.
        fn stop_recording(&self) -> bool;
        /// *Error*: false, there is no microphone.
        fn init_recording(&self) -> bool;
        /// *Error*: false, there is no microphone.
        fn start_recording(&self) -> bool;
        /// False. *Works.*
        fn recording_is_initialized(&self) -> bool;
        /// *Error*: false, there is no loudspeaker.
        fn stop_playout(&self) -> bool;
        /// *Error*: false, there is no loudspeaker.
        fn init_playout(&self) -> bool;
        /// *Error*: false, there is no loudspeaker.
        fn start_playout(&self) -> bool;
        /// False. *Works.*
        fn playout_is_initialized(&self) -> bool;
        /// False. *Works.*
        fn builtin_aec_is_available(&self) -> bool;
        /// False. *Works.*
        fn builtin_agc_is_available(&self) -> bool;
        /// False. *Works.*
        fn builtin_ns_is_available(&self) -> bool;
        /// *Error*: false, there is none.
        fn enable_builtin_aec(&self, enable: bool) -> bool;
        /// *Error*: false, there is none.
        fn enable_builtin_agc(&self, enable: bool) -> bool;
        /// *Error*: false, there is none.
        fn enable_builtin_ns(&self, enable: bool) -> bool;
        /// *Never* has an effect.
        fn set_adm_recording_enabled(&self, enabled: bool);
        /// False. *Works.*
        fn adm_recording_enabled(&self) -> bool;
        /// *Never* has an effect.
        fn set_adm_playout_enabled(&self, enabled: bool);
        /// False. *Works.*
        fn adm_playout_enabled(&self) -> bool;
        /// *Error*: false, there is no sound card; `livekit` then reports that platform audio is not available.
        fn acquire_platform_adm(&self) -> bool;
        /// Nothing to release. *Works.*
        fn release_platform_adm(&self);
        /// 0. *Works.*
        fn platform_adm_ref_count(&self) -> i32;
        /// False. *Works.*
        fn is_platform_adm_active(&self) -> bool;
    }

    impl PeerConnectionFactoryExt for PeerConnectionFactory {
        fn create_video_track(&self, label: &str, source: NativeVideoSource) -> RtcVideoTrack {
            drop(source);
            RtcVideoTrack::new(label.to_owned())
        }

        fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack {
            let origin = Origin::Local(source.queue);
            RtcAudioTrack {
                inner: AudioTrack::new(label.to_owned(), origin),
            }
        }

        fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack {
            log::warn!("track {label} stays silent: this engine opens no microphone");
            RtcAudioTrack {
                inner: AudioTrack::new(label.to_owned(), Origin::Silent),
            }
        }

        fn playout_devices(&self) -> i16 {
            0
        }

        fn recording_devices(&self) -> i16 {
            0
        }

        fn playout_device_name(&self, _index: u16) -> String {
            String::new()
        }

        fn recording_device_name(&self, _index: u16) -> String {
            String::new()
        }

        fn playout_device_guid(&self, _index: u16) -> String {
            String::new()
        }

        fn recording_device_guid(&self, _index: u16) -> String {
            String::new()
        }

        fn set_playout_device(&self, _index: u16) -> bool {
            false
        }

        fn set_recording_device(&self, _index: u16) -> bool {
            false
        }

        fn set_playout_device_by_guid(&self, _guid: &str) -> bool {
            false
        }

        fn set_recording_device_by_guid(&self, _guid: &str) -> bool {
            false
        }

        fn stop_recording(&self) -> bool {
            false
        }

        fn init_recording(&self) -> bool {
            false
        }

        fn start_recording(&self) -> bool {
            false
        }

        fn recording_is_initialized(&self) -> bool {
            false
        }

        fn stop_playout(&self) -> bool {
            false
        }

        fn init_playout(&self) -> bool {
            false
        }

        fn start_playout(&self) -> bool {
            false
        }

        fn playout_is_initialized(&self) -> bool {
            false
        }

        fn builtin_aec_is_available(&self) -> bool {
            false
        }

        fn builtin_agc_is_available(&self) -> bool {
            false
        }

        fn builtin_ns_is_available(&self) -> bool {
            false
        }

        fn enable_builtin_aec(&self, _enable: bool) -> bool {
            false
        }

        fn enable_builtin_agc(&self, _enable: bool) -> bool {
            false
        }

        fn enable_builtin_ns(&self, _enable: bool) -> bool {
            false
        }

        fn set_adm_recording_enabled(&self, _enabled: bool) {}

        fn adm_recording_enabled(&self) -> bool {
            false
        }

        fn set_adm_playout_enabled(&self, _enabled: bool) {}

        fn adm_playout_enabled(&self) -> bool {
            false
        }

        fn acquire_platform_adm(&self) -> bool {
            false
        }

        fn release_platform_adm(&self) {}

        fn platform_adm_ref_count(&self) -> i32 {
            0
        }

        fn is_platform_adm_active(&self) -> bool {
            false
        }
    }
}
