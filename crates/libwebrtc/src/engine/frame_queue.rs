//! The frames that wait for the reader of an audio stream. Bounded: the oldest are dropped.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
    time::Instant,
};

use parking_lot::Mutex;

use super::{audio_track::AudioSink, resample::Converter};
use crate::audio_frame::AudioFrame;

/// A drop is logged once, and then each time so many more frames were lost.
const DROPS_PER_LOG: u64 = 100;

#[derive(Default)]
struct State {
    frames: VecDeque<AudioFrame<'static>>,
    waker: Option<Waker>,
    closed: bool,
    dropped: u64,
    /// For origins in another format, which is named here.
    converter: Option<(u32, u32, Converter)>,
    converted: Vec<i16>,
}

/// A sink that a stream reads from.
pub(crate) struct FrameQueue {
    sample_rate: u32,
    channels: u32,
    frames_max: usize,
    state: Mutex<State>,
}

impl FrameQueue {
    /// A minute.
    pub(crate) const FRAMES_MAX: usize = 6000;

    pub(crate) fn new(sample_rate: i32, channels: i32, frames_max: usize) -> Self {
        Self {
            sample_rate: sample_rate.clamp(8000, 192_000).unsigned_abs(),
            channels: channels.clamp(1, 2).unsigned_abs(),
            frames_max: frames_max.max(1),
            state: Mutex::default(),
        }
    }

    /// Ends the stream; what waits is dropped.
    pub(crate) fn close(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.closed = true;
            state.frames.clear();
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<AudioFrame<'static>>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn push(&self, frame: AudioFrame<'static>) {
        let waker = {
            let mut state = self.state.lock();
            if state.closed {
                return;
            }
            if state.frames.len() >= self.frames_max {
                state.frames.pop_front();
                state.dropped += 1;
                if state.dropped % DROPS_PER_LOG == 1 {
                    log::warn!(
                        "audio stream read too slowly: {} frames dropped",
                        state.dropped
                    );
                }
            }
            state.frames.push_back(frame);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sound in another format, cut into frames of 10 ms again.
    fn convert(&self, pcm: &[i16], sample_rate: u32, channels: u32) -> Vec<Vec<i16>> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let converter = match &mut state.converter {
            Some((rate, count, converter)) if (*rate, *count) == (sample_rate, channels) => {
                converter
            }
            other => {
                let new =
                    Converter::between(sample_rate, channels, self.sample_rate, self.channels);
                &mut other.insert((sample_rate, channels, new)).2
            }
        };
        converter.convert(pcm, &mut state.converted);
        let frame = (self.sample_rate / 100 * self.channels) as usize;
        let whole = state.converted.len() / frame * frame;
        let frames = state.converted[..whole]
            .chunks(frame)
            .map(<[i16]>::to_vec)
            .collect();
        state.converted.drain(..whole);
        frames
    }

    fn frame(&self, data: Vec<i16>) -> AudioFrame<'static> {
        AudioFrame {
            samples_per_channel: data.len() as u32 / self.channels,
            data: data.into(),
            sample_rate: self.sample_rate,
            num_channels: self.channels,
        }
    }
}

impl AudioSink for FrameQueue {
    fn on_frame(&self, _now: Instant, pcm: &[i16], sample_rate: u32, channels: u32) {
        if (sample_rate, channels) == (self.sample_rate, self.channels) {
            for pcm in pcm.chunks((self.sample_rate / 100 * self.channels) as usize) {
                self.push(self.frame(pcm.to_vec()));
            }
            return;
        }
        for data in self.convert(pcm, sample_rate, channels) {
            self.push(self.frame(data));
        }
    }

    fn preferred_format(&self) -> Option<(u32, u32)> {
        Some((self.sample_rate, self.channels))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn read(queue: &FrameQueue) -> Poll<Option<i16>> {
        let mut cx = Context::from_waker(Waker::noop());
        queue
            .poll_next(&mut cx)
            .map(|frame| frame.map(|frame| frame.data[0]))
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_frames() {
        let queue = FrameQueue::new(8000, 1, 2);
        for value in 1..=3 {
            queue.on_frame(Instant::now(), &[value; 80], 8000, 1);
        }
        assert_eq!(read(&queue), Poll::Ready(Some(2)));
        assert_eq!(read(&queue), Poll::Ready(Some(3)));
        assert_eq!(read(&queue), Poll::Pending);
    }

    #[test]
    fn a_closed_queue_ends_and_takes_nothing() {
        let queue = FrameQueue::new(8000, 1, 2);
        queue.on_frame(Instant::now(), &[1; 80], 8000, 1);
        queue.close();
        queue.on_frame(Instant::now(), &[1; 80], 8000, 1);
        assert_eq!(read(&queue), Poll::Ready(None));
    }

    #[test]
    fn a_frame_comes_in_the_format_asked_for() {
        let queue = FrameQueue::new(16_000, 2, 2);
        queue.on_frame(Instant::now(), &[0; 480], 48_000, 1);
        queue.on_frame(Instant::now(), &[0; 480], 48_000, 1); // the converter looks 0.5 ms ahead
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(frame)) = queue.poll_next(&mut cx) else {
            panic!("no frame")
        };
        assert_eq!((frame.sample_rate, frame.num_channels), (16_000, 2));
        assert_eq!((frame.samples_per_channel, frame.data.len()), (160, 320));
    }
}
