//! Finds the caller's voice in the sound that comes in, and where it ends.

use earshot::Detector;
use serde_json::Value;

use crate::audio::resample::Resampler;
use crate::audio::{RECOGNISER_RATE_HZ, SPEECH_RATE_HZ};

/// Samples that are judged at a time: 16 ms.
///
/// Source: earshot 1.2.2, `Detector::predict_i16`.
const WINDOW_SAMPLES: usize = 256;
const WINDOW_MS: u64 = WINDOW_SAMPLES as u64 * 1000 / RECOGNISER_RATE_HZ as u64;
/// Windows with a voice in a row that are speech.
const WINDOWS_MIN: u64 = 4;
/// How much less likely a voice may become before it counts as silence.
const HYSTERESIS: f32 = 0.15;

/// How turns are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    threshold: f32,
    /// Sound before the voice that belongs to it.
    pub(super) prefix_ms: u64,
    silence_ms: u64,
    /// Whether the end of a turn is answered.
    pub(super) creates_response: bool,
    /// Whether a voice stops the answer.
    pub(super) interrupts_response: bool,
}

impl Rules {
    /// Reads `turn_detection`. Semantic detection is silence here, too: longer for the patient.
    pub(super) fn of(detection: &Value) -> Option<Self> {
        let kind = detection["type"].as_str()?;
        let silence_ms = match (kind, detection["eagerness"].as_str()) {
            ("server_vad", _) => detection["silence_duration_ms"].as_u64().unwrap_or(200),
            (_, Some("low")) => 1000,
            (_, Some("high")) => 400,
            _ => 600,
        };
        Some(Self {
            threshold: detection["threshold"].as_f64().unwrap_or(0.5) as f32,
            prefix_ms: detection["prefix_padding_ms"].as_u64().unwrap_or(300),
            silence_ms,
            creates_response: detection["create_response"].as_bool().unwrap_or(true),
            interrupts_response: detection["interrupt_response"].as_bool().unwrap_or(true),
        })
    }
}

/// The voice began or ended, so many milliseconds after the session's first sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Started { at_ms: u64 },
    Stopped { at_ms: u64 },
}

/// See the module.
pub(super) struct Detection {
    detector: Box<Detector>,
    resampler: Resampler,
    rest: Vec<i16>,
    heard_ms: u64,
    is_speech: bool,
    /// Windows in a row that say otherwise.
    n_other: u64,
}

impl Detection {
    pub(super) fn new() -> Self {
        Self {
            detector: Detector::default_boxed(),
            resampler: Resampler::new(SPEECH_RATE_HZ, RECOGNISER_RATE_HZ),
            rest: Vec::new(),
            heard_ms: 0,
            is_speech: false,
            n_other: 0,
        }
    }

    /// Takes the next sound, 24 kHz mono.
    pub(super) fn push(&mut self, samples: &[i16], rules: &Rules) -> Vec<Change> {
        self.rest.extend(self.resampler.push(samples));
        let rest = std::mem::take(&mut self.rest);
        let (windows, left) = rest.as_chunks::<WINDOW_SAMPLES>();
        self.rest.extend_from_slice(left);
        let changes = windows.iter().filter_map(|window| {
            let likelihood = self.detector.predict_i16(window);
            self.judge(likelihood, rules)
        });
        changes.collect()
    }

    fn judge(&mut self, likelihood: f32, rules: &Rules) -> Option<Change> {
        self.heard_ms += WINDOW_MS;
        let (is_other, n_min) = if self.is_speech {
            let least = rules.threshold - HYSTERESIS;
            (likelihood < least, rules.silence_ms.div_ceil(WINDOW_MS))
        } else {
            (likelihood >= rules.threshold, WINDOWS_MIN)
        };
        self.n_other = if is_other { self.n_other + 1 } else { 0 };
        if self.n_other < n_min {
            return None;
        }
        self.n_other = 0;
        self.is_speech = !self.is_speech;
        let at_ms = self.heard_ms;
        Some(match self.is_speech {
            true => Change::Started {
                at_ms: at_ms.saturating_sub(n_min * WINDOW_MS + rules.prefix_ms),
            },
            false => Change::Stopped { at_ms },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_voice_begins_after_some_windows_and_ends_after_the_silence() {
        let rules = Rules::of(&json!({"type": "server_vad", "silence_duration_ms": 160})).unwrap();
        let mut detection = Detection::new();
        let mut seen = Vec::new();
        let likelihoods = [
            (0.1, 40),
            (0.9, 2),
            (0.1, 5),
            (0.9, 30),
            (0.4, 20),
            (0.1, 10),
        ];
        for (likelihood, n_windows) in likelihoods {
            for _ in 0..n_windows {
                seen.extend(detection.judge(likelihood, &rules));
            }
        }
        // 47 windows of nothing, less the prefix; and all 107 of them.
        let started = Change::Started {
            at_ms: 47 * 16 - 300,
        };
        assert_eq!(seen, [started, Change::Stopped { at_ms: 107 * 16 }]);
    }

    #[test]
    fn no_detection_leaves_turns_to_the_client() {
        assert_eq!(Rules::of(&Value::Null), None);
    }
}
