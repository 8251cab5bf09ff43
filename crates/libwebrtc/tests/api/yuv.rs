//! Pixel conversions.

use libwebrtc::native::yuv_helper as yuv;

use crate::signatures;

/// Three planes with their strides, packed RGB with its stride, width, height.
type PlanarToRgb<T> = fn(&[T], u32, &[T], u32, &[T], u32, &mut [u8], u32, i32, i32);
type PlanarToI420<T> =
    fn(&[T], u32, &[T], u32, &[T], u32, &mut [u8], u32, &mut [u8], u32, &mut [u8], u32, i32, i32);
type RgbToI420 = fn(&[u8], u32, &mut [u8], u32, &mut [u8], u32, &mut [u8], u32, i32, i32);
type RgbToNv12 = fn(&[u8], u32, &mut [u8], u32, &mut [u8], u32, i32, i32);
type Nv12ToRgb = fn(&[u8], u32, &[u8], u32, &mut [u8], u32, i32, i32);

signatures! {
    yuv::argb_to_rgb24 => fn(&[u8], u32, &mut [u8], u32, i32, i32);
    yuv::argb_to_i420 => RgbToI420;
    yuv::abgr_to_i420 => RgbToI420;
    yuv::argb_to_nv12 => RgbToNv12;
    yuv::abgr_to_nv12 => RgbToNv12;
    yuv::i420_to_argb => PlanarToRgb<u8>;
    yuv::i420_to_bgra => PlanarToRgb<u8>;
    yuv::i420_to_abgr => PlanarToRgb<u8>;
    yuv::i420_to_rgba => PlanarToRgb<u8>;
    yuv::i422_to_argb => PlanarToRgb<u8>;
    yuv::i422_to_abgr => PlanarToRgb<u8>;
    yuv::i444_to_argb => PlanarToRgb<u8>;
    yuv::i444_to_abgr => PlanarToRgb<u8>;
    yuv::i010_to_argb => PlanarToRgb<u16>;
    yuv::i010_to_abgr => PlanarToRgb<u16>;
    yuv::i422_to_i420 => PlanarToI420<u8>;
    yuv::i444_to_i420 => PlanarToI420<u8>;
    yuv::i010_to_i420 => PlanarToI420<u16>;
    yuv::nv12_to_argb => Nv12ToRgb;
    yuv::nv12_to_abgr => Nv12ToRgb;
    yuv::i420_to_nv12
        => fn(&[u8], u32, &[u8], u32, &[u8], u32, &mut [u8], u32, &mut [u8], u32, i32, i32);
    yuv::nv12_to_i420
        => fn(&[u8], u32, &[u8], u32, &mut [u8], u32, &mut [u8], u32, &mut [u8], u32, i32, i32);
}
