//! The buffer types: planes of samples that this crate owns.
//!
//! A stride shorter than a row is lengthened to the row. A buffer of more than 2²⁸ samples per
//! plane is refused: logged, and an empty one is given.

use std::{convert::Infallible, fmt};

use super::{VideoBuffer, VideoBufferType, VideoFormatType, sealed::Pixels};
use crate::{
    native::yuv_helper as convert,
    yuv::{Subsampling, scale::scale_plane, source::Sample},
};

/// Samples per plane at most: sixteen thousand pixels square.
const MAX_SAMPLES: u64 = 1 << 28;

/// One plane with its stride, in samples.
struct Plane<T> {
    samples: Vec<T>,
    stride: u32,
    width: u32,
    height: u32,
    /// Interleaved channels: 2 for chroma pairs. `width` counts groups of this many.
    step: u32,
}

impl<T: Sample> Plane<T> {
    fn new(width: u32, height: u32, stride: u32, step: u32) -> Self {
        let stride = stride.max(width.saturating_mul(step));
        let samples = u64::from(stride) * u64::from(height);
        if samples > MAX_SAMPLES {
            log::error!("a video plane of {stride} × {height} samples is too large; giving none");
            return Self {
                samples: Vec::new(),
                stride: 0,
                width: 0,
                height: 0,
                step,
            };
        }
        Self {
            samples: vec![T::default(); samples as usize],
            stride,
            width,
            height,
            step,
        }
    }

    /// A plane without gaps between its rows, with the picture of this one.
    fn scaled(&self, width: u32, height: u32) -> Self {
        let mut plane = Self::new(width, height, 0, self.step);
        scale_plane(
            &self.samples,
            self.stride as usize,
            (self.width as usize, self.height as usize),
            &mut plane.samples,
            plane.stride as usize,
            (plane.width as usize, plane.height as usize),
            self.step as usize,
        );
        plane
    }
}

/// Sizes of the public API's `scale`, which takes signed numbers.
fn scaled_size(width: i32, height: i32) -> (u32, u32) {
    let size = (u32::try_from(width), u32::try_from(height));
    let (Ok(width), Ok(height)) = size else {
        log::error!("cannot scale to {width} × {height} pixels; giving an empty buffer");
        return (0, 0);
    };
    (width, height)
}

/// What the conversions take as a size: these buffers are far below the limit of `i32`.
fn signed(size: u32) -> i32 {
    i32::try_from(size).unwrap_or(0)
}

