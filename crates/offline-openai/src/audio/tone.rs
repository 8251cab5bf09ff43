//! The tone that fixed mode speaks.

use std::f64::consts::TAU;

/// A sine of `frequency_hz` at half of full scale.
///
/// Shape: `rate_hz * duration_ms / 1000` samples, mono.
pub fn tone(frequency_hz: f64, duration_ms: u64, rate_hz: u32) -> Vec<i16> {
    let n_samples = u64::from(rate_hz) * duration_ms / 1000;
    let step = TAU * frequency_hz / f64::from(rate_hz);
    (0..n_samples)
        .map(|n| ((n as f64 * step).sin() * 16_383.0) as i16)
        .collect()
}

/// How strong one frequency is in `samples`: the amplitude of that sine, in sample units.
///
/// Goertzel's sum at exactly `frequency_hz`; tests use it to tell a clean tone from its images.
pub fn strength(samples: &[i16], frequency_hz: f64, rate_hz: u32) -> f64 {
    let step = TAU * frequency_hz / f64::from(rate_hz);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let angle = n as f64 * step;
        re += f64::from(sample) * angle.cos();
        im += f64::from(sample) * angle.sin();
    }
    2.0 * re.hypot(im) / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_has_its_length_and_frequency() {
        let samples = tone(440.0, 250, 24_000);
        assert_eq!(samples.len(), 6_000);
        assert!((strength(&samples, 440.0, 24_000) - 16_383.0).abs() < 200.0);
        assert!(strength(&samples, 600.0, 24_000) < 300.0);
    }
}
