//! Buffers as an application uses them.

use proptest::prelude::*;

use super::{native::VideoFrameBufferExt, *};

/// A buffer of one colour: red as BT.601 has it.
fn red_i420(width: u32, height: u32) -> I420Buffer {
    let mut buffer = I420Buffer::new(width, height);
    let (y, u, v) = buffer.data_mut();
    y.fill(82);
    u.fill(90);
    v.fill(240);
    buffer
}

fn first_pixel(buffer: &dyn VideoBuffer, format: VideoFormatType) -> [u8; 4] {
    let mut pixel = [0; 4];
    buffer.to_argb(format, &mut pixel, 4, 1, 1);
    pixel
}

#[test]
fn a_black_buffer_is_black_in_every_plane() {
    let buffer = I420Buffer::new_black(5, 3);
    let (y, u, v) = buffer.data();
    assert_eq!((y.len(), u.len(), v.len()), (15, 6, 6));
    assert!(y.iter().all(|&luma| luma == 0));
    assert!(u.iter().chain(v).all(|&chroma| chroma == 128));
}

#[test]
fn a_colour_comes_out_in_the_byte_order_asked_for() {
    let red = red_i420(4, 4);
    for (format, place) in [
        (VideoFormatType::ARGB, 2),
        (VideoFormatType::BGRA, 1),
        (VideoFormatType::ABGR, 0),
        (VideoFormatType::RGBA, 3),
    ] {
        let pixel = first_pixel(&red, format);
        assert!(pixel[place] > 250, "{format:?}: {pixel:?}");
        assert_eq!(
            pixel.iter().filter(|&&byte| byte > 250).count(),
            2,
            "red and alpha only"
        );
    }
}

#[test]
fn every_layout_converts_to_the_same_colour() {
    let mut i444 = I444Buffer::new(5, 3);
    let (y, u, v) = i444.data_mut();
    y.fill(82);
    u.fill(90);
    v.fill(240);
    let mut i422 = I422Buffer::with_strides(5, 3, 8, 4, 4);
    let (y, u, v) = i422.data_mut();
    y.fill(82);
    u.fill(90);
    v.fill(240);
    let mut i010 = I010Buffer::new(5, 3);
    let (y, u, v) = i010.data_mut();
    y.fill(82 << 2);
    u.fill(90 << 2);
    v.fill(240 << 2);
    let mut nv12 = NV12Buffer::new(5, 3);
    let (y, uv) = nv12.data_mut();
    y.fill(82);
    uv.chunks_exact_mut(2)
        .for_each(|pair| pair.copy_from_slice(&[90, 240]));

    let expected = red_i420(5, 3);
    let buffers: [BoxVideoBuffer; 4] = [
        Box::new(i444),
        Box::new(i422),
        Box::new(i010),
        Box::new(nv12),
    ];
    for buffer in buffers {
        assert_eq!(buffer.to_i420().data(), expected.data(), "{buffer:?}");
    }
}

#[test]
fn a_copy_keeps_strides_and_does_not_share_pixels() {
    let mut buffer = I420Buffer::with_strides(3, 3, 16, 8, 9);
    let copy = VideoFrameBufferExt::to_i420(&buffer);
    assert_eq!(copy.strides(), (16, 8, 9));
    buffer.data_mut().0.fill(1);
    assert_eq!(copy.data().0[0], 0);
}

#[test]
fn scaling_keeps_the_colour_and_rounds_chroma_up() {
    let scaled = red_i420(64, 48).scale(7, 5);
    assert_eq!((scaled.width(), scaled.height()), (7, 5));
    assert_eq!((scaled.chroma_width(), scaled.chroma_height()), (4, 3));
    assert_eq!(scaled.data(), red_i420(7, 5).data());
    let mut nv12 = NV12Buffer::new(4, 4);
    nv12.data_mut()
        .1
        .chunks_exact_mut(2)
        .for_each(|pair| pair.copy_from_slice(&[1, 9]));
    let larger = nv12.scale(9, 9);
    assert_eq!(larger.strides(), (9, 10));
    assert!(larger.data().1.chunks_exact(2).all(|pair| pair == [1, 9]));
}

#[test]
fn absurd_sizes_give_empty_buffers() {
    let buffer = I420Buffer::new(u32::MAX, u32::MAX);
    assert_eq!(
        (buffer.width(), buffer.height(), buffer.data().1.len()),
        (0, 0, 0)
    );
    let mut small = I444Buffer::new(4, 4);
    assert_eq!(small.scale(-1, 4).width(), 0);
    assert_eq!(small.scale(i32::MAX, i32::MAX).height(), 0);
    assert_eq!(NV12Buffer::new(0, 0).scale(2, 2).width(), 2);
    assert_eq!(NV12Buffer::new(0, 7).to_i420().height(), 7);
}

#[test]
fn a_short_stride_is_lengthened_to_the_row() {
    assert_eq!(I420Buffer::with_strides(6, 2, 1, 0, 4).strides(), (6, 3, 4));
}

#[cfg(target_os = "linux")]
#[test]
fn a_dma_buffer_keeps_its_descriptor_and_reads_as_black() {
    use crate::video_frame::native::{DmaBufPixelFormat, NativeBuffer};

    let resolution = VideoResolution {
        width: 4,
        height: 2,
    };
    let buffer = NativeBuffer::from_dmabuf(7, resolution, DmaBufPixelFormat::NV12);
    assert_eq!(buffer.get_dmabuf_fd(), Some(7));
    assert_eq!(
        VideoFrameBufferExt::to_i420(&buffer).data(),
        I420Buffer::new_black(4, 2).data()
    );
}

proptest! {
    #[test]
    fn no_size_makes_a_conversion_panic(
        width in 0_u32..40, height in 0_u32..40, strides in proptest::array::uniform3(0_u32..50),
        to_width in -2_i32..90, to_height in -90_i32..90, target in 0_usize..2_000, dst_stride: u8,
    ) {
        let [y, u, v] = strides;
        let mut buffers: Vec<BoxVideoBuffer> = vec![
            Box::new(I422Buffer::with_strides(width, height, y, u, v)),
            Box::new(I010Buffer::with_strides(width, height, y, u, v)),
            Box::new(NV12Buffer::with_strides(width, height, y, u)),
        ];
        let mut i420 = I420Buffer::with_strides(width, height, y, u, v);
        buffers.push(Box::new(i420.scale(to_width, to_height)));
        buffers.push(Box::new(NV12Buffer::new(width, height).scale(to_width, to_height)));
        for buffer in buffers {
            let mut dst = vec![0; target];
            buffer.to_argb(VideoFormatType::ARGB, &mut dst, dst_stride.into(), to_width, to_height);
            prop_assert_eq!(buffer.to_i420().height(), buffer.height());
        }
    }
}
