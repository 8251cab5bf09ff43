//! The first half of a reply: from the model's words to sentences whose speech has begun to arrive.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, future};
use tokio::sync::mpsc;

use super::apology::Stage;
use super::handle::Words;
use super::recording::Recording;
use super::reply::{Failure, Making, ReplyEvent};
use super::spoken::SentenceId;
use crate::audio::{AudioFrame, earcon};
use crate::chat::{ChatContext, ChatItem, ToolCall};
use crate::error::{CallError, ErrorKind, Service};
use crate::llm::{ChatRequest, LlmEvent};
use crate::room::Usage;
use crate::text::{SentenceSplitter, SpeechFilter};

/// Where a reply's words come from.
pub(super) enum Source {
    /// The model answers this conversation.
    Chat(ChatContext),
    /// These words.
    Say(String),
    /// What a program wants to be said.
    Words(Words),
    /// Words with their sound, complete or still being made.
    Recorded(Recording),
    /// No words: the sound that says "something went wrong".
    Earcon,
}

/// The sound of one sentence, or of none.
pub(super) struct Piece {
    pub(super) sentence: Option<SentenceId>,
    pub(super) frames: BoxStream<'static, Result<AudioFrame, CallError>>,
}

/// Sends the pieces of a reply, in order. The next sentence is sent to be spoken while the one
/// before still arrives.
pub(super) async fn write(
    making: &Making,
    source: Source,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), Failure> {
    let mut writer = Writer {
        making,
        pieces,
        filter: SpeechFilter::new(making.agent.tts.text_filters()),
        has_spoken: false,
        unspoken: None,
    };
    let written = match source {
        Source::Chat(context) => writer.answer(context).await,
        Source::Say(text) | Source::Words(Words::Text(text)) => writer.say(&text).await,
        Source::Words(Words::Stream(words)) => writer.say_stream(words).await,
        Source::Words(Words::Audio { text, frames }) => writer.say_audio(&text, frames).await,
        Source::Recorded(recording) => writer.replay(&recording).await,
        Source::Earcon => {
            let sound = earcon::trouble(making.agent.tts.sample_rate_hz());
            let frames = futures::stream::iter([Ok(sound)]).boxed();
            writer.send(None, frames).await;
            Ok(())
        }
    };
    match (written, writer.unspoken.take()) {
        (Ok(()), Some(failure)) if !writer.has_spoken => Err(failure),
        (written, _) => written,
    }
}

struct Writer<'a> {
    making: &'a Making,
    pieces: mpsc::Sender<Piece>,
    filter: SpeechFilter,
    has_spoken: bool,
    /// Why the last sentence without audio has none. A reply fails for it only if no other is heard.
    unspoken: Option<Failure>,
}

/// What the model did in one round.
struct Round {
    text: String,
    calls: Vec<ToolCall>,
}

