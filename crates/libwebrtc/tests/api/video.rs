//! Video frames, buffers, sources and streams.

use std::{error::Error, fmt::Debug};

use libwebrtc::{
    native::packet_trailer::PacketTrailerHandler,
    video_frame::{
        BoxVideoBuffer, BoxVideoFrame, EncodedFrameType, EncodedVideoCodec, EncodedVideoFrame,
        FrameMetadata, I010Buffer, I420ABuffer, I420Buffer, I422Buffer, I444Buffer, NV12Buffer,
        SinkError, VideoBuffer, VideoBufferType, VideoFormatType, VideoFrame, VideoRotation,
        native::{NativeBuffer, VideoFrameBufferExt},
    },
    video_source::{
        EncodedRateControl, RtcVideoSource, VideoResolution, native::NativeVideoSource,
    },
    video_stream::native::{NativeVideoStream, NativeVideoStreamOptions},
    video_track::RtcVideoTrack,
};
use tokio_stream::Stream;

use crate::{all_fields, all_variants, signatures, traits};

all_variants!(VideoRotation {
    VideoRotation0,
    VideoRotation90,
    VideoRotation180,
    VideoRotation270,
});
const _: [i32; 4] = [
    VideoRotation::VideoRotation0 as i32,
    VideoRotation::VideoRotation90 as i32,
    VideoRotation::VideoRotation180 as i32,
    VideoRotation::VideoRotation270 as i32,
];
all_variants!(VideoFormatType {
    ARGB,
    BGRA,
    ABGR,
    RGBA,
});
const _: [VideoBufferType; 7] = [
    VideoBufferType::Native,
    VideoBufferType::I420,
    VideoBufferType::I420A,
    VideoBufferType::I422,
    VideoBufferType::I444,
    VideoBufferType::I010,
    VideoBufferType::NV12,
];
const _: [EncodedVideoCodec; 5] = [
    EncodedVideoCodec::H264,
    EncodedVideoCodec::H265,
    EncodedVideoCodec::VP8,
    EncodedVideoCodec::VP9,
    EncodedVideoCodec::AV1,
];
all_variants!(EncodedFrameType { Key, Delta });

all_fields!(FrameMetadata {
    user_timestamp: Option<u64>,
    frame_id: Option<u32>,
    user_data: Option<Vec<u8>>,
});
all_fields!(EncodedVideoFrame<'a> {
    codec: EncodedVideoCodec,
    payload: &'a [u8],
    timestamp_us: i64,
    frame_type: EncodedFrameType,
    resolution: VideoResolution,
    frame_metadata: Option<FrameMetadata>,
});
all_fields!(VideoResolution {
    width: u32,
    height: u32,
});
all_fields!(EncodedRateControl {
    target_bitrate_bps: u64,
    framerate_fps: f64,
});
all_fields!(NativeVideoStreamOptions { queue_size_frames: Option<usize>, });

fn a_frame_is_built_field_by_field(buffer: BoxVideoBuffer) -> BoxVideoFrame {
    VideoFrame::<Box<dyn VideoBuffer>> {
        rotation: VideoRotation::VideoRotation0,
        timestamp_us: 0_i64,
        frame_metadata: None::<FrameMetadata>,
        buffer,
    }
}

/// The constructors and accessors that the three-plane buffers share.
macro_rules! planar_buffers {
    ($($buffer:ident of $sample:ty;)+) => {
        signatures! {
            $(
                $buffer::with_strides => fn(u32, u32, u32, u32, u32) -> $buffer;
                $buffer::new => fn(u32, u32) -> $buffer;
                $buffer::chroma_width => fn(&$buffer) -> u32;
                $buffer::chroma_height => fn(&$buffer) -> u32;
                $buffer::strides => fn(&$buffer) -> (u32, u32, u32);
                $buffer::data => fn(&$buffer) -> (&[$sample], &[$sample], &[$sample]);
                $buffer::data_mut
                    => fn(&mut $buffer) -> (&mut [$sample], &mut [$sample], &mut [$sample]);
                $buffer::scale => fn(&mut $buffer, i32, i32) -> $buffer;
            )+
        }
    };
}