/// Implements the traits of a buffer on top of its own methods.
macro_rules! video_buffer {
    ($name:ident, $variant:ident, $as_self:ident) => {
        impl VideoBuffer for $name {
            fn width(&self) -> u32 {
                self.y.width
            }

            fn height(&self) -> u32 {
                self.y.height
            }

            fn buffer_type(&self) -> VideoBufferType {
                VideoBufferType::$variant
            }

            fn $as_self(&self) -> Option<&$name> {
                Some(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("width", &self.y.width)
                    .field("height", &self.y.height)
                    .finish()
            }
        }

        impl AsRef<dyn VideoBuffer> for $name {
            fn as_ref(&self) -> &(dyn VideoBuffer + 'static) {
                self
            }
        }
    };
}

/// A buffer of three planes.
macro_rules! planar_buffer {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $as_self:ident, $sample:ty, $subsampling:ident) => {
        $(#[$doc])*
        pub struct $name {
            y: Plane<$sample>,
            u: Plane<$sample>,
            v: Plane<$sample>,
        }

        impl $name {
            /// **Works.** A buffer of zeros; strides are in samples from one row to the next.
            pub fn with_strides(
                width: u32,
                height: u32,
                stride_y: u32,
                stride_u: u32,
                stride_v: u32,
            ) -> Self {
                let y = Plane::new(width, height, stride_y, 1);
                let width = Subsampling::$subsampling.chroma_width(y.width as usize) as u32;
                let height = Subsampling::$subsampling.chroma_height(y.height as usize) as u32;
                let chroma = |stride| Plane::new(width, height, stride, 1);
                Self { y, u: chroma(stride_u), v: chroma(stride_v) }
            }

            /// **Works.** A buffer of zeros without gaps between its rows.
            pub fn new(width: u32, height: u32) -> Self {
                Self::with_strides(width, height, 0, 0, 0)
            }

            /// **Works.** Samples per chroma row.
            pub fn chroma_width(&self) -> u32 {
                self.u.width
            }

            /// **Works.** Rows of a chroma plane.
            pub fn chroma_height(&self) -> u32 {
                self.u.height
            }

            /// **Works.** Strides of Y, U and V, in samples.
            pub fn strides(&self) -> (u32, u32, u32) {
                (self.y.stride, self.u.stride, self.v.stride)
            }

            /// **Works.** Samples of Y, U and V: stride × rows of each plane.
            pub fn data(&self) -> (&[$sample], &[$sample], &[$sample]) {
                (&self.y.samples, &self.u.samples, &self.v.samples)
            }

            /// **Works.** As [`data`](Self::data), to be filled.
            pub fn data_mut(&mut self) -> (&mut [$sample], &mut [$sample], &mut [$sample]) {
                (&mut self.y.samples, &mut self.u.samples, &mut self.v.samples)
            }

            /// **Works.** A copy of another size; a negative one is logged and gives an empty
            /// buffer.
            pub fn scale(&mut self, scaled_width: i32, scaled_height: i32) -> Self {
                let (width, height) = scaled_size(scaled_width, scaled_height);
                let y = self.y.scaled(width, height);
                let width = Subsampling::$subsampling.chroma_width(y.width as usize) as u32;
                let height = Subsampling::$subsampling.chroma_height(y.height as usize) as u32;
                Self { y, u: self.u.scaled(width, height), v: self.v.scaled(width, height) }
            }
        }

        video_buffer!($name, $variant, $as_self);
    };
}

planar_buffer! {
    /// **Works.** Three planes; chroma at half width and height.
    I420Buffer, I420, as_i420, u8, YUV420
}
planar_buffer! {
    /// **Works.** Three planes; chroma at half width.
    I422Buffer, I422, as_i422, u8, YUV422
}
planar_buffer! {
    /// **Works.** Three planes of the same size.
    I444Buffer, I444, as_i444, u8, YUV444
}
planar_buffer! {
    /// **Works.** I420 with ten bits per sample, in the lower end of each word.
    I010Buffer, I010, as_i010, u16, YUV420
}

impl I420Buffer {
    /// **Works.** As [`new`](Self::new), but black: zero luma and neutral chroma (128).
    pub fn new_black(width: u32, height: u32) -> Self {
        let mut buffer = Self::new(width, height);
        buffer.u.samples.fill(128);
        buffer.v.samples.fill(128);
        buffer
    }
}

impl Pixels for I420Buffer {
    fn to_i420(&self) -> I420Buffer {
        let copy = |plane: &Plane<u8>| Plane {
            samples: plane.samples.clone(),
            ..*plane
        };
        Self {
            y: copy(&self.y),
            u: copy(&self.u),
            v: copy(&self.v),
        }
    }

    fn to_argb(
        &self,
        format: VideoFormatType,
        dst: &mut [u8],
        dst_stride: u32,
        dst_width: i32,
        dst_height: i32,
    ) {
        let to_rgb = match format {
            VideoFormatType::ARGB => convert::i420_to_argb,
            VideoFormatType::BGRA => convert::i420_to_bgra,
            VideoFormatType::ABGR => convert::i420_to_abgr,
            VideoFormatType::RGBA => convert::i420_to_rgba,
        };
        let Self { y, u, v } = self;
        to_rgb(
            &y.samples, y.stride, &u.samples, u.stride, &v.samples, v.stride, dst, dst_stride,
            dst_width, dst_height,
        );
    }
}

/// Conversions by way of I420.
macro_rules! pixels_through_i420 {
    ($name:ident, $to_i420:ident, ($($plane:ident),+)) => {
        impl Pixels for $name {
            fn to_i420(&self) -> I420Buffer {
                let (width, height) = (self.y.width, self.y.height);
                let mut buffer = I420Buffer::new(width, height);
                let (stride_y, stride_u, stride_v) = buffer.strides();
                let (y, u, v) = buffer.data_mut();
                if !y.is_empty() {
                    convert::$to_i420(
                        $(&self.$plane.samples, self.$plane.stride,)+
                        y, stride_y, u, stride_u, v, stride_v, signed(width), signed(height),
                    );
                }
                buffer
            }

            fn to_argb(
                &self,
                format: VideoFormatType,
                dst: &mut [u8],
                dst_stride: u32,
                dst_width: i32,
                dst_height: i32,
            ) {
                self.to_i420().to_argb(format, dst, dst_stride, dst_width, dst_height);
            }
        }
    };
}

pixels_through_i420!(I422Buffer, i422_to_i420, (y, u, v));
pixels_through_i420!(I444Buffer, i444_to_i420, (y, u, v));
pixels_through_i420!(I010Buffer, i010_to_i420, (y, u, v));
pixels_through_i420!(NV12Buffer, nv12_to_i420, (y, uv));

/// **Works.** Luma and a plane of chroma pairs at half width and height.
pub struct NV12Buffer {
    y: Plane<u8>,
    uv: Plane<u8>,
}

impl NV12Buffer {
    /// **Works.** A buffer of zeros; strides are in samples from one row to the next.
    pub fn with_strides(width: u32, height: u32, stride_y: u32, stride_uv: u32) -> Self {
        let y = Plane::new(width, height, stride_y, 1);
        let uv = Plane::new(y.width.div_ceil(2), y.height.div_ceil(2), stride_uv, 2);
        Self { y, uv }
    }

    /// **Works.** A buffer of zeros without gaps between its rows.
    pub fn new(width: u32, height: u32) -> Self {
        Self::with_strides(width, height, 0, 0)
    }

    /// **Works.** Chroma pairs per row.
    pub fn chroma_width(&self) -> u32 {
        self.uv.width
    }

    /// **Works.** Rows of chroma pairs.
    pub fn chroma_height(&self) -> u32 {
        self.uv.height
    }

    /// **Works.** Strides of luma and chroma, in samples.
    pub fn strides(&self) -> (u32, u32) {
        (self.y.stride, self.uv.stride)
    }

    /// **Works.** Samples of luma and chroma: stride × rows of each plane.
    pub fn data(&self) -> (&[u8], &[u8]) {
        (&self.y.samples, &self.uv.samples)
    }

    /// **Works.** As [`data`](Self::data), to be filled.
    pub fn data_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.y.samples, &mut self.uv.samples)
    }

    /// **Works.** A copy of another size; a negative one is logged and gives an empty buffer.
    pub fn scale(&mut self, scaled_width: i32, scaled_height: i32) -> Self {
        let (width, height) = scaled_size(scaled_width, scaled_height);
        let y = self.y.scaled(width, height);
        let uv = self.uv.scaled(y.width.div_ceil(2), y.height.div_ceil(2));
        Self { y, uv }
    }
}

