//! What the user said before the agent was there: recorded by their front end, sent when the agent
//! has joined, and heard before anything that comes live.
//!
//! Source: livekit-agents 1.8.9, `voice/room_io/_pre_connect_audio.py`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use livekit::prelude::ParticipantIdentity;
use tokio::time::Instant;

use crate::audio::AudioFrame;
use crate::audio::recording::{SAMPLE_RATES_HZ, decode, mono};
use crate::audio::resample::resample;
use crate::audio::vad::SAMPLE_RATE_HZ;

/// The topic of such recordings.
pub(super) const TOPIC: &str = "lk.agent.pre-connect-audio-buffer";

/// How long the microphone waits for a recording that was announced.
pub(super) const WITHIN: Duration = Duration::from_secs(3);

/// The longest recording, in bytes: ten seconds of PCM at 48 kHz in two channels.
pub(super) const BYTES_MAX: usize = 2 * 1024 * 1024;

/// The longest recording that is heard; front ends stop after ten seconds by themselves.
const RECORDED_MAX: Duration = Duration::from_secs(30);

/// Bytes of a track's id: the server's have 15.
const TRACK_BYTES_MAX: usize = 64;

/// A recording that waits longer for its microphone is of no interest any more.
const AGE_MAX: Duration = Duration::from_secs(1);

/// Frames of 10 ms that wait for the recording: all that come while it may come.
const HELD_MAX: usize = 310;

/// How a recording is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format {
    track: String,
    coding: Coding,
}

#[derive(Debug, PartialEq, Eq)]
enum Coding {
    /// Raw 16-bit little-endian samples, as mobile SDKs record.
    Pcm {
        sample_rate_hz: u32,
        n_channels: usize,
    },
    /// A file of its own that says what it holds, as browsers record.
    File,
}

impl Format {
    /// Reads what the sender says of it, or says why it cannot be heard.
    pub(super) fn read(
        mime_type: &str,
        attributes: &HashMap<String, String>,
    ) -> Result<Self, String> {
        let attribute = |name: &str| {
            let value = attributes.get(name);
            value.ok_or_else(|| format!("its attribute {name} is missing"))
        };
        let number = |name: &str, allowed: std::ops::RangeInclusive<u32>| {
            let number = attribute(name)?.parse().ok();
            number
                .filter(|number| allowed.contains(number))
                .ok_or_else(|| {
                    let (min, max) = (allowed.start(), allowed.end());
                    format!("its attribute {name} must be a number from {min} to {max}")
                })
        };
        let track = attribute("trackId")?.clone();
        if track.len() > TRACK_BYTES_MAX {
            return Err(format!(
                "its attribute trackId has more than {TRACK_BYTES_MAX} bytes"
            ));
        }
        let is_file = ["opus", "webm", "mp4", "ogg", "aac"]
            .iter()
            .any(|coding| mime_type.contains(coding));
        let coding = match is_file {
            true => Coding::File,
            false => Coding::Pcm {
                sample_rate_hz: number("sampleRate", SAMPLE_RATES_HZ)?,
                n_channels: number("channels", 1..=2)? as usize,
            },
        };
        Ok(Self { track, coding })
    }
}

/// A recording that has arrived.
pub(super) struct Recorded {
    pub(super) from: ParticipantIdentity,
    track: String,
    /// 16 kHz mono.
    samples: Vec<i16>,
    arrived: Instant,
}

