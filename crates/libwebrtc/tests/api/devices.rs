//! Tracks made by the factory, sound devices and screen capture.

use libwebrtc::{
    audio_source::native::NativeAudioSource,
    audio_track::RtcAudioTrack,
    peer_connection_factory::{
        PeerConnectionFactory as Factory, native::PeerConnectionFactoryExt as Ext,
    },
    video_source::native::NativeVideoSource,
    video_track::RtcVideoTrack,
};

use crate::signatures;

signatures! {
    <Factory as Ext>::create_video_track => fn(&Factory, &str, NativeVideoSource) -> RtcVideoTrack;
    <Factory as Ext>::create_audio_track => fn(&Factory, &str, NativeAudioSource) -> RtcAudioTrack;
    <Factory as Ext>::create_device_audio_track => fn(&Factory, &str) -> RtcAudioTrack;
    <Factory as Ext>::playout_devices => fn(&Factory) -> i16;
    <Factory as Ext>::recording_devices => fn(&Factory) -> i16;
    <Factory as Ext>::playout_device_name => fn(&Factory, u16) -> String;
    <Factory as Ext>::recording_device_name => fn(&Factory, u16) -> String;
    <Factory as Ext>::playout_device_guid => fn(&Factory, u16) -> String;
    <Factory as Ext>::recording_device_guid => fn(&Factory, u16) -> String;
    <Factory as Ext>::set_playout_device => fn(&Factory, u16) -> bool;
    <Factory as Ext>::set_recording_device => fn(&Factory, u16) -> bool;
    <Factory as Ext>::set_playout_device_by_guid => fn(&Factory, &str) -> bool;
    <Factory as Ext>::set_recording_device_by_guid => fn(&Factory, &str) -> bool;
    <Factory as Ext>::stop_recording => fn(&Factory) -> bool;
    <Factory as Ext>::init_recording => fn(&Factory) -> bool;
    <Factory as Ext>::start_recording => fn(&Factory) -> bool;
    <Factory as Ext>::recording_is_initialized => fn(&Factory) -> bool;
    <Factory as Ext>::stop_playout => fn(&Factory) -> bool;
    <Factory as Ext>::init_playout => fn(&Factory) -> bool;
    <Factory as Ext>::start_playout => fn(&Factory) -> bool;
    <Factory as Ext>::playout_is_initialized => fn(&Factory) -> bool;
    <Factory as Ext>::builtin_aec_is_available => fn(&Factory) -> bool;
    <Factory as Ext>::builtin_agc_is_available => fn(&Factory) -> bool;
    <Factory as Ext>::builtin_ns_is_available => fn(&Factory) -> bool;
    <Factory as Ext>::enable_builtin_aec => fn(&Factory, bool) -> bool;
    <Factory as Ext>::enable_builtin_agc => fn(&Factory, bool) -> bool;
    <Factory as Ext>::enable_builtin_ns => fn(&Factory, bool) -> bool;
    <Factory as Ext>::set_adm_recording_enabled => fn(&Factory, bool);
    <Factory as Ext>::adm_recording_enabled => fn(&Factory) -> bool;
    <Factory as Ext>::set_adm_playout_enabled => fn(&Factory, bool);
    <Factory as Ext>::adm_playout_enabled => fn(&Factory) -> bool;
    <Factory as Ext>::acquire_platform_adm => fn(&Factory) -> bool;
    <Factory as Ext>::release_platform_adm => fn(&Factory);
    <Factory as Ext>::platform_adm_ref_count => fn(&Factory) -> i32;
    <Factory as Ext>::is_platform_adm_active => fn(&Factory) -> bool;
}

#[cfg(any(target_os = "macos", target_os = "windows", target_os = "linux"))]
mod screens {
    use std::fmt::{Debug, Display};

    use libwebrtc::desktop_capturer::{
        CaptureError, CaptureSource, DesktopCaptureSourceType, DesktopCapturer,
        DesktopCapturerOptions, DesktopFrame,
    };

    use crate::{all_variants, signatures, traits};

    #[cfg(not(target_os = "windows"))]
    all_variants!(DesktopCaptureSourceType {
        Screen,
        Window,
        Generic,
    });
    all_variants!(CaptureError {
        Temporary,
        Permanent,
    });

    type Callback = fn(Result<DesktopFrame, CaptureError>);

    signatures! {
        DesktopCapturerOptions::new => fn(DesktopCaptureSourceType) -> DesktopCapturerOptions;
        DesktopCapturerOptions::set_include_cursor => fn(&mut DesktopCapturerOptions, bool);
        DesktopCapturer::new => fn(DesktopCapturerOptions) -> Option<DesktopCapturer>;
        DesktopCapturer::start_capture::<Callback>
            => fn(&mut DesktopCapturer, Option<CaptureSource>, Callback);
        DesktopCapturer::capture_frame => fn(&mut DesktopCapturer);
        DesktopCapturer::get_source_list => fn(&DesktopCapturer) -> Vec<CaptureSource>;
        DesktopFrame::width => fn(&DesktopFrame) -> i32;
        DesktopFrame::height => fn(&DesktopFrame) -> i32;
        DesktopFrame::stride => fn(&DesktopFrame) -> u32;
        DesktopFrame::left => fn(&DesktopFrame) -> i32;
        DesktopFrame::top => fn(&DesktopFrame) -> i32;
        DesktopFrame::data => fn(&DesktopFrame) -> &[u8];
        CaptureSource::id => fn(&CaptureSource) -> u64;
        CaptureSource::title => fn(&CaptureSource) -> String;
        CaptureSource::display_id => fn(&CaptureSource) -> i64;
    }

    traits! {
        DesktopCaptureSourceType: Debug, Copy, PartialEq;
        CaptureError: Debug, PartialEq;
        CaptureSource: Clone, Display;
    }
}
