//! From likelihoods to speech: where it begins, pauses, goes on and ends.
//!
//! Counts windows, not clocks, so its answers depend on the sound alone. Single windows never decide:
//! a click does not start speech and a breath does not end it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Settings of voice activity detection.
///
/// Source of the defaults: livekit-agents 1.8.9, bundled VAD, except for `pause`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Likelihood from which a window counts as voice while nobody speaks. 0 to 1.
    pub activation: f32,
    /// Likelihood below which a window counts as silence while somebody speaks; lower than
    /// `activation`, so that a voice near the threshold does not flutter.
    pub deactivation: f32,
    /// Voice needed before it counts as speech: shorter sounds are clicks.
    #[serde(rename = "min_speech_ms", with = "units::millis")]
    pub min_speech: Duration,
    /// Silence after which speech pauses: work on what was said so far starts here.
    #[serde(rename = "pause_ms", with = "units::millis")]
    pub pause: Duration,
    /// Silence after which speech has ended.
    #[serde(rename = "min_silence_ms", with = "units::millis")]
    pub min_silence: Duration,
    /// Sound kept from before the onset of speech, so that no first consonant is lost.
    #[serde(rename = "prefix_ms", with = "units::millis")]
    pub prefix: Duration,
    /// The longest stretch of sound that is transcribed in one request.
    #[serde(rename = "utterance_max_seconds", with = "units::seconds")]
    pub utterance_max: Duration,
}

/// Answers that are begun so early are ready when a turn of half a second of silence is over: services take
/// about 350 ms to the first sound. Pauses inside sentences, which are as long now and then, cost a request each.
const PAUSE: Duration = Duration::from_millis(90);

impl Default for Config {
    fn default() -> Self {
        Self {
            activation: 0.5,
            deactivation: 0.35,
            min_speech: Duration::from_millis(50),
            pause: PAUSE,
            min_silence: Duration::from_millis(250),
            prefix: Duration::from_millis(500),
            utterance_max: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(0.0..=1.0).contains(&self.activation) || self.activation <= 0.0 {
            problems.push("vad.activation: must be above 0 and at most 1".to_owned());
        }
        if !(0.0..=self.activation).contains(&self.deactivation) {
            problems.push("vad.deactivation: must be between 0 and vad.activation".to_owned());
        }
        if self.pause.is_zero() || self.pause > self.min_silence {
            problems
                .push("vad.pause_ms: must be above 0 and at most vad.min_silence_ms".to_owned());
        }
        if self.utterance_max < Duration::from_secs(5)
            || self.utterance_max > Duration::from_secs(300)
        {
            problems.push("vad.utterance_max_seconds: must be from 5 to 300".to_owned());
        }
        if self.prefix > Duration::from_secs(2) {
            problems.push("vad.prefix_ms: must be at most 2000".to_owned());
        }
        if self.min_speech > Duration::from_secs(1) {
            problems.push("vad.min_speech_ms: must be at most 1000".to_owned());
        }
        problems
    }
}

/// What happened to the user's speech. Durations look back from the end of the window that told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechEvent {
    /// Speech began.
    Started {
        /// How long ago the first voiced window began.
        onset_ago: Duration,
    },
    /// A short silence after speech.
    Paused {
        /// How long it has been silent.
        silence: Duration,
    },
    /// The speech went on after a pause, before it had ended.
    Resumed {
        /// How long ago it went on.
        onset_ago: Duration,
    },
    /// The silence lasted: the speech is over.
    Ended {
        /// How long it has been silent.
        silence: Duration,
    },
}

