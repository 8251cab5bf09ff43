//! Sound at another rate: for whole recordings, not for streams.

use std::f64::consts::PI;

/// Zero crossings of the filter on each side: speech keeps what transcription needs.
const CROSSINGS: usize = 12;

/// The same mono sound at `to_hz`, filtered so that nothing folds back. Rates are in samples per
/// second and not zero; the costs grow with the recording's length, so not for an async task.
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz || samples.is_empty() {
        return samples.to_vec();
    }
    let divisor = gcd(from_hz, to_hz);
    let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
    // In samples of the slower of both rates.
    let slowness = (f64::from(from_hz) / f64::from(to_hz)).max(1.0);
    let half = (CROSSINGS as f64 * slowness).ceil() as usize;
    let filters: Vec<Vec<f64>> = (0..up)
        .map(|phase| filter(phase as f64 / up as f64, half, slowness))
        .collect();
    let n_out = (samples.len() * up).div_ceil(down);
    let at = |place: Option<usize>| place.and_then(|place| samples.get(place)).copied();
    (0..n_out)
        .map(|n| {
            let (centre, phase) = (n * down / up, n * down % up);
            let taps = filters[phase].iter().enumerate();
            let sum: f64 = taps
                .map(|(tap, weight)| {
                    let sample = at((centre + tap + 1).checked_sub(half));
                    weight * f64::from(sample.unwrap_or(0))
                })
                .sum();
            // Saturates.
            sum.round() as i16
        })
        .collect()
}

/// Weights of the samples around a point that lies `offset` behind a sample; they add up to 1.
fn filter(offset: f64, half: usize, slowness: f64) -> Vec<f64> {
    let weight = |tap: usize| {
        let distance = tap as f64 + 1.0 - half as f64 - offset;
        let x = distance / slowness;
        let window = 0.5 + 0.5 * (PI * (distance / (half as f64 + 1.0)).clamp(-1.0, 1.0)).cos();
        let sinc = if x.abs() < 1e-9 {
            1.0
        } else {
            (PI * x).sin() / (PI * x)
        };
        sinc * window
    };
    let weights: Vec<f64> = (0..2 * half).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32) -> Vec<i16> {
        (0..rate)
            .map(|n| ((f64::from(n) * hz * 2.0 * PI / f64::from(rate)).sin() * 10_000.0) as i16)
            .collect()
    }

    /// The loudest sample away from the edges.
    fn peak(samples: &[i16]) -> i16 {
        let middle = &samples[1_000..samples.len() - 1_000];
        middle.iter().map(|sample| sample.abs()).max().unwrap()
    }

    #[test]
    fn a_tone_stays_the_tone_it_was() {
        for from in [8_000, 24_000, 44_100, 48_000] {
            let resampled = resample(&tone(440.0, from), from, 16_000);
            let expected = tone(440.0, 16_000);
            assert_eq!(resampled.len(), expected.len(), "{from}");
            let pairs = resampled.iter().zip(&expected).skip(200).take(15_000);
            let worst = pairs.map(|(a, b)| (a - b).abs()).max().unwrap();
            assert!(worst < 200, "{from}: off by {worst}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let resampled = resample(&tone(12_000.0, 48_000), 48_000, 16_000);
        assert!(peak(&resampled) < 100, "{}", peak(&resampled));
        assert_eq!(resample(&[1, 2, 3], 16_000, 16_000), [1, 2, 3]);
        assert!(resample(&[], 48_000, 16_000).is_empty());
    }
}
