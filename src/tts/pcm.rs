//! Samples out of bytes that are cut anywhere.

/// How one sample is written; little-endian throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleFormat {
    /// Unsigned, 128 is silence.
    U8,
    /// The format of raw PCM.
    I16,
    /// Three bytes.
    I24,
    /// Four bytes.
    I32,
    /// From -1 to 1.
    F32,
    /// From -1 to 1.
    F64,
    /// ITU-T G.711, A-law.
    ALaw,
    /// ITU-T G.711, mu-law.
    MuLaw,
}

impl SampleFormat {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Reads one sample; `bytes` are [`Self::bytes`] long.
    fn read(self, bytes: &[u8]) -> i16 {
        // `as` saturates, and makes silence of what is no number.
        let from_float = |value: f64| (value * f64::from(i16::MAX)) as i16;
        match (self, bytes) {
            (Self::U8, [a]) => (i16::from(*a) - 128) << 8,
            (Self::ALaw, [a]) => a_law(*a),
            (Self::MuLaw, [a]) => mu_law(*a),
            (Self::I16, [a, b]) | (Self::I24, [_, a, b]) | (Self::I32, [_, _, a, b]) => {
                i16::from_le_bytes([*a, *b])
            }
            (Self::F32, [a, b, c, d]) => from_float(f32::from_le_bytes([*a, *b, *c, *d]).into()),
            (Self::F64, bytes) => bytes
                .first_chunk()
                .map_or(0, |bytes| from_float(f64::from_le_bytes(*bytes))),
            _ => 0,
        }
    }
}

/// Source: ITU-T G.711, table 1a; the value times 16.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = byte >> 4 & 7;
    let mantissa = i16::from(byte & 15) << 4;
    let magnitude = match exponent {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

/// Source: ITU-T G.711, table 2a; the value times 4.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i16::from(byte & 15) << 3) + 0x84) << (byte >> 4 & 7);
    let magnitude = magnitude - 0x84;
    if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Joins samples across cuts; averages channels to mono.
pub(super) struct PcmDecoder {
    channels: usize,
    format: SampleFormat,
    /// The beginning of a sample (of all channels) whose end has not come yet.
    carry: Vec<u8>,
}

impl PcmDecoder {
    /// `channels` interleaved channels, at least one.
    pub(super) fn new(channels: usize, format: SampleFormat) -> Self {
        Self {
            channels: channels.max(1),
            format,
            carry: Vec::new(),
        }
    }

    /// One channel of 16-bit samples, as raw PCM has.
    pub(super) fn raw() -> Self {
        Self::new(1, SampleFormat::I16)
    }

    /// The samples that `bytes` complete. What is left over at the end of all is dropped.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<i16> {
        let width = self.format.bytes() * self.channels;
        let mut samples = Vec::with_capacity((self.carry.len() + bytes.len()) / width);
        if !self.carry.is_empty() {
            let missing = (width - self.carry.len()).min(bytes.len());
            self.carry.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.carry.len() < width {
                return samples;
            }
            samples.push(self.mono(&self.carry));
            self.carry.clear();
        }
        let whole = bytes.chunks_exact(width);
        self.carry.extend_from_slice(whole.remainder());
        samples.extend(whole.map(|bytes| self.mono(bytes)));
        samples
    }

    fn mono(&self, bytes: &[u8]) -> i16 {
        let samples = bytes.chunks_exact(self.format.bytes());
        let sum: i32 = samples
            .map(|bytes| i32::from(self.format.read(bytes)))
            .sum();
        (sum / self.channels as i32) as i16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(format: SampleFormat, bytes: &[u8]) -> Vec<i16> {
        PcmDecoder::new(1, format).push(bytes)
    }

    #[test]
    fn two_channels_become_their_average() {
        let bytes: Vec<u8> = [100i16, 300, -5, 5]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        let mut decoder = PcmDecoder::new(2, SampleFormat::I16);
        assert_eq!(decoder.push(&bytes), [200, 0]);
    }

    #[test]
    fn the_loudest_samples_do_not_overflow() {
        let bytes: Vec<u8> = [i16::MIN; 2].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(
            PcmDecoder::new(2, SampleFormat::I16).push(&bytes),
            [i16::MIN]
        );
        let floats = [1.0f32, -1.0, 7.0, f32::NAN, 0.5].map(f32::to_le_bytes);
        let samples = decode(SampleFormat::F32, floats.as_flattened());
        assert_eq!(samples, [i16::MAX, -i16::MAX, i16::MAX, 0, 16_383]);
    }

    #[test]
    fn other_formats_have_the_same_samples() {
        assert_eq!(
            decode(SampleFormat::U8, &[0, 128, 255]),
            [-32_768, 0, 32_512]
        );
        assert_eq!(decode(SampleFormat::I24, &[9, 0xD4, 0xFE]), [-300]);
        assert_eq!(decode(SampleFormat::I32, &[9, 9, 0xD4, 0xFE]), [-300]);
        assert_eq!(
            decode(SampleFormat::F64, &(-0.5f64).to_le_bytes()),
            [-16_383]
        );
        // The ends and the middle of the tables in ITU-T G.711.
        assert_eq!(
            decode(SampleFormat::MuLaw, &[0x00, 0x80, 0xFF]),
            [-32_124, 32_124, 0]
        );
        assert_eq!(
            decode(SampleFormat::ALaw, &[0x2A, 0xAA, 0xD5]),
            [-32_256, 32_256, 8]
        );
    }

    proptest! {
        #[test]
        fn samples_survive_any_cuts(
            samples in proptest::collection::vec(any::<i16>(), 0..50),
            cuts in proptest::collection::vec(1usize..7, 0..60),
        ) {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let mut decoder = PcmDecoder::raw();
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                found.extend(decoder.push(now));
                rest = later;
            }
            found.extend(decoder.push(rest));
            prop_assert_eq!(found, samples);
        }
    }
}