impl SpeechEvent {
    /// The same of sound that was `lag` old when it was heard.
    #[must_use]
    pub fn heard_late(self, lag: Duration) -> Self {
        match self {
            Self::Started { onset_ago } => Self::Started {
                onset_ago: onset_ago + lag,
            },
            Self::Paused { silence } => Self::Paused {
                silence: silence + lag,
            },
            Self::Resumed { onset_ago } => Self::Resumed {
                onset_ago: onset_ago + lag,
            },
            Self::Ended { silence } => Self::Ended {
                silence: silence + lag,
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Silent,
    Speaking,
    Paused,
}

/// Turns the likelihoods of consecutive windows into [`SpeechEvent`]s.
pub struct SpeechGate {
    config: Config,
    state: State,
    /// Since the last silent window, while silent or paused.
    voiced: Duration,
    /// Since the last window that counted as voice, while speaking or paused.
    silence: Duration,
    /// How long the likelihood had been falling before that, at most [`FADE_MAX`].
    fade: Duration,
    loudness: Loudness,
}

/// Likelihood below which a voice may be fading: the detector needs some windows to notice silence.
///
/// Measured by `make bench-vad`: in noise, where the level of the sound does not tell, the end is dated
/// 58 ms late (median), where it is 71 ms with a limit of 0.7. With 96 ms of [`FADE_MAX`] it is 49 ms, but
/// a weak voice is cut.
const FADING: f32 = 0.9;

/// The most of a fade that is taken for silence: two chunks of the detector. A weak voice may stay in
/// between for longer.
const FADE_MAX: Duration = Duration::from_millis(64);

/// The most that is taken for silence because nothing was loud, before the detector noticed: what it
/// needs there, to the window.
const QUIET_MAX: Duration = Duration::from_millis(128);

/// How much weaker than the voice a window is that holds none of it: 30 dB. Where there is more noise than
/// that, only the detector tells.
const QUIET_RATIO: f32 = 0.0316;

/// How fast the measure of a voice's loudness follows a voice that becomes weaker: 0.99 per window of
/// 16 ms halves it in a second.
const LOUDNESS_DECAY: f32 = 0.99;

/// How loud the voice is, and since when nothing was.
#[derive(Default)]
struct Loudness {
    voice: f32,
    quiet: Duration,
}

impl Loudness {
    fn push(&mut self, loudness: f32, window: Duration) {
        self.voice = (self.voice * LOUDNESS_DECAY).max(loudness);
        match loudness < self.voice * QUIET_RATIO {
            true => self.quiet += window,
            false => self.quiet = Duration::ZERO,
        }
    }

    /// What sounds now is the voice, however weak it is.
    fn begin_anew(&mut self) {
        *self = Self::default();
    }
}

/// A window of sound as it was judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The likelihood, 0 to 1, that it holds a voice.
    pub probability: f32,
    /// Root mean square of its samples, in any unit.
    pub loudness: f32,
    /// Its length.
    pub length: Duration,
}

impl SpeechGate {
    /// A gate that has heard nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Silent,
            voiced: Duration::ZERO,
            silence: Duration::ZERO,
            fade: Duration::ZERO,
            loudness: Loudness::default(),
        }
    }

    /// Whether speech has begun and not ended.
    pub fn is_speech(&self) -> bool {
        self.state != State::Silent
    }

    /// Takes the next window.
    pub fn push(&mut self, judged: Judged) -> Option<SpeechEvent> {
        let (probability, window) = (judged.probability, judged.length);
        self.loudness.push(judged.loudness, window);
        match self.state {
            State::Silent => self.push_silent(probability, window),
            State::Speaking => self.push_speaking(probability, window),
            State::Paused => self.push_paused(probability, window),
        }
    }

    fn push_silent(&mut self, probability: f32, window: Duration) -> Option<SpeechEvent> {
        if probability < self.config.activation {
            self.voiced = Duration::ZERO;
            return None;
        }
        self.voiced += window;
        (self.voiced >= self.config.min_speech).then(|| {
            self.enter(State::Speaking);
            SpeechEvent::Started {
                onset_ago: std::mem::take(&mut self.voiced),
            }
        })
    }

    fn push_speaking(&mut self, probability: f32, window: Duration) -> Option<SpeechEvent> {
        let quiet = self.loudness.quiet.min(QUIET_MAX);
        if probability >= self.config.deactivation {
            self.silence = Duration::ZERO;
            self.fade = match probability >= FADING {
                true => Duration::ZERO,
                false => (self.fade + window).min(FADE_MAX),
            };
            if probability >= FADING || quiet < self.config.pause {
                return None;
            }
            // The detector doubts and nothing is loud: it will agree in a moment.
            self.fade = quiet;
        } else {
            if self.silence.is_zero() {
                self.fade = self.fade.max(quiet.saturating_sub(window));
            }
            self.silence += window;
        }
        let silence = self.silence + self.fade;
        (silence >= self.config.pause).then(|| {
            self.state = State::Paused;
            self.voiced = Duration::ZERO;
            SpeechEvent::Paused { silence }
        })
    }

