//! Conversions between raw pixel buffers, with libyuv's names and argument order.
//!
//! Every function here **Works**: BT.601, limited range. `width` and `height` are in pixels, strides
//! in samples from one row to the next; a negative height turns the picture upside down. The names
//! of RGB layouts give the order within a 32-bit word, so `argb` is B, G, R, A in memory.
//!
//! A buffer that is too small for the size and stride given with it, a stride shorter than a row
//! and a size without pixels are errors: logged, and nothing is written.

#![expect(
    clippy::too_many_arguments,
    reason = "libyuv's signatures, kept by the public API"
)]

use crate::yuv::{
    ChromaMut, Size, Subsampling,
    plane::PlaneMut,
    rgb::RgbOrder,
    source::{Packed, Paired, Planar},
    write_420, write_rgb,
};

/// Runs a conversion; `None` from it means that a buffer did not fit.
fn convert(name: &str, width: i32, height: i32, conversion: impl FnOnce(Size) -> Option<()>) {
    if Size::new(width, height).and_then(conversion).is_none() {
        log::error!(
            "{name}: a buffer or stride is too small for {width} × {height} pixels; nothing was \
             converted"
        );
    }
}

fn rgb_mut(data: &mut [u8], stride: u32, size: Size) -> Option<PlaneMut<'_, u8>> {
    PlaneMut::new(data, stride, size.width.checked_mul(4)?, size.height)
}

fn luma_mut(data: &mut [u8], stride: u32, size: Size) -> Option<PlaneMut<'_, u8>> {
    PlaneMut::new(data, stride, size.width, size.height)
}

fn planar_mut<'a>(
    u: (&'a mut [u8], u32),
    v: (&'a mut [u8], u32),
    size: Size,
) -> Option<ChromaMut<'a>> {
    let (width, height) = (size.width.div_ceil(2), size.height.div_ceil(2));
    Some(ChromaMut::Planar(
        PlaneMut::new(u.0, u.1, width, height)?,
        PlaneMut::new(v.0, v.1, width, height)?,
    ))
}

fn paired_mut(data: &mut [u8], stride: u32, size: Size) -> Option<ChromaMut<'_>> {
    let (width, height) = (size.width.div_ceil(2) * 2, size.height.div_ceil(2));
    Some(ChromaMut::Paired(PlaneMut::new(
        data, stride, width, height,
    )?))
}

/// A function from three planes to packed RGB.
macro_rules! planar_to_rgb {
    ($name:ident, $sample:ty, $subsampling:ident, $order:ident) => {
        #[doc = concat!("**Works.** Three planes to ", stringify!($order), ", opaque.")]
        pub fn $name(
            src_y: &[$sample],
            src_stride_y: u32,
            src_u: &[$sample],
            src_stride_u: u32,
            src_v: &[$sample],
            src_stride_v: u32,
            dst: &mut [u8],
            dst_stride: u32,
            width: i32,
            height: i32,
        ) {
            let planes = [
                (src_y, src_stride_y),
                (src_u, src_stride_u),
                (src_v, src_stride_v),
            ];
            convert(stringify!($name), width, height, |size| {
                let source = Planar::new(planes, Subsampling::$subsampling, size)?;
                let mut target = rgb_mut(dst, dst_stride, size)?;
                write_rgb(&source, &mut target, RgbOrder::$order, size);
                Some(())
            });
        }
    };
}

planar_to_rgb!(i420_to_argb, u8, YUV420, ARGB);
planar_to_rgb!(i420_to_bgra, u8, YUV420, BGRA);
planar_to_rgb!(i420_to_abgr, u8, YUV420, ABGR);
planar_to_rgb!(i420_to_rgba, u8, YUV420, RGBA);
planar_to_rgb!(i422_to_argb, u8, YUV422, ARGB);
planar_to_rgb!(i422_to_abgr, u8, YUV422, ABGR);
planar_to_rgb!(i444_to_argb, u8, YUV444, ARGB);
planar_to_rgb!(i444_to_abgr, u8, YUV444, ABGR);
planar_to_rgb!(i010_to_argb, u16, YUV420, ARGB);
planar_to_rgb!(i010_to_abgr, u16, YUV420, ABGR);

