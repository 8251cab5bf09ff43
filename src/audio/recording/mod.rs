//! A recording as browsers and telephones make it, decoded to plain audio: Opus or AAC in WebM, Ogg, MP4
//! or ADTS.
//!
//! A participant wrote every byte, so a number in the file is a claim and never a size to allocate or a
//! count to loop over. [`container`] removes or refuses what a reader would work on for longer than the
//! bytes allow ([`mp4`], [`webm`], [`ogg`]); the loop in [`decode`] counts packets, samples and time.

mod container;
mod decoder;
mod mp4;
mod ogg;
#[cfg(test)]
mod tests;
mod webm;

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::packet::Packet;

pub use self::decoder::mono;
use self::decoder::{Decoded, Decoder};
use super::AudioFrame;
use super::resample::resample;

/// Sample rates that a recording may have, in Hz: from a telephone's to twice that of video.
pub const SAMPLE_RATES_HZ: RangeInclusive<u32> = 8_000..=96_000;

/// Packets that are read of all tracks together: 30 s in packets of 2.5 ms, the shortest of Opus, are
/// 12,000.
const PACKETS_MAX: usize = 20_000;

/// Time after which decoding ends with what it has. A recording of 30 s takes 50 ms.
const DECODE_MAX: Duration = Duration::from_secs(1);

/// A recording that cannot be heard; words for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Neither WebM nor Ogg nor MP4 nor ADTS, or broken.
    #[error("it is no WebM, Ogg, MP4 or ADTS recording, or a broken one ({0})")]
    Container(#[source] Error),
    /// Its structure contradicts itself.
    #[error("it is damaged")]
    Damaged,
    /// It claims more tracks, fragments or packets than a recording has.
    #[error("it claims more {0} than a recording of half a minute has")]
    Excessive(&'static str),
    /// Its sample rate is out of range.
    #[error("its sample rate is not from 8 to 96 kHz")]
    SampleRate,
    /// It has no audio.
    #[error("it has no audio in it")]
    Silent,
    /// Its audio has another coding.
    #[error("its audio is neither Opus nor AAC")]
    Codec,
}

/// Decodes a recording to mono at `sample_rate_hz`, one of the rates that Opus has (8, 12, 16, 24 or
/// 48 kHz). Audio beyond `max` is left out. Damage in the middle costs its own packets only. `elapsed`
/// is the time since the call; decoding ends with what it has when that is a second.
/// Costs milliseconds: not for an async task.
///
/// # Errors
/// [`Unreadable`]: no part of it can be heard.
pub fn decode(
    recording: Vec<u8>,
    sample_rate_hz: u32,
    max: Duration,
    elapsed: impl Fn() -> Duration,
) -> Result<AudioFrame, Unreadable> {
    // Some damaged MP4 makes symphonia 0.6 panic (a subtraction in its table of samples).
    let read = AssertUnwindSafe(|| read(recording, sample_rate_hz, max, elapsed));
    catch_unwind(read).unwrap_or(Err(Unreadable::Damaged))
}

fn read(
    recording: Vec<u8>,
    sample_rate_hz: u32,
    max: Duration,
    elapsed: impl Fn() -> Duration,
) -> Result<AudioFrame, Unreadable> {
    let mut container = container::open(recording)?;
    let track = container.default_track(TrackType::Audio);
    let track = track.ok_or(Unreadable::Silent)?;
    let id = track.id;
    let codec = track.codec_params.as_ref().and_then(|it| it.audio());
    let mut decoder = Decoder::new(codec.ok_or(Unreadable::Codec)?, sample_rate_hz)?;
    let mut decoded = Decoded::new(max);
    // Packets of other tracks and packets that cannot be decoded count: they cost time, too.
    let mut n_packets = 0;
    while !decoded.is_full()
        && n_packets < PACKETS_MAX
        && elapsed() < DECODE_MAX
        && let Some(packet) = next_packet(&mut *container, decoded.samples.is_empty())?
    {
        n_packets += 1;
        if packet.track_id == id {
            decoder.decode(&packet, &mut decoded)?;
        }
    }
    if decoded.samples.is_empty() {
        return Err(Unreadable::Silent);
    }
    Ok(AudioFrame {
        samples: resample(&decoded.samples, decoded.sample_rate_hz, sample_rate_hz),
        sample_rate_hz,
    })
}

/// The next packet. A recording that was cut off in the middle of a packet ends there, unless nothing
/// came before it.
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