    /// A blip shorter than `min_speech` neither resumes the speech nor restarts the silence.
    fn push_paused(&mut self, probability: f32, window: Duration) -> Option<SpeechEvent> {
        self.silence += window;
        if probability >= self.config.activation {
            self.voiced += window;
            if self.voiced >= self.config.min_speech {
                self.enter(State::Speaking);
                self.loudness.begin_anew();
                return Some(SpeechEvent::Resumed {
                    onset_ago: std::mem::take(&mut self.voiced),
                });
            }
        } else {
            self.voiced = Duration::ZERO;
        }
        // A voice that is just coming up is given the time to prove itself.
        let silence = self.silence + self.fade;
        (silence >= self.config.min_silence && self.voiced.is_zero()).then(|| {
            self.enter(State::Silent);
            SpeechEvent::Ended { silence }
        })
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.silence = Duration::ZERO;
        self.fade = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(16);

    /// Feeds `(probability, windows)` stretches amid noise; expects each event with the window it came
    /// at.
    fn check(stretches: &[(f32, usize)], expected: &[(usize, SpeechEvent)]) {
        let stretches = stretches
            .iter()
            .map(|(probability, n)| (*probability, 1e3, *n));
        check_loud(&stretches.collect::<Vec<_>>(), expected);
    }

    /// The same for `(probability, loudness, windows)`.
    fn check_loud(stretches: &[(f32, f32, usize)], expected: &[(usize, SpeechEvent)]) {
        let config = Config {
            pause: ms(150),
            ..Config::default()
        };
        assert_eq!(events(config, stretches), expected);
    }

    fn events(config: Config, stretches: &[(f32, f32, usize)]) -> Vec<(usize, SpeechEvent)> {
        let mut gate = SpeechGate::new(config);
        let windows = stretches.iter().flat_map(|&(probability, loudness, n)| {
            let judged = Judged {
                probability,
                loudness,
                length: WINDOW,
            };
            std::iter::repeat_n(judged, n)
        });
        windows
            .enumerate()
            .filter_map(|(at, judged)| gate.push(judged).map(|event| (at, event)))
            .collect()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_click_does_not_start_speech() {
        check(&[(0.9, 3), (0.1, 20), (0.9, 3), (0.1, 20)], &[]);
    }

    #[test]
    fn speech_starts_pauses_and_ends_with_the_times_looked_back() {
        check(
            &[(0.1, 10), (0.9, 20), (0.1, 30)],
            &[
                (13, SpeechEvent::Started { onset_ago: ms(64) }),
                (39, SpeechEvent::Paused { silence: ms(160) }),
                (45, SpeechEvent::Ended { silence: ms(256) }),
            ],
        );
    }

    #[test]
    fn a_weak_voice_goes_on_between_the_thresholds() {
        check(
            &[(0.9, 4), (0.4, 100)],
            &[(3, SpeechEvent::Started { onset_ago: ms(64) })],
        );
    }

    #[test]
    fn silence_counts_from_where_a_voice_began_to_fade() {
        check(
            &[(0.9, 10), (0.6, 2), (0.4, 2), (0.1, 30)],
            &[
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (19, SpeechEvent::Paused { silence: ms(160) }),
                (25, SpeechEvent::Ended { silence: ms(256) }),
            ],
        );
    }

    #[test]
    fn silence_counts_from_the_last_loud_window_where_it_is_quiet() {
        check_loud(
            &[(0.9, 1e3, 10), (0.9, 9.0, 2), (0.5, 9.0, 4), (0.1, 9.0, 30)],
            &[
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (19, SpeechEvent::Paused { silence: ms(160) }),
                (25, SpeechEvent::Ended { silence: ms(256) }),
            ],
        );
    }

    #[test]
    fn a_whisper_after_a_loud_word_is_a_voice_all_the_same() {
        check_loud(
            &[(0.9, 1e3, 10), (0.9, 9.0, 100), (0.1, 9.0, 3)],
            &[
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (112, SpeechEvent::Paused { silence: ms(160) }),
            ],
        );
    }

    #[test]
    fn a_pause_need_not_wait_for_a_detector_that_doubts() {
        let paused = |probability| {
            let stretches = [(0.9, 1e3, 10), (probability, 9.0, 8)];
            let events = events(Config::default(), &stretches);
            events.get(1).copied()
        };
        assert_eq!(
            paused(0.6),
            Some((15, SpeechEvent::Paused { silence: ms(96) }))
        );
        assert_eq!(paused(0.8), None, "it is sure that this is a voice");
    }

    #[test]
    fn a_weak_voice_that_goes_on_does_not_pause_again_and_again() {
        let stretches = [(0.9, 1e3, 10), (0.6, 9.0, 100)];
        let events = events(Config::default(), &stretches);
        assert_eq!(
            events,
            [
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (15, SpeechEvent::Paused { silence: ms(96) }),
                (19, SpeechEvent::Resumed { onset_ago: ms(64) }),
            ]
        );
    }

    #[test]
    fn a_weak_voice_is_no_long_fade() {
        check(
            &[(0.9, 10), (0.4, 100), (0.1, 6)],
            &[
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (115, SpeechEvent::Paused { silence: ms(160) }),
            ],
        );
    }

    #[test]
    fn a_short_gap_inside_a_word_is_no_pause() {
        check(
            &[(0.9, 10), (0.1, 9), (0.9, 10), (0.1, 9), (0.9, 5)],
            &[(3, SpeechEvent::Started { onset_ago: ms(64) })],
        );
    }

    #[test]
    fn speech_after_a_pause_resumes() {
        check(
            &[(0.9, 10), (0.1, 12), (0.9, 10)],
            &[
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (19, SpeechEvent::Paused { silence: ms(160) }),
                (25, SpeechEvent::Resumed { onset_ago: ms(64) }),
            ],
        );
    }

    #[test]
    fn a_blip_in_a_pause_does_not_restart_the_silence() {
        check(
            &[(0.9, 10), (0.1, 11), (0.9, 2), (0.1, 10)],
            &[
                (3, SpeechEvent::Started { onset_ago: ms(64) }),
                (19, SpeechEvent::Paused { silence: ms(160) }),
                (25, SpeechEvent::Ended { silence: ms(256) }),
            ],
        );
    }

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        assert!(Config::default().problems().is_empty());
        let broken = Config {
            activation: 1.5,
            deactivation: 2.0,
            pause: ms(900),
            utterance_max: ms(1),
            ..Config::default()
        };
        assert_eq!(broken.problems().len(), 4);
    }
}
