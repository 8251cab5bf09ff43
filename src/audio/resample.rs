//! Sound at another rate: of whole recordings, and of streams as they come.

use std::f64::consts::PI;

/// Zero crossings of the filter on each side: speech keeps what transcription needs.
const CROSSINGS: usize = 12;

/// Filters of a resampler at most. The usual rates need up to 640; others take the nearest one, which
/// moves a sample by less than a thousandth of its distance to the next.
const FILTERS_MAX: usize = 1_024;

/// How much slower the filters can make audio, from 96 to 8 kHz: their length grows with it.
const SLOWNESS_MAX: f64 = 12.0;

/// The same mono sound at `to_hz`, filtered so that nothing folds back. Rates are in samples per
/// second and not zero; the costs grow with the recording's length, so not for an async task.
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz || samples.is_empty() {
        return samples.to_vec();
    }
    let mut resampler = Resampler::new(from_hz, to_hz);
    let mut resampled = resampler.push(samples);
    resampled.extend(resampler.flush());
    resampled
}

/// Changes the rate of a stream of mono sound: what comes in pieces sounds as if it had come whole.
/// What it yields is behind by 12 samples of the slower rate.
pub struct Resampler {
    up: usize,
    down: usize,
    half: usize,
    filters: Vec<Vec<f64>>,
    /// The sound that is still needed, and the place of its first sample in the whole stream.
    kept: Vec<i16>,
    kept_from: usize,
    n_out: usize,
}

impl Resampler {
    /// Rates are in samples per second and not zero. Whatever they are, the filters take at most 2.4 MB;
    /// more than 12 times slower folds back.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let divisor = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
        // In samples of the slower of both rates.
        let slowness = (f64::from(from_hz) / f64::from(to_hz)).clamp(1.0, SLOWNESS_MAX);
        let half = (CROSSINGS as f64 * slowness).ceil() as usize;
        let n_filters = up.min(FILTERS_MAX);
        let filters = (0..n_filters)
            .map(|n| filter(n as f64 / n_filters as f64, half, slowness))
            .collect();
        Self {
            up,
            down,
            half,
            filters,
            kept: Vec::new(),
            kept_from: 0,
            n_out: 0,
        }
    }

    /// Takes the next sound and returns all that is ready.
    pub fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        self.kept.extend_from_slice(samples);
        let n_in = self.kept_from + self.kept.len();
        // As many as lie so far from the end that the filter sees only what has come.
        let n_ready = (n_in.saturating_sub(self.half) * self.up).div_ceil(self.down);
        let ready = self.produce(n_ready);
        let needed_from = (self.n_out * self.down / self.up + 1).saturating_sub(self.half);
        let n_surplus = needed_from
            .saturating_sub(self.kept_from)
            .min(self.kept.len());
        self.kept.drain(..n_surplus);
        self.kept_from += n_surplus;
        ready
    }

    /// The rest; what comes after it is another sound.
    pub fn flush(&mut self) -> Vec<i16> {
        let n_in = self.kept_from + self.kept.len();
        let rest = self.produce((n_in * self.up).div_ceil(self.down));
        self.kept.clear();
        self.kept_from = 0;
        self.n_out = 0;
        rest
    }

    /// The samples up to the `n_end`-th of the stream.
    fn produce(&mut self, n_end: usize) -> Vec<i16> {
        let begin = self.n_out.min(n_end);
        self.n_out = n_end.max(self.n_out);
        (begin..n_end).map(|n| self.sample(n)).collect()
    }

    fn sample(&self, n: usize) -> i16 {
        let (centre, phase) = (n * self.down / self.up, n * self.down % self.up);
        let filter = &self.filters[phase * self.filters.len() / self.up];
        let taps = filter.iter().enumerate();
        let sum: f64 = taps
            .map(|(tap, weight)| {
                let place = (centre + tap + 1).checked_sub(self.half + self.kept_from);
                let sample = place.and_then(|place| self.kept.get(place)).copied();
                weight * f64::from(sample.unwrap_or(0))
            })
            .sum();
        // Saturates.
        sum.round() as i16
    }
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
        for from in [8_000, 24_000, 44_100, 44_101, 48_000] {
            let resampled = resample(&tone(440.0, from), from, 16_000);
            let expected = tone(440.0, 16_000);
            assert_eq!(resampled.len(), expected.len(), "{from}");
            let pairs = resampled.iter().zip(&expected).skip(200).take(15_000);
            let worst = pairs.map(|(a, b)| (a - b).abs()).max().unwrap();
            assert!(worst < 200, "{from}: off by {worst}");
        }
    }

    #[test]
    fn filters_are_bounded_at_any_rate() {
        for (from, to) in [
            (16_777_213, 16_000),
            (u32::MAX, 1),
            (1, u32::MAX),
            (44_101, 16_000),
        ] {
            let filters = Resampler::new(from, to).filters;
            let n_weights: usize = filters.iter().map(Vec::len).sum();
            let max = FILTERS_MAX * 2 * CROSSINGS * SLOWNESS_MAX as usize;
            assert!(n_weights <= max, "{from} to {to}: {n_weights}");
        }
    }

    #[test]
    fn pieces_of_any_size_sound_as_the_whole() {
        for (from, to) in [(16_000, 24_000), (24_000, 16_000), (44_100, 16_000)] {
            let sound = tone(440.0, from);
            let whole = resample(&sound, from, to);
            for size in [1, 7, 160, 801] {
                let mut resampler = Resampler::new(from, to);
                let pieces = sound.chunks(size).map(|piece| resampler.push(piece));
                let mut joined = pieces.collect::<Vec<_>>().concat();
                joined.extend(resampler.flush());
                assert!(joined == whole, "{from} to {to} in pieces of {size}");
                assert!(resampler.kept.is_empty());
            }
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
