//! The sound that the program gives, until the clock takes it.
//!
//! A short gap (up to 100 ms) is not filled: the peer's jitter buffer bridges a packet that comes
//! late better than silence in the middle of a word. After that silence is sent, so that the
//! stream goes on; the gap itself stays one, so that what comes after it is in time. Sound after
//! silence begins with 20 ms, so that its first packet need not wait to be filled.
//!
//! Source of the policy: `webrtc-sys` 0.3.52, `src/audio_track.cpp` (10 missed frames, twice the
//! queue).

use std::{
    cmp::Ordering,
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    audio_track::Sinks,
    clock::{self, TICK, Tick},
};
use crate::{RtcError, audio_frame::AudioFrame, audio_source::AudioSourceOptions};

/// So many empty ticks are bridged before silence is sent.
const GAP_TICKS_MAX: u32 = 10;

#[derive(Default)]
struct Queue {
    pcm: VecDeque<i16>,
    /// The caller that waits for room.
    waiting: Option<oneshot::Sender<()>>,
    empty_ticks: u32,
    frame: Vec<i16>,
}

/// What a tick got out of the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Sound, or silence that goes on.
    Frame,
    /// The first silence after a gap.
    AfterGap,
    Nothing,
}

/// What is behind a `NativeAudioSource`.
pub(crate) struct AudioQueue {
    options: Mutex<AudioSourceOptions>,
    sample_rate: u32,
    channels: u32,
    /// Values (samples times channels) of 10 ms.
    frame_values: usize,
    /// Values above which a caller waits; 0 = no queue.
    values_max: usize,
    pub(crate) sinks: Sinks,
    queue: Mutex<Queue>,
}

impl AudioQueue {
    pub(crate) fn new(
        options: AudioSourceOptions,
        sample_rate: u32,
        channels: u32,
        queue_size_ms: u32,
    ) -> Arc<Self> {
        let values_per_s = u64::from(sample_rate) * u64::from(channels);
        let values = |ms: u64| usize::try_from(values_per_s * ms / 1000).unwrap_or(usize::MAX);
        let queue = Arc::new(Self {
            options: Mutex::new(options),
            sample_rate,
            channels,
            frame_values: (sample_rate / 100) as usize * channels as usize,
            values_max: values(u64::from(queue_size_ms)),
            sinks: Sinks::default(),
            queue: Mutex::default(),
        });
        if queue.values_max > 0 {
            let member: Weak<Self> = Arc::downgrade(&queue);
            clock::join(member);
        }
        queue
    }

    pub(crate) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    pub(crate) fn num_channels(&self) -> u32 {
        self.channels
    }

    pub(crate) fn options(&self) -> AudioSourceOptions {
        let AudioSourceOptions {
            echo_cancellation,
            noise_suppression,
            auto_gain_control,
        } = *self.options.lock();
        AudioSourceOptions {
            echo_cancellation,
            noise_suppression,
            auto_gain_control,
        }
    }

    pub(crate) fn set_options(&self, options: AudioSourceOptions) {
        *self.options.lock() = options;
    }

    /// Forgets what is queued.
    pub(crate) fn clear(&self) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.pcm.clear();
            queue.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.send(()).ok();
        }
    }

    pub(crate) async fn capture(&self, frame: &AudioFrame<'_>) -> Result<(), RtcError> {
        if self.sample_rate != frame.sample_rate || self.channels != frame.num_channels {
            let message = format!(
                "this source takes {} Hz and {} channel(s), not {} Hz and {}",
                self.sample_rate, self.channels, frame.sample_rate, frame.num_channels
            );
            return Err(RtcError::invalid_state(message));
        }
        if self.values_max == 0 {
            if frame.data.len() != self.frame_values {
                let message = format!(
                    "a source without a queue takes 10 ms ({} values) at a time, not {}",
                    self.frame_values,
                    frame.data.len()
                );
                return Err(RtcError::invalid_state(message));
            }
            self.sinks
                .deliver(Instant::now(), &frame.data, self.sample_rate, self.channels);
            return Ok(());
        }
        for chunk in frame.data.chunks(self.values_max) {
            if let Some(room) = self.push(chunk)? {
                room.await.ok();
            }
        }
        Ok(())
    }

    /// Queues a chunk; if the queue is full then, returns what to wait for.
    fn push(&self, chunk: &[i16]) -> Result<Option<oneshot::Receiver<()>>, RtcError> {
        let mut queue = self.queue.lock();
        if queue
            .waiting
            .as_ref()
            .is_some_and(|waiting| !waiting.is_closed())
            || queue.pcm.len() > self.values_max
        {
            return Err(RtcError::invalid_state(
                "another capture_frame call is waiting for room",
            ));
        }
        queue.pcm.extend(chunk);
        if queue.pcm.len() <= self.values_max {
            return Ok(None);
        }
        let (room, wait) = oneshot::channel();
        queue.waiting = Some(room);
        Ok(Some(wait))
    }

    /// 10 ms out of the queue into `frame`, or nothing while a gap is bridged.
    fn take(&self, frame: &mut Vec<i16>) -> (Taken, Option<oneshot::Sender<()>>) {
        let mut queue = self.queue.lock();
        let mut taken = Taken::Frame;
        frame.clear();
        if queue.pcm.len() >= self.frame_values {
            let is_onset = std::mem::take(&mut queue.empty_ticks) >= GAP_TICKS_MAX;
            let whole = 2 * self.frame_values;
            let values = match is_onset && queue.pcm.len() >= whole {
                true => whole,
                false => self.frame_values,
            };
            frame.extend(queue.pcm.drain(..values));
        } else {
            queue.empty_ticks += 1;
            taken = match queue.empty_ticks.cmp(&GAP_TICKS_MAX) {
                Ordering::Less => Taken::Nothing,
                Ordering::Equal => Taken::AfterGap,
                Ordering::Greater => Taken::Frame,
            };
            frame.resize(self.frame_values, 0);
        }
        let has_room = queue.pcm.len() <= self.values_max;
        (taken, if has_room { queue.waiting.take() } else { None })
    }
}

