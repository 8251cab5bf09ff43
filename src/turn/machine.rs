//! The turn machine: inputs with their times in, decisions out.

use std::collections::VecDeque;
use std::time::Duration;

use super::open_turn::OpenTurn;
use super::{Config, SessionTime, Timeline, TurnId, TurnSource};
use crate::audio::speech::SpeechEvent;

/// One request for a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u32);

/// What can happen to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnInput {
    /// The user's voice did something.
    Speech(SpeechEvent),
    /// The sound of the utterance has reached the length that one request may have.
    UtteranceFull,
    /// A transcript arrived; empty when there were no words.
    Transcript {
        /// What it answers.
        request: RequestId,
        /// The words.
        text: String,
    },
    /// A transcript will not arrive.
    TranscriptionFailed {
        /// What was asked.
        request: RequestId,
    },
    /// The user typed something.
    UserText(String),
    /// The agent began a reply of its own (greeting, apology).
    AgentStarted {
        /// Whether the user can stop it.
        is_interruptible: bool,
    },
    /// The agent's reply was heard to its end, or failed.
    AgentFinished,
    /// Time passed: [`TurnMachine::deadline`] has come.
    Tick,
}

/// The user's turn is over: answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The turn.
    pub id: TurnId,
    /// Spoken or typed.
    pub source: TurnSource,
    /// What the user said.
    pub transcript: String,
    /// Whether the reply was asked for by [`TurnOutput::Prepare`] and may be ready.
    pub is_prepared: bool,
    /// The stamps up to here.
    pub timeline: Timeline,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnOutput {
    /// A turn begins: keep the sound from here on.
    Open,
    /// Transcribe the sound so far.
    Transcribe(RequestId),
    /// The sound so far is done with: what follows is a new stretch of the same turn.
    CutSound,
    /// Nobody needs this transcript any more.
    CancelTranscription(RequestId),
    /// Prepare the reply to this, but let nothing of it be heard or done yet.
    Prepare(String),
    /// The user went on: what was prepared is worth nothing.
    DropPrepared,
    /// Stop the agent now.
    Interrupt,
    /// The turn is over: forget its sound and answer it.
    Commit(Commit),
    /// It was no turn (noise, a backchannel, a failed transcript): forget its sound.
    Discard,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    Silent,
    Speaking { since: SessionTime },
    Paused,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Agent {
    Idle,
    Busy { is_interruptible: bool },
}

/// Texts that wait for an uninterruptible reply to end; more are refused by dropping the oldest.
const WAITING_TEXTS_MAX: usize = 8;

/// Decides who speaks.
pub struct TurnMachine {
    config: Config,
    voice: Voice,
    agent: Agent,
    turn: Option<OpenTurn>,
    waiting_texts: VecDeque<String>,
    n_turns: u32,
    n_requests: u32,
    outputs: Vec<TurnOutput>,
}

impl TurnMachine {
    /// A machine at the start of a session: nobody speaks.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            voice: Voice::Silent,
            agent: Agent::Idle,
            turn: None,
            waiting_texts: VecDeque::new(),
            n_turns: 0,
            n_requests: 0,
            outputs: Vec::new(),
        }
    }

    /// Takes what happened at `now`; times must not go backwards. The decisions are in the order in
    /// which they are to be carried out.
    pub fn input(&mut self, now: SessionTime, input: TurnInput) -> Vec<TurnOutput> {
        match input {
            TurnInput::Speech(event) => self.on_speech(now, event),
            TurnInput::UtteranceFull => self.on_utterance_full(),
            TurnInput::Transcript { request, text } => self.on_transcript(now, request, text),
            TurnInput::TranscriptionFailed { request } => self.on_failure(request),
            TurnInput::UserText(text) => self.on_text(now, text),
            TurnInput::AgentStarted { is_interruptible } => {
                self.agent = Agent::Busy { is_interruptible };
            }
            TurnInput::AgentFinished => self.on_agent_finished(now),
            TurnInput::Tick => {}
        }
        self.interrupt_by_voice(now);
        self.end_turn(now);
        std::mem::take(&mut self.outputs)
    }

    /// When the machine wants a [`TurnInput::Tick`] if nothing else happens before.
    pub fn deadline(&self) -> Option<SessionTime> {
        let turn = self.turn.as_ref()?;
        match self.voice {
            Voice::Speaking { since } => {
                let needed = self.voice_needed_to_interrupt()?;
                Some(since + needed.saturating_sub(turn.utterance_voiced))
            }
            Voice::Paused | Voice::Silent => {
                let transcript = turn.transcript()?;
                Some(turn.voice_ended_at + self.config.endpointing.delay(&transcript))
            }
        }
    }

    /// Whether the user's voice is heard right now.
    pub fn is_user_speaking(&self) -> bool {
        matches!(self.voice, Voice::Speaking { .. })
    }

    fn on_speech(&mut self, now: SessionTime, event: SpeechEvent) {
        match event {
            SpeechEvent::Started { onset_ago } => {
                if let Some(turn) = &mut self.turn {
                    turn.utterance_voiced = Duration::ZERO;
                }
                self.voice_begins(now - onset_ago);
            }
            SpeechEvent::Resumed { onset_ago } => self.voice_begins(now - onset_ago),
            SpeechEvent::Paused { silence } => self.voice_pauses(now - silence),
            SpeechEvent::Ended { .. } => {
                self.voice = Voice::Silent;
                if self.turn.as_ref().is_some_and(OpenTurn::is_unasked) {
                    self.transcribe();
                }
            }
        }
    }

    fn voice_begins(&mut self, onset: SessionTime) {
        self.voice = Voice::Speaking { since: onset };
        if self.turn.is_some() {
            self.user_goes_on();
        } else if !self.is_uninterruptible() {
            self.open_turn(onset);
        }
    }

    fn voice_pauses(&mut self, voice_ended_at: SessionTime) {
        let Voice::Speaking { since } = std::mem::replace(&mut self.voice, Voice::Paused) else {
            return;
        };
        let Some(turn) = &mut self.turn else { return };
        let voiced = voice_ended_at.since(since);
        turn.voice_ended_at = voice_ended_at;
        turn.voiced += voiced;
        turn.utterance_voiced += voiced;
        turn.n_pauses += 1;
        if self.may_speculate() {
            self.transcribe();
        }
    }

    fn on_utterance_full(&mut self) {
        if self.is_user_speaking() {
            self.user_goes_on();
        }
        if self.turn.as_ref().is_some_and(OpenTurn::is_unasked) {
            self.transcribe();
        }
        let more_follows = self.is_user_speaking();
        if let Some(turn) = &mut self.turn {
            turn.close_part(more_follows);
            self.outputs.push(TurnOutput::CutSound);
        }
    }

    fn on_transcript(&mut self, now: SessionTime, request: RequestId, text: String) {
        let Some(turn) = &mut self.turn else { return };
        if !turn.answer(request, text) {
            return;
        }
        let Some(transcript) = turn.transcript() else {
            return;
        };
        turn.transcript_final_at = Some(now);
        if self.do_words_interrupt(&transcript) {
            self.interrupt();
        }
        if self.agent == Agent::Idle
            && !self.is_user_speaking()
            && self.may_speculate()
            && !transcript.is_empty()
        {
            self.prepare(transcript);
        }
    }

    fn on_failure(&mut self, request: RequestId) {
        let was_awaited = self
            .turn
            .as_mut()
            .is_some_and(|turn| turn.answer(request, String::new()));
        if was_awaited {
            self.discard();
        }
    }

    fn on_text(&mut self, now: SessionTime, text: String) {
        if self.is_uninterruptible() {
            if self.waiting_texts.len() == WAITING_TEXTS_MAX {
                self.waiting_texts.pop_front();
            }
            self.waiting_texts.push_back(text);
            return;
        }
        self.drop_prepared();
        if self.agent != Agent::Idle {
            self.interrupt();
        }
        let timeline = Timeline {
            committed: Some(now),
            ..Timeline::default()
        };
        self.commit(TurnSource::Text, text, false, timeline);
    }

    fn on_agent_finished(&mut self, now: SessionTime) {
        self.agent = Agent::Idle;
        if self.turn.is_none()
            && let Voice::Speaking { .. } = self.voice
        {
            // What was said into an uninterruptible reply is lost; what follows it is not.
            self.voice = Voice::Speaking { since: now };
            self.open_turn(now);
        }
        if let Some(text) = self.waiting_texts.pop_front() {
            self.on_text(now, text);
        }
    }

    /// Stops the agent when the user's voice has lasted long enough.
    fn interrupt_by_voice(&mut self, now: SessionTime) {
        if let (Voice::Speaking { .. }, Some(_), Some(deadline)) = (
            self.voice,
            self.voice_needed_to_interrupt(),
            self.deadline(),
        ) && now >= deadline
        {
            self.interrupt();
        }
    }

    /// Ends the turn when the user has been silent long enough and all words are known.
    fn end_turn(&mut self, now: SessionTime) {
        let is_due = self.deadline().is_some_and(|deadline| now >= deadline);
        if !is_due || self.is_user_speaking() {
            return;
        }
        let Some(transcript) = self.turn.as_ref().and_then(OpenTurn::transcript) else {
            return;
        };
        if self.do_words_interrupt(&transcript) {
            // The agent began after the words were known.
            self.drop_prepared();
            self.interrupt();
        }
        let Some(turn) = &self.turn else { return };
        if self.agent != Agent::Idle || transcript.is_empty() {
            self.discard();
            return;
        }
        let timeline = Timeline {
            speech_started: Some(turn.started_at),
            speech_ended: Some(turn.voice_ended_at),
            transcript_final: turn.transcript_final_at,
            committed: Some(now),
            ..Timeline::default()
        };
        let is_prepared = turn.is_reply_prepared;
        self.turn = None;
        self.commit(TurnSource::Speech, transcript, is_prepared, timeline);
    }

    fn commit(
        &mut self,
        source: TurnSource,
        transcript: String,
        is_prepared: bool,
        timeline: Timeline,
    ) {
        self.n_turns += 1;
        self.agent = Agent::Busy {
            is_interruptible: true,
        };
        self.outputs.push(TurnOutput::Commit(Commit {
            id: TurnId(self.n_turns),
            source,
            transcript,
            is_prepared,
            timeline,
        }));
    }

    fn open_turn(&mut self, started_at: SessionTime) {
        self.turn = Some(OpenTurn::new(started_at));
        self.outputs.push(TurnOutput::Open);
    }

    fn discard(&mut self) {
        self.drop_prepared();
        let Some(turn) = self.turn.take() else { return };
        let cancelled = turn.awaited().map(TurnOutput::CancelTranscription);
        self.outputs.extend(cancelled);
        self.outputs.push(TurnOutput::Discard);
        if let Voice::Speaking { since } = self.voice
            && !self.is_uninterruptible()
        {
            // The user is still talking: that is the next turn.
            self.open_turn(since);
        }
    }

    fn transcribe(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        self.n_requests += 1;
        let request = RequestId(self.n_requests);
        turn.ask(request);
        self.outputs.push(TurnOutput::Transcribe(request));
    }

    fn user_goes_on(&mut self) {
        self.drop_prepared();
        if let Some(request) = self.turn.as_mut().and_then(OpenTurn::reopen) {
            self.outputs.push(TurnOutput::CancelTranscription(request));
        }
    }

    fn prepare(&mut self, transcript: String) {
        if let Some(turn) = &mut self.turn {
            turn.is_reply_prepared = true;
        }
        self.outputs.push(TurnOutput::Prepare(transcript));
    }

    fn drop_prepared(&mut self) {
        if let Some(turn) = &mut self.turn
            && std::mem::take(&mut turn.is_reply_prepared)
        {
            self.outputs.push(TurnOutput::DropPrepared);
        }
    }

    fn interrupt(&mut self) {
        self.agent = Agent::Idle;
        self.outputs.push(TurnOutput::Interrupt);
    }

    /// Voice that stops the agent as it is now; `None` when no length of voice does.
    fn voice_needed_to_interrupt(&self) -> Option<Duration> {
        match self.agent {
            Agent::Busy {
                is_interruptible: true,
            } => self.config.interruption.duration_needed(),
            Agent::Busy { .. } | Agent::Idle => None,
        }
    }

    fn do_words_interrupt(&self, transcript: &str) -> bool {
        let is_stoppable = self.agent
            == Agent::Busy {
                is_interruptible: true,
            };
        is_stoppable && self.config.interruption.words_stop(transcript)
    }

    fn is_uninterruptible(&self) -> bool {
        self.agent
            == Agent::Busy {
                is_interruptible: false,
            }
    }

    fn may_speculate(&self) -> bool {
        let limits = &self.config.speculation;
        self.turn.as_ref().is_some_and(|turn| {
            limits.enabled
                && turn.n_pauses <= limits.per_turn_max
                && turn.voiced <= limits.speech_max
        })
    }
}
