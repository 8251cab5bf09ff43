//! What a session hears voices with: Silero's network, and two things that it is bad at.
//!
//! The network notices the end of a voice two or three chunks late, and takes a breath after speech for
//! more of it. Both are plain to see in the sound: what is far below the voice is none any more, and a
//! breath has no pitch. Measured by `make bench-vad`; see ARCHITECTURE.md for the figures.

use std::time::Duration;

use silero::{CHUNK, Silero};

use super::vad::{Judged, SAMPLE_RATE_HZ, Vad, WINDOW_SAMPLES};

/// A window so much quieter than the voice before it is silence: 35 dB, as a ratio of amplitudes.
const SILENT_RATIO: f32 = 0.0178;
/// Samples of the parts of a window in which the end of a voice is looked for: 4 ms.
const PART_SAMPLES: usize = 64;
const PART: Duration =
    Duration::from_micros(PART_SAMPLES as u64 * 1_000_000 / SAMPLE_RATE_HZ as u64);
/// How the level of a voice fades from memory, for each window: 2.7 dB in a second.
const LEVEL_DECAY: f32 = 0.995;
/// Likelihood from which the level of a window is a voice's.
const VOICE: f32 = 0.5;
/// Likelihood from which a window may be a voice's.
const PERHAPS: f32 = 0.35;
/// Sound below this, as a root mean square of 16 bit samples, is nobody's voice: 66 dB below full scale.
const QUIET: f32 = 16.0;
/// Windows of it after which the network would only say the same again: 256 ms.
const QUIET_WINDOWS: u32 = 16;
/// Windows below [`PERHAPS`] after which the next voice must show its pitch again: 240 ms.
const FORGET_WINDOWS: u32 = 15;
/// Windows after which a sound that may be a voice is one without a pitch (a whisper): 600 ms. Few
/// breaths last as long.
const WHISPER_WINDOWS: u32 = 37;

/// Judges windows of a call's sound.
#[derive(Default)]
pub struct VoiceDetector {
    network: Network,
    pitch: Pitch,
    /// Of the voice that was heard last, as the root mean square of its loudest windows.
    level: f32,
    is_confirmed: bool,
    /// Windows in a row that may be a voice's and have no pitch.
    n_pitchless: u32,
    /// Windows in a row that are no voice's.
    n_silent: u32,
}

impl VoiceDetector {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a sound that may be a voice is one: it has shown a pitch, or lasts.
    fn confirm(&mut self, probability: f32) {
        if probability < PERHAPS {
            self.n_pitchless = 0;
            self.n_silent += 1;
            self.is_confirmed &= self.n_silent < FORGET_WINDOWS;
            return;
        }
        self.n_silent = 0;
        if !self.is_confirmed {
            self.n_pitchless += 1;
            self.is_confirmed = self.n_pitchless > WHISPER_WINDOWS || self.pitch.is_heard();
        }
    }
}

impl Vad for VoiceDetector {
    fn judge(&mut self, window: &[i16; WINDOW_SAMPLES]) -> Judged {
        self.pitch.push(window);
        let level = self.pitch.level();
        let probability = self.network.probability(window, level);
        if probability >= VOICE {
            self.level = level.max(self.level * LEVEL_DECAY);
        }
        self.confirm(probability);
        let silent = self.level * SILENT_RATIO;
        match self.is_confirmed && level >= silent {
            true => Judged {
                probability,
                silent_tail: PART * self.pitch.n_parts_below(silent),
            },
            false => Judged::default(),
        }
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

/// The network by windows. Every second one completes the chunk that it judges; the window in between is
/// judged as the one before it.
///
/// Most of a call its line is quiet: somebody else speaks, or the microphone is off. The network has
/// settled by then, and rests until there is something to judge.
struct Network {
    silero: Silero,
    chunk: [f32; CHUNK],
    n_filled: usize,
    n_quiet: u32,
    probability: f32,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            silero: Silero::default(),
            chunk: [0.0; CHUNK],
            n_filled: 0,
            n_quiet: 0,
            probability: 0.0,
        }
    }
}

impl Network {
    fn probability(&mut self, window: &[i16; WINDOW_SAMPLES], level: f32) -> f32 {
        self.n_quiet = match level < QUIET {
            true => self.n_quiet.saturating_add(1),
            false => 0,
        };
        if self.n_quiet > QUIET_WINDOWS && self.n_filled == 0 {
            return 0.0;
        }
        for (into, sample) in self.chunk[self.n_filled..].iter_mut().zip(window) {
            *into = f32::from(*sample) / 32_768.0;
        }
        self.n_filled += WINDOW_SAMPLES;
        if self.n_filled == CHUNK {
            self.n_filled = 0;
            self.probability = self.silero.judge(&self.chunk);
        }
        self.probability
    }
}

/// Whether a sound repeats itself as a voice does, 80 to 400 times a second.
struct Pitch {
    past: [f32; 2 * WINDOW_SAMPLES],
}

/// Samples of a period of 400 Hz and of 80 Hz.
const PERIODS: std::ops::Range<usize> = 40..200;
/// How much alike two periods of a voice are: 1 is the same, 0 nothing in common.
const ALIKE: f32 = 0.45;

impl Default for Pitch {
    fn default() -> Self {
        Self {
            past: [0.0; 2 * WINDOW_SAMPLES],
        }
    }
}

