//! Video frames and their pixel buffers.
//!
//! Buffers **Work**: they can be made, filled, scaled and converted. What does not exist is a
//! frame on the wire: see [`crate::video_source`] and [`crate::video_stream`].

mod buffers;
pub mod native;

use std::fmt::Debug;

use thiserror::Error;

pub use buffers::{I010Buffer, I420ABuffer, I420Buffer, I422Buffer, I444Buffer, NV12Buffer};

use crate::video_source::VideoResolution;

/// **Never** produced: why a sink could not be attached.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The platform refused.
    #[error("the platform refused the sink: {0}")]
    Platform(String),
}

/// **Works.** How far a frame must be turned clockwise to be shown upright, in degrees.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum VideoRotation {
    /// Upright.
    VideoRotation0 = 0,
    /// A quarter turn.
    VideoRotation90 = 90,
    /// Half a turn.
    VideoRotation180 = 180,
    /// Three quarters.
    VideoRotation270 = 270,
}

/// **Works.** A packed RGB layout, named by the order within a 32-bit word: `ARGB` is B, G, R, A in
/// memory.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum VideoFormatType {
    /// B, G, R, A in memory.
    ARGB,
    /// A, R, G, B in memory.
    BGRA,
    /// R, G, B, A in memory.
    ABGR,
    /// A, B, G, R in memory.
    RGBA,
}

/// **Works.** The layout of a buffer.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoBufferType {
    /// Memory of the platform, such as a DMA-BUF.
    Native,
    /// Three planes; chroma at half width and height.
    I420,
    /// I420 and an alpha plane.
    I420A,
    /// Three planes; chroma at half width.
    I422,
    /// Three planes of the same size.
    I444,
    /// I420 with ten bits per sample.
    I010,
    /// Luma and a plane of chroma pairs at half width and height.
    NV12,
}

/// **Works** as plain data: what the application adds to a frame.
#[derive(Debug, Clone)]
pub struct FrameMetadata {
    /// When it was captured, in microseconds since the Unix epoch.
    pub user_timestamp: Option<u64>,
    /// The application's number for it.
    pub frame_id: Option<u32>,
    /// Anything else; about 230 bytes at most would fit.
    pub user_data: Option<Vec<u8>>,
}

/// **Works** as plain data: the codec of a frame that the application encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the codecs say it")]
pub enum EncodedVideoCodec {
    H264,
    H265,
    VP8,
    VP9,
    AV1,
}

/// **Works** as plain data: whether an encoded frame stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedFrameType {
    /// It does.
    Key,
    /// It needs earlier frames.
    Delta,
}

/// **Works** as plain data; a source refuses it. A frame that the application encoded.
#[derive(Debug, Clone)]
pub struct EncodedVideoFrame<'a> {
    /// Its codec.
    pub codec: EncodedVideoCodec,
    /// The encoded picture.
    pub payload: &'a [u8],
    /// When it was captured, in microseconds; 0 for now.
    pub timestamp_us: i64,
    /// Whether it stands alone.
    pub frame_type: EncodedFrameType,
    /// Its size.
    pub resolution: VideoResolution,
    /// What the application adds.
    pub frame_metadata: Option<FrameMetadata>,
}

/// **Works** as plain data; a source refuses it. A picture and when it was taken.
#[derive(Debug)]
pub struct VideoFrame<T>
where
    T: AsRef<dyn VideoBuffer>,
{
    /// How it must be turned to be shown.
    pub rotation: VideoRotation,
    /// When it was captured, in microseconds; 0 for now.
    pub timestamp_us: i64,
    /// What the application adds.
    pub frame_metadata: Option<FrameMetadata>,
    /// The pixels.
    pub buffer: T,
}

impl<T: AsRef<dyn VideoBuffer>> VideoFrame<T> {
    /// **Works.** A frame without metadata, to be stamped when captured.
    pub fn new(rotation: VideoRotation, buffer: T) -> Self {
        Self {
            rotation,
            timestamp_us: 0,
            frame_metadata: None,
            buffer,
        }
    }
}

/// **Works.** A buffer of any layout.
pub type BoxVideoBuffer = Box<dyn VideoBuffer>;
/// **Works.** A frame whose buffer has any layout.
pub type BoxVideoFrame = VideoFrame<BoxVideoBuffer>;

mod sealed {
    use super::{I420Buffer, VideoFormatType};

    /// What every buffer can do; outside this crate it cannot be implemented.
    pub trait Pixels: Send + Sync {
        /// A copy as I420.
        fn to_i420(&self) -> I420Buffer;

        /// Converts the upper left `dst_width` × `dst_height` pixels to packed RGB.
        fn to_argb(
            &self,
            format: VideoFormatType,
            dst: &mut [u8],
            dst_stride: u32,
            dst_width: i32,
            dst_height: i32,
        );
    }
}

/// **Works.** A buffer of pixels.
pub trait VideoBuffer: sealed::Pixels + Debug {
    /// **Works.** Pixels per row.
    fn width(&self) -> u32;
    /// **Works.** Rows.
    fn height(&self) -> u32;
    /// **Works.** The layout.
    fn buffer_type(&self) -> VideoBufferType;

    /// **Works.** Itself, if it is memory of the platform.
    fn as_native(&self) -> Option<&native::NativeBuffer> {
        None
    }

    /// **Works.** Itself, if it is I420.
    fn as_i420(&self) -> Option<&I420Buffer> {
        None
    }

    /// **Never** anything: no buffer of this engine has alpha.
    fn as_i420a(&self) -> Option<&I420ABuffer> {
        None
    }

    /// **Works.** Itself, if it is I422.
    fn as_i422(&self) -> Option<&I422Buffer> {
        None
    }

    /// **Works.** Itself, if it is I444.
    fn as_i444(&self) -> Option<&I444Buffer> {
        None
    }

    /// **Works.** Itself, if it is I010.
    fn as_i010(&self) -> Option<&I010Buffer> {
        None
    }

    /// **Works.** Itself, if it is NV12.
    fn as_nv12(&self) -> Option<&NV12Buffer> {
        None
    }
}

#[cfg(test)]
mod tests;
