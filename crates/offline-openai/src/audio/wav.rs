//! Reads WAV files as people send them, and writes the header of a WAV stream.
//!
//! Reading is forgiving where a sound is still whole: unknown chunks are skipped, and a data chunk whose
//! length is unknown (a stream) or too long (a cut file) ends where the file ends. It never trusts a
//! length from the file for an allocation.

/// A sound read from a file: mono, any rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// Samples for each second.
    pub rate_hz: u32,
    /// Mono samples; channels of the file are averaged.
    pub samples: Vec<i16>,
}

impl Sound {
    /// How long the sound lasts.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate_hz)
    }
}

/// Why a file could not be read as a WAV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// No `RIFF....WAVE` at the start.
    #[error("not a WAV file; send RIFF/WAVE audio")]
    NotWav,
    /// No complete `fmt ` chunk before the data.
    #[error("WAV file without a complete format chunk")]
    NoFormat,
    /// No `data` chunk.
    #[error("WAV file without a data chunk")]
    NoData,
    /// A codec, width or channel count that is not read here.
    #[error(
        "WAV of codec {codec}, {bits} bits, {channels} channels; send PCM of 8 to 32 bits or 32-bit float with 1 to 8 channels"
    )]
    Unsupported {
        /// The format tag: 1 is PCM, 3 is float.
        codec: u16,
        /// Bits of one sample.
        bits: u16,
        /// Channels in one frame.
        channels: u16,
    },
    /// A rate that no sound card has.
    #[error("WAV at {0} Hz; send 4000 to 192000 Hz")]
    Rate(u32),
}

const CODEC_PCM: u16 = 1;
const CODEC_FLOAT: u16 = 3;
/// `WAVE_FORMAT_EXTENSIBLE`: the real codec is in the first two bytes of the sub-format.
const CODEC_EXTENSIBLE: u16 = 0xFFFE;

#[derive(Clone, Copy)]
struct Format {
    codec: u16,
    channels: u16,
    rate_hz: u32,
    bits: u16,
}

