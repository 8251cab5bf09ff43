//! Scripts in virtual time: a sender, a network that a test describes, a sink that pulls.

use std::{f64::consts::TAU, time::Duration};

mod fuzz;
mod loss;
mod timing;

use super::*;
use crate::engine::{
    audio_receive::{AudioReceive, ReceiveFormat, RtpAudio},
    audio_send::{AudioSend, CapturedAudio, SendFormat, SendRed},
    tone::{Verdict, judge, sine},
};

const HZ: f64 = 440.0;
const RECEIVE: ReceiveFormat = ReceiveFormat {
    opus_payload_type: 111,
    red_payload_type: Some(63),
};

/// What becomes of the packet with that number: None = lost, else its delay.
type Network = Box<dyn FnMut(usize) -> Option<Duration>>;

#[derive(Debug, Clone, Copy)]
enum Sound {
    Tone,
    Voice,
}

/// Something libopus takes for a voice: harmonics that move, in syllables.
fn voice(from: usize, frames: usize) -> Vec<i16> {
    let sample = |n: usize| {
        let t = n as f64 / 48_000.0;
        let pitch = TAU * (140.0 * t + 3.0 * (TAU * 1.5 * t).sin());
        let harmonics = (1..25).map(|k| (pitch * f64::from(k)).sin() / f64::from(k));
        (4000.0 * harmonics.sum::<f64>() * (0.5 - 0.5 * (TAU * 3.0 * t).cos())) as i16
    };
    (from..from + frames).map(sample).collect()
}

/// One scripted call.
struct Call {
    seconds: usize,
    red: bool,
    /// Parts per million by which the sender's clock is fast.
    drift_ppm: i64,
    rate: u32,
    sound: Sound,
    first_sequence: u64,
    first_timestamp: u32,
    network: Network,
}

impl Call {
    fn new(seconds: usize, network: impl FnMut(usize) -> Option<Duration> + 'static) -> Self {
        Self {
            seconds,
            red: false,
            drift_ppm: 0,
            rate: 48_000,
            sound: Sound::Tone,
            first_sequence: 0,
            first_timestamp: 0,
            network: Box::new(network),
        }
    }

    /// Packets as they arrive, in order of arrival: (time, packet).
    fn packets(&mut self) -> Vec<(Duration, Sent)> {
        let red = self.red.then_some(SendRed {
            payload_type: 63,
            distance: 1,
        });
        let format = SendFormat {
            opus_payload_type: 111,
            red,
            dtx: false,
        };
        let mut send = AudioSend::new(format, self.first_sequence, self.first_timestamp);
        let mut arriving = Vec::new();
        let start = Instant::now();
        let mut count = 0;
        for n in 0..self.seconds * 100 {
            let at = Duration::from_micros(n as u64 * 10_000);
            let at = at - at * (self.drift_ppm + 1000) as u32 / 1_000_000 + at / 1000;
            let pcm = match self.sound {
                Sound::Tone => sine(n * 480, 480, 48_000, HZ, 1),
                Sound::Voice => voice(n * 480, 480),
            };
            let captured = CapturedAudio {
                pcm: &pcm,
                sample_rate: 48_000,
                channels: 1,
                is_muted: false,
                is_onset: false,
            };
            send.push(start + at, captured, |p| {
                let sent = Sent {
                    ssrc: 1,
                    payload_type: p.payload_type,
                    sequence: p.sequence,
                    timestamp: p.timestamp,
                    payload: p.payload.to_vec(),
                };
                if let Some(delay) = (self.network)(count) {
                    arriving.push((at + delay, sent));
                }
                count += 1;
            })
            .unwrap();
        }
        arriving.sort_by_key(|(at, _)| *at);
        arriving
    }

    fn run(mut self) -> Heard {
        let packets = self.packets();
        play(packets, self.rate, self.seconds)
    }
}

#[derive(Debug, Clone)]
struct Sent {
    ssrc: u32,
    payload_type: u8,
    sequence: u64,
    timestamp: u32,
    payload: Vec<u8>,
}

/// What came out.
struct Heard {
    pcm: Vec<i16>,
    rate: u32,
    stats: JitterStats,
}

impl Heard {
    /// The recording without start-up and end.
    fn verdict(&self) -> Verdict {
        let second = self.rate as usize;
        judge(
            &self.pcm[second / 2..self.pcm.len() - second / 2],
            self.rate,
            HZ,
        )
    }

    fn assert_clean(&self) {
        let verdict = self.verdict();
        let bad = (verdict.quiet, verdict.glitched);
        assert_eq!(bad, (0, 0), "{verdict:?} {:?}", self.stats);
        assert!((verdict.hz - HZ).abs() < 0.2, "{verdict:?}");
    }
}

/// Plays packets at their times, pulling every 10 ms from 3 ms on.
fn play(packets: Vec<(Duration, Sent)>, rate: u32, seconds: usize) -> Heard {
    let output = PcmFormat::exactly(rate, 1).unwrap();
    let mut receive = AudioReceive::new(output).unwrap();
    let start = Instant::now();
    let mut packets = packets.into_iter().peekable();
    let mut pcm = Vec::new();
    let mut frame = vec![0; output.samples_10ms()];
    for n in 0..seconds * 100 {
        let now = Duration::from_millis(n as u64 * 10 + 3);
        while let Some((at, sent)) = packets.next_if(|(at, _)| *at <= now) {
            receive.receive(
                RECEIVE,
                RtpAudio {
                    ssrc: sent.ssrc,
                    payload_type: sent.payload_type,
                    sequence: sent.sequence,
                    timestamp: sent.timestamp,
                    arrival: start + at,
                    payload: &sent.payload,
                },
            );
        }
        if receive.pull(start + now, &mut frame) {
            pcm.extend_from_slice(&frame);
        }
    }
    Heard {
        pcm,
        rate,
        stats: receive.stats(),
    }
}

/// Numbers that look random and are the same in every run.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn ms(ms: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(ms / 1e3))
}
