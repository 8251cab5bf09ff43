//! Packets to samples.

use std::time::Duration;

use opus::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::packet::Packet;

use super::{SAMPLE_RATES_HZ, Unreadable};

/// Samples of the longest Opus packet, 120 ms, at 48 kHz.
const PACKET_SAMPLES_MAX: usize = 5_760;

/// The audio that is decoded so far.
pub(super) struct Decoded {
    pub(super) samples: Vec<i16>,
    pub(super) sample_rate_hz: u32,
    max: Duration,
}

impl Decoded {
    pub(super) fn new(max: Duration) -> Self {
        Self {
            samples: Vec::new(),
            sample_rate_hz: *SAMPLE_RATES_HZ.start(),
            max,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let seconds = self.samples.len() as f64 / f64::from(self.sample_rate_hz);
        seconds >= self.max.as_secs_f64()
    }

    /// Adds audio of this rate. No browser changes the rate half way; audio of another rate than the
    /// first is left out.
    ///
    /// # Errors
    /// The rate is out of range. The samples that fit into `max` depend on the rate, and so does the
    /// resampler's work.
    pub(super) fn push(
        &mut self,
        sample_rate_hz: u32,
        samples: impl IntoIterator<Item = i16>,
    ) -> Result<(), Unreadable> {
        if !SAMPLE_RATES_HZ.contains(&sample_rate_hz) {
            return Err(Unreadable::SampleRate);
        }
        if self.samples.is_empty() {
            self.sample_rate_hz = sample_rate_hz;
        }
        if self.sample_rate_hz == sample_rate_hz {
            self.samples.extend(samples);
        }
        Ok(())
    }
}

pub(super) enum Decoder {
    /// Decodes to the wanted rate in one channel by itself.
    Opus {
        decoder: opus::Decoder,
        sample_rate_hz: u32,
    },
    Other(Box<dyn AudioDecoder>),
}

impl Decoder {
    pub(super) fn new(
        codec: &AudioCodecParameters,
        sample_rate_hz: u32,
    ) -> Result<Self, Unreadable> {
        if codec.codec == CODEC_ID_OPUS {
            let decoder = opus::Decoder::new(sample_rate_hz, Channels::Mono);
            return Ok(Self::Opus {
                decoder: decoder.map_err(|_| Unreadable::Codec)?,
                sample_rate_hz,
            });
        }
        // MP4 cannot write a rate above 65,535 Hz here and says 0; the packets tell.
        let rate = codec.sample_rate.filter(|rate| *rate != 0);
        if rate.is_some_and(|rate| !SAMPLE_RATES_HZ.contains(&rate)) {
            return Err(Unreadable::SampleRate);
        }
        let codecs = symphonia::default::get_codecs();
        let decoder = codecs.make_audio_decoder(codec, &Default::default());
        let decoder = decoder.map_err(|_| Unreadable::Codec)?;
        // The codec's own configuration may differ from the container's.
        let rate = decoder.codec_params().sample_rate;
        if rate.is_some_and(|rate| !SAMPLE_RATES_HZ.contains(&rate)) {
            return Err(Unreadable::SampleRate);
        }
        Ok(Self::Other(decoder))
    }

    /// Adds the audio of a packet; a broken packet adds none.
    ///
    /// # Errors
    /// See [`Decoded::push`].
    pub(super) fn decode(
        &mut self,
        packet: &Packet,
        decoded: &mut Decoded,
    ) -> Result<(), Unreadable> {
        match self {
            Self::Opus {
                decoder,
                sample_rate_hz,
            } => {
                // libopus invents 120 ms of audio for a packet without data.
                if packet.data.is_empty() {
                    return Ok(());
                }
                let mut samples = [0; PACKET_SAMPLES_MAX];
                let n_samples = decoder.decode(&packet.data, &mut samples, false);
                let samples = &samples[..n_samples.unwrap_or_default()];
                decoded.push(*sample_rate_hz, samples.iter().copied())
            }
            Self::Other(decoder) => {
                let Ok(buffer) = decoder.decode(packet) else {
                    return Ok(());
                };
                let n_channels = buffer.num_planes().max(1);
                let mut samples: Vec<i16> = Vec::new();
                buffer.copy_to_vec_interleaved(&mut samples);
                decoded.push(buffer.spec().rate(), mono(&samples, n_channels))
            }
        }
    }
}

/// One channel out of samples that alternate between channels.
pub fn mono(samples: &[i16], n_channels: usize) -> impl Iterator<Item = i16> {
    samples.chunks_exact(n_channels).map(move |frame| {
        let sum: i32 = frame.iter().copied().map(i32::from).sum();
        (sum / n_channels as i32) as i16
    })
}
