//! The answer that is being given, and its parts as they are told.

use std::sync::Arc;

use axum::body::Bytes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::conversation::{Content, Item};
use super::event::Refusal;
use super::response::{Making, Piece};
use super::session::Session;
use crate::brain::Role;
use crate::ids::fresh_id;
use crate::stats::Endpoint;

/// Parts of an answer that are made ahead of being sent.
const PIECES_AHEAD: usize = 8;
/// Characters of a tool call's arguments in one event: few, so that clients must put them together.
const ARGUMENT_PIECE_CHARS: usize = 8;

/// An answer in the making.
pub(super) struct Answer {
    id: String,
    asked: Value,
    /// Whether it is no part of the conversation.
    is_aside: bool,
    /// What it consists of so far, as events show it.
    output: Vec<Value>,
    /// The item that grows.
    item: Option<Item>,
    /// Its parts; `None` while the caller's words are awaited.
    pub(super) pieces: Option<mpsc::Receiver<Piece>>,
    task: JoinSet<()>,
}

impl Answer {
    fn shown(&self, status: &str, details: Value) -> Value {
        json!({
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": self.output,
            "output_modalities": self.asked["output_modalities"],
            "metadata": null,
        })
    }

    fn is_read(&self) -> bool {
        self.asked["output_modalities"][0] == "text"
    }

    /// The fields of an event about the item that grows.
    fn of_item(&self, mut fields: Value) -> Value {
        let id = self.item.as_ref().map(|item| &item.id);
        fields["response_id"] = json!(self.id);
        fields["item_id"] = json!(id);
        fields["output_index"] = json!(self.output.len());
        fields["content_index"] = json!(0);
        fields
    }
}

