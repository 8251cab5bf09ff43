//! What pitches a stretch of sound is made of.

use std::f32::consts::TAU;

/// Samples of a stretch.
pub(crate) const LENGTH: usize = 256;
/// Pitches that are told apart, from none to half the sample rate.
pub(crate) const BINS: usize = LENGTH / 2 + 1;

const N_STAGES: u32 = LENGTH.ilog2();

/// A number with an imaginary part.
type Complex = (f32, f32);

/// The Fourier transform of stretches under a Hann window.
pub(crate) struct Spectrum {
    window: [f32; LENGTH],
    /// The roots of unity.
    turns: [Complex; LENGTH / 2],
}

impl Spectrum {
    pub(crate) fn new() -> Self {
        let angle = |n: usize| TAU * n as f32 / LENGTH as f32;
        Self {
            window: std::array::from_fn(|n| 0.5 - 0.5 * angle(n).cos()),
            turns: std::array::from_fn(|n| (angle(n).cos(), -angle(n).sin())),
        }
    }

    /// The magnitudes of two stretches at once: one is the real part of the transformed numbers, the
    /// other the imaginary one, and they come apart by symmetry.
    pub(crate) fn magnitudes(&self, a: &[f32], b: &[f32]) -> [[f32; 2]; BINS] {
        let mut z = [(0.0, 0.0); LENGTH];
        for (n, ((a, b), window)) in a.iter().zip(b).zip(&self.window).enumerate() {
            let reversed = n.reverse_bits() >> (usize::BITS - N_STAGES);
            z[reversed] = (a * window, b * window);
        }
        self.transform(&mut z);
        std::array::from_fn(|k| {
            let (re, im) = z[k];
            let (mirror_re, mirror_im) = z[(LENGTH - k) % LENGTH];
            let length = |re: f32, im: f32| 0.5 * (re * re + im * im).sqrt();
            [
                length(re + mirror_re, im - mirror_im),
                length(im + mirror_im, mirror_re - re),
            ]
        })
    }

    fn transform(&self, z: &mut [Complex; LENGTH]) {
        for stage in 0..N_STAGES {
            let half = 1 << stage;
            for group in z.chunks_exact_mut(2 * half) {
                let (low, high) = group.split_at_mut(half);
                for (n, (low, high)) in low.iter_mut().zip(high).enumerate() {
                    let (re, im) = self.turns[n * (LENGTH / 2 / half)];
                    let turned = (high.0 * re - high.1 * im, high.0 * im + high.1 * re);
                    (*low, *high) = (
                        (low.0 + turned.0, low.1 + turned.1),
                        (low.0 - turned.0, low.1 - turned.1),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tones_are_found_each_at_its_pitch() {
        let tone = |bin: f32| -> Vec<f32> {
            (0..LENGTH)
                .map(|n| (TAU * bin * n as f32 / LENGTH as f32).cos())
                .collect()
        };
        let magnitudes = Spectrum::new().magnitudes(&tone(10.0), &tone(77.0));
        for (bin, [a, b]) in magnitudes.iter().enumerate() {
            // A Hann window halves the sum and leaks a quarter into the neighbours.
            let expected = |peak: usize| match bin.abs_diff(peak) {
                0 => 64.0,
                1 => 32.0,
                _ => 0.0,
            };
            assert!((a - expected(10)).abs() < 1e-3, "{bin}: {a}");
            assert!((b - expected(77)).abs() < 1e-3, "{bin}: {b}");
        }
    }
}
