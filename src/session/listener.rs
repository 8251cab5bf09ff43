//! The user's side of the loop: frames in, decisions of the turn machine out.

use std::time::Duration;

use super::BoxVad;
use crate::audio::AudioFrame;
use crate::audio::speech::{self, SpeechGate};
use crate::audio::utterance::UtteranceBuffer;
use crate::audio::vad::{Judged, SAMPLE_RATE_HZ, WINDOW_SAMPLES, Windows};
use crate::room::UserState;
use crate::turn::{self, SessionTime, TurnInput, TurnMachine, TurnOutput};

/// Frames come every 10 ms; without any for this long (a muted track) there is silence.
const SILENT_WITHOUT_FRAMES: Duration = Duration::from_millis(300);

/// Silence that stands for a longer gap: more than the prefix of an utterance.
const GAP_MAX: Duration = Duration::from_secs(2);

const WINDOW: Duration =
    Duration::from_micros(WINDOW_SAMPLES as u64 * 1_000_000 / SAMPLE_RATE_HZ as u64);

/// Hears the user.
pub(super) struct Listener {
    vad: BoxVad,
    windows: Windows,
    gate: SpeechGate,
    speech: speech::Config,
    utterance: UtteranceBuffer,
    machine: TurnMachine,
    last_frame_at: SessionTime,
    /// How old a frame is when it is heard.
    lag: Duration,
}

impl Listener {
    pub(super) fn new(vad: BoxVad, speech: &speech::Config, turn: &turn::Config) -> Self {
        Self {
            vad,
            windows: Windows::default(),
            gate: SpeechGate::new(speech.clone()),
            speech: speech.clone(),
            utterance: new_utterance(speech),
            machine: TurnMachine::new(turn.clone()),
            last_frame_at: SessionTime::ZERO,
            lag: Duration::ZERO,
        }
    }

    /// Takes the next frame of the user's microphone.
    pub(super) fn hear(&mut self, now: SessionTime, frame: &AudioFrame) -> Vec<TurnOutput> {
        debug_assert_eq!(frame.sample_rate_hz, SAMPLE_RATE_HZ);
        self.fill_gap(now);
        self.last_frame_at = now;
        self.utterance.push(&frame.samples);
        let (vad, gate) = (&mut self.vad, &mut self.gate);
        let mut events = Vec::new();
        self.windows.push(&frame.samples, |window| {
            events.extend(gate.push(vad.judge(window), WINDOW));
        });
        let mut outputs = Vec::new();
        for event in events {
            let event = event.heard_late(self.lag);
            outputs.extend(self.machine.input(now, TurnInput::Speech(event)));
        }
        if self.utterance.is_full() {
            outputs.extend(self.machine.input(now, TurnInput::UtteranceFull));
        }
        outputs.extend(self.machine.input(now, TurnInput::Tick));
        outputs
    }

    /// Frames are so old from here on: what they tell was so long ago.
    pub(super) fn hear_late(&mut self, lag: Duration) {
        self.lag = lag;
    }

    /// Tells the machine of anything but sound.
    pub(super) fn input(&mut self, now: SessionTime, input: TurnInput) -> Vec<TurnOutput> {
        self.machine.input(now, input)
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: SessionTime) -> Vec<TurnOutput> {
        let mut outputs = Vec::new();
        let missing = now.since(self.last_frame_at);
        if self.gate.is_speech() && missing >= SILENT_WITHOUT_FRAMES {
            self.fill_gap(now);
            self.last_frame_at = now;
            let n_windows = missing.as_micros() / WINDOW.as_micros();
            for _ in 0..n_windows {
                if let Some(event) = self.gate.push(Judged::default(), WINDOW) {
                    outputs.extend(self.machine.input(now, TurnInput::Speech(event)));
                }
            }
        }
        outputs.extend(self.machine.input(now, TurnInput::Tick));
        outputs
    }

    /// Where frames were missing there was silence: without it, what is said after a mute would be
    /// transcribed together with what was said before.
    fn fill_gap(&mut self, now: SessionTime) {
        let missing = now.since(self.last_frame_at);
        if missing >= SILENT_WITHOUT_FRAMES {
            let n_samples = missing.min(GAP_MAX).as_millis() as usize * SAMPLE_RATE_HZ as usize;
            self.utterance.push(&vec![0; n_samples / 1000]);
        }
    }

    /// When [`Self::tick`] is wanted at the latest.
    pub(super) fn deadline(&self) -> Option<SessionTime> {
        let stalled = self
            .gate
            .is_speech()
            .then(|| self.last_frame_at + SILENT_WITHOUT_FRAMES);
        [stalled, self.machine.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the user does.
    pub(super) fn user_state(&self) -> UserState {
        match (self.machine.is_user_speaking(), self.machine.is_user_away()) {
            (true, _) => UserState::Speaking,
            (false, true) => UserState::Away,
            (false, false) => UserState::Listening,
        }
    }

    /// When the user and the agent were first heard together, of the voice that is listened to.
    pub(super) fn overlap_began(&self) -> Option<SessionTime> {
        self.machine.overlap_began()
    }

    /// The sound of the turn so far.
    pub(super) fn utterance(&mut self) -> &mut UtteranceBuffer {
        &mut self.utterance
    }

    /// Another microphone is heard from here on.
    pub(super) fn change_source(&mut self) {
        self.lag = Duration::ZERO;
        self.vad.reset();
        self.windows = Windows::default();
    }

    /// Forgets all audio so far; the turn machine has an input of its own for this.
    pub(super) fn forget_user(&mut self, now: SessionTime) {
        self.change_source();
        self.gate = SpeechGate::new(self.speech.clone());
        self.utterance = new_utterance(&self.speech);
        self.last_frame_at = now;
    }
}

fn new_utterance(speech: &speech::Config) -> UtteranceBuffer {
    UtteranceBuffer::new(speech.prefix + speech.min_speech, speech.utterance_max)
}
