//! The agent's sound on its way to the user: as much as the service sent ahead waits here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::protocol::RATE_HZ;
use crate::audio::AudioFrame;
use crate::room::AudioOutput;

/// What is queued for playing at a time: 40 ms.
const CHUNK_SAMPLES: usize = RATE_HZ as usize / 25;
/// Audio that may wait: five minutes, 14 MB. An answer is bounded by it, and more is dropped.
pub(super) const AHEAD_MAX: Duration = Duration::from_secs(300);
const WAITING_SAMPLES_MAX: usize = RATE_HZ as usize * AHEAD_MAX.as_secs() as usize;
/// What the voice of `[tts]` may be ahead: 30 s.
const VOICE_AHEAD_SAMPLES: usize = RATE_HZ as usize * 30;

/// See the module.
pub(super) struct Player {
    output: Arc<dyn AudioOutput>,
    waiting: VecDeque<i16>,
    playing: Option<BoxFuture<'static, ()>>,
    is_held: bool,
}

impl Player {
    pub(super) fn new(output: Arc<dyn AudioOutput>) -> Self {
        Self {
            output,
            waiting: VecDeque::new(),
            playing: None,
            is_held: false,
        }
    }

    /// Plays this after all earlier sound.
    pub(super) fn push(&mut self, samples: &[i16]) {
        let n_free = WAITING_SAMPLES_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(samples.iter().take(n_free));
    }

    /// Whether the voice of `[tts]` may go on.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < VOICE_AHEAD_SAMPLES
    }

    /// Plays nothing more for now, or goes on. Up to 200 ms that the output has already are played.
    pub(super) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Drops all that was not heard.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.playing = None;
        self.output.clear();
    }

    /// Moves sound to the output at its pace. Never ends.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn play(&mut self) -> std::convert::Infallible {
        loop {
            match &mut self.playing {
                _ if self.is_held => std::future::pending().await,
                Some(playing) => {
                    playing.await;
                    self.playing = None;
                }
                None if self.waiting.is_empty() => std::future::pending().await,
                None => {
                    let n_samples = self.waiting.len().min(CHUNK_SAMPLES);
                    let frame = AudioFrame {
                        samples: self.waiting.drain(..n_samples).collect(),
                        sample_rate_hz: RATE_HZ,
                    };
                    let output = Arc::clone(&self.output);
                    self.playing = Some(async move { output.play(frame).await }.boxed());
                }
            }
        }
    }
}
