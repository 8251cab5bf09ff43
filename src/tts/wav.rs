//! The head of a WAV file that arrives in pieces.

use super::pcm::SampleFormat;

/// Most bytes before the first sample: the format, and text chunks that some writers put first.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Lengths from here on stand for an unknown one, as 0 does: writers that stream put the largest number
/// they can think of, 2^31 - 1 or 2^32 - 1 with or without the header's own bytes. Twelve hours of speech
/// are no answer.
const LENGTH_UNKNOWN_MIN: u32 = 0x7FFF_0000;
/// More channels than any room has.
const CHANNELS_MAX: u16 = 8;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WavHead {
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    pub(super) format: SampleFormat,
    /// Bytes of sound; `None` when the file ends where the answer does.
    pub(super) data_bytes: Option<u32>,
    /// Bytes of the head itself: the sound begins after them.
    pub(super) head_bytes: usize,
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WavError {
    /// Another kind of file.
    #[error("not a RIFF WAVE file")]
    NotWav,
    /// Compressed, or samples of a size that is not known.
    #[error("the WAV file is not PCM, floating point, A-law or mu-law")]
    NotPcm,
    /// Sound before its format, or no sound at all.
    #[error("the WAV file has no sound where it should begin")]
    NoData,
}

/// Reads the head; `None` while more bytes are needed.
///
/// Source: Microsoft's RIFF WAVE; chunks are padded to an even length, a tag that
/// is not a format's is passed over.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<WavHead>, WavError> {
    let magic = [(0, b"RIFF"), (8, b"WAVE")];
    for (at, tag) in magic {
        let Some(found) = bytes.get(at..at + 4) else {
            return Ok(None);
        };
        if found != tag {
            return Err(WavError::NotWav);
        }
    }
    let mut format = None;
    let mut at = 12;
    loop {
        if at > HEAD_BYTES_MAX {
            return Err(WavError::NoData);
        }
        let (Some(tag), Some(length)) = (bytes.get(at..at + 4), u32_at(bytes, at + 4)) else {
            return Ok(None);
        };
        let body = at + 8;
        if tag == b"data" {
            let (channels, sample_rate_hz, format) = format.ok_or(WavError::NoData)?;
            return Ok(Some(WavHead {
                sample_rate_hz,
                channels,
                format,
                data_bytes: Some(length).filter(|n| (1..LENGTH_UNKNOWN_MIN).contains(n)),
                head_bytes: body,
            }));
        }
        if tag == b"fmt " {
            let Some(fields) = bytes.get(body..body + 16) else {
                return Ok(None);
            };
            format = Some(parse_format(fields)?);
        }
        at = body
            .saturating_add(length as usize)
            .saturating_add(length as usize % 2);
    }
}

/// Channels, samples per second and the format of a sample.
///
/// Source: RFC 2361 (format tags) and Microsoft's `WAVEFORMATEXTENSIBLE`, whose real tag is of the same
/// family as its number of bits says.
fn parse_format(fields: &[u8]) -> Result<(u16, u32, SampleFormat), WavError> {
    let u16_at = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let (tag, channels, bits) = (u16_at(0), u16_at(2), u16_at(14));
    let rate = u32_at(fields, 4).ok_or(WavError::NotPcm)?;
    let format = match (tag, bits) {
        (1 | 0xFFFE, 8) => SampleFormat::U8,
        (1 | 0xFFFE, 16) => SampleFormat::I16,
        (1 | 0xFFFE, 24) => SampleFormat::I24,
        (1, 32) => SampleFormat::I32,
        (3 | 0xFFFE, 32) => SampleFormat::F32,
        (3 | 0xFFFE, 64) => SampleFormat::F64,
        (6, 8) => SampleFormat::ALaw,
        (7, 8) => SampleFormat::MuLaw,
        _ => return Err(WavError::NotPcm),
    };
    if !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(WavError::NotPcm);
    }
    Ok((channels, rate, format))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(format: u16, channels: u16, bits: u16, extra: &[u8], data_bytes: u32) -> Vec<u8> {
        let mut wav = b"RIFF\0\0\0\0WAVE".to_vec();
        wav.extend_from_slice(extra);
        wav.extend_from_slice(b"fmt \x10\0\0\0");
        wav.extend_from_slice(&format.to_le_bytes());
        wav.extend_from_slice(&channels.to_le_bytes());
        wav.extend_from_slice(&24_000u32.to_le_bytes());
        wav.extend_from_slice(&48_000u32.to_le_bytes());
        wav.extend_from_slice(&2u16.to_le_bytes());
        wav.extend_from_slice(&bits.to_le_bytes());
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&data_bytes.to_le_bytes());
        wav
    }

    #[test]
    fn the_plain_head_is_read() {
        assert_eq!(
            parse(&head(1, 1, 16, b"", 960)),
            Ok(Some(WavHead {
                sample_rate_hz: 24_000,
                channels: 1,
                format: SampleFormat::I16,
                data_bytes: Some(960),
                head_bytes: 44,
            }))
        );
    }

    #[test]
    fn other_chunks_are_skipped_with_their_padding() {
        let wav = head(1, 1, 16, b"LIST\x03\0\0\0abc\0", 2);
        assert_eq!(parse(&wav).unwrap().unwrap().head_bytes, 44 + 12);
    }

    #[test]
    fn an_unknown_length_means_until_the_end() {
        for length in [
            0,
            u32::MAX,
            u32::MAX - 36,
            0x7FFF_FFFF,
            0x7FFF_FFDB,
            0x7FFF_F000,
            1 << 31,
        ] {
            let head = parse(&head(1, 1, 16, b"", length)).unwrap().unwrap();
            assert_eq!(head.data_bytes, None);
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert_eq!(parse(b"ID3\x04 mp3 and more"), Err(WavError::NotWav));
        assert_eq!(parse(&head(0x55, 1, 16, b"", 4)), Err(WavError::NotPcm));
        assert_eq!(parse(&head(1, 9, 16, b"", 4)), Err(WavError::NotPcm));
        assert_eq!(parse(&head(1, 0, 16, b"", 4)), Err(WavError::NotPcm));
        assert_eq!(
            parse(b"RIFF\0\0\0\0WAVEdata\0\0\0\0"),
            Err(WavError::NoData)
        );
        assert_eq!(
            parse(b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff"),
            Err(WavError::NoData)
        );
    }

    proptest! {
        #[test]
        fn a_head_cut_short_asks_for_more(cut in 0usize..44) {
            prop_assert_eq!(parse(&head(1, 1, 16, b"", 960)[..cut]), Ok(None));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            parse(&bytes).ok();
            parse(&[&b"RIFF\0\0\0\0WAVE"[..], &bytes].concat()).ok();
            parse(&[&b"RIFF\0\0\0\0WAVEfmt "[..], &bytes].concat()).ok();
        }
    }
}
