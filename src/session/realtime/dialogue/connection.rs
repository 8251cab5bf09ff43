//! The connection as the conversation sees it: lost, there again, failing, old.

use std::time::Duration;

use super::super::protocol::OPERATION;
use super::{Action, Dialogue, Moment};
use crate::error::{CallError, ErrorKind, Service};
use crate::room::SessionEvent;
use crate::session::apology::Stage;
use crate::session::reply::Failure;

impl Dialogue {
    /// The connection is gone; what it had sent is still heard.
    pub(in super::super) fn on_lost(&mut self, at: Moment) {
        let error = CallError::new(Service::OpenAi, OPERATION, ErrorKind::Unavailable);
        self.lose(at, error, 2);
    }

    /// A bug stopped what was being done: the answer that is being given ends, the call goes on.
    pub(in super::super) fn on_bug(&mut self, at: Moment, error: CallError) {
        self.actions.clear();
        self.queued_until = at.position;
        match &mut self.turn {
            Some(turn) => {
                turn.is_voicing = false;
                // The failure is told once the turn is over, which it is at once: nothing is queued.
                turn.response = Some(String::new());
                self.lose(at, error, 0);
            }
            None => {
                self.lose(at, error.without_cause(), 0);
                self.on_failure(Stage::Llm, error);
            }
        }
    }

    /// The connection is good for nothing any more, for this reason.
    pub(super) fn give_up_connection(&mut self, at: Moment, error: CallError) {
        self.act(Action::Reconnect(error.without_cause()));
        self.lose(at, error, self.limits.tries_max);
    }

    /// What the user waits for is asked for once more, up to `tries_max` times in all; an answer
    /// that has begun breaks off.
    fn lose(&mut self, at: Moment, error: CallError, tries_max: u32) {
        self.connected = None;
        self.is_user_speaking = false;
        (self.speech_started, self.speech_ended) = (None, None);
        (self.n_asked, self.n_unwanted) = (0, 0);
        if let Some(turn) = &mut self.turn {
            let is_broken = turn.response.is_some();
            let is_known = turn.user_item.is_none() && turn.speeches.is_empty();
            self.is_owed = is_broken && is_known && turn.n_tries < tries_max;
            // They will never be known.
            turn.user_item = None;
            if !turn.is_voicing {
                turn.complete();
            }
            turn.response = self.is_owed.then(String::new);
            let had_tools = !turn.running.is_empty() || !turn.ran.is_empty();
            turn.running.clear();
            turn.ran.clear();
            if (is_broken || had_tools) && !self.is_owed {
                turn.failure = Some(Failure {
                    stage: Stage::Llm,
                    error,
                });
            }
            self.act(Action::CancelTools);
        }
        if let Some((_, turn)) = self.unrecorded.take() {
            self.act(Action::Record(turn));
        }
        self.history.retain(|entry| entry.awaited.is_none());
        self.follow(at);
    }

    /// A connection is there, open for so long already, and knows the conversation: what the user
    /// waits for is asked for once more.
    pub(in super::super) fn on_connected(&mut self, at: Moment, age: Duration) {
        self.connected = Some((at.now, age));
        self.is_known_lost = false;
        if std::mem::take(&mut self.is_owed) {
            self.respond(at);
        }
    }

    /// Whether the connection is old and could be replaced without anybody's noticing.
    pub(in super::super) fn is_connection_old(&self, at: Moment) -> bool {
        let age_max = self.limits.connection_age_max;
        let is_old = |(since, age)| at.now.since(since) + age >= age_max;
        self.is_idle() && self.connected.is_some_and(is_old)
    }

    /// There is no way to the service; the user hears of it once, and when it is for good.
    pub(in super::super) fn on_unreachable(&mut self, error: CallError) {
        let is_told = std::mem::replace(&mut self.is_known_lost, true);
        self.count_failure(error, is_told);
    }

    /// The service failed the conversation, or the voice one of its sentences: the conversation goes
    /// on without that one.
    pub(in super::super) fn on_failure(&mut self, stage: Stage, error: CallError) {
        match stage {
            Stage::Tts => {
                self.act(Action::Tell(SessionEvent::Error(error.to_string())));
                self.trouble(stage, error, false);
            }
            Stage::Stt | Stage::Llm => self.count_failure(error, false),
        }
    }

    /// The user is to hear of a failure.
    pub(super) fn trouble(&mut self, stage: Stage, error: CallError, is_final: bool) {
        self.is_apology_due = true;
        self.act(Action::Trouble {
            stage,
            error,
            is_final,
        });
    }

    fn count_failure(&mut self, error: CallError, is_told: bool) {
        self.n_errors += 1;
        let is_final = self.n_errors >= self.limits.errors_max || error.kind.needs_operator();
        self.act(Action::Tell(SessionEvent::Error(error.to_string())));
        if self.is_ending {
            return;
        }
        self.is_ending = is_final;
        if is_final || !is_told {
            self.trouble(Stage::Llm, error, is_final);
        }
    }
}
