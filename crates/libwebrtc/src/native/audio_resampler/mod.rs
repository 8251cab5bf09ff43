//! Changes the rate and the channel count of a stream of audio.
//!
//! The arithmetic is the engine's own converter; here are the checks of the public API and a fixed
//! delay: silence as long as the filter looks ahead goes in first, so that 10 ms in give 10 ms out
//! from the first call on.

use crate::engine::resample::Converter;

/// Rates (Hz) that make sense; beyond them the filter would grow without use.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Channels at most, as in the mixer.
const MAX_CHANNELS: u32 = 24;

/// **Works.** A resampler for one stream; each stream needs its own.
#[derive(Default)]
pub struct AudioResampler {
    converter: Option<(Format, Converter)>,
    output: Vec<i16>,
}

impl AudioResampler {
    /// **Works.** Converts the next stretch of the stream.
    ///
    /// Shape: `src` starts with `samples_per_channel × num_channels` interleaved samples at
    /// `sample_rate` Hz; the result is interleaved at `dst_sample_rate` Hz. All results together
    /// have `samples × dst_sample_rate / sample_rate` samples per channel, rounded up: 10 ms in
    /// give 10 ms out, at most 4 ms later (at once if the rate stays). Changing a rate or
    /// a channel count begins a new stream.
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
            rate: sample_rate,
            channels: num_channels,
            dst_rate: dst_sample_rate,
            dst_channels: dst_num_channels,
        };
        let samples = (samples_per_channel as usize).saturating_mul(num_channels as usize);
        let Some(src) = src.get(..samples).filter(|_| format.is_possible()) else {
            log::error!(
                "cannot resample {} samples, said to be {samples_per_channel} × {num_channels} at \
                 {sample_rate} Hz, to {dst_num_channels} channels at {dst_sample_rate} Hz",
                src.len(),
            );
            return &self.output;
        };
        let same = self
            .converter
            .take()
            .filter(|(present, _)| *present == format);
        let (_, converter) = self
            .converter
            .insert(same.unwrap_or_else(|| (format, format.start())));
        converter.convert(src, &mut self.output);
        &self.output
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Format {
    rate: u32,
    channels: u32,
    dst_rate: u32,
    dst_channels: u32,
}

impl Format {
    fn is_possible(self) -> bool {
        RATES_HZ.contains(&self.rate)
            && RATES_HZ.contains(&self.dst_rate)
            && (1..=MAX_CHANNELS).contains(&self.channels)
            && (1..=MAX_CHANNELS).contains(&self.dst_channels)
    }

    /// A converter that owes nothing: the silence that it looks ahead at is in it already.
    fn start(self) -> Converter {
        let Self {
            rate,
            channels,
            dst_rate,
            dst_channels,
        } = self;
        let mut converter = Converter::between(rate, channels, dst_rate, dst_channels);
        if rate != dst_rate {
            let silence = vec![0; converter.lookahead() * channels as usize];
            let mut nothing_yet = Vec::new();
            converter.convert(&silence, &mut nothing_yet);
            debug_assert!(
                nothing_yet.is_empty(),
                "the look-ahead alone completes no sample"
            );
        }
        converter
    }
}

#[cfg(test)]
mod tests;
