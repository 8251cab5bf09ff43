//! Buffers in memory of the platform, and the conversions that every buffer offers.
//!
//! Deliberately absent: `from_cv_pixel_buffer` and `get_cv_pixel_buffer` of Apple's platforms, which
//! hand raw pointers through and cannot be written without `unsafe`.

use std::{fmt, sync::Once};

use super::{I420Buffer, VideoBuffer, VideoBufferType, VideoFormatType, sealed::Pixels};
use crate::unsupported;
#[cfg(target_os = "linux")]
use crate::video_source::VideoResolution;

/// **Works** as plain data: a file descriptor of a DMA-BUF, borrowed.
#[cfg(target_os = "linux")]
pub type DmaBufFileDescriptor = std::os::fd::RawFd;

/// **Works** as plain data: the layout of a DMA-BUF.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DmaBufPixelFormat {
    /// Luma and a plane of chroma pairs.
    NV12 = 0,
    /// Three planes; chroma at half width and height.
    YUV420M = 1,
}

/// **Works** as a handle; **Error** when its pixels are asked for.
pub struct NativeBuffer {
    width: u32,
    height: u32,
    #[cfg(target_os = "linux")]
    dmabuf_fd: DmaBufFileDescriptor,
}

impl NativeBuffer {
    /// **Works** as a handle. The descriptor stays the caller's.
    #[cfg(target_os = "linux")]
    pub fn from_dmabuf(
        dmabuf_fd: DmaBufFileDescriptor,
        resolution: VideoResolution,
        _pixel_format: DmaBufPixelFormat,
    ) -> Self {
        Self {
            width: resolution.width,
            height: resolution.height,
            dmabuf_fd,
        }
    }

    /// **Works.** The descriptor given at creation; `None` if it was negative.
    #[cfg(target_os = "linux")]
    pub fn get_dmabuf_fd(&self) -> Option<DmaBufFileDescriptor> {
        (self.dmabuf_fd >= 0).then_some(self.dmabuf_fd)
    }
}

impl Pixels for NativeBuffer {
    /// **Error.** Black; the reason is logged once.
    fn to_i420(&self) -> I420Buffer {
        static ONCE: Once = Once::new();
        unsupported::warn_once(&ONCE, unsupported::DMA_BUF);
        I420Buffer::new_black(self.width, self.height)
    }

    fn to_argb(
        &self,
        format: VideoFormatType,
        dst: &mut [u8],
        dst_stride: u32,
        dst_width: i32,
        dst_height: i32,
    ) {
        let black = Pixels::to_i420(self);
        Pixels::to_argb(&black, format, dst, dst_stride, dst_width, dst_height);
    }
}

impl VideoBuffer for NativeBuffer {
    fn width(&self) -> u32 {
        self.width
    }

    fn height(&self) -> u32 {
        self.height
    }

    fn buffer_type(&self) -> VideoBufferType {
        VideoBufferType::Native
    }

    fn as_native(&self) -> Option<&NativeBuffer> {
        Some(self)
    }
}

impl fmt::Debug for NativeBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeBuffer")
            .field("width", &self.width)
            .field("height", &self.height)
            .finish()
    }
}

impl AsRef<dyn VideoBuffer> for NativeBuffer {
    fn as_ref(&self) -> &(dyn VideoBuffer + 'static) {
        self
    }
}

/// **Works.** Conversions of every buffer.
pub trait VideoFrameBufferExt: VideoBuffer {
    /// **Works.** A copy as I420; of a [`NativeBuffer`] a black one.
    fn to_i420(&self) -> I420Buffer;

    /// **Works.** Converts the upper left `dst_width` × `dst_height` pixels to packed RGB; rows in
    /// `dst` begin `dst_stride` bytes apart, and a negative height turns the picture upside down.
    ///
    /// More pixels than the buffer has or than fit `dst` are an error: logged, and nothing is
    /// written.
    fn to_argb(
        &self,
        format: VideoFormatType,
        dst: &mut [u8],
        dst_stride: u32,
        dst_width: i32,
        dst_height: i32,
    );
}

impl<T: VideoBuffer> VideoFrameBufferExt for T {
    fn to_i420(&self) -> I420Buffer {
        Pixels::to_i420(self)
    }

    fn to_argb(
        &self,
        format: VideoFormatType,
        dst: &mut [u8],
        dst_stride: u32,
        dst_width: i32,
        dst_height: i32,
    ) {
        Pixels::to_argb(self, format, dst, dst_stride, dst_width, dst_height);
    }
}
