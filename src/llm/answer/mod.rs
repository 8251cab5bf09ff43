//! From the bytes of a chat completion to [`LlmEvent`]s. Plain code.
//!
//! Whatever is readable is read: a stream of events, lines of JSON or one document, in the dialects that
//! services speak. A piece that cannot be read is skipped and counted; only an answer without a word and
//! without a tool call is a failure.

mod json;
mod lines;
mod piece;
mod repeats;
mod think;
mod tool_calls;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng as _;
use rand::distr::Alphanumeric;
use serde_json::{Map, Value};

use self::lines::{Found, Lines};
use self::piece::{Piece, Text, Usage};
use self::repeats::Repeats;
use self::think::ThinkFilter;
pub(crate) use self::tool_calls::{ARGUMENTS_BYTES_MAX, CALLS_MAX};
use self::tool_calls::{Partial, ToolCalls};
use super::LlmEvent;
use crate::chat::{ProviderFields, ToolCall, wire_name};
use crate::error::ErrorKind;
use crate::pool::{Decode, Fault, refusal_in_stream};

/// Ends a stream.
const DONE: &str = "[DONE]";
/// How long an answer with a finish reason, but without `[DONE]` and without an end of its body, is read on:
/// some services send a finish reason with each piece. Shorter than [`crate::pool::IDLE_TIMEOUT_MIN`], or a
/// complete answer would be one that stalls.
const AFTER_FINISH: Duration = Duration::from_millis(400);
/// The same after `[DONE]`.
const AFTER_DONE: Duration = Duration::from_millis(200);
/// Characters of an id of a tool call, which Mistral takes no other way.
///
/// Source: the refusal of Mistral's API, "Tool call id ... must be a-z, A-Z, 0-9, with a length of 9".
const ID_CHARS: usize = 9;
/// Characters without a sound that models write when they have nothing to say.
const BLANK: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// How an answer is read.
#[derive(Clone, Default)]
pub(super) struct Reading {
    /// Host and model, written beside fields that only they understand.
    pub(super) origin: Arc<str>,
    /// Names of the tools that the model may call.
    pub(super) tools: Arc<[String]>,
    /// Whether the answer begins with thoughts that no tag opens.
    pub(super) begins_with_thoughts: bool,
    /// Whether the answer is read by a program, to which any text says something.
    pub(super) is_data: bool,
    /// Counts pieces that cannot be read.
    pub(super) unreadable: Arc<AtomicU64>,
}

/// Decodes one answer.
#[derive(Default)]
pub(super) struct ChatDecoder {
    reading: Reading,
    lines: Lines,
    think: ThinkFilter,
    repeats: Repeats,
    has_deltas: bool,
    tool_calls: ToolCalls,
    fields: Map<String, Value>,
    usage: Option<Usage>,
    /// Blank text before the first word.
    held: String,
    has_words: bool,
    /// Whether anything of an answer came, words or not.
    has_pieces: bool,
    finish: Option<String>,
    is_done: bool,
    is_flushed: bool,
}

impl Decode for ChatDecoder {
    type Item = LlmEvent;

    fn push(&mut self, bytes: &[u8], events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        let mut found = Vec::new();
        self.lines.push(bytes, &mut found);
        self.take_all(found, events)
    }

    fn finish(&mut self, events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        let mut found = Vec::new();
        self.lines.finish(&mut found);
        self.take_all(found, events)?;
        self.flush(events)
    }

    fn is_complete(&self) -> bool {
        self.is_done || self.finish.is_some()
    }

    fn linger(&self) -> Duration {
        match self.is_done {
            true => AFTER_DONE,
            false => AFTER_FINISH,
        }
    }
}

impl ChatDecoder {
    pub(super) fn new(reading: Reading) -> Self {
        let think = match reading.begins_with_thoughts {
            true => ThinkFilter::opened(),
            false => ThinkFilter::default(),
        };
        Self {
            reading,
            think,
            ..Self::default()
        }
    }

    fn take_all(
        &mut self,
        found: Vec<Found>,
        events: &mut VecDeque<LlmEvent>,
    ) -> Result<(), Fault> {
        let dropped = self.lines.take_dropped();
        self.reading
            .unreadable
            .fetch_add(dropped, Ordering::Relaxed);
        found.into_iter().try_for_each(|it| self.take(&it, events))
    }

    fn take(&mut self, found: &Found, events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        let text = found.text.trim();
        if self.is_done || text.is_empty() {
            return Ok(());
        }
        if text.trim_matches('"').eq_ignore_ascii_case(DONE) {
            self.is_done = true;
            return self.flush(events);
        }
        let values = json::read(text);
        let is_readable = |value: &Value| value.is_object() || value.is_array();
        if found.is_error && !values.iter().any(is_readable) {
            return Err(refused(text));
        }
        if values.is_empty() {
            self.skip(text);
        }
        for value in values {
            self.take_value(value, found.is_error, events)?;
        }
        Ok(())
    }

