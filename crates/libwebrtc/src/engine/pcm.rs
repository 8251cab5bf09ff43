//! The shape of sound inside the engine: interleaved 16-bit PCM at a rate that Opus takes.
//!
//! Sound at other rates or with more channels is converted at the edge ([`super::resample`]), never
//! in between.

/// Ticks per second of the RTP clock of Opus, whatever the rate of the sound (RFC 7587, 4.1).
pub(crate) const RTP_CLOCK_HZ: u32 = 48_000;

/// Rates at which libopus encodes and decodes, lowest first.
const OPUS_RATES_HZ: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Rate and channels of interleaved PCM; only what Opus takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PcmFormat {
    sample_rate: u32,
    is_stereo: bool,
}

impl PcmFormat {
    /// The format, if Opus takes it as it is.
    pub(crate) fn exactly(sample_rate: u32, channels: u32) -> Option<Self> {
        let takes = OPUS_RATES_HZ.contains(&sample_rate) && (1..=2).contains(&channels);
        takes.then_some(Self {
            sample_rate,
            is_stereo: channels == 2,
        })
    }

    /// The format that keeps most of such sound: the next rate up, at most two channels.
    pub(crate) fn nearest(sample_rate: u32, channels: u32) -> Self {
        let rate = OPUS_RATES_HZ.iter().find(|rate| **rate >= sample_rate);
        Self {
            sample_rate: *rate.unwrap_or(&RTP_CLOCK_HZ),
            is_stereo: channels >= 2,
        }
    }

    pub(crate) fn sample_rate(self) -> u32 {
        self.sample_rate
    }

    pub(crate) fn channels(self) -> usize {
        if self.is_stereo { 2 } else { 1 }
    }

    pub(crate) fn opus_channels(self) -> opus::Channels {
        if self.is_stereo {
            opus::Channels::Stereo
        } else {
            opus::Channels::Mono
        }
    }

    /// Interleaved samples in 10 ms.
    pub(crate) fn samples_10ms(self) -> usize {
        self.sample_rate as usize / 100 * self.channels()
    }

    /// Samples per channel that last as long as so many ticks of the RTP clock.
    pub(crate) fn samples_of_ticks(self, ticks: u32) -> usize {
        (u64::from(ticks) * u64::from(self.sample_rate) / u64::from(RTP_CLOCK_HZ)) as usize
    }

    /// Ticks of the RTP clock that last as long as so many samples per channel.
    pub(crate) fn ticks_of_samples(self, samples: usize) -> u32 {
        samples as u32 * (RTP_CLOCK_HZ / self.sample_rate)
    }
}
