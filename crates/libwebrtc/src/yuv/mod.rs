//! Pixel conversions in plain, safe code: between YUV layouts, to and from RGB, and scaling.
//!
//! Colours are BT.601 with limited range (Y 16 to 235), as WebRTC's buffers are. A conversion reads
//! from a [`Source`] and writes either 4:2:0 planes ([`write_420`]) or packed RGB ([`write_rgb`]).
//! Shapes are checked once, when a [`plane::Plane`] is made; what fits converts without error.

pub(crate) mod plane;
pub(crate) mod rgb;
pub(crate) mod scale;
pub(crate) mod source;

use plane::PlaneMut;
use rgb::RgbOrder;
use source::Source;

/// How much smaller the chroma planes of a layout are, as powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subsampling {
    pub(crate) x: u32,
    pub(crate) y: u32,
}

impl Subsampling {
    pub(crate) const YUV420: Self = Self { x: 1, y: 1 };
    pub(crate) const YUV422: Self = Self { x: 1, y: 0 };
    pub(crate) const YUV444: Self = Self { x: 0, y: 0 };

    pub(crate) fn chroma_width(self, width: usize) -> usize {
        width.div_ceil(1 << self.x)
    }

    pub(crate) fn chroma_height(self, height: usize) -> usize {
        height.div_ceil(1 << self.y)
    }
}

/// Size of a conversion in pixels. `flip` turns the picture upside down.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) flip: bool,
}

impl Size {
    /// Reads the sizes of the public API, where a negative height asks to flip; `None` for an
    /// empty or negative-width picture.
    pub(crate) fn new(width: i32, height: i32) -> Option<Self> {
        let size = Self {
            width: usize::try_from(width).ok()?,
            height: usize::try_from(height.unsigned_abs()).ok()?,
            flip: height < 0,
        };
        (size.width > 0 && size.height > 0).then_some(size)
    }
}

/// Chroma of a 4:2:0 picture to write to.
pub(crate) enum ChromaMut<'a> {
    /// Two planes: I420.
    Planar(PlaneMut<'a, u8>, PlaneMut<'a, u8>),
    /// One plane of pairs: NV12.
    Paired(PlaneMut<'a, u8>),
}

/// Writes `source` as a 4:2:0 picture of `size`; every plane must have been made for it.
pub(crate) fn write_420(
    source: &impl Source,
    luma: &mut PlaneMut<'_, u8>,
    chroma: &mut ChromaMut<'_>,
    size: Size,
) {
    for y in 0..size.height {
        for (x, value) in luma.row(y).iter_mut().enumerate() {
            *value = source.luma(x, y);
        }
    }
    for cy in 0..size.height.div_ceil(2) {
        let row = |cx| source.chroma_420(cx, cy);
        match chroma {
            ChromaMut::Planar(u, v) => {
                for (cx, (u, v)) in u.row(cy).iter_mut().zip(v.row(cy)).enumerate() {
                    (*u, *v) = row(cx);
                }
            }
            ChromaMut::Paired(uv) => {
                for (cx, pair) in uv.row(cy).chunks_exact_mut(2).enumerate() {
                    let (u, v) = row(cx);
                    pair.copy_from_slice(&[u, v]);
                }
            }
        }
    }
}

/// Writes `source` as packed 32-bit RGB of `size`, opaque.
pub(crate) fn write_rgb(
    source: &impl Source,
    target: &mut PlaneMut<'_, u8>,
    order: RgbOrder,
    size: Size,
) {
    for y in 0..size.height {
        for (x, pixel) in target.row(y).chunks_exact_mut(4).enumerate() {
            let (u, v) = source.chroma(x, y);
            order.write(pixel, rgb::from_yuv(source.luma(x, y), u, v));
        }
    }
}
