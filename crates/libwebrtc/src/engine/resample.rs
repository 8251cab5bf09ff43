//! Conversion of PCM between sample rates and channel counts, by a windowed sinc.
//!
//! Only for sound at rates Opus does not take itself (44.1, 32, 22.05 kHz…) and for sinks that want
//! such rates. Works on a stream: the last samples of a block wait for the next, about 0.5 ms.

use super::pcm::PcmFormat;

/// Zero crossings of the sinc on each side: 32 taps, about 80 dB in the stop band.
const CROSSINGS: usize = 16;
/// Table entries per zero crossing; values between are interpolated.
const OVERSAMPLING: usize = 256;
/// Kaiser window's shape: 80 dB of stop band.
const KAISER_BETA: f64 = 7.9;

/// Converts one stream from one rate and channel count to another.
#[derive(Debug)]
pub(crate) struct Converter {
    rate_in: u32,
    channels_in: usize,
    rate_out: u32,
    channels_out: usize,
    /// Half of the symmetric filter, from its centre outwards.
    filter: Vec<f32>,
    /// Input frames on each side of an output frame that are looked at.
    reach: usize,
    /// Cut-off against the input's own: below 1 when the rate goes down.
    cutoff: f64,
    /// Input not used up yet, in the output's channels.
    input: Vec<f32>,
    /// Position of the next output frame in `input`: whole frames and `rate_out`-ths of one.
    position: usize,
    fraction: u32,
}

impl Converter {
    pub(crate) fn new(rate_in: u32, channels_in: u32, output: PcmFormat) -> Self {
        Self::between(
            rate_in,
            channels_in,
            output.sample_rate(),
            output.channels() as u32,
        )
    }

    /// Rates and channel counts below 1 are taken for 1.
    pub(crate) fn between(
        rate_in: u32,
        channels_in: u32,
        rate_out: u32,
        channels_out: u32,
    ) -> Self {
        let (rate_in, rate_out) = (rate_in.max(1), rate_out.max(1));
        let (channels_in, channels_out) =
            (channels_in.max(1) as usize, channels_out.max(1) as usize);
        let cutoff = (f64::from(rate_out) / f64::from(rate_in)).min(1.0);
        let reach = (CROSSINGS as f64 / cutoff).ceil() as usize;
        Self {
            rate_in,
            channels_in,
            rate_out,
            channels_out,
            filter: filter(),
            reach,
            cutoff,
            // Silence before the first sample.
            input: vec![0.0; reach * channels_out],
            position: reach,
            fraction: 0,
        }
    }

    /// Whether this converts between just these.
    pub(crate) fn takes(&self, rate_in: u32, channels_in: u32, output: PcmFormat) -> bool {
        self.rate_in == rate_in
            && self.channels_in == channels_in as usize
            && self.rate_out == output.sample_rate()
            && self.channels_out == output.channels()
    }

    /// Appends the converted sound to `output`; samples that make no whole frame are dropped.
    pub(crate) fn convert(&mut self, pcm: &[i16], output: &mut Vec<i16>) {
        if self.rate_in == self.rate_out {
            pcm.chunks_exact(self.channels_in).for_each(|frame| {
                output.extend(
                    (0..self.channels_out)
                        .map(|c| remix(frame, c, self.channels_out).round() as i16),
                );
            });
            return;
        }
        for frame in pcm.chunks_exact(self.channels_in) {
            self.input
                .extend((0..self.channels_out).map(|c| remix(frame, c, self.channels_out)));
        }
        let frames = self.input.len() / self.channels_out;
        while self.position + self.reach < frames {
            for channel in 0..self.channels_out {
                let sample = self.sample(channel).round();
                output.push(sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16);
            }
            let next = u64::from(self.fraction) + u64::from(self.rate_in);
            self.position += (next / u64::from(self.rate_out)) as usize;
            self.fraction = (next % u64::from(self.rate_out)) as u32;
        }
        let used = (self.position - self.reach).min(frames);
        self.input.drain(..used * self.channels_out);
        self.position -= used;
    }