/// A function from three planes of any subsampling to I420.
macro_rules! planar_to_i420 {
    ($name:ident, $sample:ty, $subsampling:ident) => {
        /// **Works.** Three planes to I420; chroma is averaged where it is finer.
        pub fn $name(
            src_y: &[$sample],
            src_stride_y: u32,
            src_u: &[$sample],
            src_stride_u: u32,
            src_v: &[$sample],
            src_stride_v: u32,
            dst_y: &mut [u8],
            dst_stride_y: u32,
            dst_u: &mut [u8],
            dst_stride_u: u32,
            dst_v: &mut [u8],
            dst_stride_v: u32,
            width: i32,
            height: i32,
        ) {
            let planes = [
                (src_y, src_stride_y),
                (src_u, src_stride_u),
                (src_v, src_stride_v),
            ];
            convert(stringify!($name), width, height, |size| {
                let source = Planar::new(planes, Subsampling::$subsampling, size)?;
                let mut luma = luma_mut(dst_y, dst_stride_y, size)?;
                let mut chroma = planar_mut((dst_u, dst_stride_u), (dst_v, dst_stride_v), size)?;
                write_420(&source, &mut luma, &mut chroma, size);
                Some(())
            });
        }
    };
}

planar_to_i420!(i422_to_i420, u8, YUV422);
planar_to_i420!(i444_to_i420, u8, YUV444);
planar_to_i420!(i010_to_i420, u16, YUV420);

/// A function from packed RGB to I420.
macro_rules! rgb_to_i420 {
    ($name:ident, $order:ident) => {
        #[doc = concat!("**Works.** ", stringify!($order), " to I420; alpha is ignored.")]
        pub fn $name(
            src: &[u8],
            src_stride: u32,
            dst_y: &mut [u8],
            dst_stride_y: u32,
            dst_u: &mut [u8],
            dst_stride_u: u32,
            dst_v: &mut [u8],
            dst_stride_v: u32,
            width: i32,
            height: i32,
        ) {
            convert(stringify!($name), width, height, |size| {
                let source = Packed::new(src, src_stride, RgbOrder::$order, size)?;
                let mut luma = luma_mut(dst_y, dst_stride_y, size)?;
                let mut chroma = planar_mut((dst_u, dst_stride_u), (dst_v, dst_stride_v), size)?;
                write_420(&source, &mut luma, &mut chroma, size);
                Some(())
            });
        }
    };
}

rgb_to_i420!(argb_to_i420, ARGB);
rgb_to_i420!(abgr_to_i420, ABGR);

/// A function from packed RGB to NV12.
macro_rules! rgb_to_nv12 {
    ($name:ident, $order:ident) => {
        #[doc = concat!("**Works.** ", stringify!($order), " to NV12; alpha is ignored.")]
        pub fn $name(
            src: &[u8],
            src_stride: u32,
            dst_y: &mut [u8],
            dst_stride_y: u32,
            dst_uv: &mut [u8],
            dst_stride_uv: u32,
            width: i32,
            height: i32,
        ) {
            convert(stringify!($name), width, height, |size| {
                let source = Packed::new(src, src_stride, RgbOrder::$order, size)?;
                let mut luma = luma_mut(dst_y, dst_stride_y, size)?;
                let mut chroma = paired_mut(dst_uv, dst_stride_uv, size)?;
                write_420(&source, &mut luma, &mut chroma, size);
                Some(())
            });
        }
    };
}

rgb_to_nv12!(argb_to_nv12, ARGB);
rgb_to_nv12!(abgr_to_nv12, ABGR);

/// A function from NV12 to packed RGB.
macro_rules! nv12_to_rgb {
    ($name:ident, $order:ident) => {
        #[doc = concat!("**Works.** NV12 to ", stringify!($order), ", opaque.")]
        pub fn $name(
            src_y: &[u8],
            src_stride_y: u32,
            src_uv: &[u8],
            src_stride_uv: u32,
            dst: &mut [u8],
            dst_stride: u32,
            width: i32,
            height: i32,
        ) {
            convert(stringify!($name), width, height, |size| {
                let source = Paired::new((src_y, src_stride_y), (src_uv, src_stride_uv), size)?;
                let mut target = rgb_mut(dst, dst_stride, size)?;
                write_rgb(&source, &mut target, RgbOrder::$order, size);
                Some(())
            });
        }
    };
}