impl Tick for AudioQueue {
    fn tick(&self, now: Instant) -> bool {
        let mut frame = std::mem::take(&mut self.queue.lock().frame);
        let (taken, room) = self.take(&mut frame);
        if taken == Taken::AfterGap {
            self.sinks.leave_out(TICK * (GAP_TICKS_MAX - 1));
        }
        if taken != Taken::Nothing {
            self.sinks
                .deliver(now, &frame, self.sample_rate, self.channels);
        }
        self.queue.lock().frame = frame;
        if let Some(room) = room {
            room.send(()).ok();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio_track::AudioSink;

    #[derive(Default)]
    struct Heard(Mutex<Vec<i16>>);

    impl AudioSink for Heard {
        fn on_frame(&self, _now: Instant, pcm: &[i16], _sample_rate: u32, _channels: u32) {
            self.0.lock().extend(pcm);
        }
    }

    /// A source at 800 Hz (8 values per tick) that only the test ticks.
    fn source(queue_size_ms: u32) -> (Arc<AudioQueue>, Arc<Heard>) {
        let mut queue = AudioQueue::new(AudioSourceOptions::default(), 800, 1, 0);
        let own = Arc::get_mut(&mut queue).expect("nobody else has it yet");
        own.values_max = queue_size_ms as usize * 8 / 10;
        let heard = Arc::new(Heard::default());
        queue.sinks.add(heard.clone());
        (queue, heard)
    }

    fn frame(values: Vec<i16>) -> AudioFrame<'static> {
        let samples_per_channel = values.len() as u32;
        AudioFrame {
            data: values.into(),
            sample_rate: 800,
            num_channels: 1,
            samples_per_channel,
        }
    }

    #[tokio::test]
    async fn without_a_queue_a_frame_is_heard_at_once() {
        let (queue, heard) = source(0);
        queue.capture(&frame(vec![7; 8])).await.unwrap();
        assert_eq!(*heard.0.lock(), [7; 8]);
        assert!(queue.capture(&frame(vec![7; 9])).await.is_err());
    }

    #[tokio::test]
    async fn a_caller_waits_while_more_than_the_queue_is_waiting() {
        let (queue, _heard) = source(20);
        queue.capture(&frame(vec![1; 16])).await.unwrap();
        let waits = queue.push(&[2; 16]).unwrap();
        let mut waits = waits.expect("the queue is twice full");
        assert!(queue.push(&[3; 8]).is_err(), "only one caller waits");
        queue.tick(Instant::now());
        assert!(waits.try_recv().is_err());
        queue.tick(Instant::now());
        assert!(waits.try_recv().is_ok());
    }

    #[tokio::test]
    async fn clearing_lets_the_waiting_caller_go_on_and_nothing_is_heard() {
        let (queue, heard) = source(10);
        let mut waits = queue.push(&[2; 16]).unwrap().expect("the queue is full");
        queue.clear();
        assert!(waits.try_recv().is_ok());
        queue.tick(Instant::now());
        assert!(heard.0.lock().is_empty());
    }

    #[tokio::test]
    async fn sound_after_silence_begins_with_20_ms() {
        let (queue, heard) = source(40);
        for _ in 0..20 {
            queue.tick(Instant::now());
        }
        queue.capture(&frame(vec![1; 32])).await.unwrap();
        for values in [16, 24, 32] {
            heard.0.lock().retain(|value| *value != 0);
            queue.tick(Instant::now());
            assert_eq!(*heard.0.lock(), vec![1; values]);
        }
    }

    #[test]
    fn silence_comes_after_a_gap_of_100_ms() {
        let (queue, heard) = source(10);
        for _ in 0..9 {
            queue.tick(Instant::now());
        }
        assert!(heard.0.lock().is_empty());
        queue.tick(Instant::now());
        assert_eq!(*heard.0.lock(), [0; 8]);
    }
}
