//! The first half of a reply: from the model's words to sentences whose speech has begun to arrive.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, future};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Config;
use super::apology::Stage;
use super::handle::Words;
use super::recording::Recording;
use super::reply::{Failure, Making, ReplyEvent};
use super::spoken::SentenceId;
use crate::audio::{AudioFrame, earcon};
use crate::chat::{ChatContext, ChatItem, ToolCall, ToolOutput};
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::{Excess, Panicked, contained};
use crate::llm::{ChatRequest, LlmEvent};
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
        budget: Budget::new(&making.config),
    };
    match source {
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
    }
}

struct Writer<'a> {
    making: &'a Making,
    pieces: mpsc::Sender<Piece>,
    filter: SpeechFilter,
    has_spoken: bool,
    budget: Budget,
}

/// What the model did in one round.
struct Round {
    text: String,
    calls: Vec<ToolCall>,
    /// Whether it was cut at the bound of a reply.
    is_cut: bool,
}

/// What is left of the most that one reply may be. The pieces of a reply are spoken as they are
/// written, so the time since its beginning is the time that it was spoken.
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

    /// The part of a delta that the reply still has room for, and whether that is all of it.
    fn take<'a>(&mut self, delta: &'a str) -> (&'a str, bool) {
        if Instant::now() >= self.until {
            return ("", false);
        }
        if let Some((end, _)) = delta.char_indices().nth(self.n_characters) {
            return (&delta[..end], false);
        }
        self.n_characters -= delta.chars().count();
        (delta, true)
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
        let mut events = self.making.agent.llm.chat(ChatRequest {
            context: context.clone(),
            tools: self.making.agent.tools.specs(),
            may_call,
        });
        let mut splitter = SentenceSplitter::default();
        let mut round = Round {
            text: String::new(),
            calls: Vec::new(),
            is_cut: false,
        };
        let stall_max = self.making.config.stall_max;
        let mut n_spoken = 0;
        let end = loop {
            let event = match next(&mut events, stall_max, Stage::Llm).await {
                Ok(Some(event)) => event,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            match event {
                LlmEvent::Text(delta) => {
                    if round.text.is_empty() {
                        self.making.report(ReplyEvent::LlmFirstToken).await;
                    }
                    let (delta, is_all) = self.budget.take(&delta);
                    round.text.push_str(delta);
                    for sentence in splitter.push(delta) {
                        self.speak(&sentence).await?;
                        n_spoken += 1;
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
                    self.making.report(ReplyEvent::Used(used)).await;
                }
            }
        };
        // Half a sentence after whole ones tells a caller nothing; half a sentence alone is all there is.
        let is_wanted = end.is_ok() || is_whole(&round.text) || n_spoken == 0;
        if let Some(sentence) = splitter.finish().filter(|_| is_wanted) {
            self.speak(&sentence).await?;
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
        let first = next(&mut frames, self.making.config.stall_max, Stage::Tts).await?;
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

/// Whether an answer that broke off ends where a sentence does.
fn is_whole(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || "\"'”’»)*_".contains(c));
    text.ends_with(['.', '!', '?', '…', '。', '！', '？', '।', '؟', '۔'])
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