/// Reads a WAV file.
///
/// # Errors
/// When the bytes are not a WAV, or one whose samples are not read here.
pub fn read(file: &[u8]) -> Result<Sound, WavError> {
    if file.get(0..4) != Some(b"RIFF") || file.get(8..12) != Some(b"WAVE") {
        return Err(WavError::NotWav);
    }
    let mut format = None;
    let mut rest = &file[12..];
    while let Some((header, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let chunk = &body[..length.min(body.len())];
        match &header[..4] {
            b"fmt " => format = Some(read_format(chunk)?),
            b"data" => return Ok(read_samples(format.ok_or(WavError::NoFormat)?, chunk)),
            _ => {}
        }
        // Chunks start at even offsets; an odd one is followed by a byte of padding.
        rest = body
            .get(length.saturating_add(length % 2)..)
            .unwrap_or_default();
    }
    Err(if format.is_some() {
        WavError::NoData
    } else {
        WavError::NoFormat
    })
}

fn read_format(chunk: &[u8]) -> Result<Format, WavError> {
    let word = |at: usize| Some(u16::from_le_bytes([*chunk.get(at)?, *chunk.get(at + 1)?]));
    let read = || {
        let rate_hz = u32::from(word(4)?) | u32::from(word(6)?) << 16;
        Some(Format {
            codec: word(0)?,
            channels: word(2)?,
            rate_hz,
            bits: word(14)?,
        })
    };
    let mut format = read().ok_or(WavError::NoFormat)?;
    if format.codec == CODEC_EXTENSIBLE {
        format.codec = word(24).ok_or(WavError::NoFormat)?;
    }
    let Format {
        codec,
        channels,
        rate_hz,
        bits,
    } = format;
    let known = matches!(
        (codec, bits),
        (CODEC_PCM, 8 | 16 | 24 | 32) | (CODEC_FLOAT, 32)
    );
    if !known || !(1..=8).contains(&channels) {
        return Err(WavError::Unsupported {
            codec,
            bits,
            channels,
        });
    }
    if !(4_000..=192_000).contains(&rate_hz) {
        return Err(WavError::Rate(rate_hz));
    }
    Ok(format)
}

fn read_samples(format: Format, data: &[u8]) -> Sound {
    let width = usize::from(format.bits / 8);
    let channels = usize::from(format.channels);
    let samples = data
        .chunks_exact(width * channels)
        .map(|frame| {
            let sum: i32 = frame
                .chunks_exact(width)
                .map(|s| sample(format.codec, s))
                .sum();
            (sum / channels as i32) as i16
        })
        .collect();
    Sound {
        rate_hz: format.rate_hz,
        samples,
    }
}

/// One sample as 16 bits, whatever it was in the file.
fn sample(codec: u16, bytes: &[u8]) -> i32 {
    match *bytes {
        [unsigned] => (i32::from(unsigned) - 128) << 8,
        [low, high] => i32::from(i16::from_le_bytes([low, high])),
        [_, low, high] => i32::from(i16::from_le_bytes([low, high])),
        [a, b, c, d] if codec == CODEC_FLOAT => {
            (f32::from_le_bytes([a, b, c, d]).clamp(-1.0, 1.0) * 32_767.0) as i32
        }
        [_, _, low, high] => i32::from(i16::from_le_bytes([low, high])),
        _ => 0,
    }
}

/// The header of a 16-bit mono WAV whose length is not known yet: both lengths are all ones, as
/// programs that stream WAV write them.
pub fn stream_header(rate_hz: u32) -> Vec<u8> {
    header(rate_hz, u32::MAX, u32::MAX)
}

/// A complete 16-bit mono WAV file.
pub fn write(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let length = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = header(rate_hz, length.saturating_add(36), length);
    file.extend(super::bytes_of(samples));
    file
}

fn header(rate_hz: u32, riff_length: u32, data_length: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(44);
    header.extend(b"RIFF");
    header.extend(riff_length.to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend(16u32.to_le_bytes());
    header.extend(CODEC_PCM.to_le_bytes());
    header.extend(1u16.to_le_bytes());
    header.extend(rate_hz.to_le_bytes());
    header.extend((rate_hz * 2).to_le_bytes());
    header.extend(2u16.to_le_bytes());
    header.extend(16u16.to_le_bytes());
    header.extend(b"data");
    header.extend(data_length.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A WAV with the given format chunk and data.
    fn file(codec: u16, channels: u16, rate_hz: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut file = header(rate_hz, 0, data.len() as u32);
        file[20..22].copy_from_slice(&codec.to_le_bytes());
        file[22..24].copy_from_slice(&channels.to_le_bytes());
        file[34..36].copy_from_slice(&bits.to_le_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn every_width_comes_out_as_16_bits() {
        let cases: &[(u16, u16, &[u8], i16)] = &[
            (CODEC_PCM, 8, &[192], 16_384),
            (CODEC_PCM, 16, &[0, 0x40], 16_384),
            (CODEC_PCM, 24, &[9, 0, 0x40], 16_384),
            (CODEC_PCM, 32, &[9, 9, 0, 0x40], 16_384),
            (CODEC_FLOAT, 32, &0.5f32.to_le_bytes(), 16_383),
            (CODEC_FLOAT, 32, &f32::NAN.to_le_bytes(), 0),
        ];
        for &(codec, bits, data, expected) in cases {
            let sound = read(&file(codec, 1, 16_000, bits, data)).unwrap();
            assert_eq!(sound.samples, [expected], "codec {codec}, {bits} bits");
        }
    }

    #[test]
    fn channels_are_averaged() {
        let sound = read(&file(CODEC_PCM, 2, 48_000, 16, &[100, 0, 200, 0])).unwrap();
        assert_eq!(
            sound,
            Sound {
                rate_hz: 48_000,
                samples: vec![150]
            }
        );
    }

    #[test]
    fn unknown_chunks_before_the_data_are_skipped() {
        let mut wav = write(&[7, 8], 8_000);
        wav.splice(36..36, *b"LIST\x03\x00\x00\x00abc\x00");
        assert_eq!(read(&wav).unwrap().samples, [7, 8]);
    }

    #[test]
    fn a_stream_and_a_cut_file_end_where_the_bytes_end() {
        let mut stream = stream_header(24_000);
        stream.extend([1, 0, 2, 0, 3]);
        assert_eq!(read(&stream).unwrap().samples, [1, 2]);
        let mut cut = write(&[1, 2, 3], 24_000);
        cut.truncate(48);
        assert_eq!(read(&cut).unwrap().samples, [1, 2]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(read(b"ID3 an mp3"), Err(WavError::NotWav));
        assert_eq!(read(&write(&[1], 16_000)[..20]), Err(WavError::NoFormat));
        assert_eq!(read(&write(&[1], 16_000)[..36]), Err(WavError::NoData));
        assert_eq!(
            read(&file(CODEC_PCM, 1, 7, 16, &[])),
            Err(WavError::Rate(7))
        );
        let mu_law = WavError::Unsupported {
            codec: 7,
            bits: 8,
            channels: 1,
        };
        assert_eq!(read(&file(7, 1, 8_000, 8, &[])), Err(mu_law));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes).ok();
        }

        #[test]
        fn a_damaged_file_is_read_or_refused(
            samples in proptest::collection::vec(any::<i16>(), 0..50),
            at in 0usize..60, value in any::<u8>(), cut in 0usize..140,
        ) {
            let mut bytes = write(&samples, 16_000);
            if let Some(byte) = bytes.get_mut(at) { *byte = value; }
            bytes.truncate(cut);
            if let Ok(sound) = read(&bytes) {
                prop_assert!(sound.samples.len() <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read_back(samples in proptest::collection::vec(any::<i16>(), 0..200)) {
            let sound = read(&write(&samples, 24_000)).unwrap();
            prop_assert_eq!(sound, Sound { rate_hz: 24_000, samples });
        }
    }
}
