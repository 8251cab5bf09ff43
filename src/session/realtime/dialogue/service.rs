//! What the service says, and what is done about it.

use std::time::Duration;

use super::super::protocol::{ClientEvent, RATE_HZ, ServerEvent};
use super::super::turn::OpenTurn;
use super::history::Entry;
use super::{Action, Dialogue, Moment};
use crate::chat::{ChatItem, ToolCall};
use crate::error::CallError;
use crate::excess::Excess;
use crate::llm::{ARGUMENTS_BYTES_MAX, CALLS_MAX};
use crate::redact::Pii;
use crate::room::{AgentState, SessionEvent, UserState};
use crate::session::apology::Stage;
use crate::session::handle::Words;
use crate::session::reply::Failure;
use crate::session::transcriptions::bounded;
use crate::session::writing::ENOUGH;
use crate::turn::{Timeline, TurnSource};

impl Dialogue {
    /// The service said something.
    pub(in super::super) fn on_service(&mut self, at: Moment, event: ServerEvent) {
        match event {
            ServerEvent::SpeechStarted => self.on_speech_started(at),
            ServerEvent::SpeechStopped => self.on_speech_stopped(at),
            ServerEvent::Committed { item } => self.on_committed(at, item),
            ServerEvent::UserDelta { item, text } => self.on_user_delta(item, &text),
            ServerEvent::UserWords { item, text } => self.on_user_words(at, item, text),
            ServerEvent::ResponseCreated { response } => self.on_response(at, response),
            ServerEvent::Sound {
                response,
                item,
                samples,
            } => self.on_sound(at, &response, &item, samples),
            ServerEvent::Words {
                response,
                item,
                text,
                is_read,
            } => {
                if let Some(turn) = self.of_response(&response) {
                    turn.timeline.llm_first_token.get_or_insert(at.now);
                    turn.progress = at.now;
                    turn.add_words(&item, &text, is_read);
                    self.end_at_bound();
                }
            }
            ServerEvent::Call { response, call } => self.on_call(&response, call),
            ServerEvent::ResponseDone {
                response,
                failure,
                tokens,
            } => {
                self.usage.llm_input_tokens += tokens.0;
                self.usage.llm_output_tokens += tokens.1;
                self.on_done(at, &response, failure);
            }
            ServerEvent::Refused { error, is_final } => self.on_refused(error, is_final),
            ServerEvent::Other => {}
        }
        self.follow(at);
    }

    fn on_speech_started(&mut self, at: Moment) {
        self.is_user_speaking = true;
        self.is_here();
        self.speech_started = Some(at.now);
        self.tell_user_state(UserState::Speaking);
        if !self.is_deaf() {
            // The service takes every voice for an interruption, as soon as it hears it.
            if self.turn.is_some() && self.is_heard(at) {
                self.act(Action::Tell(SessionEvent::OverlappingSpeech {
                    is_interruption: true,
                    began_ago: Duration::ZERO,
                }));
            }
            self.stop(at);
            self.show(AgentState::Listening);
        }
    }

    fn on_speech_stopped(&mut self, at: Moment) {
        self.is_user_speaking = false;
        self.is_here();
        self.speech_ended = Some(at.now);
        self.tell_user_state(UserState::Listening);
    }

    fn on_committed(&mut self, at: Moment, item: String) {
        self.stop(at);
        self.add_entry(Entry {
            awaited: Some(item.clone()),
            item: ChatItem::User(String::new()),
        });
        let (started, ended) = (self.speech_started.take(), self.speech_ended.take());
        let turn = self.begin_next(TurnSource::Speech);
        turn.user_item = Some(item);
        turn.timeline.speech_started = started;
        turn.timeline.speech_ended = ended;
        turn.timeline.committed = Some(at.now);
        // The service goes on by itself.
        turn.response = Some(String::new());
        turn.n_tries = 1;
        turn.progress = at.now;
        self.show(AgentState::Thinking);
    }

    fn on_user_delta(&mut self, item: String, text: &str) {
        let (segment, mut words) = match self.user_words.take() {
            Some((last, segment, words)) if last == item => (segment, words),
            _ => (self.new_segment(), String::new()),
        };
        words = bounded(words + text);
        self.act(Action::UserWords(segment, words.clone(), false));
        self.user_words = Some((item, segment, words));
    }

    fn on_user_words(&mut self, at: Moment, item: String, text: String) {
        let text = bounded(text.trim().to_owned());
        let segment = match self.user_words.take_if(|(last, ..)| *last == item) {
            Some((_, segment, _)) => segment,
            None => self.new_segment(),
        };
        if !text.is_empty() {
            self.act(Action::UserWords(segment, text.clone(), true));
        }
        let timeline = self.timeline_of(&item);
        let entry = self
            .history
            .iter_mut()
            .find(|it| it.awaited.as_ref() == Some(&item));
        if let Some(entry) = entry {
            entry.awaited = None;
            entry.item = ChatItem::User(text.clone());
            let item = entry.item.clone();
            self.act(Action::Tell(SessionEvent::ConversationItemAdded {
                item,
                timeline: Box::new(timeline),
                at: at.now,
            }));
        }
        self.history.retain(|entry| {
            !matches!(&entry.item, ChatItem::User(text)
            if text.is_empty() && entry.awaited.is_none())
        });
        if let Some(turn) = &mut self.turn
            && turn.user_item.take_if(|it| *it == item).is_some()
        {
            turn.transcript.clone_from(&text);
            turn.timeline.transcript_final = Some(at.now);
        }
        if let Some((_, mut turn)) = self.unrecorded.take_if(|(awaited, _)| *awaited == item) {
            turn.transcript = Pii::new(text);
            turn.timeline.transcript_final = Some(at.now);
            self.act(Action::Record(turn));
        }
    }

