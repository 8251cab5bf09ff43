//! A session: the caller's turns become items, and answers are made of them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::answer::Answer;
use super::buffer::Buffer;
use super::conversation::{Content, Conversation, Item};
use super::detection::{Change, Detection};
use super::event::{Refusal, event};
use super::response::Piece;
use super::settings::{Kind, Settings};
use super::transcription::{NoWords, understand};
use crate::ids::fresh_id;
use crate::routes::App;
use crate::stats::Endpoint;

/// Sound before a voice is noticed, beside the prefix.
const ONSET_MS: u64 = 100;

/// Something that was made beside the connection.
pub(super) enum Made {
    Words(String, Result<String, NoWords>),
    Piece(Piece),
}

/// See the module.
pub(super) struct Session {
    pub(super) app: Arc<App>,
    pub(super) settings: Settings,
    pub(super) conversation: Conversation,
    pub(super) buffer: Buffer,
    detection: Detection,
    /// The item that the caller's voice will be.
    speaking: Option<String>,
    pub(super) answer: Option<Answer>,
    /// An answer to give when this one is over.
    pub(super) next_answer: Option<Value>,
    words: JoinSet<(String, Result<String, NoWords>)>,
    pub(super) has_spoken: bool,
    pub(super) events: Vec<String>,
    /// Whether the connection is to break.
    pub(super) is_cut: bool,
}

impl Session {
    pub(super) fn new(app: Arc<App>, settings: Settings) -> Self {
        Self {
            app,
            settings,
            conversation: Conversation::default(),
            buffer: Buffer::default(),
            detection: Detection::new(),
            speaking: None,
            answer: None,
            next_answer: None,
            words: JoinSet::new(),
            has_spoken: false,
            events: Vec::new(),
            is_cut: false,
        }
    }

    pub(super) fn begin(&mut self) {
        let session = self.settings.shown().clone();
        self.tell("session.created", json!({"session": session}));
    }

    /// What there is to send.
    pub(super) fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn tell(&mut self, kind: &str, fields: Value) {
        self.events.push(event(kind, fields).to_string());
    }

    pub(super) fn refuse(&mut self, refusal: Refusal, event_id: &Value) {
        self.events.push(refusal.event(event_id).to_string());
    }

    /// The next thing that was made; waits for ever when nothing is.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn made(&mut self) -> Made {
        let pieces = self.answer.as_mut().and_then(|it| it.pieces.as_mut());
        let piece = async {
            match pieces {
                Some(pieces) => pieces.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(Ok((item, words))) = self.words.join_next() => Made::Words(item, words),
            Some(piece) = piece => Made::Piece(piece),
            else => std::future::pending().await,
        }
    }

    pub(super) fn on_made(&mut self, made: Made) {
        match made {
            Made::Words(item, words) => self.on_words(&item, words),
            Made::Piece(piece) => self.on_piece(piece),
        }
    }

    /// More of the caller's sound.
    pub(super) fn hear(&mut self, samples: &[i16]) {
        self.buffer.push(samples);
        let Some(rules) = self.settings.rules() else {
            return;
        };
        for change in self.detection.push(samples, &rules) {
            match change {
                Change::Started { at_ms } => {
                    let item = fresh_id("item");
                    let fields = json!({"audio_start_ms": at_ms, "item_id": item});
                    self.tell("input_audio_buffer.speech_started", fields);
                    self.speaking = Some(item);
                    if rules.interrupts_response {
                        self.next_answer = None;
                        self.cancel("turn_detected");
                    }
                }
                Change::Stopped { at_ms } => {
                    let item = self.speaking.take().unwrap_or_else(|| fresh_id("item"));
                    let fields = json!({"audio_end_ms": at_ms, "item_id": item});
                    self.tell("input_audio_buffer.speech_stopped", fields);
                    let is_answered = rules.creates_response;
                    if self.commit(item).is_ok() && is_answered {
                        self.answer_turn();
                    }
                }
            }
        }
        if self.speaking.is_none() {
            self.buffer.keep_last(rules.prefix_ms + ONSET_MS);
        }
    }

    fn answer_turn(&mut self) {
        if self.settings.kind != Kind::Realtime {
            return;
        }
        if self.respond(&json!({})).is_err() {
            self.next_answer = Some(json!({}));
        }
    }

    /// Makes the sound so far an item of the conversation.
    pub(super) fn commit(&mut self, id: String) -> Result<(), Refusal> {
        let sound = self.buffer.commit()?;
        let before = json!(self.conversation.last());
        let committed = json!({"previous_item_id": before, "item_id": id});
        self.tell("input_audio_buffer.committed", committed);
        let content = Content::Heard { words: None };
        self.add(
            Item {
                id: id.clone(),
                content,
            },
            None,
        )?;
        let app = Arc::clone(&self.app);
        self.words
            .spawn(async move { (id, understand(app, sound).await) });
        Ok(())
    }

    /// Adds an item and says so.
    pub(super) fn add(&mut self, item: Item, after: Option<&str>) -> Result<(), Refusal> {
        let before = json!(after.or(self.conversation.last()));
        let shown = item.shown("completed");
        self.conversation.add(item, after)?;
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.tell(kind, json!({"previous_item_id": before, "item": shown}));
        }
        Ok(())
    }

    fn on_words(&mut self, id: &str, words: Result<String, NoWords>) {
        const TRANSCRIPTION: &str = "conversation.item.input_audio_transcription";
        let is_told = self.settings.transcribes();
        let of_item = |mut fields: Value| {
            fields["item_id"] = json!(id);
            fields["content_index"] = json!(0);
            fields
        };
        let understood = match words {
            Ok(text) => {
                for word in text.split_inclusive(' ').filter(|_| is_told) {
                    let delta = of_item(json!({"delta": word}));
                    self.tell(&format!("{TRANSCRIPTION}.delta"), delta);
                }
                if is_told {
                    let usage = json!({"type": "duration", "seconds": 0});
                    let fields = of_item(json!({"transcript": text, "usage": usage}));
                    self.tell(&format!("{TRANSCRIPTION}.completed"), fields);
                }
                text
            }
            Err(NoWords { kind, code }) => {
                if is_told {
                    let error = json!({"type": kind, "code": code, "message": "no words",
                        "param": null});
                    let fields = of_item(json!({"error": error}));
                    self.tell(&format!("{TRANSCRIPTION}.failed"), fields);
                }
                String::new()
            }
        };
        // It may have been deleted meanwhile.
        if let Ok(item) = self.conversation.get_mut(id) {
            item.content = Content::Heard {
                words: Some(understood),
            };
        }
        self.start_if_ready();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.app.stats.request_ended(Endpoint::Responses, true);
        }
    }
}
