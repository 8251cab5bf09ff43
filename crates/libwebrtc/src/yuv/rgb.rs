//! Colours: BT.601 arithmetic and the byte orders of packed RGB.

/// Where red, green, blue and alpha are within the bytes of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RgbOrder {
    red: usize,
    green: usize,
    blue: usize,
    alpha: usize,
}

/// The names tell the order in a 32-bit word, so the bytes in memory run backwards.
/// Source: libyuv `docs/formats.md`, "The ARGB FourCC".
impl RgbOrder {
    pub(crate) const ARGB: Self = Self {
        blue: 0,
        green: 1,
        red: 2,
        alpha: 3,
    };
    pub(crate) const ABGR: Self = Self {
        red: 0,
        green: 1,
        blue: 2,
        alpha: 3,
    };
    pub(crate) const BGRA: Self = Self {
        alpha: 0,
        red: 1,
        green: 2,
        blue: 3,
    };
    pub(crate) const RGBA: Self = Self {
        alpha: 0,
        blue: 1,
        green: 2,
        red: 3,
    };

    pub(crate) fn read(self, pixel: &[u8]) -> [u8; 3] {
        [pixel[self.red], pixel[self.green], pixel[self.blue]]
    }

    pub(crate) fn write(self, pixel: &mut [u8], [red, green, blue]: [u8; 3]) {
        pixel[self.red] = red;
        pixel[self.green] = green;
        pixel[self.blue] = blue;
        pixel[self.alpha] = u8::MAX;
    }
}

/// Coefficients are BT.601's for limited range, times 256. Source: ITU-R BT.601-7, section 2.5.
pub(crate) fn from_yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = 298 * (i32::from(y) - 16);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let byte = |value: i32| ((value + 128) >> 8).clamp(0, 255) as u8;
    [
        byte(luma + 409 * v),
        byte(luma - 100 * u - 208 * v),
        byte(luma + 516 * u),
    ]
}

/// Luma of a colour.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let (red, green, blue) = (u32::from(red), u32::from(green), u32::from(blue));
    ((66 * red + 129 * green + 25 * blue + (16 << 8) + 128) >> 8) as u8
}

/// Chroma (U, V) of a colour.
pub(crate) fn chroma([red, green, blue]: [u8; 3]) -> (u8, u8) {
    let (red, green, blue) = (i32::from(red), i32::from(green), i32::from(blue));
    let byte = |value: i32| ((value + (128 << 8) + 128) >> 8) as u8;
    (
        byte(112 * blue - 74 * green - 38 * red),
        byte(112 * red - 94 * green - 18 * blue),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colour bars as BT.601 tables give them: (red, green, blue), (Y, U, V).
    const KNOWN: [([u8; 3], (u8, u8, u8)); 5] = [
        ([0, 0, 0], (16, 128, 128)),
        ([255, 255, 255], (235, 128, 128)),
        ([255, 0, 0], (82, 90, 240)),
        ([0, 255, 0], (145, 54, 34)),
        ([0, 0, 255], (41, 240, 110)),
    ];

    #[test]
    fn known_colours_convert_both_ways() {
        for (colour, (y, u, v)) in KNOWN {
            let (got_u, got_v) = chroma(colour);
            for (got, expected) in [(luma(colour), y), (got_u, u), (got_v, v)] {
                assert!(
                    got.abs_diff(expected) <= 1,
                    "{colour:?}: {got} for {expected}"
                );
            }
            for (got, expected) in from_yuv(y, u, v).into_iter().zip(colour) {
                assert!(
                    got.abs_diff(expected) <= 2,
                    "{colour:?}: {got} for {expected}"
                );
            }
        }
    }

    #[test]
    fn values_outside_the_limited_range_are_clamped() {
        assert_eq!(from_yuv(0, 128, 128), [0, 0, 0]);
        assert_eq!(from_yuv(255, 128, 128), [255, 255, 255]);
    }

    #[test]
    fn orders_name_the_bytes_from_the_last_to_the_first() {
        let bytes = |order: RgbOrder| {
            let mut pixel = [0; 4];
            order.write(&mut pixel, [b'R', b'G', b'B']);
            assert_eq!(order.read(&pixel), [b'R', b'G', b'B']);
            pixel
        };
        assert_eq!(bytes(RgbOrder::ARGB), *b"BGR\xff");
        assert_eq!(bytes(RgbOrder::ABGR), *b"RGB\xff");
        assert_eq!(bytes(RgbOrder::BGRA), *b"\xffRGB");
        assert_eq!(bytes(RgbOrder::RGBA), *b"\xffBGR");
    }
}
