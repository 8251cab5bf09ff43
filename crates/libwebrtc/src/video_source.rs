//! The sending end of a video track. Sources exist and can be published; frames given to them are
//! refused, because this engine carries none.

use crate::enum_dispatch;

/// **Works.** A picture size in pixels; 1280 × 720 by default.
#[derive(Debug, Clone)]
pub struct VideoResolution {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Default for VideoResolution {
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
        }
    }
}

/// **Never** produced: what a sender would ask of an application that encodes for itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodedRateControl {
    /// Bits per second to aim for.
    pub target_bitrate_bps: u64,
    /// Frames per second to aim for.
    pub framerate_fps: f64,
}

/// **Works** as a handle. The source of a local video track.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcVideoSource {
    /// Frames are pushed by the application.
    Native(native::NativeVideoSource),
}

impl RtcVideoSource {
    enum_dispatch!(
        [Native];
        /// **Works.** The size given at creation.
        pub fn video_resolution(self: &Self) -> VideoResolution;
    );
}

/// The source for native targets.
pub mod native {
    use std::{
        fmt,
        sync::{Arc, Once},
    };

    #[cfg(target_os = "linux")]
    use crate::video_frame::FrameMetadata;
    use crate::{
        native::packet_trailer::PacketTrailerHandler,
        unsupported,
        video_frame::{EncodedVideoFrame, VideoBuffer, VideoFrame},
        video_source::{EncodedRateControl, VideoResolution},
    };

    /// **Works** as a handle; **Error** for every frame. Clones are the same source.
    #[derive(Clone)]
    pub struct NativeVideoSource {
        resolution: Arc<VideoResolution>,
    }

    impl Default for NativeVideoSource {
        fn default() -> Self {
            Self::new(VideoResolution::default(), false)
        }
    }

    impl NativeVideoSource {
        /// **Works.** A source that announces `resolution`. Unlike the C++ engine it starts no
        /// task, so it needs no async runtime.
        pub fn new(resolution: VideoResolution, _is_screencast: bool) -> Self {
            Self {
                resolution: Arc::new(resolution),
            }
        }

        /// **Works.** A source for frames that the application has encoded.
        pub fn new_encoded(resolution: VideoResolution) -> Self {
            Self::new(resolution, false)
        }

        /// **Error.** Always false, the answer for a dropped frame; the reason is logged once.
        pub fn capture_frame<T: AsRef<dyn VideoBuffer>>(&self, _frame: &VideoFrame<T>) -> bool {
            refuse()
        }

        /// **Error.** As [`capture_frame`](Self::capture_frame).
        #[cfg(target_os = "linux")]
        #[deprecated(note = "use `NativeBuffer::from_dmabuf` with `capture_frame`")]
        pub fn capture_dmabuf_frame(
            &self,
            _dmabuf_fd: i32,
            _width: u32,
            _height: u32,
            _pixel_format: i32,
            _timestamp_us: i64,
        ) -> bool {
            refuse()
        }

        /// **Error.** As [`capture_frame`](Self::capture_frame).
        #[cfg(target_os = "linux")]
        #[deprecated(note = "use `NativeBuffer::from_dmabuf` with `capture_frame`")]
        pub fn capture_dmabuf_frame_with_metadata(
            &self,
            _dmabuf_fd: i32,
            _width: u32,
            _height: u32,
            _pixel_format: i32,
            _timestamp_us: i64,
            _frame_metadata: Option<FrameMetadata>,
        ) -> bool {
            refuse()
        }

        /// **Error.** As [`capture_frame`](Self::capture_frame).
        pub fn capture_encoded_frame(&self, _frame: &EncodedVideoFrame<'_>) -> bool {
            refuse()
        }

        /// **Never** true: nobody receives frames, so nobody asks for a key frame.
        pub fn take_keyframe_request(&self) -> bool {
            false
        }

        /// **Never** a target: there is no frame whose rate could be controlled.
        pub fn take_rate_control_request(&self) -> Option<EncodedRateControl> {
            None
        }

        /// **Never** has an effect: the handler would annotate frames, and none leaves.
        pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}

        /// **Works.** The size given at creation.
        pub fn video_resolution(&self) -> VideoResolution {
            VideoResolution::clone(&self.resolution)
        }
    }

    impl fmt::Debug for NativeVideoSource {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeVideoSource").finish_non_exhaustive()
        }
    }

    fn refuse() -> bool {
        static ONCE: Once = Once::new();
        unsupported::warn_once(&ONCE, unsupported::VIDEO);
        false
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::video_frame::{I420Buffer, VideoRotation};

        #[test]
        fn a_frame_is_reported_as_dropped() {
            let source = NativeVideoSource::default();
            let frame = VideoFrame::new(VideoRotation::VideoRotation0, I420Buffer::new(4, 4));
            assert!(!source.capture_frame(&frame));
            assert_eq!(source.video_resolution().width, 1280);
        }
    }
}
