//! The first half of a reply: from the model's words to sentences whose speech has begun to arrive.

use std::pin::pin;
use std::time::Duration;

use futures::future::Either;
use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, future};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Config;
use super::ahead::{Piece, Pieces};
use super::apology::Stage;
use super::handle::Words;
use super::reading::{Round, SENTENCES_AHEAD, read};
use super::recording::Recording;
use super::reply::{Failure, Making, ReplyEvent};
use super::spoken::SentenceId;
use crate::audio::{AudioFrame, earcon};
use crate::chat::{ChatContext, ChatItem, ToolCall, ToolOutput};
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::{Excess, Panicked, contained};
use crate::llm::ChatRequest;
use crate::pool::Urgency;
use crate::room::Usage;
use crate::text::{SentenceSplitter, SpeechFilter};

/// Read by the model where it calls tools without end.
const NOT_RUN: &str = "not run: there were enough tool calls; answer now with what you know";

/// Said in place of the rest when a reply reaches its bound.
pub(super) const ENOUGH: &str = "I'll stop here. Just ask if you would like to hear more.";

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

/// Sends the pieces of a reply, in order. The next sentence is sent to be spoken while the one
/// before still arrives.
pub(super) async fn write(making: &Making, source: Source, pieces: Pieces) -> Result<(), Failure> {
    let mut writer = Writer {
        making,
        pieces,
        filter: SpeechFilter::new(making.agent.tts.text_filters()),
        has_spoken: false,
        budget: Budget::new(&making.config),
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
    pieces: Pieces,
    filter: SpeechFilter,
    has_spoken: bool,
    budget: Budget,
    /// Why the last sentence without audio has none. A reply fails for it only if no other is heard.
    unspoken: Option<Failure>,
}

/// What is left of the most that one reply may be. A sentence is asked for before it is heard, so sound
/// that waits to be played counts as spoken.
struct Budget {
    n_characters: usize,
    until: Instant,
}

impl Budget {
    fn new(config: &Config) -> Self {
        Self {
            n_characters: config.reply_characters_max,
            until: Instant::now() + config.reply_max,
        }
    }
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

    /// Asks the model until it answers without calling tools. Calls beyond the last round are not run: the
    /// model is told so once, and answers with what it knows.
    async fn answer(&mut self, mut context: ChatContext) -> Result<(), Failure> {
        let rounds_max = self.making.config.tool_rounds_max;
        for round in 0..=rounds_max + 1 {
            let may_call = round < rounds_max;
            let done = self.round(&context, may_call).await?;
            let n_left = &mut self.budget.n_characters;
            *n_left = n_left.saturating_sub(done.text.chars().count());
            if done.is_cut {
                Excess::Reply.count("the length of a reply");
                return self.say(ENOUGH).await;
            }
            if done.calls.is_empty() {
                return match done.text.trim().is_empty() {
                    true => Err(failure(Stage::Llm, ErrorKind::Empty)),
                    false => Ok(()),
                };
            }
            if !may_call && !done.text.trim().is_empty() {
                return Ok(());
            }
            context.push_heard(done.text, false);
            if !may_call {
                refuse_tools(done.calls, &mut context);
                continue;
            }
            let began = Instant::now();
            self.run_tools(done.calls, &mut context).await;
            self.budget.until += began.elapsed();
        }
        Err(failure(Stage::Llm, ErrorKind::Empty))
    }

    async fn round(&mut self, context: &ChatContext, may_call: bool) -> Result<Round, Failure> {
        self.making.report(ReplyEvent::LlmStarted).await;
        let options = self.making.options.clone().urgency(Urgency::Turn);
        let request = ChatRequest {
            context: context.clone(),
            tools: self.making.agent.tools.specs(),
            may_call,
        };
        let events = self.making.agent.llm.chat_with(request, &options);
        let (sentences, to_speak) = mpsc::channel(SENTENCES_AHEAD);
        // Side by side: the model's connection is free as soon as it has written, not when all of it
        // has been spoken.
        let reading = pin!(read(
            self.making,
            events,
            sentences,
            self.budget.n_characters
        ));
        let speaking = pin!(self.speak_all(to_speak));
        match future::select(reading, speaking).await {
            Either::Left((round, speaking)) => {
                // What was written before a failure is still said.
                let is_said = speaking.await?;
                let mut round = round?;
                round.is_cut |= !is_said;
                Ok(round)
            }
            Either::Right((Ok(true), reading)) => reading.await,
            Either::Right((Ok(false), _)) => Ok(Round::cut()),
            Either::Right((Err(failure), _)) => Err(failure),
        }
    }

    /// Returns whether all was said before the reply's time was over.
    async fn speak_all(&mut self, mut sentences: mpsc::Receiver<String>) -> Result<bool, Failure> {
        while let Some(sentence) = sentences.recv().await {
            if Instant::now() + self.pieces.sound_ahead() >= self.budget.until {
                return Ok(false);
            }
            self.speak(&sentence).await?;
        }
        Ok(true)
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
        // Asked for earlier, it would hold a connection that is not read.
        if !self.pieces.has_room().await {
            return Ok(());
        }
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
        let urgency = match self.has_spoken {
            true => Urgency::LaterSentence,
            false => Urgency::FirstSentence,
        };
        let options = self.making.options.clone().urgency(urgency);
        let mut frames = self.making.agent.tts.speak_with(text, &options);
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
        self.pieces.send(Piece { sentence, frames }).await;
    }
}

/// Answers calls that are not run, so that the model answers in words.
fn refuse_tools(calls: Vec<ToolCall>, context: &mut ChatContext) {
    let ids: Vec<String> = calls.iter().map(|call| call.id.clone()).collect();
    let calls = calls.into_iter().map(ChatItem::ToolCall);
    context.items.extend(calls);
    let outputs = ids.into_iter().map(|call_id| ChatItem::ToolOutput {
        call_id,
        output: ToolOutput {
            text: NOT_RUN.to_owned(),
            is_error: true,
        },
    });
    context.items.extend(outputs);
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
    // A bug in a provider is a failure of its stage: each stage has an apology of its own.
    match tokio::time::timeout(stall_max, contained(items.next())).await {
        Ok(Ok(Some(Ok(item)))) => Ok(Some(item)),
        Ok(Ok(Some(Err(error)))) => Err(Failure { stage, error }),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(bug)) => Err(broken(stage, bug)),
        Err(_) => Err(failure(stage, ErrorKind::Timeout)),
    }
}

/// The failure of a stage that a bug stopped.
pub(super) fn broken(stage: Stage, bug: Panicked) -> Failure {
    let Failure { stage, error } = failure(stage, ErrorKind::Internal);
    Failure {
        stage,
        error: error.because(bug),
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
