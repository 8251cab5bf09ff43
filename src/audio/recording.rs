//! A recording as browsers and telephones make it, as plain sound: Opus or AAC in WebM, Ogg or MP4.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use opus::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;

use super::AudioFrame;
use super::resample::resample;

/// Samples of the longest Opus packet, 120 ms, at 48 kHz.
const PACKET_SAMPLES_MAX: usize = 5_760;

/// A recording that is none; words for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Neither WebM nor Ogg nor MP4, or broken.
    #[error("it is no WebM, Ogg or MP4 recording, or a broken one ({0})")]
    Container(#[source] Error),
    /// It says of itself what cannot be.
    #[error("it is damaged")]
    Damaged,
    /// There is no sound in it.
    #[error("it has no sound in it")]
    Silent,
    /// Sound in another coding.
    #[error("its sound is neither Opus nor AAC")]
    Codec,
}

/// Decodes a recording to mono at `sample_rate_hz`, one of the rates that Opus has (8, 12, 16, 24 or
/// 48 kHz). What is longer than `max` is left out. Damage in the middle costs its own packets only.
/// Costs milliseconds: not for an async task.
///
/// # Errors
/// [`Unreadable`]: nothing in it can be heard.
pub fn decode(
    recording: Vec<u8>,
    sample_rate_hz: u32,
    max: Duration,
) -> Result<AudioFrame, Unreadable> {
    // Some damaged MP4 makes symphonia 0.6 panic (a subtraction in its table of samples).
    let read = AssertUnwindSafe(|| read(recording, sample_rate_hz, max));
    catch_unwind(read).unwrap_or(Err(Unreadable::Damaged))
}

fn read(recording: Vec<u8>, sample_rate_hz: u32, max: Duration) -> Result<AudioFrame, Unreadable> {
    let source = MediaSourceStream::new(Box::new(Cursor::new(recording)), Default::default());
    let mut container = symphonia::default::get_probe()
        .probe(&Hint::new(), source, Default::default(), Default::default())
        .map_err(Unreadable::Container)?;
    let track = container.default_track(TrackType::Audio);
    let track = track.ok_or(Unreadable::Silent)?;
    let id = track.id;
    let codec = track.codec_params.as_ref().and_then(|it| it.audio());
    let mut decoder = Decoder::new(codec.ok_or(Unreadable::Codec)?, sample_rate_hz)?;
    let mut sound = Sound::new(max);
    while !sound.is_full()
        && let Some(packet) = next_packet(&mut *container, sound.samples.is_empty())?
    {
        if packet.track_id == id {
            decoder.decode(&packet, &mut sound);
        }
    }
    if sound.samples.is_empty() {
        return Err(Unreadable::Silent);
    }
    Ok(AudioFrame {
        samples: resample(&sound.samples, sound.sample_rate_hz, sample_rate_hz),
        sample_rate_hz,
    })
}

/// The next packet. What ends in the middle of one was cut off there: that is an end like any other,
/// unless nothing came before it.
fn next_packet(
    container: &mut dyn FormatReader,
    is_first: bool,
) -> Result<Option<Packet>, Unreadable> {
    match container.next_packet() {
        Ok(packet) => Ok(packet),
        Err(error) if is_first => Err(Unreadable::Container(error)),
        Err(_) => Ok(None),
    }
}

/// What is decoded so far.
struct Sound {
    samples: Vec<i16>,
    sample_rate_hz: u32,
    max: Duration,
}

impl Sound {
    fn new(max: Duration) -> Self {
        Self {
            samples: Vec::new(),
            sample_rate_hz: 1,
            max,
        }
    }

    fn is_full(&self) -> bool {
        let seconds = self.samples.len() as f64 / f64::from(self.sample_rate_hz);
        seconds >= self.max.as_secs_f64()
    }

    /// Adds sound of this rate. A recording that changes its rate half way is not one that a
    /// browser makes; the rest of it is left out.
    fn push(&mut self, sample_rate_hz: u32, samples: impl IntoIterator<Item = i16>) {
        if self.samples.is_empty() {
            self.sample_rate_hz = sample_rate_hz.max(1);
        }
        if self.sample_rate_hz == sample_rate_hz {
            self.samples.extend(samples);
        }
    }
}

enum Decoder {
    /// Decodes to the wanted rate in one channel by itself.
    Opus {
        decoder: opus::Decoder,
        sample_rate_hz: u32,
    },
    Other(Box<dyn AudioDecoder>),
}

