//! How old the user's sound is when it gets here: an encoder looks ahead before it lets sound go, and
//! packets wait in the jitter buffer until their turn.
//!
//! The wait is read from the engine's statistics (W3C: `jitterBufferDelay`), so it is true for any engine.
//! The way through the network is not known and not in it.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use livekit::prelude::RemoteAudioTrack;
use livekit::webrtc::stats::RtcStats;

/// How often it is read: a jitter buffer changes its delay within seconds.
const READ_EVERY: Duration = Duration::from_millis(500);

/// By so much sound is late when it comes out of a decoder: the encoder looked ahead.
///
/// Source: libopus 1.5, `OPUS_GET_LOOKAHEAD` for voice and for music (`src/opus_encoder.c`): 312 samples at
/// 48 kHz, at every rate.
const CODEC_DELAY: Duration = Duration::from_micros(6_500);

/// What lies longer says something about the statistics rather than about the sound.
const LAG_MAX: Duration = Duration::from_millis(400);

/// Samples that came out of the buffer, and the seconds they lay in it, all together.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    samples: u64,
    seconds: f64,
}

/// Watches one microphone.
pub(super) struct Lag {
    track: RemoteAudioTrack,
    sums: Sums,
    reading: BoxFuture<'static, Option<Sums>>,
}

impl Lag {
    pub(super) fn new(track: RemoteAudioTrack) -> Self {
        Self {
            reading: read(track.clone()),
            sums: Sums::default(),
            track,
        }
    }

    /// The lag of what came since the last reading; waits while nothing comes.
    ///
    /// Cancel safety: a dropped call loses nothing.
    pub(super) async fn next(&mut self) -> Duration {
        loop {
            let read_now = (&mut self.reading).await;
            self.reading = read(self.track.clone());
            let Some(sums) = read_now else { continue };
            let before = std::mem::replace(&mut self.sums, sums);
            if let Some(lag) = between(before, sums) {
                return lag;
            }
        }
    }
}

/// The average of what came out between two readings.
fn between(before: Sums, after: Sums) -> Option<Duration> {
    let samples = after
        .samples
        .checked_sub(before.samples)
        .filter(|n| *n > 0)?;
    let average = (after.seconds - before.seconds) / samples as f64;
    let lag = Duration::try_from_secs_f64(average).ok()?;
    (lag <= LAG_MAX).then_some(lag + CODEC_DELAY)
}

fn read(track: RemoteAudioTrack) -> BoxFuture<'static, Option<Sums>> {
    async move {
        tokio::time::sleep(READ_EVERY).await;
        let stats = track.get_stats().await.ok()?;
        stats.into_iter().find_map(|stats| match stats {
            RtcStats::InboundRtp(stats) => Some(Sums {
                samples: stats.inbound.jitter_buffer_emitted_count,
                seconds: stats.inbound.jitter_buffer_delay,
            }),
            _ => None,
        })
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sums(samples: u64, seconds: f64) -> Sums {
        Sums { samples, seconds }
    }

    #[test]
    fn the_lag_is_that_of_the_latest_sound() {
        let lag = between(sums(48_000, 4_800.0), sums(72_000, 6_000.0));
        assert_eq!(lag, Some(Duration::from_millis(50) + CODEC_DELAY));
    }

    #[test]
    fn without_new_sound_or_with_nonsense_there_is_none() {
        let before = sums(48_000, 4_800.0);
        for after in [before, sums(10, 1.0), sums(48_010, 0.0), sums(48_010, 9e9)] {
            assert_eq!(between(before, after), None);
        }
    }
}