impl Recorded {
    /// Reads the sound, or says why it cannot be heard. Costs milliseconds: not for an async task.
    pub(super) fn new(
        from: ParticipantIdentity,
        format: Format,
        bytes: Vec<u8>,
    ) -> Result<Self, String> {
        let samples = match format.coding {
            Coding::Pcm {
                sample_rate_hz,
                n_channels,
            } => {
                let seconds = RECORDED_MAX.as_secs() as usize;
                let n_samples = seconds * sample_rate_hz as usize * n_channels;
                let pairs = bytes.chunks_exact(2).take(n_samples);
                let samples: Vec<i16> = pairs
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                let mono: Vec<i16> = mono(&samples, n_channels).collect();
                resample(&mono, sample_rate_hz, SAMPLE_RATE_HZ)
            }
            Coding::File => {
                let began = Instant::now();
                decode(bytes, SAMPLE_RATE_HZ, RECORDED_MAX, || began.elapsed())
                    .map_err(|error| error.to_string())?
                    .samples
            }
        };
        Ok(Self {
            from,
            track: format.track,
            samples,
            arrived: Instant::now(),
        })
    }

    fn frames(&self) -> impl Iterator<Item = AudioFrame> {
        let n_samples = (SAMPLE_RATE_HZ / 100) as usize;
        self.samples.chunks(n_samples).map(|samples| AudioFrame {
            samples: samples.to_vec(),
            sample_rate_hz: SAMPLE_RATE_HZ,
        })
    }
}

/// Brings the recording and the live microphone into their order.
#[derive(Default)]
pub(super) struct PreConnect {
    recorded: Option<Recorded>,
    /// Until when live frames wait for the recording of this track.
    waits: Option<(Instant, String)>,
    held: VecDeque<AudioFrame>,
}

impl PreConnect {
    /// A microphone is heard from here on. Returns what was said before, if it is there.
    pub(super) fn on_microphone(
        &mut self,
        now: Instant,
        track: &str,
        is_announced: bool,
    ) -> Vec<AudioFrame> {
        self.forget();
        let recorded = self.recorded.take().filter(|r| r.track == track);
        match recorded {
            Some(recorded) if now.duration_since(recorded.arrived) <= AGE_MAX => {
                tracing::debug!("what the user said before the agent came is heard");
                recorded.frames().collect()
            }
            Some(_) => {
                tracing::warn!("what the user said before the agent came is too old to be heard");
                Vec::new()
            }
            None => {
                self.waits = is_announced.then(|| (now + WITHIN, track.to_owned()));
                Vec::new()
            }
        }
    }

    /// A recording arrived. Returns what is to be heard now, if the microphone waits for it.
    pub(super) fn on_recorded(&mut self, recorded: Recorded) -> Vec<AudioFrame> {
        match &self.waits {
            Some((_, track)) if *track == recorded.track => {
                tracing::debug!("what the user said before the agent came is heard");
                let mut frames: Vec<AudioFrame> = recorded.frames().collect();
                frames.extend(self.release());
                frames
            }
            _ => {
                self.recorded = Some(recorded);
                Vec::new()
            }
        }
    }

    /// A live frame: returned if it need not wait.
    pub(super) fn pass(&mut self, frame: AudioFrame) -> Option<AudioFrame> {
        if self.waits.is_none() {
            return Some(frame);
        }
        if self.held.len() == HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(frame);
        None
    }