video_buffer!(NV12Buffer, NV12, as_nv12);

/// **Never** exists: I420 with an alpha plane, which only a video decoder makes.
pub struct I420ABuffer(Infallible);

#[expect(clippy::type_complexity, reason = "the signatures of the public API")]
impl I420ABuffer {
    /// **Never** reached. Samples per chroma row.
    pub fn chroma_width(&self) -> u32 {
        match self.0 {}
    }

    /// **Never** reached. Rows of a chroma plane.
    pub fn chroma_height(&self) -> u32 {
        match self.0 {}
    }

    /// **Never** reached. Strides of Y, U, V and alpha.
    pub fn strides(&self) -> (u32, u32, u32, u32) {
        match self.0 {}
    }

    /// **Never** reached. Samples of Y, U, V and alpha.
    pub fn data(&self) -> (&[u8], &[u8], &[u8], Option<&[u8]>) {
        match self.0 {}
    }

    /// **Never** reached. Samples of Y, U, V and alpha, to be filled.
    pub fn data_mut(&self) -> (&mut [u8], &mut [u8], &mut [u8], Option<&mut [u8]>) {
        match self.0 {}
    }

    /// **Never** reached. A copy of another size.
    pub fn scale(&mut self, _scaled_width: i32, _scaled_height: i32) -> Self {
        match self.0 {}
    }
}

impl Pixels for I420ABuffer {
    fn to_i420(&self) -> I420Buffer {
        match self.0 {}
    }

    fn to_argb(&self, _: VideoFormatType, _: &mut [u8], _: u32, _: i32, _: i32) {
        match self.0 {}
    }
}

impl VideoBuffer for I420ABuffer {
    fn width(&self) -> u32 {
        match self.0 {}
    }

    fn height(&self) -> u32 {
        match self.0 {}
    }

    fn buffer_type(&self) -> VideoBufferType {
        match self.0 {}
    }
}

impl fmt::Debug for I420ABuffer {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

impl AsRef<dyn VideoBuffer> for I420ABuffer {
    fn as_ref(&self) -> &(dyn VideoBuffer + 'static) {
        self
    }
}
