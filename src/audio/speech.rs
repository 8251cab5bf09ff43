//! From likelihoods to speech: where it begins, pauses, goes on and ends.
//!
//! Counts windows, not clocks, so its answers depend on the sound alone. Single windows never decide:
//! a click does not start speech and a breath does not end it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::vad::Judged;
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

impl SpeechGate {
    /// A gate that has heard nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Silent,
            voiced: Duration::ZERO,
            silence: Duration::ZERO,
            fade: Duration::ZERO,
        }
    }

    /// Whether speech has begun and not ended.
    pub fn is_speech(&self) -> bool {
        self.state != State::Silent
    }

    /// Takes the next window, of the given length.
    pub fn push(&mut self, judged: Judged, window: Duration) -> Option<SpeechEvent> {
        match self.state {
            State::Silent => self.push_silent(judged.probability, window),
            State::Speaking => self.push_speaking(judged, window),
            State::Paused => self.push_paused(judged.probability, window),
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

    fn push_speaking(&mut self, judged: Judged, window: Duration) -> Option<SpeechEvent> {
        let probability = judged.probability;
        if probability >= self.config.deactivation {
            // All of a fading window counts already.
            (self.fade, self.silence) = match probability >= FADING {
                true => (Duration::ZERO, judged.silent_tail),
                false => ((self.fade + window).min(FADE_MAX), Duration::ZERO),
            };
            return None;
        }
        self.silence += window;
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

    /// Feeds `(probability, windows)` stretches; returns each event with the window it came at.
    fn check(stretches: &[(f32, usize)], expected: &[(usize, SpeechEvent)]) {
        let mut gate = SpeechGate::new(Config {
            pause: ms(150),
            ..Config::default()
        });
        let mut events = Vec::new();
        let windows = stretches
            .iter()
            .flat_map(|(probability, n)| std::iter::repeat_n(*probability, *n));
        for (at, probability) in windows.enumerate() {
            let judged = Judged::throughout(probability);
            events.extend(gate.push(judged, WINDOW).map(|event| (at, event)));
        }
        assert_eq!(events, expected);
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
    fn silence_counts_from_within_the_last_window_of_a_voice() {
        let silence = |probability: f32, silent_tail: Duration| {
            let mut gate = SpeechGate::new(Config::default());
            for _ in 0..10 {
                gate.push(Judged::throughout(0.95), WINDOW);
            }
            let last = Judged {
                probability,
                silent_tail,
            };
            gate.push(last, WINDOW);
            let mut silent = (0..30).filter_map(|_| gate.push(Judged::throughout(0.1), WINDOW));
            silent.next().expect("it pauses")
        };
        let paused = |silence| SpeechEvent::Paused { silence };
        assert_eq!(silence(0.95, ms(0)), paused(ms(96)));
        assert_eq!(silence(0.95, ms(8)), paused(ms(104)));
        assert_eq!(silence(0.95, ms(12)), paused(ms(92)));
        // The whole window is one in which it faded.
        assert_eq!(silence(0.5, ms(12)), paused(ms(96)));
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
