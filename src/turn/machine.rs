//! The turn machine: inputs with their times in, decisions out.

use std::time::Duration;

use super::absence::Presence;
use super::agent_side::Agent;
use super::away::Attention;
use super::endpointing::Endpointing;
use super::open_turn::OpenTurn;
use super::overlap::Overlap;
use super::queue::SpeechQueue;
use super::texts::WaitingTexts;
use super::{
    Commit, Config, RequestId, SessionTime, Timeline, TurnId, TurnInput, TurnOutput, TurnSource,
};
use crate::audio::speech::SpeechEvent;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Silent,
    Speaking { since: SessionTime },
    Paused,
}

/// Decides who speaks.
pub struct TurnMachine {
    pub(super) config: Config,
    pub(super) endpointing: Endpointing,
    pub(super) voice: Voice,
    pub(super) agent: Agent,
    /// Whether the voice that is heard had no words when they were asked for.
    pub(super) is_wordless: bool,
    pub(super) overlap: Overlap,
    /// When the agent was heard for the first time.
    pub(super) first_audible_at: Option<SessionTime>,
    pub(super) turn: Option<OpenTurn>,
    pub(super) queue: SpeechQueue,
    pub(super) waiting_texts: WaitingTexts,
    /// Whether they wait for the end of what the agent says.
    pub(super) texts_wait_for_end: bool,
    /// When the last text was answered, until that answer is heard or over.
    pub(super) unheard_text_since: Option<SessionTime>,
    pub(super) presence: Presence,
    /// Whether the agent is silent in the middle of what it says because the user is away.
    pub(super) is_held: bool,
    pub(super) attention: Attention,
    pub(super) n_turns: u32,
    pub(super) n_requests: u32,
    pub(super) outputs: Vec<TurnOutput>,
}

impl TurnMachine {
    /// A machine at the start of a session: nobody speaks, nobody is there.
    pub fn new(config: Config) -> Self {
        Self {
            endpointing: Endpointing::new(&config.endpointing),
            attention: Attention::new(config.away.after),
            config,
            voice: Voice::Silent,
            agent: Agent::Idle,
            is_wordless: false,
            overlap: Overlap::default(),
            first_audible_at: None,
            turn: None,
            queue: SpeechQueue::default(),
            waiting_texts: WaitingTexts::default(),
            texts_wait_for_end: false,
            unheard_text_since: None,
            presence: Presence::Expected,
            is_held: false,
            n_turns: 0,
            n_requests: 0,
            outputs: Vec::new(),
        }
    }

    /// Takes what happened at `now`; times must not go backwards. The decisions are in the order in
    /// which they are to be carried out.
    pub fn input(&mut self, now: SessionTime, input: TurnInput) -> Vec<TurnOutput> {
        match input {
            TurnInput::UserJoined => self.on_user_joined(),
            TurnInput::UserAway => self.on_user_away(),
            TurnInput::UserReturned => self.on_user_returned(),
            TurnInput::UserGone => self.on_user_gone(),
            TurnInput::Speech(event) => self.on_speech(now, event),
            TurnInput::UtteranceFull => self.on_utterance_full(),
            TurnInput::Words(words) => self.on_words(words),
            TurnInput::Transcript { request, text } => self.on_transcript(now, request, text),
            TurnInput::TranscriptionFailed { request } => self.on_failure(now, request),
            TurnInput::UserText(text) => self.on_text(text),
            TurnInput::SpeechQueued(speech) => self.on_queued(speech),
            TurnInput::SpeechDropped(id) => self.queue.remove(id),
            TurnInput::StopAgent => self.on_stop(now),
            TurnInput::AgentAudible => self.on_audible(now),
            TurnInput::AgentSilent { silence } => self.overlap.agent_rests(now - silence),
            TurnInput::AgentFinished => self.on_agent_finished(now),
            TurnInput::Tick => {}
        }
        if self.presence != Presence::Away {
            self.answer_texts(now);
            self.interrupt_by_voice(now);
            self.resume_in_time(now);
            self.ask_in_time(now);
            self.cut_in(now);
            self.end_turn(now);
            self.speak_next();
        }
        let is_quiet =
            self.is_user_there() && self.agent == Agent::Idle && !self.is_user_speaking();
        self.attention.update(now, is_quiet);
        std::mem::take(&mut self.outputs)
    }

