//! Pictures to read from, whatever their layout.

use super::{Size, Subsampling, plane::Plane, rgb, rgb::RgbOrder};

/// A picture whose luma and chroma can be asked for, in eight bits.
pub(crate) trait Source {
    /// Luma of pixel (`x`, `y`).
    fn luma(&self, x: usize, y: usize) -> u8;
    /// Chroma (U, V) of pixel (`x`, `y`).
    fn chroma(&self, x: usize, y: usize) -> (u8, u8);
    /// Chroma of the square of 2 × 2 pixels at (2 `cx`, 2 `cy`), less at the edges.
    fn chroma_420(&self, cx: usize, cy: usize) -> (u8, u8);
}

/// A sample of a plane.
pub(crate) trait Sample: Copy + Default + Into<u32> {
    /// Its upper eight bits.
    fn byte(self) -> u8;
    /// The nearest sample.
    fn from_f32(value: f32) -> Self;
}

impl Sample for u8 {
    fn byte(self) -> u8 {
        self
    }
    fn from_f32(value: f32) -> Self {
        value.round() as Self
    }
}

/// Ten bits, in the lower end of the word.
impl Sample for u16 {
    fn byte(self) -> u8 {
        (self >> 2).min(255) as u8
    }
    fn from_f32(value: f32) -> Self {
        value.round() as Self
    }
}

/// Three planes: I420, I422, I444 and, of `u16`, I010.
pub(crate) struct Planar<'a, T> {
    planes: [Plane<'a, T>; 3],
    subsampling: Subsampling,
}

impl<'a, T: Sample> Planar<'a, T> {
    /// `planes` are data and stride of Y, U and V; `None` if one is too small for `size`.
    pub(crate) fn new(
        [y, u, v]: [(&'a [T], u32); 3],
        subsampling: Subsampling,
        size: Size,
    ) -> Option<Self> {
        let chroma_width = subsampling.chroma_width(size.width);
        let chroma_height = subsampling.chroma_height(size.height);
        let chroma =
            |(data, stride)| Plane::new(data, stride, chroma_width, chroma_height, size.flip);
        let luma = Plane::new(y.0, y.1, size.width, size.height, size.flip)?;
        Some(Self {
            planes: [luma, chroma(u)?, chroma(v)?],
            subsampling,
        })
    }
}

impl<T: Sample> Source for Planar<'_, T> {
    fn luma(&self, x: usize, y: usize) -> u8 {
        self.planes[0].row(y)[x].byte()
    }

    fn chroma(&self, x: usize, y: usize) -> (u8, u8) {
        let (cx, cy) = (x >> self.subsampling.x, y >> self.subsampling.y);
        (
            self.planes[1].row(cy)[cx].byte(),
            self.planes[2].row(cy)[cx].byte(),
        )
    }

    fn chroma_420(&self, cx: usize, cy: usize) -> (u8, u8) {
        let mean = |plane: &Plane<'_, T>| {
            let (wide, high) = (2 >> self.subsampling.x, 2 >> self.subsampling.y);
            let rows = (cy * high..(cy + 1) * high).take_while(|&y| y < plane.rows());
            let (mut sum, mut count) = (0, 0);
            for row in rows.map(|y| plane.row(y)) {
                for sample in row.iter().skip(cx * wide).take(wide) {
                    sum += u32::from(sample.byte());
                    count += 1;
                }
            }
            // A plane made for this picture has at least one sample in every square.
            (sum + count / 2).checked_div(count).unwrap_or(128) as u8
        };
        (mean(&self.planes[1]), mean(&self.planes[2]))
    }
}

/// Luma and one plane of chroma pairs: NV12.
pub(crate) struct Paired<'a> {
    luma: Plane<'a, u8>,
    chroma: Plane<'a, u8>,
}

impl<'a> Paired<'a> {
    /// `None` if a plane is too small for `size`.
    pub(crate) fn new(y: (&'a [u8], u32), uv: (&'a [u8], u32), size: Size) -> Option<Self> {
        let (width, height) = (size.width.div_ceil(2) * 2, size.height.div_ceil(2));
        Some(Self {
            luma: Plane::new(y.0, y.1, size.width, size.height, size.flip)?,
            chroma: Plane::new(uv.0, uv.1, width, height, size.flip)?,
        })
    }
}

impl Source for Paired<'_> {
    fn luma(&self, x: usize, y: usize) -> u8 {
        self.luma.row(y)[x]
    }

    fn chroma(&self, x: usize, y: usize) -> (u8, u8) {
        self.chroma_420(x / 2, y / 2)
    }

    fn chroma_420(&self, cx: usize, cy: usize) -> (u8, u8) {
        let row = self.chroma.row(cy);
        (row[2 * cx], row[2 * cx + 1])
    }
}

/// Packed 32-bit RGB.
pub(crate) struct Packed<'a> {
    plane: Plane<'a, u8>,
    order: RgbOrder,
}

impl<'a> Packed<'a> {
    /// `None` if the data is too small for `size`.
    pub(crate) fn new(data: &'a [u8], stride: u32, order: RgbOrder, size: Size) -> Option<Self> {
        let row_len = size.width.checked_mul(4)?;
        Some(Self {
            plane: Plane::new(data, stride, row_len, size.height, size.flip)?,
            order,
        })
    }

    /// The bytes of pixel (`x`, `y`).
    pub(crate) fn pixel(&self, x: usize, y: usize) -> &'a [u8] {
        &self.plane.row(y)[4 * x..4 * x + 4]
    }

    fn colour(&self, x: usize, y: usize) -> [u8; 3] {
        self.order.read(self.pixel(x, y))
    }
}

impl Source for Packed<'_> {
    fn luma(&self, x: usize, y: usize) -> u8 {
        rgb::luma(self.colour(x, y))
    }

    fn chroma(&self, x: usize, y: usize) -> (u8, u8) {
        rgb::chroma(self.colour(x, y))
    }

    fn chroma_420(&self, cx: usize, cy: usize) -> (u8, u8) {
        // At an odd edge the last column or row counts twice, which keeps the mean simple.
        let (left, top) = (2 * cx, 2 * cy);
        let right = (left + 1).min(self.plane.row_len() / 4 - 1);
        let bottom = (top + 1).min(self.plane.rows() - 1);
        let square = [(left, top), (right, top), (left, bottom), (right, bottom)];
        let colours = square.map(|(x, y)| self.colour(x, y));
        let mean = |channel: usize| {
            let sum: u32 = colours
                .iter()
                .map(|colour| u32::from(colour[channel]))
                .sum();
            ((sum + 2) / 4) as u8
        };
        rgb::chroma([mean(0), mean(1), mean(2)])
    }
}
