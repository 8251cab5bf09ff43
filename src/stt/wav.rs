//! An utterance as a WAV file in memory.

use bytes::Bytes;

use crate::audio::AudioFrame;

/// Bytes before the first sample.
const HEADER_BYTES: usize = 44;
/// Services refuse files shorter than 0.1 s; silence is appended up to twice that.
const DURATION_MS_MIN: usize = 200;

/// Writes 16-bit mono PCM with the plain 44-byte header.
///
/// Source: Microsoft's RIFF WAVE, `fmt ` chunk of 16 bytes with format 1 (PCM).
pub(super) fn encode(frame: &AudioFrame) -> Bytes {
    let rate = frame.sample_rate_hz;
    let samples_min = DURATION_MS_MIN * rate as usize / 1000;
    let samples = frame.samples.len().max(samples_min);
    let data_bytes = u32::try_from(2 * samples).unwrap_or(u32::MAX);
    let mut wav = Vec::with_capacity(HEADER_BYTES + 2 * samples);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16u32.to_le_bytes());
    wav.extend_from_slice(&1u16.to_le_bytes()); // PCM
    wav.extend_from_slice(&1u16.to_le_bytes()); // mono
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&rate.saturating_mul(2).to_le_bytes()); // bytes per second
    wav.extend_from_slice(&2u16.to_le_bytes()); // bytes per sample
    wav.extend_from_slice(&16u16.to_le_bytes()); // bits per sample
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&data_bytes.to_le_bytes());
    wav.extend(frame.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav.resize(HEADER_BYTES + 2 * samples, 0);
    wav.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(samples: usize) -> AudioFrame {
        AudioFrame {
            samples: (0..samples).map(|n| n as i16).collect(),
            sample_rate_hz: 16_000,
        }
    }

    #[test]
    fn the_header_tells_rate_and_length() {
        let wav = encode(&frame(16_000));
        assert_eq!(wav.len(), 44 + 32_000);
        assert_eq!(&wav[0..4], b"RIFF");
        assert_eq!(wav[4..8], 32_036u32.to_le_bytes());
        assert_eq!(wav[24..28], 16_000u32.to_le_bytes());
        assert_eq!(wav[28..32], 32_000u32.to_le_bytes());
        assert_eq!(wav[40..44], 32_000u32.to_le_bytes());
        assert_eq!(wav[44..48], [0, 0, 1, 0]);
    }

    #[test]
    fn a_short_sound_is_followed_by_silence() {
        let wav = encode(&frame(100));
        assert_eq!(wav.len(), 44 + 2 * 3200);
        assert_eq!(wav[44 + 198..44 + 204], [99, 0, 0, 0, 0, 0]);
    }
}
