//! The replies of a conversation: begun, heard, interrupted, finished, failed.

use std::time::Duration;

use super::SessionEnd;
use super::apology::copy;
use super::event_loop::Conversation;
use super::exchange::{Exchange, Kind};
use super::handle::SpeechEnd;
use super::reply::{Failure, ReplyEvent, ReplyId};
use super::report::SpeculationEnd;
use super::speeches::Waiting;
use super::spoken::SpokenLog;
use super::writing::Source;
use crate::chat::ChatItem;
use crate::room::{AgentState, SessionEvent};
use crate::turn::{
    Commit, Priority, QueuedSpeech, ReplyOutcome, RequestId, SessionTime, TurnInput, TurnSource,
};

impl Conversation {
    /// Lets the greeting be heard, the first time there is somebody to hear it.
    pub(super) fn greet(&mut self, now: SessionTime) {
        if let Some(greeting) = self.core.greeting.take() {
            let is_interruptible = self.core.agent.greeting.is_interruptible;
            self.speak_urgently(now, is_interruptible, greeting);
        }
    }

    pub(super) fn speak_urgently(
        &mut self,
        now: SessionTime,
        is_interruptible: bool,
        exchange: Exchange,
    ) {
        let speech = QueuedSpeech {
            id: self.core.speech_ids.next(),
            priority: Priority::High,
            is_interruptible,
        };
        self.enqueue(now, speech, Waiting::Made(Box::new(exchange)));
    }

    /// Begins the reply to what the user may have finished saying.
    pub(super) fn prepare(&mut self, text: String) {
        self.show_user_words(&text);
        let mut context = self.core.chat.clone();
        context.push_user(text);
        self.prepared = Some(self.core.make_in_advance(Source::Chat(context)));
    }

    /// The user went on: what was prepared is worth nothing.
    pub(super) fn drop_prepared(&mut self) {
        if self.prepared.take().is_some() {
            self.speculation_ended(SpeculationEnd::Dropped);
        }
    }

    /// Nobody waits for these words any more.
    pub(super) fn cancel_transcription(&mut self, request: RequestId) {
        if self.transcriptions.cancel(request) {
            self.speculation_ended(SpeculationEnd::Unheard);
        }
    }

    fn speculation_ended(&self, end: SpeculationEnd) {
        if let Some(observer) = &self.links.observer {
            observer.speculation_ended(end);
        }
    }

    /// The user's turn is over: answers it.
    pub(super) fn commit(&mut self, now: SessionTime, commit: Commit) {
        let mut waited = Duration::ZERO;
        if commit.source == TurnSource::Speech {
            waited = self.transcriptions.take_waited();
            if !commit.is_cut_off {
                self.transcriptions.close();
                self.listener.utterance().close();
            }
            self.finish_user_segment(Some(commit.transcript.clone()));
        }
        let said = ChatItem::User(commit.transcript.clone());
        self.add_to_chat(now, vec![said], commit.timeline);
        self.core.trim_chat();
        if !commit.is_prepared {
            self.drop_prepared();
        }
        let prepared = self.prepared.take();
        if prepared.is_some() {
            self.speculation_ended(SpeculationEnd::Used);
        }
        let mut exchange = prepared.unwrap_or_else(|| {
            let source = Source::Chat(self.core.chat.clone());
            self.core.make(source, Kind::Answer)
        });
        exchange.answers(commit, waited);
        self.release(exchange);
    }

    pub(super) fn release(&mut self, mut exchange: Exchange) {
        debug_assert!(self.active.is_none(), "two replies at once");
        // A greeting is made before it is known for whom.
        exchange.user.clone_from(&self.core.user);
        exchange.reply.release();
        self.active = Some(exchange);
        self.show(AgentState::Thinking);
    }

    /// Silence, but what is being said can go on from here.
    pub(super) fn pause(&mut self, now: SessionTime) {
        let Some(exchange) = &mut self.active else {
            return;
        };
        let delay = self.listener.overlap_began().map(|began| now.since(began));
        exchange.timeline.interruption_delay = exchange.timeline.interruption_delay.or(delay);
        exchange.pause(now);
        self.core.output.clear();
        self.show(AgentState::Listening);
    }

    /// Goes on where the agent was paused.
    pub(super) fn resume(&mut self) {
        let Some(exchange) = &mut self.active else {
            return;
        };
        // It was no interruption.
        exchange.timeline.interruption_delay = None;
        let state = exchange.resume();
        self.show(state);
        self.room
            .session_event(SessionEvent::AgentFalseInterruption { resumed: true });
    }

    /// The user was heard over the agent.
    pub(super) fn on_overlap(
        &mut self,
        now: SessionTime,
        began: SessionTime,
        is_interruption: bool,
    ) {
        let began_ago = now.since(began);
        if let Some(exchange) = &mut self.active
            && is_interruption
        {
            exchange
                .timeline
                .interruption_delay
                .get_or_insert(began_ago);
        }
        self.room.session_event(SessionEvent::OverlappingSpeech {
            is_interruption,
            began_ago,
        });
    }

    /// Stops the agent: silence, and what was heard is what was said.
    pub(super) fn interrupt(&mut self, now: SessionTime) {
        let Some(mut exchange) = self.active.take() else {
            return;
        };
        exchange.fall_silent(now);
        let position = self.core.output.position();
        exchange.reply.stop();
        self.core.output.clear();
        let items = exchange.reply.log(|log| log.interrupted_items(position));
        self.add_to_chat(now, items, exchange.timeline);
        self.close_exchange(exchange, ReplyOutcome::Interrupted);
        self.show(AgentState::Listening);
    }