    fn take_value(
        &mut self,
        value: Value,
        is_error: bool,
        events: &mut VecDeque<LlmEvent>,
    ) -> Result<(), Fault> {
        match value {
            Value::Array(values) => {
                let mut values = values.into_iter();
                values.try_for_each(|value| self.take_value(value, is_error, events))
            }
            // JSON in JSON.
            Value::String(text) if text.trim_start().starts_with('{') => {
                let mut values = json::read(&text).into_iter().filter(Value::is_object);
                values.try_for_each(|value| self.take_value(value, is_error, events))
            }
            Value::Object(_) => {
                let error = match is_error {
                    true => Some(value.to_string()),
                    false => piece::error_in(&value),
                };
                self.take_piece(Piece::read(value), events)?;
                error.map_or(Ok(()), |error| Err(refused(&error)))
            }
            other => {
                self.skip(&other.to_string());
                Ok(())
            }
        }
    }

    fn take_piece(&mut self, piece: Piece, events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        self.has_pieces = true;
        self.usage = piece.usage.or(self.usage);
        let is_last = piece.finish.is_some();
        let text = match &piece.text {
            Text::None => String::new(),
            Text::Delta(text) => {
                self.has_deltas = true;
                self.repeats.news(text, is_last)
            }
            Text::Message(text) if self.has_deltas => self.repeats.news_of_message(text),
            Text::Message(text) => self.repeats.news(text, is_last),
        };
        let spoken = self.think.push(&text);
        self.say(&spoken, events);
        self.tool_calls
            .push(piece.calls)
            .map_err(Fault::malformed)?;
        for (key, value) in piece.fields {
            tool_calls::merge(&mut self.fields, key, value);
        }
        self.finish = piece.finish.or(self.finish.take());
        Ok(())
    }

    /// Counts a piece that cannot be read. Its text may be an error's.
    fn skip(&mut self, text: &str) {
        self.reading.unreadable.fetch_add(1, Ordering::Relaxed);
        self.lines.add_stray(text);
    }

    /// Hands out what is complete only with the end of the answer, and judges it.
    fn flush(&mut self, events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.is_flushed, true) {
            return Ok(());
        }
        let is_cut = self.finish.as_deref() == Some("length");
        let held = self.think.finish(is_cut);
        self.say(&held, events);
        let message = Arc::new(std::mem::take(&mut self.fields));
        let calls = self.tool_calls.take();
        if !self.has_words && calls.is_empty() {
            return Err(self.without_words());
        }
        for (place, call) in calls.into_iter().enumerate() {
            // One message, so its fields stand once.
            let message = (place == 0).then(|| Map::clone(&message));
            events.push_back(LlmEvent::ToolCall(self.call(call, message)));
        }
        if let Some(usage) = self.usage.take() {
            events.push_back(LlmEvent::Usage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
            });
        }
        Ok(())
    }

    fn call(&self, call: Partial, message: Option<Map<String, Value>>) -> ToolCall {
        let fields = ProviderFields {
            origin: self.reading.origin.to_string(),
            message: message.unwrap_or_default(),
            call: call.fields.clone(),
        };
        let has_fields = !fields.message.is_empty() || !fields.call.is_empty();
        ToolCall {
            id: call_id(),
            name: self.tool_name(&call.name),
            arguments: call.arguments(),
            provider: has_fields.then(|| Arc::new(fields)),
        }
    }

    /// The name of a tool, as it is offered if it is. A name that services refuse must never enter the
    /// history, also of a tool that does not exist.
    fn tool_name(&self, name: &str) -> String {
        let is_offered = |name: &&str| self.reading.tools.iter().any(|tool| tool == name);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        // As in `functions.recall` or `recall<|channel|>commentary`.
        let mut parts = name.split(|c| !is_of_name(c));
        match parts.find(is_offered) {
            Some(part) => part.to_owned(),
            None => wire_name(name.trim()),
        }
    }

    /// Why an answer has no words.
    fn without_words(&self) -> Fault {
        if self.has_pieces || self.is_done || self.lines.stray().trim().is_empty() {
            return Fault {
                kind: ErrorKind::Empty,
                cause: "the answer has neither a word nor a tool call".into(),
            };
        }
        // No piece of an answer: an error page, or another service at that address.
        let (kind, refusal) = refusal_in_stream(self.lines.stray());
        match kind {
            ErrorKind::RateLimited | ErrorKind::Unauthorized | ErrorKind::Timeout => Fault {
                kind,
                cause: refusal.into(),
            },
            _ => Fault::malformed("there is no chat completion in the answer"),
        }
    }

    /// Hands out words. Blank text waits for a word: alone it is no answer.
    fn say(&mut self, text: &str, events: &mut VecDeque<LlmEvent>) {
        if self.has_words {
            if !text.is_empty() {
                events.push_back(LlmEvent::Text(text.to_owned()));
            }
            return;
        }
        self.held.push_str(text);
        let is_blank = |c: char| c.is_whitespace() || c.is_control() || BLANK.contains(&c);
        let is_word = |c: char| c.is_alphanumeric() || !(c.is_ascii() || is_blank(c) || c == '…');
        let is_data = self.reading.is_data && !self.held.trim().is_empty();
        if is_data || self.held.contains(is_word) {
            self.has_words = true;
            let held = std::mem::take(&mut self.held);
            events.push_back(LlmEvent::Text(held.trim_start_matches(is_blank).to_owned()));
        }
    }
}

/// An id that no other call of the conversation has, whatever the service calls it.
fn call_id() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(ID_CHARS);
    letters.map(char::from).collect()
}

fn refused(error: &str) -> Fault {
    let (kind, refusal) = refusal_in_stream(error);
    Fault {
        kind,
        cause: refusal.into(),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod recordings_tests;