impl Session {
    /// Begins an answer; at once, or when the caller's words are understood.
    pub(super) fn respond(&mut self, overrides: &Value) -> Result<(), Refusal> {
        if let Some(answer) = &self.answer {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the \
                 response is finished before creating a new one.",
                answer.id
            );
            return Err(Refusal::new(
                "conversation_already_has_active_response",
                message,
            ));
        }
        self.app.stats.request_started(Endpoint::Responses, None);
        let answer = Answer {
            id: fresh_id("resp"),
            asked: self.settings.for_response(overrides),
            is_aside: overrides["conversation"] == "none",
            output: Vec::new(),
            item: None,
            pieces: None,
            task: JoinSet::new(),
        };
        let shown = answer.shown("in_progress", Value::Null);
        self.tell("response.created", json!({"response": shown}));
        self.answer = Some(answer);
        self.start_if_ready();
        Ok(())
    }

    pub(super) fn start_if_ready(&mut self) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.pieces.is_some() || self.conversation.awaits_words() {
            return;
        }
        let fault = self.app.faults.take(Endpoint::Responses);
        if fault.is_some() {
            self.app.stats.fault_made(Endpoint::Responses);
        }
        let making = Making {
            app: Arc::clone(&self.app),
            conversation: self.conversation.for_brain(&answer.asked),
            asked: answer.asked.clone(),
            fault: fault.map(|fault| fault.kind),
        };
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        answer.task.spawn(making.make(sender));
        answer.pieces = Some(pieces);
    }

    pub(super) fn on_piece(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.on_text(&text),
            Piece::Sound(sound) => self.on_sound(&sound),
            Piece::Calls(calls) => {
                for call in calls {
                    self.on_call(Item::new(Content::Call(call)));
                }
            }
            Piece::End => self.finish("completed", Value::Null),
            Piece::Failed(kind, code) => {
                let error = json!({"type": kind, "code": code});
                self.finish("failed", json!({"type": "failed", "error": error}));
            }
            Piece::Cut => self.is_cut = true,
            Piece::Malformed => self.events.push("{\"type\": \"response.out".to_owned()),
        }
    }

    fn on_text(&mut self, text: &str) {
        self.open_item();
        let Some(answer) = &mut self.answer else {
            return;
        };
        if let Some(item) = &mut answer.item
            && let Content::Spoken { text: words, .. } | Content::Written { text: words, .. } =
                &mut item.content
        {
            words.push_str(text);
        }
        let kind = match answer.is_read() {
            true => "response.output_text.delta",
            false => "response.output_audio_transcript.delta",
        };
        let fields = answer.of_item(json!({"delta": text}));
        self.tell(kind, fields);
        self.keep_item();
    }

    fn on_sound(&mut self, sound: &Bytes) {
        self.open_item();
        self.has_spoken = true;
        let Some(answer) = &mut self.answer else {
            return;
        };
        if let Some(item) = &mut answer.item
            && let Content::Spoken { n_samples, .. } = &mut item.content
        {
            *n_samples += sound.len() / 2;
        }
        let fields = answer.of_item(json!({"delta": BASE64_STANDARD.encode(sound)}));
        self.tell("response.output_audio.delta", fields);
        self.keep_item();
    }

    /// Begins the item that what is said goes into.
    fn open_item(&mut self) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.item.is_some() {
            return;
        }
        let (content, part) = match answer.is_read() {
            true => {
                let (role, text) = (Role::Assistant, String::new());
                let part = json!({"type": "text", "text": ""});
                (Content::Written { role, text }, part)
            }
            false => {
                let part = json!({"type": "audio", "transcript": ""});
                let content = Content::Spoken {
                    text: String::new(),
                    n_samples: 0,
                    is_cut: false,
                };
                (content, part)
            }
        };
        let item = Item::new(content);
        answer.item = Some(item.clone());
        let part = answer.of_item(json!({"part": part}));
        self.tell_added(&item);
        self.tell("response.content_part.added", part);
    }

    fn tell_added(&mut self, item: &Item) {
        let Some(answer) = &self.answer else { return };
        let (is_aside, shown) = (answer.is_aside, item.shown("in_progress"));
        let fields = json!({"response_id": answer.id, "output_index": answer.output.len(),
            "item": shown});
        self.tell("response.output_item.added", fields);
        if !is_aside {
            let before = json!(self.conversation.last());
            // The id is new.
            self.conversation.add(item.clone(), None).ok();
            let fields = json!({"previous_item_id": before, "item": shown});
            self.tell("conversation.item.added", fields);
        }
    }

    /// Keeps the conversation's copy of the item as it is now, unless its end was cut off.
    fn keep_item(&mut self) {
        let item = self.answer.as_ref().and_then(|answer| answer.item.as_ref());
        if let Some(item) = item
            && let Ok(kept) = self.conversation.get_mut(&item.id)
            && !matches!(kept.content, Content::Spoken { is_cut: true, .. })
        {
            kept.content = item.content.clone();
        }
    }

    fn on_call(&mut self, item: Item) {
        self.close_item("completed");
        self.tell_added(&item);
        let Content::Call(call) = item.content.clone() else {
            return;
        };
        let Some(answer) = &mut self.answer else {
            return;
        };
        answer.item = Some(item);
        let of_call = |mut fields: Value| {
            fields["call_id"] = json!(call.id);
            answer.of_item(fields)
        };
        let characters: Vec<char> = call.arguments.chars().collect();
        let pieces = characters.chunks(ARGUMENT_PIECE_CHARS);
        let deltas: Vec<_> = pieces
            .map(|piece| of_call(json!({"delta": piece.iter().collect::<String>()})))
            .collect();
        let done = of_call(json!({"name": call.name, "arguments": call.arguments}));
        for delta in deltas {
            self.tell("response.function_call_arguments.delta", delta);
        }
        self.tell("response.function_call_arguments.done", done);
        self.close_item("completed");
    }

    /// Nothing more comes of the item that grew.
    fn close_item(&mut self, status: &str) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let Some(item) = &answer.item else { return };
        let shown = item.shown(status);
        let mut told = Vec::new();
        match &item.content {
            Content::Spoken { text, .. } => {
                told.push(("response.output_audio.done", json!({})));
                let transcript = json!({"transcript": text});
                told.push(("response.output_audio_transcript.done", transcript));
            }
            Content::Written { text, .. } => {
                told.push(("response.output_text.done", json!({"text": text})));
            }
            _ => {}
        }
        if !told.is_empty() {
            let part = json!({"part": shown["content"][0]});
            told.push(("response.content_part.done", part));
        }
        let told: Vec<_> = told
            .into_iter()
            .map(|(kind, fields)| (kind, answer.of_item(fields)))
            .collect();
        let done = json!({"response_id": answer.id, "output_index": answer.output.len(),
            "item": shown});
        answer.output.push(shown.clone());
        answer.item = None;
        let is_aside = answer.is_aside;
        for (kind, fields) in told {
            self.tell(kind, fields);
        }
        if !is_aside {
            self.tell("conversation.item.done", json!({"item": shown}));
        }
        self.tell("response.output_item.done", done);
    }

    /// Stops the answer; false when there is none.
    pub(super) fn cancel(&mut self, reason: &str) -> bool {
        if self.answer.is_none() {
            return false;
        }
        self.finish("cancelled", json!({"type": "cancelled", "reason": reason}));
        true
    }

    fn finish(&mut self, status: &str, details: Value) {
        self.close_item(if status == "completed" {
            status
        } else {
            "incomplete"
        });
        let Some(answer) = self.answer.take() else {
            return;
        };
        let is_cancelled = status == "cancelled";
        self.app
            .stats
            .request_ended(Endpoint::Responses, is_cancelled);
        let mut shown = answer.shown(status, details);
        // Words stand in for tokens: the figures are plausible, nothing more.
        let n_input = self.conversation.for_brain(&answer.asked).n_words();
        let n_output = answer.output.len() * 10;
        shown["usage"] = json!({"input_tokens": n_input, "output_tokens": n_output,
            "total_tokens": n_input + n_output});
        self.tell("response.done", json!({"response": shown}));
        if let Some(next) = self.next_answer.take() {
            // There is none now.
            self.respond(&next).ok();
        }
    }
}