impl Decoder {
    fn new(codec: &AudioCodecParameters, sample_rate_hz: u32) -> Result<Self, Unreadable> {
        if codec.codec == CODEC_ID_OPUS {
            let decoder = opus::Decoder::new(sample_rate_hz, Channels::Mono);
            return Ok(Self::Opus {
                decoder: decoder.map_err(|_| Unreadable::Codec)?,
                sample_rate_hz,
            });
        }
        let codecs = symphonia::default::get_codecs();
        let decoder = codecs.make_audio_decoder(codec, &Default::default());
        decoder.map(Self::Other).map_err(|_| Unreadable::Codec)
    }

    /// Adds what a packet holds; of a broken one nothing.
    fn decode(&mut self, packet: &Packet, sound: &mut Sound) {
        match self {
            Self::Opus {
                decoder,
                sample_rate_hz,
            } => {
                let mut samples = [0; PACKET_SAMPLES_MAX];
                let n_samples = decoder.decode(&packet.data, &mut samples, false);
                sound.push(
                    *sample_rate_hz,
                    samples[..n_samples.unwrap_or_default()].iter().copied(),
                );
            }
            Self::Other(decoder) => {
                let Ok(decoded) = decoder.decode(packet) else {
                    return;
                };
                let n_channels = decoded.num_planes().max(1);
                let mut samples: Vec<i16> = Vec::new();
                decoded.copy_to_vec_interleaved(&mut samples);
                sound.push(decoded.spec().rate(), mono(&samples, n_channels));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A second or two of 440 Hz each: the first two as Chromium's `MediaRecorder` writes them
    /// (pieces of 100 ms, lengths unknown), the others by FFmpeg.
    const RECORDINGS: [(&str, &[u8]); 4] = [
        ("WebM with Opus", include_bytes!("recordings/chromium.webm")),
        ("MP4 with Opus", include_bytes!("recordings/chromium.mp4")),
        ("Ogg with Opus", include_bytes!("recordings/opus.ogg")),
        ("MP4 with AAC, as iOS", include_bytes!("recordings/aac.mp4")),
    ];

    fn decode(bytes: &[u8]) -> Result<AudioFrame, Unreadable> {
        super::decode(bytes.to_vec(), 16_000, Duration::from_secs(60))
    }

    /// How often the sound crosses zero upwards in a second, away from its edges.
    fn pitch(sound: &AudioFrame) -> f64 {
        let middle = &sound.samples[4_000..12_000];
        let crossings = middle.windows(2).filter(|two| two[0] < 0 && two[1] >= 0);
        crossings.count() as f64 * 2.0
    }

    #[test]
    fn what_browsers_record_is_heard_at_its_pitch() {
        for (name, recording) in RECORDINGS {
            let sound = decode(recording).expect(name);
            let seconds = sound.duration().as_secs_f64();
            assert!((0.9..2.0).contains(&seconds), "{name}: {seconds} s");
            assert!(
                (pitch(&sound) - 440.0).abs() <= 4.0,
                "{name}: {}",
                pitch(&sound)
            );
        }
    }

    #[test]
    fn a_recording_that_is_cut_off_is_heard_up_to_there() {
        let (_, recording) = RECORDINGS[0];
        let whole = decode(recording).unwrap().samples.len();
        let half = decode(&recording[..recording.len() / 2]).unwrap();
        let n_samples = half.samples.len();
        assert!((whole / 4..whole).contains(&n_samples), "{n_samples}");
    }

    #[test]
    fn a_recording_is_heard_up_to_its_longest() {
        let (_, recording) = RECORDINGS[0];
        let sound = super::decode(recording.to_vec(), 16_000, Duration::from_millis(500));
        let seconds = sound.unwrap().duration().as_secs_f64();
        assert!((0.5..0.63).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn what_is_no_recording_is_refused_in_words() {
        let (_, recording) = RECORDINGS[0];
        for (bytes, part) in [
            (&b""[..], "no WebM"),
            (b"this is no recording at all", "no WebM"),
            (&recording[..60], "no WebM"),
        ] {
            let refused = decode(bytes).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn damage_does_no_harm(
            which in 0..RECORDINGS.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        ) {
            let mut bytes = RECORDINGS[which].1.to_vec();
            for (place, value) in changes {
                *place.get_mut(&mut bytes) = value;
            }
            if let Ok(sound) = decode(&bytes) {
                prop_assert!(sound.duration() <= Duration::from_secs(61));
            }
        }
    }
}