    pub(super) fn on_reply(&mut self, now: SessionTime, id: ReplyId, event: ReplyEvent) {
        if let ReplyEvent::Used(used) = event {
            // Also of a reply that nobody heard.
            self.core.usage += used;
            return;
        }
        let exchanges = [
            &mut self.active,
            &mut self.prepared,
            &mut self.core.greeting,
        ];
        let exchange = exchanges
            .into_iter()
            .flatten()
            .find(|exchange| exchange.reply.id() == id);
        // What a dropped reply still had to report is of no interest.
        let Some(exchange) = exchange else { return };
        let timeline = &mut exchange.timeline;
        match event {
            ReplyEvent::LlmStarted => stamp(&mut timeline.llm_started, now),
            ReplyEvent::LlmFirstToken => stamp(&mut timeline.llm_first_token, now),
            ReplyEvent::TtsStarted => stamp(&mut timeline.tts_started, now),
            ReplyEvent::TtsFirstAudio => {
                stamp(&mut timeline.tts_first_audio, now);
                exchange.has_sound();
            }
            ReplyEvent::Audible => {
                stamp(&mut timeline.playout_started, now);
                exchange.is_audible = true;
                // A pause may have come between the sound and this.
                if !exchange.is_paused {
                    exchange.timeline.playout_ended = None;
                    self.show(AgentState::Speaking);
                }
                self.input(now, TurnInput::AgentAudible);
            }
            ReplyEvent::Silent { silence } => {
                exchange.is_audible = false;
                exchange.fall_silent(now - silence);
                if !exchange.is_paused {
                    self.show(AgentState::Thinking);
                }
                self.input(now, TurnInput::AgentSilent { silence });
            }
            ReplyEvent::Used(_) => {}
            ReplyEvent::ToolsRan(ran) => {
                let (calls, outputs) = ran.into_iter().unzip();
                self.room
                    .session_event(SessionEvent::FunctionToolsExecuted { calls, outputs });
            }
            ReplyEvent::Heard(delta) => {
                let segment = exchange.segment;
                self.room.agent_transcript(segment, &delta);
            }
            ReplyEvent::Done(result) => {
                if let Some(exchange) = self.active.take() {
                    self.finish(now, exchange, result);
                }
            }
        }
    }

    fn finish(&mut self, now: SessionTime, mut exchange: Exchange, result: Result<(), Failure>) {
        exchange.fall_silent(now);
        let kind = std::mem::replace(&mut exchange.kind, Kind::Answer);
        match result {
            Ok(()) => {
                let items = exchange.reply.log(SpokenLog::finished_items);
                self.add_to_chat(now, items, exchange.timeline);
                self.close_exchange(exchange, ReplyOutcome::Finished);
                match kind {
                    Kind::Answer | Kind::Greeting => self.n_errors = 0,
                    Kind::Apology { ends_with: None } => {}
                    Kind::Apology {
                        ends_with: Some(error),
                    } => {
                        self.end = Some(SessionEnd::Failed(error));
                        return;
                    }
                }
                self.show(AgentState::Listening);
                self.input(now, TurnInput::AgentFinished);
            }
            Err(failure) => {
                let position = self.core.output.position();
                let items = exchange.reply.log(|log| log.interrupted_items(position));
                self.add_to_chat(now, items, exchange.timeline);
                let (stage, error) = (failure.stage, copy(&failure.error));
                self.close_exchange(exchange, ReplyOutcome::Failed(failure.error));
                match kind {
                    // The apology's own failure is the same trouble once more.
                    Kind::Apology { ends_with } => self.apologise(now, Source::Earcon, ends_with),
                    Kind::Answer | Kind::Greeting => self.on_failure(now, stage, error),
                }
                // The apology waits first in the queue.
                self.input(now, TurnInput::AgentFinished);
            }
        }
    }

    /// The last words of a reply: transcript, record, log.
    fn close_exchange(&mut self, mut exchange: Exchange, outcome: ReplyOutcome) {
        self.core.trim_chat();
        self.room.end_agent_transcript(exchange.segment);
        self.room
            .session_event(SessionEvent::SessionUsageUpdated(self.core.usage));
        if let Some(ending) = exchange.ending.take() {
            ending.send_replace(Some(SpeechEnd::from(&outcome)));
        }
        let position = self.core.output.position();
        let turn = exchange.into_turn(outcome, position);
        self.links.record(turn);
    }

    /// The session is over: what is being said ends here.
    pub(super) fn close(&mut self, now: SessionTime) {
        self.drop_prepared();
        self.interrupt(now);
        self.finish_user_segment(None);
    }

    pub(super) fn show_user_words(&mut self, text: &str) {
        let segment = match self.user_segment.take() {
            Some((segment, _)) => segment,
            None => self.core.new_segment(),
        };
        self.room.user_transcript(segment, text, false);
        self.user_segment = Some((segment, text.to_owned()));
    }

    /// Makes the shown words final: as they are, or as they are now known.
    pub(super) fn finish_user_segment(&mut self, text: Option<String>) {
        let shown = self.user_segment.take();
        let (segment, text) = match (shown, text) {
            (Some((segment, _)), Some(text)) | (Some((segment, text)), None) => (segment, text),
            (None, Some(text)) => (self.core.new_segment(), text),
            (None, None) => return,
        };
        self.room.user_transcript(segment, &text, true);
    }
}

fn stamp(moment: &mut Option<SessionTime>, now: SessionTime) {
    moment.get_or_insert(now);
}
