//! What the user hears when something fails.

use super::event_loop::Conversation;
use super::exchange::Kind;
use super::reply::Failure;
use super::report;
use super::writing::Source;
use crate::error::{CallError, ErrorKind};
use crate::turn::SessionTime;

/// The stages of an answer: each fails in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Stt,
    Llm,
    Tts,
}

/// Spoken before the session ends for its failures.
const FAREWELL: &str = "I'm sorry, I can't go on with this call. Please try again later. Goodbye.";

/// Spoken when the words of the user were lost and trying again may help.
const SAY_AGAIN: &str = "I'm sorry, I didn't get that. Could you say it again?";

/// What is said or sounded about a failure. Without a voice there is a short sound: silence would
/// leave the user guessing.
pub(super) fn apology(stage: Stage, error: &CallError, is_last: bool) -> Source {
    let text = match (stage, error.kind) {
        (Stage::Tts, _) => return Source::Earcon,
        _ if is_last => FAREWELL,
        (Stage::Stt, ErrorKind::Timeout | ErrorKind::Malformed) => SAY_AGAIN,
        (_, kind) => kind.spoken(),
    };
    Source::Say(text.to_owned())
}

impl Conversation {
    /// Words of the user that could not be transcribed.
    pub(super) fn on_lost_words(&mut self, now: SessionTime, failure: &Failure) {
        report::failure(&failure.error);
        self.show_error(&failure.error);
        if self.active.is_none() {
            self.count_failure(now, failure.stage, copy(&failure.error));
        }
    }

    pub(super) fn on_failure(&mut self, now: SessionTime, stage: Stage, error: CallError) {
        report::failure(&error);
        self.show_error(&error);
        self.count_failure(now, stage, error);
    }

    fn count_failure(&mut self, now: SessionTime, stage: Stage, error: CallError) {
        self.n_errors += 1;
        let is_last = self.n_errors >= self.core.config.errors_max;
        let source = apology(stage, &error, is_last);
        self.apologise(now, source, is_last.then_some(error));
    }

    pub(super) fn apologise(
        &mut self,
        now: SessionTime,
        source: Source,
        ends_with: Option<CallError>,
    ) {
        let is_interruptible = ends_with.is_none();
        let exchange = self.core.make(source, Kind::Apology { ends_with });
        self.speak_urgently(now, is_interruptible, exchange);
    }
}

/// The same failure without its cause, which stays with the record of the turn.
pub(super) fn copy(error: &CallError) -> CallError {
    CallError {
        retry_after: error.retry_after,
        ..CallError::new(error.service, error.operation, error.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Service;

    #[test]
    fn every_failure_is_heard_in_some_way() {
        for stage in [Stage::Stt, Stage::Llm, Stage::Tts] {
            for kind in ErrorKind::ALL {
                let error = CallError::new(Service::OpenAi, "chat.stream", kind);
                match apology(stage, &error, false) {
                    Source::Say(text) => assert!(!text.is_empty() && stage != Stage::Tts),
                    Source::Earcon => assert_eq!(stage, Stage::Tts),
                    Source::Chat(_) | Source::Recorded(_) | Source::Words(_) => {
                        panic!("an apology that needs the service that failed")
                    }
                }
            }
        }
    }
}
