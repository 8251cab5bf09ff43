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
}

/// Reads one answer to its end and passes its sentences on.
pub(super) async fn read(
    making: &Making,
    mut events: BoxStream<'static, Result<LlmEvent, CallError>>,
    sentences: mpsc::Sender<String>,
) -> Result<Round, Failure> {
    let mut splitter = SentenceSplitter::default();
    let mut round = Round {
        text: String::new(),
        calls: Vec::new(),
    };
    let stall_max = making.config.stall_max;
    while let Some(event) = next(&mut events, stall_max, Stage::Llm).await? {
        match event {
            LlmEvent::Text(delta) => {
                if round.text.is_empty() {
                    making.report(ReplyEvent::LlmFirstToken).await;
                }
                round.text.push_str(&delta);
                for sentence in splitter.push(&delta) {
                    pass_on(&sentences, sentence).await;
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
    }
    if let Some(sentence) = splitter.finish() {
        pass_on(&sentences, sentence).await;
    }
    Ok(round)
}

/// The speaking takes no more when it has failed, and that ends the reading.
async fn pass_on(sentences: &mpsc::Sender<String>, sentence: String) {
    sentences.send(sentence).await.ok();
}
