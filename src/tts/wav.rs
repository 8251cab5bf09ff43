//! The head of a WAV file that arrives in pieces.

/// Most bytes before the first sample: the format, and text chunks that some writers put first.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The length that writers of endless files put, beside 0.
const LENGTH_UNKNOWN: u32 = u32::MAX;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WavHead {
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
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
    /// Compressed, or samples of another size.
    #[error("the WAV file is not 16-bit PCM with one or two channels")]
    NotPcm16,
    /// Sound before its format, or no sound at all.
    #[error("the WAV file has no sound where it should begin")]
    NoData,
}

/// Reads the head; `None` while more bytes are needed.
///
/// Source: Microsoft's RIFF WAVE; chunks are padded to an even length, format 0xFFFE carries the
/// real one in its extension and is taken as PCM when its samples have 16 bits.
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
            let (channels, sample_rate_hz) = format.ok_or(WavError::NoData)?;
            return Ok(Some(WavHead {
                sample_rate_hz,
                channels,
                data_bytes: Some(length).filter(|n| !matches!(*n, 0 | LENGTH_UNKNOWN)),
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

fn parse_format(fields: &[u8]) -> Result<(u16, u32), WavError> {
    let u16_at = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let (tag, channels, bits) = (u16_at(0), u16_at(2), u16_at(14));
    let rate = u32_at(fields, 4).ok_or(WavError::NotPcm16)?;
    let is_pcm16 = matches!(tag, 1 | 0xFFFE) && bits == 16 && matches!(channels, 1 | 2);
    is_pcm16
        .then_some((channels, rate))
        .ok_or(WavError::NotPcm16)
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
        for length in [0, u32::MAX] {
            let head = parse(&head(1, 1, 16, b"", length)).unwrap().unwrap();
            assert_eq!(head.data_bytes, None);
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert_eq!(parse(b"ID3\x04 mp3 and more"), Err(WavError::NotWav));
        assert_eq!(parse(&head(3, 1, 32, b"", 4)), Err(WavError::NotPcm16));
        assert_eq!(parse(&head(1, 6, 16, b"", 4)), Err(WavError::NotPcm16));
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
