//! The words of one utterance as they come in: plain code, no I/O.
//!
//! Each commit makes one item of the sound since the last. Items finish in any order; the utterance
//! is their words in the order of the sound.

use super::super::spoken::spoken;
use super::OPERATION;
use super::protocol::Event;
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::Excess;

/// Most that the service may say of one utterance: items, and bytes of their words and names. A service
/// makes an item for each commit, and an utterance has a handful.
const ITEMS_MAX: usize = 256;
const BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Transcript {
    items: Vec<Item>,
    n_commits: usize,
    is_clearing: bool,
}

struct Item {
    id: String,
    text: String,
    is_final: bool,
    error: Option<CallError>,
}

/// What an event changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The words, as far as they are known now.
    Words(String),
    /// Nothing that anybody sees.
    Nothing,
}

impl Transcript {
    /// The sound so far was committed.
    pub(super) fn commit(&mut self) {
        self.n_commits += 1;
    }

    /// The service was asked to forget sound that was not committed.
    pub(super) fn clear(&mut self) {
        self.is_clearing = true;
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When the service refused a request, or says more than an utterance can have.
    pub(super) fn on_event(&mut self, event: Event) -> Result<Change, CallError> {
        let change = self.take(event)?;
        let n_bytes: usize = self
            .items
            .iter()
            .map(|it| it.id.len() + it.text.len())
            .sum();
        if self.items.len() > ITEMS_MAX || n_bytes > BYTES_MAX {
            Excess::Transcript.count("what is said of one utterance");
            return Err(CallError::new(
                Service::OpenAi,
                OPERATION,
                ErrorKind::Malformed,
            ));
        }
        Ok(change)
    }

    fn take(&mut self, event: Event) -> Result<Change, CallError> {
        match event {
            Event::Item(id) => {
                self.item(id);
            }
            Event::Delta { item, text } => {
                let item = self.item(item);
                if !item.is_final && !text.is_empty() {
                    item.text += &text;
                    return Ok(self.words());
                }
            }
            Event::Completed { item, text } => {
                // The prompt is not known here; models that hear while the user speaks do not repeat it.
                let text = spoken(&text, "");
                let item = self.item(item);
                let is_news = item.text != text;
                item.text = text;
                item.is_final = true;
                if is_news {
                    return Ok(self.words());
                }
            }
            Event::Failed { item, error } => {
                let item = self.item(item);
                item.is_final = true;
                item.error = Some(error);
            }
            Event::Cleared => self.is_clearing = false,
            Event::Refused(error) => return Err(error),
            Event::Other => {}
        }
        Ok(Change::Nothing)
    }

    /// The words of everything committed, once all of them are known; or why they never will be.
    pub(super) fn answer(&mut self) -> Option<Result<String, CallError>> {
        let committed = self.items.get_mut(..self.n_commits)?;
        if !committed.iter().all(|item| item.is_final) {
            return None;
        }
        match committed.iter_mut().find_map(|item| item.error.take()) {
            Some(error) => Some(Err(error)),
            None => Some(Ok(join(&self.items[..self.n_commits]))),
        }
    }

    /// Whether nothing more is to come, so that the connection can serve somebody else.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_clearing
            && self.items.len() <= self.n_commits
            && self.items.iter().filter(|item| item.is_final).count() == self.n_commits
    }

    fn words(&self) -> Change {
        match join(&self.items) {
            text if text.is_empty() => Change::Nothing,
            text => Change::Words(text),
        }
    }

    fn item(&mut self, id: String) -> &mut Item {
        let place = self.items.iter().position(|item| item.id == id);
        let place = place.unwrap_or_else(|| {
            self.items.push(Item {
                id,
                text: String::new(),
                is_final: false,
                error: None,
            });
            self.items.len() - 1
        });
        &mut self.items[place]
    }
}

fn join(items: &[Item]) -> String {
    let texts = items.iter().map(|item| item.text.trim());
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::protocol::parse;
    use super::*;

    /// Runs a script, one line each: `commit`, or an event of the service in short. Returns what
    /// was shown and answered.
    fn run(script: &str) -> Vec<String> {
        let mut transcript = Transcript::default();
        let mut seen = Vec::new();
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (item, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let transcription = format!("conversation.item.input_audio_transcription.{word}");
            let event = match word {
                "commit" => {
                    transcript.commit();
                    continue;
                }
                "committed" => serde_json::json!(
                    {"type": "input_audio_buffer.committed", "item_id": item}),
                "completed" => serde_json::json!(
                    {"type": transcription, "item_id": item, "transcript": text}),
                _ => serde_json::json!({"type": transcription, "item_id": item, "delta": text,
                    "error": {"type": "server_error"}}),
            };
            match transcript.on_event(parse(&event.to_string())) {
                Ok(Change::Words(words)) => seen.push(words),
                Ok(Change::Nothing) => {}
                Err(error) => seen.push(error.kind.label().to_owned()),
            }
            match transcript.answer() {
                Some(Ok(words)) if transcript.n_commits > 0 => seen.push(format!("= {words}")),
                Some(Err(error)) => seen.push(format!("= {}", error.kind.label())),
                _ => {}
            }
        }
        seen.push(
            if transcript.is_settled() {
                "settled"
            } else {
                "unsettled"
            }
            .to_owned(),
        );
        seen
    }

    #[test]
    fn words_are_shown_as_they_come_and_the_last_version_counts() {
        let seen = run("commit
            committed a
            delta a hel
            delta a lo there
            completed a Hello there.");
        assert_eq!(
            seen,
            [
                "hel",
                "hello there",
                "Hello there.",
                "= Hello there.",
                "settled"
            ]
        );
    }

    #[test]
    fn an_utterance_with_a_pause_is_one_text_whichever_part_is_known_first() {
        let seen = run("commit
            committed a
            commit
            committed b
            completed b and goodbye
            completed a thank you");
        assert_eq!(
            seen,
            [
                "and goodbye",
                "thank you and goodbye",
                "= thank you and goodbye",
                "settled"
            ]
        );
    }

    #[test]
    fn words_before_the_commit_do_not_answer_it() {
        let seen = run("delta a hello
            commit
            committed a
            completed a hello");
        assert_eq!(seen, ["hello", "= hello", "settled"]);
    }

    #[test]
    fn words_and_items_without_end_are_refused() {
        let before = Excess::Transcript.counted();
        let endless = |event: fn(usize) -> Event| {
            let mut transcript = Transcript::default();
            (0..100_000).find(|n| transcript.on_event(event(*n)).is_err())
        };
        let words = endless(|_| Event::Delta {
            item: "a".to_owned(),
            text: "and ".to_owned(),
        });
        let items = endless(|n| Event::Item(n.to_string()));
        assert_eq!((words, items), (Some(BYTES_MAX / 4 - 1), Some(ITEMS_MAX)));
        assert!(Excess::Transcript.counted() >= before + 2);
    }

    #[test]
    fn a_failed_part_fails_the_utterance_and_leaves_the_connection_usable() {
        let seen = run("commit
            committed a
            failed a");
        assert_eq!(seen, ["= unavailable", "settled"]);
        assert_eq!(run("commit")[0], "unsettled");
    }
}
