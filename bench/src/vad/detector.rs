//! Our detector, as a session runs it.

use std::time::Duration;

use voxpool::audio::detector::VoiceDetector;
use voxpool::audio::speech::{Config, SpeechEvent, SpeechGate};
use voxpool::audio::vad::{SAMPLE_RATE_HZ, Vad, WINDOW_SAMPLES, Windows};

use super::{Detected, Heard};
use crate::FRAME_SAMPLES;
use crate::process::thread_cpu;

const WINDOW: Duration =
    Duration::from_micros(WINDOW_SAMPLES as u64 * 1_000_000 / SAMPLE_RATE_HZ as u64);

/// What it makes of this sound, with the default settings.
pub fn hear(samples: &[i16]) -> Heard {
    let mut vad = VoiceDetector::new();
    let mut gate = SpeechGate::new(Config::default());
    let mut windows = Windows::default();
    let mut speeches: Vec<Detected> = Vec::new();
    let mut n_windows = 0_u32;
    let before = thread_cpu();
    for frame in samples.chunks(FRAME_SAMPLES) {
        windows.push(frame, |window| {
            n_windows += 1;
            let now = (WINDOW * n_windows).as_secs_f64();
            match gate.push(vad.judge(window), WINDOW) {
                Some(SpeechEvent::Started { onset_ago }) => speeches.push(Detected {
                    started_at: now,
                    from: now - onset_ago.as_secs_f64(),
                    ended_at: None,
                    to: None,
                }),
                Some(SpeechEvent::Ended { silence }) => {
                    if let Some(speech) = speeches.last_mut() {
                        speech.ended_at = Some(now);
                        speech.to = Some(now - silence.as_secs_f64());
                    }
                }
                Some(SpeechEvent::Paused { .. } | SpeechEvent::Resumed { .. }) | None => {}
            }
        });
    }
    Heard {
        speeches,
        cpu_seconds: (thread_cpu() - before).as_secs_f64(),
    }
}
