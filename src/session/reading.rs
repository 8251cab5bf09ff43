//! Reads the model's answer as fast as it comes, whatever the voice still has to speak.

use futures::stream::BoxStream;
use tokio::sync::mpsc;

use super::apology::Stage;
use super::reply::{Failure, Making, ReplyEvent};
use super::writing::next;
use crate::chat::ToolCall;
use crate::error::CallError;
use crate::llm::LlmEvent;
use crate::room::Usage;
use crate::text::SentenceSplitter;

/// Sentences that are written and not yet sent to be spoken: several minutes of speech. A model that
/// talks on beyond them waits.
pub(super) const SENTENCES_AHEAD: usize = 64;

/// What the model did in one round.
pub(super) struct Round {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    /// Whether it was cut at the bound of a reply.
    pub(super) is_cut: bool,
}

impl Round {
    /// A round whose rest is not wanted.
    pub(super) fn cut() -> Self {
        Self {
            text: String::new(),
            calls: Vec::new(),
            is_cut: true,
        }
    }
}

/// Reads one answer to its end, or up to so many characters, and passes its sentences on.
pub(super) async fn read(
    making: &Making,
    mut events: BoxStream<'static, Result<LlmEvent, CallError>>,
    sentences: mpsc::Sender<String>,
    mut n_characters_left: usize,
) -> Result<Round, Failure> {
    let mut splitter = SentenceSplitter::default();
    let mut round = Round {
        is_cut: false,
        ..Round::cut()
    };
    let stall_max = making.config.stall_max;
    let mut n_sentences = 0;
    let end = loop {
        let event = match next(&mut events, stall_max, Stage::Llm).await {
            Ok(Some(event)) => event,
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        };
        match event {
            LlmEvent::Text(delta) => {
                if round.text.is_empty() {
                    making.report(ReplyEvent::LlmFirstToken).await;
                }
                let (delta, is_all) = up_to(&delta, &mut n_characters_left);
                round.text.push_str(delta);
                for sentence in splitter.push(delta) {
                    n_sentences += 1;
                    pass_on(&sentences, sentence).await;
                }
                if !is_all {
                    // What is not a sentence yet is left out: a reply ends with a whole one.
                    round.is_cut = true;
                    return Ok(round);
                }
            }
            LlmEvent::ToolCall(call) => round.calls.push(call),
            LlmEvent::Usage {
                prompt_tokens,
                completion_tokens,
            } => {
                let used = Usage {
                    llm_input_tokens: prompt_tokens,
                    llm_output_tokens: completion_tokens,
                    ..Usage::default()
                };
                making.report(ReplyEvent::Used(used)).await;
            }
        }
    };
    // Half a sentence after whole ones tells a caller nothing; half a sentence alone is all there is.
    let is_wanted = end.is_ok() || is_whole(&round.text) || n_sentences == 0;
    if let Some(sentence) = splitter.finish().filter(|_| is_wanted) {
        pass_on(&sentences, sentence).await;
    }
    match end {
        Err(failure) if is_whole(&round.text) => {
            // The pool has counted it. Nothing is missing that an apology would help with.
            tracing::warn!(error = %failure.error, "an answer broke off behind a whole sentence");
            Ok(round)
        }
        Err(failure) => Err(failure),
        Ok(()) => Ok(round),
    }
}

/// The part of a delta for which there are characters left, and whether that is all of it.
fn up_to<'a>(delta: &'a str, n_characters_left: &mut usize) -> (&'a str, bool) {
    if let Some((end, _)) = delta.char_indices().nth(*n_characters_left) {
        return (&delta[..end], false);
    }
    *n_characters_left -= delta.chars().count();
    (delta, true)
}

/// The speaking takes no more when it has failed, and that ends the reading.
async fn pass_on(sentences: &mpsc::Sender<String>, sentence: String) {
    sentences.send(sentence).await.ok();
}

/// Whether an answer that broke off ends where a sentence does.
fn is_whole(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || "\"'”’»)*_".contains(c));
    text.ends_with(['.', '!', '?', '…', '。', '！', '？', '।', '؟', '۔'])
}
