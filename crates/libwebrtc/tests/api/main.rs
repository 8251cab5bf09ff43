//! The public API of LiveKit's `libwebrtc` 0.3.55, named item by item.
//!
//! That this compiles is the test: every module path, name, field, variant, signature and trait
//! that `livekit` or an application could have used is written down here from upstream's
//! sources. Nothing is called; what items do is tested elsewhere. The same files compile against
//! upstream's own crate.
//!
//! Not here, because this engine does not have them: the CVPixelBuffer functions of Apple's
//! platforms (raw pointers), `android` (a JVM) and the `web` modules (wasm32).

#![expect(dead_code, reason = "the checks are compiled, not run")]
#![expect(clippy::type_complexity, reason = "upstream's signatures, spelled out")]

mod audio;
mod call;
mod devices;
mod encryption;
mod parameters;
mod statistics;
mod track;
mod video;
mod yuv;

/// Checks that each path is a function of the type given.
macro_rules! signatures {
    ($($path:expr => $type:ty;)+) => {
        const _: () = { $(let _: $type = $path;)+ };
    };
}

/// Checks that a struct has exactly these public fields, and nothing else.
macro_rules! all_fields {
    ($type:ident $(<$lifetime:lifetime>)? { $($field:ident: $field_type:ty),+ $(,)? }) => {
        const _: () = {
            fn check $(<$lifetime>)? (value: $type $(<$lifetime>)?) {
                let $type { $($field,)+ } = value;
                $(let _: $field_type = $field;)+
            }
        };
    };
}

/// Checks that a struct that cannot be built outside its crate has these public fields.
macro_rules! fields {
    ($type:ident { $($field:ident: $field_type:ty),+ $(,)? }) => {
        const _: () = {
            fn check(value: $type) {
                $(let _: $field_type = value.$field;)+
            }
        };
    };
}

/// Checks that an enum has exactly these variants.
macro_rules! all_variants {
    ($type:ident { $($variant:ident),+ $(,)? }) => {
        const _: () = {
            fn check(value: $type) {
                match value { $($type::$variant => (),)+ }
            }
        };
    };
}

/// Checks that types implement traits.
macro_rules! traits {
    ($($type:ty: $($bound:path),+;)+) => {
        $(const _: () = {
            $({
                const fn check<T: $bound>() {}
                check::<$type>();
            })+
        };)+
    };
}

pub(crate) use {all_fields, all_variants, fields, signatures, traits};

/// The errors and kinds at the root of the crate.
mod root {
    use std::{error::Error, fmt::Debug};

    use libwebrtc::{MediaType, RtcError, RtcErrorType};

    all_variants!(MediaType {
        Audio,
        Video,
        Data,
        Unsupported,
    });
    all_variants!(RtcErrorType {
        Internal,
        InvalidSdp,
        InvalidState,
    });
    all_fields!(RtcError {
        error_type: RtcErrorType,
        message: String,
    });
    traits! {
        MediaType: Debug, Copy, Eq;
        RtcErrorType: Debug, Copy, Eq;
        RtcError: Error, Debug, Send, Sync;
    }
}

/// The prelude, which `livekit` imports everywhere.
mod prelude {
    #[expect(unused_imports, reason = "that the names exist is the test")]
    use libwebrtc::prelude::{
        AnswerOptions, AudioFrame, AudioSourceOptions, BitrateSettings, BoxVideoBuffer,
        BoxVideoFrame, ContinualGatheringPolicy, DataBuffer, DataChannel, DataChannelError,
        DataChannelInit, DataChannelState, DegradationPreference, I010Buffer, I420ABuffer,
        I420Buffer, I422Buffer, I444Buffer, IceCandidate, IceConnectionState, IceGatheringState,
        IceServer, IceTransportsType, MediaStream, MediaStreamTrack, MediaType, NV12Buffer,
        OfferOptions, PeerConnection, PeerConnectionFactory, PeerConnectionState, Priority,
        RtcAudioSource, RtcAudioTrack, RtcConfiguration, RtcError, RtcErrorType, RtcTrackState,
        RtcVideoSource, RtcVideoTrack, RtcpParameters, RtpCapabilities, RtpCodecCapability,
        RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionCapability,
        RtpHeaderExtensionParameters, RtpParameters, RtpReceiver, RtpSender, RtpTransceiver,
        RtpTransceiverDirection, RtpTransceiverInit, SdpType, SessionDescription, SignalingState,
        VideoBuffer, VideoBufferType, VideoEncoderBackend, VideoFormatType, VideoFrame,
        VideoResolution, VideoRotation,
    };
}

/// `enum_dispatch!` in the form in which `livekit` calls it.
mod dispatch {
    struct Held;

    impl Held {
        fn name(&self) -> String {
            "held".into()
        }
        fn add(&self, left: u32, right: u32) -> u32 {
            left + right
        }
        fn set(&self, _value: bool) {}
    }

    enum Either {
        Left(Held),
        Right(Held),
    }

    impl Either {
        libwebrtc::enum_dispatch!(
            [Left, Right];
            pub fn name(self: &Self) -> String;
            pub(crate) fn add(self: &Self, left: u32, right: u32) -> u32;
            fn set(self: &Self, value: bool) -> ();
        );
    }

    #[test]
    fn methods_are_forwarded_to_what_the_variant_holds() {
        let (left, right) = (Either::Left(Held), Either::Right(Held));
        left.set(true);
        assert_eq!((left.name(), right.add(2, 3)), ("held".to_owned(), 5));
    }
}