impl Writer<'_> {
    async fn say(&mut self, text: &str) -> Result<(), Failure> {
        let mut splitter = SentenceSplitter::default();
        let sentences = splitter.push(text);
        for sentence in sentences.iter().chain(&splitter.finish()) {
            self.speak(sentence).await?;
        }
        Ok(())
    }

    /// Says words as they come.
    async fn say_stream(&mut self, mut words: BoxStream<'static, String>) -> Result<(), Failure> {
        let mut splitter = SentenceSplitter::default();
        while let Some(delta) = words.next().await {
            for sentence in splitter.push(&delta) {
                self.speak(&sentence).await?;
            }
        }
        if let Some(sentence) = splitter.finish() {
            self.speak(&sentence).await?;
        }
        Ok(())
    }

    /// Plays words that have their sound.
    async fn say_audio(
        &mut self,
        text: &str,
        frames: BoxStream<'static, AudioFrame>,
    ) -> Result<(), Failure> {
        let frames = at_rate(frames, self.making.agent.tts.sample_rate_hz());
        let id = self.making.log(|log| log.add_sentence(text));
        self.send(Some(id), frames).await;
        Ok(())
    }

    /// Hands on what somebody else has written and spoken.
    async fn replay(&mut self, recording: &Recording) -> Result<(), Failure> {
        let mut index = 0;
        while let Some((text, frames)) = recording.sentence(index).await? {
            if !std::mem::replace(&mut self.has_spoken, true) {
                self.making.report(ReplyEvent::TtsFirstAudio).await;
            }
            let id = self.making.log(|log| log.add_sentence(&text));
            self.send(Some(id), frames).await;
            index += 1;
        }
        Ok(())
    }

    /// Asks the model until it answers without calling tools.
    async fn answer(&mut self, mut context: ChatContext) -> Result<(), Failure> {
        let mut has_content = false;
        for round in 0..=self.making.config.tool_rounds_max {
            // In the last round there is nothing left but to answer.
            let may_call = round < self.making.config.tool_rounds_max;
            let done = self.round(&context, may_call).await?;
            has_content |= !done.text.is_empty() || !done.calls.is_empty();
            if done.calls.is_empty() || !may_call {
                break;
            }
            context.push_heard(done.text, false);
            self.run_tools(done.calls, &mut context).await;
        }
        if !has_content {
            return Err(failure(Stage::Llm, ErrorKind::Malformed));
        }
        Ok(())
    }

    async fn round(&mut self, context: &ChatContext, may_call: bool) -> Result<Round, Failure> {
        let tools = if may_call {
            self.making.agent.tools.specs()
        } else {
            Vec::new()
        };
        self.making.report(ReplyEvent::LlmStarted).await;
        let mut events = self.making.agent.llm.chat(ChatRequest {
            context: context.clone(),
            tools,
        });
        let mut splitter = SentenceSplitter::default();
        let mut round = Round {
            text: String::new(),
            calls: Vec::new(),
        };
        let stall_max = self.making.config.stall_max;
        while let Some(event) = next(&mut events, stall_max, Stage::Llm).await? {
            match event {
                LlmEvent::Text(delta) => {
                    if round.text.is_empty() {
                        self.making.report(ReplyEvent::LlmFirstToken).await;
                    }
                    round.text.push_str(&delta);
                    for sentence in splitter.push(&delta) {
                        self.speak(&sentence).await?;
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
                    self.making.report(ReplyEvent::Used(used)).await;
                }
            }
        }
        if let Some(sentence) = splitter.finish() {
            self.speak(&sentence).await?;
        }
        Ok(round)
    }

    /// Runs the calls side by side. A prepared reply waits here: what a tool does cannot be undone
    /// when the user goes on.
    async fn run_tools(&self, calls: Vec<ToolCall>, context: &mut ChatContext) {
        self.making.released.wait().await;
        self.making.log(|log| log.add_tools(&calls));
        let round = self.making.agent.tools.call_round(&calls);
        let running = round.into_iter().enumerate().map(|(place, output)| {
            output.map(move |output| {
                self.making
                    .log(|log| log.answer_tool(place, output.clone()));
                output
            })
        });
        let outputs = future::join_all(running).await;
        let ran = calls.iter().cloned().zip(outputs.iter().cloned());
        let ran = ReplyEvent::ToolsRan(ran.collect());
        self.making.report(ran).await;
        let ids: Vec<String> = calls.iter().map(|call| call.id.clone()).collect();
        context
            .items
            .extend(calls.into_iter().map(ChatItem::ToolCall));
        let answers = ids.into_iter().zip(outputs);
        context
            .items
            .extend(answers.map(|(call_id, output)| ChatItem::ToolOutput { call_id, output }));
    }

    /// Sends a sentence to be spoken and waits for its first sound.
    async fn speak(&mut self, sentence: &str) -> Result<(), Failure> {
        let text = self.filter.speakable(sentence);
        if text.is_empty() {
            // Still part of what the agent wrote, and of the captions.
            let id = self.making.log(|log| log.add_sentence(sentence));
            self.send(Some(id), futures::stream::empty().boxed()).await;
            return Ok(());
        }
        if !self.has_spoken {
            self.making.report(ReplyEvent::TtsStarted).await;
        }
        let used = Usage {
            tts_characters: u32::try_from(text.chars().count()).unwrap_or(u32::MAX),
            ..Usage::default()
        };
        self.making.report(ReplyEvent::Used(used)).await;
        let mut frames = self.making.agent.tts.speak(text);
        let first = match next(&mut frames, self.making.config.stall_max, Stage::Tts).await {
            Ok(first) => first,
            // The service has spoken nothing of this sentence, and may speak the next one.
            Err(failure) if failure.error.kind == ErrorKind::Empty => {
                tracing::warn!(error = %failure.error, "a sentence is left out of a reply");
                self.unspoken = Some(failure);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if !std::mem::replace(&mut self.has_spoken, true) {
            self.making.report(ReplyEvent::TtsFirstAudio).await;
        }
        let id = self.making.log(|log| log.add_sentence(sentence));
        let first = futures::stream::iter(first.map(Ok));
        self.send(Some(id), first.chain(frames).boxed()).await;
        Ok(())
    }

    async fn send(
        &self,
        sentence: Option<SentenceId>,
        frames: BoxStream<'static, Result<AudioFrame, CallError>>,
    ) {
        // Nobody takes it when the speaking has failed, which is reported there.
        self.pieces.send(Piece { sentence, frames }).await.ok();
    }
}

/// A program's sound; of another rate than the voice's it is a failure.
pub(super) fn at_rate(
    frames: BoxStream<'static, AudioFrame>,
    rate_hz: u32,
) -> BoxStream<'static, Result<AudioFrame, CallError>> {
    let checked = frames.map(move |frame| match frame.sample_rate_hz == rate_hz {
        true => Ok(frame),
        false => Err(failure(Stage::Tts, ErrorKind::Malformed).error),
    });
    checked.boxed()
}

/// The next item of a service's answer; a failure names its stage.
pub(super) async fn next<T>(
    items: &mut BoxStream<'static, Result<T, CallError>>,
    stall_max: Duration,
    stage: Stage,
) -> Result<Option<T>, Failure> {
    match tokio::time::timeout(stall_max, items.next()).await {
        Ok(Some(Ok(item))) => Ok(Some(item)),
        Ok(Some(Err(error))) => Err(Failure { stage, error }),
        Ok(None) => Ok(None),
        Err(_) => Err(failure(stage, ErrorKind::Timeout)),
    }
}

fn failure(stage: Stage, kind: ErrorKind) -> Failure {
    let operation = match stage {
        Stage::Stt => "transcription",
        Stage::Llm => "chat.stream",
        Stage::Tts => "speech.stream",
    };
    Failure {
        stage,
        error: CallError::new(Service::OpenAi, operation, kind),
    }
}
