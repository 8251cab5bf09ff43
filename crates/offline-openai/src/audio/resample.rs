//! Changes the sample rate of mono sound with a polyphase low-pass filter.
//!
//! One filter serves every ratio: 3/2 for speech (16 to 24 kHz), 1/3, 2/3 or 160/441 for what callers
//! send. The filter is a windowed sinc cut below the lower of the two Nyquist frequencies. State is kept
//! between calls, so sound may arrive in pieces of any length.
//!
//! Where to begin: [`Resampler::push`].

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side: about 70 dB of stop band, far below a telephone's noise.
const HALF_WIDTH: usize = 16;
/// Where the filter cuts, as a share of the lower Nyquist frequency; the rest is the transition band.
const CUTOFF: f64 = 0.92;
/// Most filter phases kept. Ratios with more use the nearest one, an error of 1/1024 of a sample.
const PHASES_MAX: u64 = 512;

/// Converts mono sound from one rate to another, piece by piece.
pub struct Resampler {
    /// Output samples in `up` are as many as input samples in `down`.
    up: u64,
    down: u64,
    /// `phases[p][k]` weighs input sample `k` of the window for an output `p/phases.len()` after it.
    phases: Vec<Vec<f32>>,
    /// Input not yet left behind, with half a filter of silence before the first sample.
    window: Vec<f32>,
    /// Position of the next output, in `1/up` of an input sample from the start of `window`.
    position: u64,
}

impl Resampler {
    /// Makes a resampler between two rates, both in hertz and above zero.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let (from, to) = (u64::from(from_hz.max(1)), u64::from(to_hz.max(1)));
        let divisor = greatest_common_divisor(from, to);
        let (up, down) = (to / divisor, from / divisor);
        // Going down, the filter is as much longer as the pass band is narrower.
        let scale = (up as f64 / down as f64).min(1.0);
        let half = (HALF_WIDTH as f64 / scale).ceil() as usize;
        let n_phases = up.min(PHASES_MAX);
        let phases = (0..n_phases)
            .map(|phase| phase_filter(phase as f64 / n_phases as f64, half, scale * CUTOFF))
            .collect();
        Self {
            up,
            down,
            phases,
            window: vec![0.0; half - 1],
            position: 0,
        }
    }

    /// Takes more input and returns the output that is complete by now.
    pub fn push(&mut self, input: &[i16]) -> Vec<i16> {
        self.window
            .extend(input.iter().map(|&sample| f32::from(sample)));
        self.drain()
    }

    /// Returns the rest of the output, as if silence followed: all of it together is as long as the
    /// input, to the next whole sample.
    pub fn finish(mut self) -> Vec<i16> {
        let half = self.phases[0].len() / 2;
        self.window.extend(std::iter::repeat_n(0.0, half));
        self.drain()
    }

    fn drain(&mut self) -> Vec<i16> {
        let n_taps = self.phases[0].len();
        let n_phases = self.phases.len() as u64;
        let mut output = Vec::new();
        loop {
            let start = (self.position / self.up) as usize;
            let Some(input) = self.window.get(start..start + n_taps) else {
                break;
            };
            let phase = (self.position % self.up) * n_phases / self.up;
            let filter = &self.phases[phase as usize];
            let sum: f32 = input
                .iter()
                .zip(filter)
                .map(|(sample, weight)| sample * weight)
                .sum();
            output.push(sum.round().clamp(-32_768.0, 32_767.0) as i16);
            self.position += self.down;
        }
        let behind = ((self.position / self.up) as usize).min(self.window.len());
        self.window.drain(..behind);
        self.position -= behind as u64 * self.up;
        output
    }
}

/// Converts a whole sound at once.
pub fn resample(input: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz {
        return input.to_vec();
    }
    let mut resampler = Resampler::new(from_hz, to_hz);
    let mut output = resampler.push(input);
    output.extend(resampler.finish());
    output
}

/// The `2 * half` weights for an output that lies `offset` of a sample after window index `half - 1`.
fn phase_filter(offset: f64, half: usize, cutoff: f64) -> Vec<f32> {
    let weights: Vec<f64> = (0..2 * half)
        .map(|k| {
            let distance = k as f64 - (half as f64 - 1.0) - offset;
            cutoff * sinc(cutoff * distance) * window(distance / half as f64)
        })
        .collect();
    // Every phase passes a constant unchanged; otherwise the phases would differ in loudness.
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Blackman's window over -1..1, zero outside.
fn window(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    0.42 + 0.5 * (PI * x).cos() + 0.08 * (2.0 * PI * x).cos()
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::{strength, tone};
    use proptest::prelude::*;

    /// A tone survives with its strength, and the strongest of `unwanted_hz` stays 60 dB below it.
    #[track_caller]
    fn check_tone(from_hz: u32, to_hz: u32, tone_hz: f64, unwanted_hz: &[f64]) {
        let output = resample(&tone(tone_hz, 1_000, from_hz), from_hz, to_hz);
        // The ends are left out: there the filter sees the silence around the tone.
        let middle = &output[output.len() / 10..output.len() * 9 / 10];
        let kept = strength(middle, tone_hz, to_hz);
        assert!(
            (kept / 16_383.0 - 1.0).abs() < 0.02,
            "{tone_hz} Hz came out at {kept}"
        );
        for &other in unwanted_hz {
            let image = strength(middle, other, to_hz);
            assert!(
                image < kept / 1_000.0,
                "image at {other} Hz of strength {image}"
            );
        }
    }

    #[test]
    fn a_tone_keeps_its_strength_and_gets_no_images() {
        check_tone(16_000, 24_000, 440.0, &[880.0, 7_560.0, 8_440.0]);
        check_tone(16_000, 24_000, 6_000.0, &[10_000.0, 2_000.0]);
        check_tone(48_000, 16_000, 1_000.0, &[2_000.0, 7_000.0]);
        check_tone(44_100, 16_000, 3_000.0, &[6_000.0, 1_000.0]);
        check_tone(8_000, 16_000, 1_000.0, &[7_000.0]);
        check_tone(24_000, 16_000, 600.0, &[1_200.0, 7_400.0]);
    }

    #[test]
    fn what_lies_above_the_lower_nyquist_is_removed() {
        let output = resample(&tone(10_000.0, 500, 48_000), 48_000, 16_000);
        let loudest = output[100..output.len() - 100]
            .iter()
            .map(|s| s.unsigned_abs())
            .max();
        assert!(loudest < Some(30), "alias of amplitude {loudest:?}");
    }

    #[test]
    fn length_follows_the_ratio() {
        assert_eq!(resample(&[100; 1_600], 16_000, 24_000).len(), 2_400);
        assert_eq!(resample(&[100; 480], 48_000, 16_000).len(), 160);
        assert_eq!(resample(&[], 48_000, 16_000).len(), 0);
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_give_the_same_sound(
            samples in proptest::collection::vec(any::<i16>(), 0..600),
            cut in 0usize..600,
            from_hz in prop::sample::select(vec![8_000u32, 11_025, 22_050, 24_000, 44_100, 48_000]),
        ) {
            let whole = resample(&samples, from_hz, 16_000);
            let mut resampler = Resampler::new(from_hz, 16_000);
            let (first, second) = samples.split_at(cut.min(samples.len()));
            let mut pieces = resampler.push(first);
            pieces.extend(resampler.push(second));
            pieces.extend(resampler.finish());
            prop_assert_eq!(pieces, whole);
        }
    }
}
