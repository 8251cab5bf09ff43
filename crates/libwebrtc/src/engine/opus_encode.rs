//! One Opus encoder: settings applied as they change, output into a buffer that is used again.
//!
//! What the packets are for (RTP, RED) is not known here.

use opus::{Application, Bitrate, Encoder};

use super::pcm::PcmFormat;

/// Sound in one packet, in milliseconds: what every WebRTC peer expects.
pub(crate) const PACKET_MS: usize = 20;
/// Largest packet libopus makes of 20 ms (RFC 6716, 3.4: a frame has at most 1275 bytes).
const PACKET_BYTES_MAX: usize = 1276;
/// Bits per second and channel when nobody asked for a bitrate: full-band speech.
const BITRATE_PER_CHANNEL_BPS: u32 = 32_000;
/// What libopus accepts.
const BITRATE_BPS: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncoderSettings {
    /// None = 32 kbit/s per channel.
    pub(crate) bitrate_bps: Option<u32>,
    /// 0 (cheapest) to 10. On one call 9, 5 and 0 cost 2.1, 1.8 and 1.5 % of a core.
    pub(crate) complexity: u8,
    /// Repeat a coarse version of each frame in the next packet (in-band FEC).
    pub(crate) fec: bool,
    /// Loss the FEC is made for; at 0 libopus sends none.
    pub(crate) expected_loss_percent: u8,
    /// Send almost nothing during silence.
    pub(crate) dtx: bool,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        let (complexity, expected_loss_percent) = (5, 10);
        Self {
            bitrate_bps: None,
            complexity,
            fec: true,
            expected_loss_percent,
            dtx: false,
        }
    }
}

/// Encodes 20 ms at a time.
#[derive(Debug)]
pub(crate) struct OpusEncoder {
    encoder: Encoder,
    format: PcmFormat,
    packet: Box<[u8; PACKET_BYTES_MAX]>,
}

impl OpusEncoder {
    /// # Errors
    /// libopus could not get memory.
    pub(crate) fn new(format: PcmFormat, settings: &EncoderSettings) -> Result<Self, opus::Error> {
        let application = match format.channels() {
            1 => Application::Voip,
            _ => Application::Audio,
        };
        let encoder = Encoder::new(format.sample_rate(), format.opus_channels(), application)?;
        let mut encoder = Self {
            encoder,
            format,
            packet: Box::new([0; PACKET_BYTES_MAX]),
        };
        encoder.apply(settings)?;
        Ok(encoder)
    }

    pub(crate) fn format(&self) -> PcmFormat {
        self.format
    }

    /// Changes the settings without a break in the sound. Values out of range are brought in.
    ///
    /// # Errors
    /// libopus refused one, which means that the ranges here are wrong.
    pub(crate) fn apply(&mut self, settings: &EncoderSettings) -> Result<(), opus::Error> {
        let default = BITRATE_PER_CHANNEL_BPS * self.format.channels() as u32;
        let bitrate = settings.bitrate_bps.unwrap_or(default);
        let bitrate = bitrate.clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end());
        self.encoder.set_bitrate(Bitrate::Bits(bitrate as i32))?;
        self.encoder
            .set_complexity(i32::from(settings.complexity.min(10)))?;
        self.encoder.set_inband_fec(settings.fec)?;
        self.encoder
            .set_packet_loss_perc(i32::from(settings.expected_loss_percent.min(100)))?;
        self.encoder.set_dtx(settings.dtx)
    }

    /// Encodes [`PACKET_MS`] of interleaved samples.
    ///
    /// A result of at most 2 bytes says that nothing need be sent (DTX).
    ///
    /// # Errors
    /// `pcm` has another length, or libopus failed.
    pub(crate) fn encode(&mut self, pcm: &[i16]) -> Result<&[u8], opus::Error> {
        let bytes = self.encoder.encode(pcm, &mut self.packet[..])?;
        Ok(&self.packet[..bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who dates sound by when it came out of a decoder relies on it.
    #[test]
    fn an_encoder_looks_ahead_six_and_a_half_ms_at_every_rate() {
        for (rate, channels) in [(16_000, 1), (24_000, 1), (48_000, 1), (48_000, 2)] {
            let format = PcmFormat::exactly(rate, channels).unwrap();
            let mut encoder = OpusEncoder::new(format, &EncoderSettings::default()).unwrap();
            let ahead = encoder.encoder.get_lookahead().unwrap();
            assert_eq!(ahead * 2_000, rate as i32 * 13, "{rate} Hz, {channels}");
        }
    }
}