    /// When the steps of the turn that the user took with this item happened.
    fn timeline_of(&self, item: &str) -> Timeline {
        let now = self.turn.as_ref();
        let now = now.filter(|turn| turn.user_item.as_deref() == Some(item));
        let before = self.unrecorded.as_ref();
        let before = before.filter(|(awaited, _)| awaited == item);
        let timeline = now.map(|turn| turn.timeline);
        let timeline = timeline.or(before.map(|(_, turn)| turn.timeline));
        timeline.unwrap_or_default()
    }

    fn on_response(&mut self, at: Moment, response: String) {
        self.n_asked = self.n_asked.saturating_sub(1);
        if self.n_unwanted > 0 {
            self.n_unwanted -= 1;
            self.cancelled = Some(response);
            self.act(Action::Send(ClientEvent::CancelResponse));
            return;
        }
        if self.turn.is_none() {
            // A response that we did not ask for and no turn of the user led to.
            self.begin_next(TurnSource::Agent);
        }
        let Some(turn) = &mut self.turn else { return };
        turn.response = Some(response);
        turn.progress = at.now;
        turn.timeline.llm_started.get_or_insert(at.now);
        self.show_work();
    }

    /// The exchange that a response belongs to, unless it is not to be heard any more.
    fn of_response(&mut self, response: &str) -> Option<&mut OpenTurn> {
        if self.cancelled.as_deref() == Some(response) {
            return None;
        }
        let turn = self.turn.as_mut()?;
        (turn.response.as_deref() == Some(response)).then_some(turn)
    }

    fn on_sound(&mut self, at: Moment, response: &str, item: &str, samples: Vec<i16>) {
        if samples.is_empty() {
            return;
        }
        let begins = self.queued_until.max(at.position);
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(RATE_HZ));
        let Some(turn) = self.of_response(response) else {
            return;
        };
        turn.progress = at.now;
        turn.add_sound(item, begins, length);
        turn.timeline.llm_first_token.get_or_insert(at.now);
        turn.timeline.tts_first_audio.get_or_insert(at.now);
        turn.timeline.playout_started.get_or_insert(at.now);
        self.play(samples, begins, length);
        self.end_at_bound();
    }

    /// Ends an answer that is longer than one may be: what has come is heard, then a sentence of ours.
    fn end_at_bound(&mut self) {
        let (length_max, characters_max) =
            (self.limits.reply_max, self.limits.reply_characters_max);
        let Some(turn) = &mut self.turn else { return };
        if turn.response.is_none() || !turn.is_beyond(length_max, characters_max) {
            return;
        }
        Excess::Reply.count("the length of a realtime answer");
        self.cancelled = turn.response.take();
        turn.complete();
        turn.is_voicing = true;
        self.act(Action::Send(ClientEvent::CancelResponse));
        self.act(Action::Speak(Words::Text(ENOUGH.to_owned())));
    }

    fn on_call(&mut self, response: &str, call: ToolCall) {
        if let Some(turn) = self.of_response(response) {
            let n_calls = turn.running.len() + turn.ran.len();
            let is_long = call.arguments.len() > ARGUMENTS_BYTES_MAX;
            // A service that calls tools where it was told not to would never come to an answer.
            if !turn.may_use_tools || n_calls >= CALLS_MAX || is_long {
                Excess::ToolCalls.count("the tool calls of a realtime answer");
                return;
            }
            turn.running.push(call.clone());
            turn.tool_calls.push(call.clone());
            self.act(Action::Run(call));
        }
    }

    fn on_done(&mut self, at: Moment, response: &str, failure: Option<CallError>) {
        let tries_max = self.limits.tries_max;
        let Some(turn) = self.of_response(response) else {
            return;
        };
        let can_retry = turn.speeches.is_empty() && turn.n_tries < tries_max;
        match failure {
            Some(error) if can_retry && error.kind.counts_against(error.service) => {
                self.give_up_connection(at, error);
            }
            failure => {
                turn.response = None;
                turn.complete();
                turn.failure = failure.map(|error| Failure {
                    stage: Stage::Llm,
                    error,
                });
                self.go_on(at);
            }
        }
    }

    fn on_refused(&mut self, error: CallError, is_final: bool) {
        if is_final {
            self.act(Action::Tell(SessionEvent::Error(error.to_string())));
            self.trouble(Stage::Llm, error, is_final);
        } else {
            // Such as a cancellation of what was over already.
            tracing::debug!(%error, "the realtime service refused a request");
        }
    }
}
