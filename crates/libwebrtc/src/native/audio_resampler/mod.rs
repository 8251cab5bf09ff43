//! Changes the rate and the channel count of a stream of audio.
//!
//! A windowed-sinc interpolator: linear phase, any pair of rates from 4 to 384 kHz, calls of any
//! length. It keeps the end of each call for the next, so a stream cut into frames comes out as if
//! it had been converted whole, delayed by half the filter (0.7 ms at 48 kHz, less than 4 ms at 8).

use crate::native::remix::{push_remixed, to_sample};

/// Filter taps when the rate rises or stays; proportionally more when it falls.
const TAPS: usize = 64;
/// Positions between two input samples for which taps are tabulated; between them they are
/// interpolated linearly, which keeps the error below that of 16-bit samples.
const PHASES: usize = 256;
/// Part of the lower rate's band that passes: leaves the filter room to fall off.
const PASS_BAND: f64 = 0.92;
/// Rates (Hz) that make sense; outside them the tables would grow without use.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Channels at most, as in the mixer.
const MAX_CHANNELS: u32 = 24;

/// **Works.** A resampler for one stream; each stream needs its own.
#[derive(Default)]
pub struct AudioResampler {
    stream: Option<Stream>,
    output: Vec<i16>,
}

impl AudioResampler {
    /// **Works.** Converts the next stretch of the stream.
    ///
    /// Shape: `src` starts with `samples_per_channel × num_channels` interleaved samples at
    /// `sample_rate` Hz; the result is interleaved at `dst_sample_rate` Hz. All results together
    /// have `samples × dst_sample_rate / sample_rate` samples per channel, rounded up: 10 ms in
    /// gives 10 ms out. Changing a rate or a channel count begins a new stream.
    ///
    /// Rates outside 4 to 384 kHz, channel counts outside 1 to 24 and a `src` that is too short
    /// are errors: logged, and the result is empty.
    pub fn remix_and_resample<'a>(
        &'a mut self,
        src: &[i16],
        samples_per_channel: u32,
        num_channels: u32,
        sample_rate: u32,
        dst_num_channels: u32,
        dst_sample_rate: u32,
    ) -> &'a [i16] {
        self.output.clear();
        let format = Format {
            channels: num_channels as usize,
            rate: sample_rate,
            dst_channels: dst_num_channels as usize,
            dst_rate: dst_sample_rate,
        };
        let samples = (samples_per_channel as usize).saturating_mul(format.channels);
        let possible = RATES_HZ.contains(&sample_rate)
            && RATES_HZ.contains(&dst_sample_rate)
            && (1..=MAX_CHANNELS).contains(&num_channels)
            && (1..=MAX_CHANNELS).contains(&dst_num_channels);
        let Some(src) = src.get(..samples).filter(|_| possible) else {
            log::error!(
                "cannot resample {} samples, said to be {samples_per_channel} × {num_channels} at \
                 {sample_rate} Hz, to {dst_num_channels} channels at {dst_sample_rate} Hz",
                src.len(),
            );
            return &self.output;
        };
        if self
            .stream
            .as_ref()
            .is_none_or(|stream| stream.format != format)
        {
            self.stream = Some(Stream::new(format));
        }
        if let Some(stream) = &mut self.stream {
            stream.convert(src, &mut self.output);
        }
        &self.output
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Format {
    channels: usize,
    rate: u32,
    dst_channels: usize,
    dst_rate: u32,
}

/// A stream of one format, between two calls.
struct Stream {
    format: Format,
    /// `PHASES + 1` rows of `taps` coefficients; empty if the rate stays.
    table: Vec<f32>,
    taps: usize,
    /// Remixed input, interleaved, that the next output may still need: `taps` of silence at first.
    pending: Vec<f32>,
    /// Place of the next output in `pending`, in input samples × `dst_rate`.
    position: u64,
}

impl Stream {
    fn new(format: Format) -> Self {
        if format.rate == format.dst_rate {
            return Self {
                format,
                table: Vec::new(),
                taps: 0,
                pending: Vec::new(),
                position: 0,
            };
        }
        let (rate, dst_rate) = (f64::from(format.rate), f64::from(format.dst_rate));
        let widening = (rate / dst_rate).max(1.0);
        let taps = (TAPS as f64 * widening).ceil() as usize;
        Self {
            format,
            table: filter_table(taps, PASS_BAND / widening),
            taps,
            pending: vec![0.0; (taps - 1) * format.dst_channels],
            position: 0,
        }
    }

    fn convert(&mut self, src: &[i16], output: &mut Vec<i16>) {
        let mut instant = Vec::with_capacity(self.format.channels);
        for samples in src.chunks_exact(self.format.channels) {
            instant.clear();
            instant.extend(samples.iter().map(|&sample| f32::from(sample)));
            push_remixed(&instant, self.format.dst_channels, &mut self.pending);
        }
        if self.table.is_empty() {
            output.extend(self.pending.drain(..).map(to_sample));
            return;
        }
        let (step, unit) = (u64::from(self.format.rate), u64::from(self.format.dst_rate));
        let channels = self.format.dst_channels;
        let available = self.pending.len() / channels;
        while (self.position / unit) as usize + self.taps <= available {
            let start = (self.position / unit) as usize;
            let fraction = (self.position % unit) as f32 / unit as f32;
            self.interpolate(start, fraction, output);
            self.position += step;
        }
        let used = ((self.position / unit) as usize).min(available);
        self.pending.drain(..used * channels);
        self.position -= used as u64 * unit;
    }

    /// One output instant, `fraction` of the way past input instant `start`.
    fn interpolate(&self, start: usize, fraction: f32, output: &mut Vec<i16>) {
        let place = fraction * PHASES as f32;
        let phase = (place as usize).min(PHASES - 1);
        let weight = place - phase as f32;
        let rows = &self.table[phase * self.taps..(phase + 2) * self.taps];
        let (near, far) = rows.split_at(self.taps);
        let channels = self.format.dst_channels;
        let window = &self.pending[start * channels..(start + self.taps) * channels];
        for channel in 0..channels {
            let samples = window.iter().skip(channel).step_by(channels);
            let sum: f32 = samples
                .zip(near.iter().zip(far))
                .map(|(sample, (near, far))| sample * (near + (far - near) * weight))
                .sum();
            output.push(to_sample(sum));
        }
    }
}

/// Coefficients of a low-pass at `cutoff` (1 = half the input rate) for each phase.
///
/// Each row is scaled to pass a constant unchanged. The window is Blackman's.
fn filter_table(taps: usize, cutoff: f64) -> Vec<f32> {
    use std::f64::consts::PI;

    let mut table = Vec::with_capacity((PHASES + 1) * taps);
    let middle = (taps / 2) as f64 - 1.0;
    for phase in 0..=PHASES {
        let centre = middle + phase as f64 / PHASES as f64;
        let row = (0..taps).map(|tap| {
            let distance = tap as f64 - centre;
            let angle = PI * cutoff * distance;
            let sinc = if angle == 0.0 {
                1.0
            } else {
                angle.sin() / angle
            };
            let turn = (distance / taps as f64).clamp(-0.5, 0.5) * 2.0 * PI;
            sinc * (0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
        });
        let row: Vec<f64> = row.collect();
        let sum: f64 = row.iter().sum();
        table.extend(row.iter().map(|coefficient| (coefficient / sum) as f32));
    }
    table
}

#[cfg(test)]
mod tests;