nv12_to_rgb!(nv12_to_argb, ARGB);
nv12_to_rgb!(nv12_to_abgr, ABGR);

/// **Works.** I420 to NV12; nothing is lost.
pub fn i420_to_nv12(
    src_y: &[u8],
    src_stride_y: u32,
    src_u: &[u8],
    src_stride_u: u32,
    src_v: &[u8],
    src_stride_v: u32,
    dst_y: &mut [u8],
    dst_stride_y: u32,
    dst_uv: &mut [u8],
    dst_stride_uv: u32,
    width: i32,
    height: i32,
) {
    let planes = [
        (src_y, src_stride_y),
        (src_u, src_stride_u),
        (src_v, src_stride_v),
    ];
    convert("i420_to_nv12", width, height, |size| {
        let source = Planar::new(planes, Subsampling::YUV420, size)?;
        let mut luma = luma_mut(dst_y, dst_stride_y, size)?;
        let mut chroma = paired_mut(dst_uv, dst_stride_uv, size)?;
        write_420(&source, &mut luma, &mut chroma, size);
        Some(())
    });
}

/// **Works.** NV12 to I420; nothing is lost.
pub fn nv12_to_i420(
    src_y: &[u8],
    src_stride_y: u32,
    src_uv: &[u8],
    src_stride_uv: u32,
    dst_y: &mut [u8],
    dst_stride_y: u32,
    dst_u: &mut [u8],
    dst_stride_u: u32,
    dst_v: &mut [u8],
    dst_stride_v: u32,
    width: i32,
    height: i32,
) {
    convert("nv12_to_i420", width, height, |size| {
        let source = Paired::new((src_y, src_stride_y), (src_uv, src_stride_uv), size)?;
        let mut luma = luma_mut(dst_y, dst_stride_y, size)?;
        let mut chroma = planar_mut((dst_u, dst_stride_u), (dst_v, dst_stride_v), size)?;
        write_420(&source, &mut luma, &mut chroma, size);
        Some(())
    });
}

