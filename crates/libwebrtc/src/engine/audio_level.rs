//! The loudness of a packet, as it travels in its header so that a server can find active speakers.
//!
//! Source: RFC 6464, 3 and 4 (level in -dBov, voice activity bit).

/// Level from which sound counts as voice; a quiet room is near -60 dBov, speech near -30.
const VOICE_DBOV: u8 = 50;
/// What RFC 6464 calls digital silence.
const SILENCE: u8 = 127;

/// Loudness of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AudioLevel {
    /// dB below the overload point, 0 (loudest) to 127 (silence).
    pub(crate) minus_dbov: u8,
    pub(crate) is_voice: bool,
}

impl AudioLevel {
    /// Root mean square of the samples against that of a full-scale square wave.
    pub(crate) fn of(pcm: &[i16]) -> Self {
        let energy: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        let mean = energy / pcm.len().max(1) as f64 / (32_768.0 * 32_768.0);
        let minus_dbov = match mean > 0.0 {
            true => (-10.0 * mean.log10())
                .round()
                .clamp(0.0, f64::from(SILENCE)) as u8,
            false => SILENCE,
        };
        Self {
            minus_dbov,
            is_voice: minus_dbov < VOICE_DBOV,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_decibels_below_overload() {
        let level = |amplitude: i16| AudioLevel::of(&[amplitude, -amplitude].repeat(100));
        assert_eq!(level(i16::MAX).minus_dbov, 0);
        assert_eq!(AudioLevel::of(&[i16::MIN; 480]).minus_dbov, 0);
        assert_eq!(
            level(3277),
            AudioLevel {
                minus_dbov: 20,
                is_voice: true
            }
        );
        assert_eq!(
            level(33),
            AudioLevel {
                minus_dbov: 60,
                is_voice: false
            }
        );
        assert_eq!(level(0).minus_dbov, 127);
        assert_eq!(AudioLevel::of(&[]).minus_dbov, 127);
    }
}