    /// Value of the input at the present position.
    fn sample(&self, channel: usize) -> f32 {
        let fraction = f64::from(self.fraction) / f64::from(self.rate_out);
        let first = self.position + 1 - self.reach;
        let mut sum = 0.0;
        for tap in first..=self.position + self.reach {
            let distance = (tap as f64 - self.position as f64 - fraction).abs() * self.cutoff;
            let at = distance * OVERSAMPLING as f64;
            let index = at as usize;
            if index + 1 < self.filter.len() {
                let (low, high) = (self.filter[index], self.filter[index + 1]);
                let weight = low + (high - low) * (at - index as f64) as f32;
                sum += weight * self.input[tap * self.channels_out + channel];
            }
        }
        sum * self.cutoff as f32
    }
}

/// One output channel of an input frame: mono goes to all, stereo and more are averaged to mono,
/// else channels keep their place.
fn remix(frame: &[i16], channel: usize, channels_out: usize) -> f32 {
    if channels_out == 1 {
        return frame.iter().map(|s| f32::from(*s)).sum::<f32>() / frame.len() as f32;
    }
    f32::from(*frame.get(channel).unwrap_or(&frame[0]))
}

/// Half a Kaiser-windowed sinc, `OVERSAMPLING` values per zero crossing.
fn filter() -> Vec<f32> {
    let value = |index: usize| {
        let x = index as f64 / OVERSAMPLING as f64;
        let sinc = match index {
            0 => 1.0,
            _ => (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x),
        };
        let edge = x / CROSSINGS as f64;
        let window = bessel_i0(KAISER_BETA * (1.0 - edge * edge).max(0.0).sqrt());
        (sinc * window / bessel_i0(KAISER_BETA)) as f32
    };
    (0..=CROSSINGS * OVERSAMPLING).map(value).collect()
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Largest difference to a perfect sine after conversion in 10 ms blocks, edges left out.
    fn worst_error(rate_in: u32, rate_out: u32, tone_hz: f64) -> f64 {
        let mut converter = Converter::between(rate_in, 1, rate_out, 1);
        let sine =
            |n: usize, rate: u32| 8000.0 * (TAU * tone_hz * n as f64 / f64::from(rate)).sin();
        let input: Vec<i16> = (0..rate_in as usize)
            .map(|n| sine(n, rate_in).round() as i16)
            .collect();
        let mut output = Vec::new();
        input
            .chunks(rate_in as usize / 100)
            .for_each(|block| converter.convert(block, &mut output));
        let wanted = rate_out as usize - rate_out as usize / 100;
        assert!(
            output.len() > wanted,
            "{} of {rate_out} frames came out",
            output.len()
        );
        let errors = output
            .iter()
            .enumerate()
            .skip(200)
            .map(|(n, s)| f64::from(*s) - sine(n, rate_out));
        errors.map(f64::abs).fold(0.0, f64::max)
    }

    #[test]
    fn a_sine_stays_a_sine_at_any_pair_of_rates() {
        for (from, to) in [
            (44_100, 48_000),
            (48_000, 44_100),
            (32_000, 48_000),
            (22_050, 24_000),
            (96_000, 48_000),
            (8_000, 48_000),
            (48_000, 16_000),
            (11_025, 12_000),
        ] {
            let error = worst_error(from, to, 440.0);
            assert!(error < 8.0, "{from} to {to}: off by {error}");
        }
    }

    #[test]
    fn what_a_lower_rate_cannot_hold_is_removed() {
        let mut converter = Converter::between(48_000, 1, 8_000, 1);
        let mut output = Vec::new();
        let tone = |n: usize| (8000.0 * (TAU * 6000.0 * n as f64 / 48_000.0).sin()) as i16;
        converter.convert(&(0..48_000).map(tone).collect::<Vec<_>>(), &mut output);
        let loudest = output
            .iter()
            .skip(50)
            .map(|s| s.unsigned_abs())
            .max()
            .unwrap();
        assert!(loudest < 16, "an alias of {loudest}");
    }

    #[test]
    fn channels_are_mixed_and_spread() {
        let mut output = Vec::new();
        Converter::between(48_000, 2, 48_000, 1).convert(&[100, 300, -50, 50], &mut output);
        Converter::between(48_000, 1, 48_000, 2).convert(&[7, 8], &mut output);
        Converter::between(48_000, 6, 48_000, 2).convert(&[1, 2, 3, 4, 5, 6], &mut output);
        assert_eq!(output, [200, 0, 7, 7, 8, 8, 1, 2]);
    }
}