/// **Works.** ARGB to three bytes per pixel: B, G, R in memory; alpha is dropped.
pub fn argb_to_rgb24(
    src_argb: &[u8],
    src_stride_argb: u32,
    dst_rgb24: &mut [u8],
    dst_stride_rgb24: u32,
    width: i32,
    height: i32,
) {
    convert("argb_to_rgb24", width, height, |size| {
        let source = Packed::new(src_argb, src_stride_argb, RgbOrder::ARGB, size)?;
        let row_len = size.width.checked_mul(3)?;
        let mut target = PlaneMut::new(dst_rgb24, dst_stride_rgb24, row_len, size.height)?;
        for y in 0..size.height {
            for (x, pixel) in target.row(y).chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&source.pixel(x, y)[..3]);
            }
        }
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Colours as B, G, R, A.
    const COLOURS: [[u8; 4]; 6] = [
        [0, 0, 0, 255],
        [255, 255, 255, 255],
        [0, 0, 255, 255],
        [0, 255, 0, 255],
        [255, 0, 0, 255],
        [40, 90, 200, 255],
    ];

    fn near(got: &[u8], expected: &[u8]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!(got.abs_diff(*expected) <= 3, "{got} for {expected}");
        }
    }

    #[test]
    fn a_colour_survives_i420_and_nv12() {
        for colour in COLOURS {
            let argb = colour.repeat(9);
            let (mut y, mut u, mut v) = ([0; 9], [0; 4], [0; 4]);
            argb_to_i420(&argb, 12, &mut y, 3, &mut u, 2, &mut v, 2, 3, 3);
            let mut back = [0; 36];
            i420_to_argb(&y, 3, &u, 2, &v, 2, &mut back, 12, 3, 3);
            near(&back, &argb);

            let (mut y2, mut uv) = ([0; 9], [0; 8]);
            argb_to_nv12(&argb, 12, &mut y2, 3, &mut uv, 4, 3, 3);
            assert_eq!((y2, [uv[0], uv[1]]), (y, [u[0], v[0]]));
            nv12_to_argb(&y2, 3, &uv, 4, &mut back, 12, 3, 3);
            near(&back, &argb);
        }
    }

    #[test]
    fn nv12_and_i420_convert_without_loss() {
        let (y, u, v) = ([1, 2, 3, 4, 5, 6], [10, 11], [20, 21]);
        let (mut y2, mut uv) = ([0; 6], [0; 4]);
        i420_to_nv12(&y, 3, &u, 2, &v, 2, &mut y2, 3, &mut uv, 4, 3, 2);
        assert_eq!((y2, uv), (y, [10, 20, 11, 21]));
        let (mut y3, mut u3, mut v3) = ([0; 6], [0; 2], [0; 2]);
        nv12_to_i420(&y2, 3, &uv, 4, &mut y3, 3, &mut u3, 2, &mut v3, 2, 3, 2);
        assert_eq!((y3, u3, v3), (y, u, v));
    }

    #[test]
    fn finer_chroma_is_averaged_and_ten_bits_become_eight() {
        let (mut y, mut u, mut v) = ([0; 4], [0; 1], [0; 1]);
        i444_to_i420(
            &[9; 4],
            2,
            &[1, 2, 3, 6],
            2,
            &[8; 4],
            2,
            &mut y,
            2,
            &mut u,
            1,
            &mut v,
            1,
            2,
            2,
        );
        assert_eq!((y, u, v), ([9; 4], [3], [8]));
        i422_to_i420(
            &[9; 4],
            2,
            &[1, 3],
            1,
            &[8; 2],
            1,
            &mut y,
            2,
            &mut u,
            1,
            &mut v,
            1,
            2,
            2,
        );
        assert_eq!((u, v), ([2], [8]));
        i010_to_i420(
            &[1_023, 4, 64, 940],
            2,
            &[512],
            1,
            &[0],
            1,
            &mut y,
            2,
            &mut u,
            1,
            &mut v,
            1,
            2,
            2,
        );
        assert_eq!((y, u, v), ([255, 1, 16, 235], [128], [0]));
    }

    #[test]
    fn a_negative_height_turns_the_picture_upside_down() {
        let argb = [COLOURS[1], COLOURS[0]].concat();
        let mut rgb = [7; 6];
        argb_to_rgb24(&argb, 4, &mut rgb, 3, 1, -2);
        assert_eq!(rgb, [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn a_buffer_that_is_too_small_is_left_alone() {
        let mut target = [7; 15];
        i420_to_argb(&[0; 4], 2, &[0], 1, &[0], 1, &mut target, 8, 2, 2);
        nv12_to_argb(&[0; 4], 2, &[0; 1], 2, &mut target, 4, 1, 1);
        assert_eq!(target, [7; 15]);
    }

    proptest! {
        #[test]
        fn no_size_stride_or_buffer_panics(
            lengths in proptest::array::uniform4(0_usize..200),
            strides in proptest::array::uniform4(prop_oneof![0_u32..20, any::<u32>()]),
            width in prop_oneof![-2_i32..20, any::<i32>()],
            height in prop_oneof![-12_i32..12, any::<i32>()],
        ) {
            let [a, b, c, d] = lengths.map(|length| vec![200_u8; length]);
            let wide = vec![700_u16; lengths[0]];
            let (mut w, mut x, mut y) = (a.clone(), b.clone(), d.clone());
            let [s, t, p, q] = strides;
            i420_to_rgba(&a, s, &b, t, &c, p, &mut y, q, width, height);
            i422_to_abgr(&a, s, &b, t, &c, p, &mut y, q, width, height);
            i444_to_argb(&a, s, &b, t, &c, p, &mut y, q, width, height);
            i010_to_argb(&wide, s, &wide, t, &wide, p, &mut y, q, width, height);
            abgr_to_i420(&c, s, &mut w, t, &mut x, p, &mut y, q, width, height);
            abgr_to_nv12(&c, s, &mut w, t, &mut x, p, width, height);
            nv12_to_i420(&a, s, &b, t, &mut w, s, &mut x, p, &mut y, q, width, height);
            i420_to_nv12(&a, s, &b, t, &c, p, &mut w, s, &mut x, p, width, height);
            argb_to_rgb24(&a, s, &mut y, q, width, height);
        }
    }
}