planar_buffers! {
    I420Buffer of u8;
    I422Buffer of u8;
    I444Buffer of u8;
    I010Buffer of u16;
}

signatures! {
    I420Buffer::new_black => fn(u32, u32) -> I420Buffer;

    NV12Buffer::with_strides => fn(u32, u32, u32, u32) -> NV12Buffer;
    NV12Buffer::new => fn(u32, u32) -> NV12Buffer;
    NV12Buffer::chroma_width => fn(&NV12Buffer) -> u32;
    NV12Buffer::chroma_height => fn(&NV12Buffer) -> u32;
    NV12Buffer::strides => fn(&NV12Buffer) -> (u32, u32);
    NV12Buffer::data => fn(&NV12Buffer) -> (&[u8], &[u8]);
    NV12Buffer::data_mut => fn(&mut NV12Buffer) -> (&mut [u8], &mut [u8]);
    NV12Buffer::scale => fn(&mut NV12Buffer, i32, i32) -> NV12Buffer;

    I420ABuffer::chroma_width => fn(&I420ABuffer) -> u32;
    I420ABuffer::chroma_height => fn(&I420ABuffer) -> u32;
    I420ABuffer::strides => fn(&I420ABuffer) -> (u32, u32, u32, u32);
    I420ABuffer::data => fn(&I420ABuffer) -> (&[u8], &[u8], &[u8], Option<&[u8]>);
    I420ABuffer::data_mut
        => fn(&I420ABuffer) -> (&mut [u8], &mut [u8], &mut [u8], Option<&mut [u8]>);
    I420ABuffer::scale => fn(&mut I420ABuffer, i32, i32) -> I420ABuffer;

    <I420Buffer as VideoFrameBufferExt>::to_i420 => fn(&I420Buffer) -> I420Buffer;
    <NV12Buffer as VideoFrameBufferExt>::to_argb
        => fn(&NV12Buffer, VideoFormatType, &mut [u8], u32, i32, i32);

    VideoFrame::<I420Buffer>::new => fn(VideoRotation, I420Buffer) -> VideoFrame<I420Buffer>;
    VideoFrame::<BoxVideoBuffer>::new => fn(VideoRotation, BoxVideoBuffer) -> BoxVideoFrame;

    SinkError::Platform => fn(String) -> SinkError;

    RtcVideoSource::Native => fn(NativeVideoSource) -> RtcVideoSource;
    RtcVideoSource::video_resolution => fn(&RtcVideoSource) -> VideoResolution;

    NativeVideoSource::new => fn(VideoResolution, bool) -> NativeVideoSource;
    NativeVideoSource::new_encoded => fn(VideoResolution) -> NativeVideoSource;
    NativeVideoSource::capture_frame::<I420Buffer>
        => fn(&NativeVideoSource, &VideoFrame<I420Buffer>) -> bool;
    NativeVideoSource::capture_frame::<BoxVideoBuffer>
        => fn(&NativeVideoSource, &BoxVideoFrame) -> bool;
    NativeVideoSource::capture_encoded_frame
        => fn(&NativeVideoSource, &EncodedVideoFrame<'_>) -> bool;
    NativeVideoSource::take_keyframe_request => fn(&NativeVideoSource) -> bool;
    NativeVideoSource::take_rate_control_request
        => fn(&NativeVideoSource) -> Option<EncodedRateControl>;
    NativeVideoSource::set_packet_trailer_handler => fn(&NativeVideoSource, PacketTrailerHandler);
    NativeVideoSource::video_resolution => fn(&NativeVideoSource) -> VideoResolution;

    NativeVideoStream::new => fn(RtcVideoTrack) -> NativeVideoStream;
    NativeVideoStream::with_options
        => fn(RtcVideoTrack, NativeVideoStreamOptions) -> NativeVideoStream;
    NativeVideoStream::set_packet_trailer_handler => fn(&NativeVideoStream, PacketTrailerHandler);
    NativeVideoStream::track => fn(&NativeVideoStream) -> RtcVideoTrack;
    NativeVideoStream::close => fn(&mut NativeVideoStream);
}

#[cfg(target_os = "linux")]
mod dma_buf {
    use libwebrtc::{
        video_frame::{
            FrameMetadata,
            native::{DmaBufFileDescriptor, DmaBufPixelFormat, NativeBuffer},
        },
        video_source::{VideoResolution, native::NativeVideoSource},
    };

    use crate::signatures;

    const _: [i32; 2] = [
        DmaBufPixelFormat::NV12 as i32,
        DmaBufPixelFormat::YUV420M as i32,
    ];

    signatures! {
        NativeBuffer::from_dmabuf
            => fn(std::os::fd::RawFd, VideoResolution, DmaBufPixelFormat) -> NativeBuffer;
        NativeBuffer::get_dmabuf_fd => fn(&NativeBuffer) -> Option<DmaBufFileDescriptor>;
    }

    #[expect(deprecated, reason = "that the old names still exist is the test")]
    mod old {
        use super::*;

        signatures! {
            NativeVideoSource::capture_dmabuf_frame
                => fn(&NativeVideoSource, i32, u32, u32, i32, i64) -> bool;
            NativeVideoSource::capture_dmabuf_frame_with_metadata => fn(
                &NativeVideoSource, i32, u32, u32, i32, i64, Option<FrameMetadata>,
            ) -> bool;
        }
    }
}

/// What can be asked of a buffer whose layout is unknown, without importing a trait.
fn a_buffer_tells_its_layout(buffer: &dyn VideoBuffer, argb: &mut [u8]) {
    let _: (u32, u32, VideoBufferType) = (buffer.width(), buffer.height(), buffer.buffer_type());
    let _: Option<&NativeBuffer> = buffer.as_native();
    let _: Option<&I420Buffer> = buffer.as_i420();
    let _: Option<&I420ABuffer> = buffer.as_i420a();
    let _: Option<&I422Buffer> = buffer.as_i422();
    let _: Option<&I444Buffer> = buffer.as_i444();
    let _: Option<&I010Buffer> = buffer.as_i010();
    let _: Option<&NV12Buffer> = buffer.as_nv12();
    let _: I420Buffer = buffer.to_i420();
    buffer.to_argb(VideoFormatType::ARGB, argb, 8, 2, 2);
}

fn a_stream_yields_frames(
    stream: NativeVideoStream,
) -> impl Stream<Item = BoxVideoFrame> + Unpin + Send {
    stream
}

traits! {
    SinkError: Error, Debug;
    VideoRotation: Debug, Copy, Eq;
    VideoFormatType: Debug, Copy, Eq;
    VideoBufferType: Debug, Copy, Eq;
    FrameMetadata: Debug, Clone;
    EncodedVideoCodec: Debug, Copy, Eq;
    EncodedFrameType: Debug, Copy, Eq;
    EncodedVideoFrame<'static>: Debug, Clone;
    BoxVideoFrame: Debug, Send, Sync;
    I420Buffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    I420ABuffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    I422Buffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    I444Buffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    I010Buffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    NV12Buffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    NativeBuffer: VideoBuffer, VideoFrameBufferExt, AsRef<dyn VideoBuffer>, Debug, Send, Sync;
    VideoResolution: Debug, Clone, Default;
    EncodedRateControl: Debug, Copy, PartialEq;
    RtcVideoSource: Debug, Clone, Send, Sync;
    NativeVideoSource: Debug, Clone, Default, Send, Sync;
    NativeVideoStreamOptions: Debug, Clone, Default;
    NativeVideoStream: Debug, Send, Sync;
}