    /// When the machine wants a [`TurnInput::Tick`] if nothing else happens before.
    pub fn deadline(&self) -> Option<SessionTime> {
        if self.presence == Presence::Away {
            return None;
        }
        let deadlines = [
            self.voice_interrupts_at(),
            self.resumes_at(),
            self.asks_at(),
            self.cuts_in_at(),
            self.turn_ends_at(),
            self.texts_answered_at(),
            self.attention.away_at(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether the user is not there, or nothing has been said for long; until the user says something.
    pub fn is_user_away(&self) -> bool {
        self.attention.is_away()
    }

    /// Whether the user's voice is heard right now.
    pub fn is_user_speaking(&self) -> bool {
        matches!(self.voice, Voice::Speaking { .. })
    }

    /// When the user and the agent were first heard together, of the voice that is listened to.
    pub fn overlap_began(&self) -> Option<SessionTime> {
        self.overlap.began()
    }

    fn on_speech(&mut self, now: SessionTime, event: SpeechEvent) {
        match event {
            SpeechEvent::Started { onset_ago } => {
                if let Some(turn) = &mut self.turn {
                    turn.utterance_voiced = Duration::ZERO;
                    turn.is_rest = false;
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
        self.is_wordless = false;
        self.attention.notice_user();
        self.endpointing.user_begins(onset);
        if self.turn.is_some() {
            self.user_goes_on();
        } else if self.is_listening() {
            self.overlap.forget();
            self.open_turn(onset);
        }
        if self.turn.is_some() {
            self.overlap.voice_begins(onset);
        }
    }

    fn voice_pauses(&mut self, voice_ended_at: SessionTime) {
        let Voice::Speaking { since } = std::mem::replace(&mut self.voice, Voice::Paused) else {
            return;
        };
        self.endpointing.user_ends(voice_ended_at);
        self.overlap.voice_ended(voice_ended_at);
        let Some(turn) = &mut self.turn else { return };
        let voiced = voice_ended_at.since(since);
        turn.voice_ended_at = voice_ended_at;
        turn.voiced += voiced;
        turn.utterance_voiced += voiced;
        turn.n_pauses += 1;
        if turn.is_asked_early {
            self.user_goes_on();
        }
        let Some(turn) = &self.turn else { return };
        if turn.is_unasked() && self.may_speculate() {
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
        if turn.is_early(request) {
            self.on_words_so_far(now, &text);
            return;
        }
        if !turn.answer(request, text) {
            return;
        }
        let Some(transcript) = turn.transcript() else {
            return;
        };
        turn.transcript_final_at = Some(now);
        if self.do_words_interrupt(&transcript) {
            self.voice_interrupts();
        }
        if self.agent == Agent::Idle
            && !self.is_user_speaking()
            && self.may_speculate()
            && !transcript.is_empty()
        {
            self.prepare(transcript);
        }
    }

    fn on_failure(&mut self, now: SessionTime, request: RequestId) {
        if self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.is_early(request))
        {
            self.on_words_so_far(now, "");
            return;
        }
        let was_awaited = self
            .turn
            .as_mut()
            .is_some_and(|turn| turn.answer(request, String::new()));
        let is_cut_off = self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.cut_off_at.is_some());
        if was_awaited && !is_cut_off {
            self.discard();
        }
    }

    /// When the turn is over if the user stays silent; `None` before all words are known.
    fn turn_ends_at(&self) -> Option<SessionTime> {
        let turn = self.turn.as_ref()?;
        if self.must_wait() {
            return None;
        }
        let transcript = turn.transcript()?;
        if turn.cut_off_at.is_some() {
            return turn.cut_off_at;
        }
        if self.is_user_speaking() {
            return None;
        }
        let delay = match self.is_at_limit(turn, &transcript) {
            true => Duration::ZERO,
            false => self.endpointing.delay(&transcript),
        };
        Some(turn.voice_ended_at + delay)
    }

    /// Ends the turn when the user has been silent long enough and all words are known.
    fn end_turn(&mut self, now: SessionTime) {
        if self.turn_ends_at().is_none_or(|at| now < at) {
            return;
        }
        let Some(transcript) = self.turn.as_ref().and_then(OpenTurn::transcript) else {
            return;
        };
        if self.do_words_interrupt(&transcript) {
            // The agent began after the words were known.
            self.drop_prepared();
            self.voice_interrupts();
        }
        let Some(turn) = &mut self.turn else { return };
        let is_cut_off = turn.cut_off_at.is_some();
        if self.agent != Agent::Idle || transcript.is_empty() {
            match is_cut_off {
                true => turn.go_on_behind_cut(),
                false => self.discard(),
            }
            return;
        }
        let timeline = Timeline {
            speech_started: Some(turn.started_at),
            speech_ended: turn.cut_off_at.or(Some(turn.voice_ended_at)),
            transcript_final: turn.transcript_final_at,
            committed: Some(now),
            ..Timeline::default()
        };
        let commit = Commit {
            id: TurnId(0),
            source: TurnSource::Speech,
            transcript,
            is_prepared: std::mem::take(&mut turn.is_reply_prepared),
            is_cut_off,
            timeline,
        };
        match is_cut_off {
            true => turn.go_on_behind_cut(),
            false => self.turn = None,
        }
        self.commit(commit);
    }

    /// Numbers the turn; the agent has it from here on.
    pub(super) fn commit(&mut self, commit: Commit) {
        self.n_turns += 1;
        self.overlap.forget();
        self.agent = Agent::Busy {
            is_interruptible: true,
        };
        self.outputs.push(TurnOutput::Commit(Commit {
            id: TurnId(self.n_turns),
            ..commit
        }));
    }

    pub(super) fn open_turn(&mut self, started_at: SessionTime) {
        self.turn = Some(OpenTurn::new(started_at));
        self.outputs.push(TurnOutput::Open);
    }

    fn discard(&mut self) {
        self.drop_prepared();
        let Some(turn) = self.turn.take() else { return };
        let cancelled = turn.awaited().map(TurnOutput::CancelTranscription);
        self.outputs.extend(cancelled);
        self.outlasts_voice();
        self.outputs.push(TurnOutput::Discard);
        if let Voice::Speaking { since } = self.voice
            && self.is_listening()
        {
            // The user is still talking: that is the next turn.
            self.open_turn(since);
        } else if self.agent == Agent::Paused {
            self.resume();
        }
    }

    pub(super) fn transcribe(&mut self) {
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

    pub(super) fn drop_prepared(&mut self) {
        if let Some(turn) = &mut self.turn
            && std::mem::take(&mut turn.is_reply_prepared)
        {
            self.outputs.push(TurnOutput::DropPrepared);
        }
    }

    fn may_speculate(&self) -> bool {
        let limits = &self.config.speculation;
        self.turn.as_ref().is_some_and(|turn| {
            limits.enabled
                && self.presence != Presence::Away
                && turn.n_pauses <= limits.per_turn_max
                && turn.voiced <= limits.speech_max
        })
    }
}