    /// Until when live frames wait.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits.as_ref().map(|(deadline, _)| *deadline)
    }

    /// The recording does not come: returns what was heard live meanwhile.
    pub(super) fn give_up(&mut self) -> Vec<AudioFrame> {
        tracing::warn!("what the user said before the agent came did not arrive in time");
        self.release().collect()
    }

    /// The recording cannot be heard: there is nothing to wait for any more.
    pub(super) fn on_unheard(&mut self) -> Vec<AudioFrame> {
        self.release().collect()
    }

    /// The microphone is gone.
    pub(super) fn forget(&mut self) {
        self.waits = None;
        self.held.clear();
    }

    fn release(&mut self) -> impl Iterator<Item = AudioFrame> {
        self.waits = None;
        std::mem::take(&mut self.held).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(rate: &str, channels: &str) -> HashMap<String, String> {
        [
            ("trackId", "TR_1"),
            ("sampleRate", rate),
            ("channels", channels),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn recorded(n_frames: usize) -> Recorded {
        let format = Format::read("", &attributes("16000", "2")).unwrap();
        let pcm: Vec<u8> = [2_u8, 0, 4, 0].repeat(n_frames * 160);
        let user = ParticipantIdentity::from("user".to_owned());
        Recorded::new(user, format, pcm).unwrap()
    }

    fn live() -> AudioFrame {
        AudioFrame {
            samples: vec![9; 160],
            sample_rate_hz: SAMPLE_RATE_HZ,
        }
    }

    #[test]
    fn what_cannot_be_heard_is_refused_in_words() {
        for (mime, rate, channels, part) in [
            ("", "fast", "1", "sampleRate must be a number"),
            ("", "24000", "0", "channels must be a number from 1 to 2"),
            ("", "7999", "1", "sampleRate must be a number from 8000"),
        ] {
            let refused = Format::read(mime, &attributes(rate, channels)).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
        let mut long = attributes("16000", "1");
        long.insert("trackId".to_owned(), "T".repeat(65));
        let refused = Format::read("", &long).unwrap_err();
        assert!(refused.contains("more than 64 bytes"), "{refused}");
        let refused = Format::read("", &HashMap::new()).unwrap_err();
        assert!(refused.contains("trackId is missing"), "{refused}");
        let webm = Format::read("audio/webm;codecs=opus", &attributes("", "")).unwrap();
        let user = ParticipantIdentity::from("user".to_owned());
        let refused = Recorded::new(user, webm, b"no recording".to_vec()).err();
        assert!(refused.unwrap().contains("broken"));
    }

    #[test]
    fn raw_samples_are_heard_for_half_a_minute_at_most() {
        let format = Format::read("", &attributes("8000", "1")).unwrap();
        let user = ParticipantIdentity::from("user".to_owned());
        let recorded = Recorded::new(user, format, vec![0; BYTES_MAX]).unwrap();
        assert_eq!(recorded.samples.len(), 30 * SAMPLE_RATE_HZ as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn the_recording_is_heard_before_what_came_live_meanwhile() {
        let mut preconnect = PreConnect::default();
        let now = Instant::now();
        assert!(preconnect.on_microphone(now, "TR_1", true).is_empty());
        assert_eq!(preconnect.deadline(), Some(now + WITHIN));
        assert!(preconnect.pass(live()).is_none());
        let frames = preconnect.on_recorded(recorded(3));
        let first: Vec<i16> = frames.iter().map(|frame| frame.samples[0]).collect();
        assert_eq!(first, [3, 3, 3, 9]);
        assert!(preconnect.pass(live()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_recording_that_does_not_come_loses_nothing_that_came_live() {
        let mut preconnect = PreConnect::default();
        preconnect.on_microphone(Instant::now(), "TR_1", true);
        for _ in 0..3 {
            preconnect.pass(live());
        }
        assert_eq!(preconnect.give_up().len(), 3);
        assert!(preconnect.deadline().is_none());
        preconnect.on_microphone(Instant::now(), "TR_1", true);
        preconnect.pass(live());
        assert_eq!(preconnect.on_unheard().len(), 1, "known sooner");
        assert!(preconnect.pass(live()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_recording_waits_a_second_for_its_microphone() {
        for (waited, n_frames) in [(900, 3), (1_100, 0)] {
            let mut preconnect = PreConnect::default();
            assert!(preconnect.on_recorded(recorded(3)).is_empty());
            tokio::time::advance(Duration::from_millis(waited)).await;
            let frames = preconnect.on_microphone(Instant::now(), "TR_1", true);
            assert_eq!(frames.len(), n_frames, "after {waited} ms");
        }
        let mut preconnect = PreConnect::default();
        preconnect.on_recorded(recorded(3));
        let other = preconnect.on_microphone(Instant::now(), "TR_2", false);
        assert!(other.is_empty(), "somebody else's");
        assert!(preconnect.pass(live()).is_some(), "nothing is waited for");
    }
}