impl Pitch {
    fn push(&mut self, window: &[i16; WINDOW_SAMPLES]) {
        self.past.copy_within(WINDOW_SAMPLES.., 0);
        for (into, sample) in self.past[WINDOW_SAMPLES..].iter_mut().zip(window) {
            *into = f32::from(*sample);
        }
    }

    /// The root mean square of the last window.
    fn level(&self) -> f32 {
        let window = &self.past[WINDOW_SAMPLES..];
        (product(window, window) / WINDOW_SAMPLES as f32).sqrt()
    }

    /// How many parts at the end of the last window are below this level.
    fn n_parts_below(&self, level: f32) -> u32 {
        let (parts, _) = self.past[WINDOW_SAMPLES..].as_chunks::<PART_SAMPLES>();
        let loud = level * level * PART_SAMPLES as f32;
        let is_silent = |part: &&[f32; PART_SAMPLES]| product(&**part, &**part) < loud;
        parts.iter().rev().take_while(is_silent).count() as u32
    }

    fn is_heard(&self) -> bool {
        let now = &self.past[PERIODS.end..];
        let energy = product(now, now);
        PERIODS.into_iter().any(|period| {
            let before = &self.past[PERIODS.end - period..][..now.len()];
            let scale = (energy * product(before, before)).sqrt();
            product(now, before) > ALIKE * scale
        })
    }
}

/// The sum of products, eight at a time as processors like it.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::super::vad::SAMPLE_RATE_HZ;
    use super::*;

    /// The share of windows in the second half of `samples` that are judged to be voice.
    fn voiced_share(samples: &[i16]) -> f32 {
        let mut vad = VoiceDetector::new();
        let (windows, _) = samples.as_chunks::<WINDOW_SAMPLES>();
        let judged: Vec<bool> = windows
            .iter()
            .map(|window| vad.judge(window).probability > 0.5)
            .collect();
        let half = &judged[judged.len() / 2..];
        half.iter().filter(|is_voice| **is_voice).count() as f32 / half.len() as f32
    }

    /// Two seconds of a vowel: a 120 Hz buzz through three formants, in syllables of 250 ms.
    fn vowels() -> Vec<i16> {
        let rate = SAMPLE_RATE_HZ as f32;
        (0..32_000)
            .map(|n| {
                let t = n as f32 / rate;
                let syllable = (TAU * 2.0 * t).sin().abs();
                let pitch = 120.0 + 10.0 * (TAU * 3.0 * t).sin();
                let voice: f32 = (1..30)
                    .map(|harmonic| {
                        let hz = pitch * harmonic as f32;
                        let gain: f32 = [700.0, 1200.0, 2600.0]
                            .iter()
                            .map(|formant| 1.0 / (1.0 + ((hz - formant) / 120.0_f32).powi(2)))
                            .sum();
                        gain * (TAU * hz * t).sin()
                    })
                    .sum();
                (voice * syllable * 4000.0) as i16
            })
            .collect()
    }

    /// Speech after a long quiet is noticed in the same window as after a short one: in the quiet the
    /// network only rests.
    #[test]
    fn a_network_that_has_rested_hears_a_voice_as_soon() {
        let onset = |quiet: usize| {
            let mut vad = VoiceDetector::new();
            let sound = [vec![3; quiet * WINDOW_SAMPLES], vowels()].concat();
            let (windows, _) = sound.as_chunks::<WINDOW_SAMPLES>();
            let mut judged = windows.iter().map(|window| vad.judge(window));
            judged.position(|it| it.probability > 0.5).unwrap() - quiet
        };
        let soon = onset(8);
        for quiet in [16, 17, 18, 200, 2_001] {
            let late = onset(quiet);
            assert!(late.abs_diff(soon) <= 2, "{late} windows, not {soon}");
        }
    }

    /// However the windows fall, the end of a voice is found to 4 ms.
    #[test]
    fn the_end_of_a_voice_is_found_within_its_window() {
        let voice = vowels();
        for n_cut in [0, 40, 64, 100, 128, 192, 255] {
            let mut vad = VoiceDetector::new();
            // The middle of a syllable.
            let end = 22_000 / WINDOW_SAMPLES * WINDOW_SAMPLES + WINDOW_SAMPLES - n_cut;
            let sound = [&voice[..end], &[0; 4 * WINDOW_SAMPLES]].concat();
            let (windows, _) = sound.as_chunks::<WINDOW_SAMPLES>();
            let judged: Vec<Judged> = windows.iter().map(|window| vad.judge(window)).collect();
            let last = judged.iter().rposition(|it| it.probability > 0.5).unwrap();
            assert_eq!(last, 22_000 / WINDOW_SAMPLES);
            let silent = (judged[last].silent_tail.as_micros() * 16 / 1_000) as usize;
            assert!(
                n_cut.abs_diff(silent) < PART_SAMPLES,
                "{silent} samples, not {n_cut}"
            );
        }
    }

    #[test]
    fn silence_is_no_voice() {
        assert_eq!(voiced_share(&[0; 32_000]), 0.0);
    }

    #[test]
    fn a_voice_like_buzz_is_voice_and_a_steady_tone_is_not() {
        let tone: Vec<i16> = (0..32_000)
            .map(|n| (6000.0 * (TAU * 1000.0 * n as f32 / SAMPLE_RATE_HZ as f32).sin()) as i16)
            .collect();
        assert!(voiced_share(&vowels()) > 0.5, "{}", voiced_share(&vowels()));
        assert!(voiced_share(&tone) < 0.1, "{}", voiced_share(&tone));
    }
}
