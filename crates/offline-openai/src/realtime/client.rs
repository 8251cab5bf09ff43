//! What the client asks for.

use serde_json::{Value, json};

use super::buffer::decode;
use super::conversation::Item;
use super::event::Refusal;
use super::session::Session;
use super::settings::Kind;
use crate::ids::fresh_id;

/// Events of a transcription session; others are for sessions that answer.
const OF_TRANSCRIPTION: &[&str] = &[
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
];

impl Session {
    /// Takes a message of the client.
    pub(super) fn on_client(&mut self, message: &str) {
        let Ok(event) = serde_json::from_str::<Value>(message) else {
            let refusal = Refusal::new("invalid_json", "We could not parse the event as JSON.");
            self.refuse(refusal, &Value::Null);
            return;
        };
        if let Err(refusal) = self.carry_out(&event) {
            self.refuse(refusal, &event["event_id"]);
        }
    }

    fn carry_out(&mut self, event: &Value) -> Result<(), Refusal> {
        let kind = event["type"].as_str().unwrap_or_default();
        let is_known = match self.settings.kind {
            Kind::Realtime => true,
            Kind::Transcription => OF_TRANSCRIPTION.contains(&kind),
        };
        match kind {
            _ if !is_known => Err(unknown(kind)),
            "session.update" => {
                self.settings.update(&event["session"], self.has_spoken)?;
                let session = self.settings.shown().clone();
                self.tell("session.updated", json!({"session": session}));
                Ok(())
            }
            "input_audio_buffer.append" => {
                let samples = decode(event["audio"].as_str())?;
                self.hear(&samples);
                Ok(())
            }
            "input_audio_buffer.commit" => self.commit(fresh_id("item")),
            "input_audio_buffer.clear" => {
                self.buffer.clear();
                self.tell("input_audio_buffer.cleared", json!({}));
                Ok(())
            }
            "response.create" => self.respond(&event["response"]),
            "response.cancel" => {
                if self.cancel("client_cancelled") {
                    return Ok(());
                }
                let message = "Cancellation failed: no active response found";
                Err(Refusal::new("response_cancel_not_active", message))
            }
            kind => match kind.strip_prefix("conversation.item.") {
                Some(what) => self.change_item(what, event),
                None => Err(unknown(kind)),
            },
        }
    }

    fn change_item(&mut self, what: &str, event: &Value) -> Result<(), Refusal> {
        if what == "create" {
            let item = Item::read(&event["item"])?;
            return self.add(item, event["previous_item_id"].as_str());
        }
        let id = event["item_id"].as_str().unwrap_or_default();
        match what {
            "retrieve" => {
                let item = self.conversation.get(id)?.shown("completed");
                self.tell("conversation.item.retrieved", json!({"item": item}));
            }
            "delete" => {
                self.conversation.delete(id)?;
                self.tell("conversation.item.deleted", json!({"item_id": id}));
            }
            "truncate" => {
                let refused = || Refusal::new("invalid_value", "`audio_end_ms` is not a number");
                let ms = event["audio_end_ms"].as_u64().ok_or_else(refused)?;
                self.conversation.truncate(id, ms)?;
                let fields = json!({"item_id": id, "content_index": 0, "audio_end_ms": ms});
                self.tell("conversation.item.truncated", fields);
            }
            _ => return Err(unknown(&format!("conversation.item.{what}"))),
        }
        Ok(())
    }
}

fn unknown(kind: &str) -> Refusal {
    Refusal::new("invalid_value", format!("Invalid value: '{kind}'.")).of("type")
}
