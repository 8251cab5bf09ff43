//! What is heard beside voices, made from a seed: the same each time.
//!
//! Everything is 16 kHz mono around a level of 1; whoever mixes it decides how loud it is.

use std::f64::consts::TAU;

use super::rms;
use crate::SAMPLE_RATE_HZ;

const RATE: f64 = SAMPLE_RATE_HZ as f64;

/// Numbers that look random and are the same for the same seed.
///
/// Source: splitmix64, Steele, Lea and Flood 2014.
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// One of `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }
}

/// Noise of the same power in each octave, as rooms and lines have.
pub fn pink(n_samples: usize, random: &mut Random) -> Vec<f64> {
    // Three leaky sums of white noise, each for its own octaves.
    let mut sums = [0.0; 3];
    let noise = (0..n_samples).map(|_| {
        let white = random.between(-1.0, 1.0);
        for (sum, (leak, gain)) in sums
            .iter_mut()
            .zip([(0.998, 0.1), (0.963, 0.3), (0.57, 1.1)])
        {
            *sum = leak * *sum + gain * white;
        }
        sums.iter().sum::<f64>() + 0.18 * white
    });
    normal(noise.collect())
}

/// A fan: a hum with its overtones under rushing air.
pub fn fan(n_samples: usize, random: &mut Random) -> Vec<f64> {
    let mut air = 0.0;
    let noise = (0..n_samples).map(|n| {
        let t = n as f64 / RATE;
        air = 0.85 * air + 0.15 * random.between(-1.0, 1.0);
        let hum: f64 = (1..6)
            .map(|k| (TAU * 118.0 * f64::from(k) * t).sin() / f64::from(k))
            .sum();
        air + 0.05 * hum * (1.0 + 0.2 * (TAU * 0.7 * t).sin())
    });
    normal(noise.collect())
}

/// A breath in or out, of 0.3 to 0.8 s: air through a mouth, without a pitch.
pub fn breath(random: &mut Random) -> Vec<f64> {
    let seconds = random.between(0.3, 0.8);
    let n_samples = (seconds * RATE) as usize;
    let mut mouth = Resonance::new(random.between(900.0, 1_700.0), 900.0);
    let mut teeth = Resonance::new(random.between(3_500.0, 5_500.0), 2_000.0);
    let sound = (0..n_samples).map(|n| {
        let white = random.between(-1.0, 1.0);
        let swell = (n as f64 / n_samples as f64 * TAU / 2.0).sin().powf(1.5);
        swell * (mouth.push(white) + 0.6 * teeth.push(white) + 0.05 * white)
    });
    normal(sound.collect())
}

/// A key: the click going down, the thump of the board, and the click coming up.
pub fn key(random: &mut Random) -> Vec<f64> {
    let n_samples = (RATE * 0.16) as usize;
    let up_at = random.between(0.07, 0.11);
    let (pitch, thump) = (
        random.between(2_200.0, 4_200.0),
        random.between(180.0, 320.0),
    );
    let mut plastic = Resonance::new(pitch, 900.0);
    let sound = (0..n_samples).map(|n| {
        let t = n as f64 / RATE;
        let fading = |since: f64, over: f64| {
            if t < since {
                0.0
            } else {
                (-(t - since) / over).exp()
            }
        };
        let clicks = fading(0.0, 0.004) + 0.5 * fading(up_at, 0.003);
        plastic.push(clicks * random.between(-1.0, 1.0))
            + 0.15 * fading(0.0, 0.03) * (TAU * thump * t).sin()
    });
    normal(sound.collect())
}

/// Music: chords, a melody with overtones, a bass and drums.
pub fn music(n_samples: usize, random: &mut Random) -> Vec<f64> {
    const BEAT_SECONDS: f64 = 0.5;
    const CHORDS: [[f64; 3]; 4] = [
        [0.0, 4.0, 7.0],
        [9.0, 12.0, 16.0],
        [5.0, 9.0, 12.0],
        [7.0, 11.0, 14.0],
    ];
    const MELODY: [f64; 8] = [0.0, 4.0, 7.0, 12.0, 9.0, 7.0, 4.0, 2.0];
    let n_beat = (BEAT_SECONDS * RATE) as usize;
    let tone = |t: f64, half_tones: f64, base_hz: f64| -> f64 {
        let hz = base_hz * 2_f64.powf(half_tones / 12.0);
        (1..5)
            .map(|k| (TAU * hz * f64::from(k) * t).sin() / f64::from(k * k))
            .sum()
    };
    let (mut step, mut snare) = (0, Resonance::new(1_800.0, 1_500.0));
    let sound = (0..n_samples).map(|n| {
        let (beat, t) = (n / n_beat, n as f64 / RATE);
        let into = (n % n_beat) as f64 / RATE;
        if n % n_beat == 0 {
            step = random.below(MELODY.len());
        }
        let chord = CHORDS[beat / 4 % CHORDS.len()];
        let chords: f64 = chord
            .iter()
            .map(|half_tones| tone(t, *half_tones, 261.6))
            .sum();
        let melody = tone(t, MELODY[step], 523.3) * (-into * 4.0).exp();
        let bass = tone(t, chord[0], 65.4) * (-into * 2.0).exp();
        let kick = (TAU * 55.0 * into).sin() * (-into * 18.0).exp();
        let brush = snare.push(random.between(-1.0, 1.0)) * (-into * 25.0).exp();
        let drum = if beat % 2 == 0 {
            3.0 * kick
        } else {
            2.0 * brush
        };
        0.4 * chords + melody + bass + drum
    });
    normal(sound.collect())
}

/// What rings at a pitch when it is struck.
struct Resonance {
    feedback: (f64, f64),
    past: (f64, f64),
}

impl Resonance {
    fn new(hz: f64, width_hz: f64) -> Self {
        let radius = (-TAU / 2.0 * width_hz / RATE).exp();
        Self {
            feedback: (2.0 * radius * (TAU * hz / RATE).cos(), -radius * radius),
            past: (0.0, 0.0),
        }
    }

    fn push(&mut self, input: f64) -> f64 {
        let output = input + self.feedback.0 * self.past.0 + self.feedback.1 * self.past.1;
        self.past = (output, self.past.0);
        output
    }
}

/// The same sound at a level of 1.
pub fn normal(mut sound: Vec<f64>) -> Vec<f64> {
    let level = rms(&sound);
    if level > 0.0 {
        sound.iter_mut().for_each(|sample| *sample /= level);
    }
    sound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_sound_at_the_same_level() {
        let kinds: [fn(&mut Random) -> Vec<f64>; 5] = [
            |random| pink(8_000, random),
            |random| fan(8_000, random),
            breath,
            key,
            |random| music(8_000, random),
        ];
        for kind in kinds {
            let sound = kind(&mut Random::new(7));
            assert_eq!(sound, kind(&mut Random::new(7)));
            assert_ne!(sound, kind(&mut Random::new(8)));
            assert!((rms(&sound) - 1.0).abs() < 1e-9);
        }
    }
}
