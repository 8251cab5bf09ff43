//! What the user hears when something fails.

use super::writing::Source;
use crate::error::{CallError, ErrorKind};

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
