//! What was said in a session: items, as the client sees them and as the brain reads them.

use serde_json::{Value, json};

use super::buffer::ms_of;
use super::event::Refusal;
use crate::brain::{self, Call, Message, Role};
use crate::ids::fresh_id;

/// Items kept; a session ends long before.
const ITEMS_MAX: usize = 10_000;

/// Something that was said or done.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// The caller's voice; `None` until it is understood.
    Heard { words: Option<String> },
    /// The agent's voice, as far as it was heard.
    Spoken {
        text: String,
        n_samples: usize,
        is_cut: bool,
    },
    /// Text of the caller, the agent or the system.
    Written { role: Role, text: String },
    /// The agent calls a tool.
    Call(Call),
    /// A tool has answered.
    Output { call_id: String, output: String },
}

/// See the module.
#[derive(Default)]
pub(super) struct Conversation {
    items: Vec<Item>,
}

impl Item {
    pub(super) fn new(content: Content) -> Self {
        Self {
            id: fresh_id("item"),
            content,
        }
    }

    /// Reads an item that the client makes.
    pub(super) fn read(item: &Value) -> Result<Self, Refusal> {
        let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let content = match item["type"].as_str() {
            Some("message") => {
                let (role, kind) = match item["role"].as_str() {
                    Some("user") => (Role::User, "input_text"),
                    Some("assistant") => (Role::Assistant, "output_text"),
                    Some("system") => (Role::System, "input_text"),
                    _ => return Err(refused("role")),
                };
                let parts = item["content"]
                    .as_array()
                    .ok_or_else(|| refused("content"))?;
                if let Some(place) = parts.iter().position(|part| part["type"] != kind) {
                    let param = format!("item.content[{place}].type");
                    let message = format!("Supported values are: '{kind}' for this role here.");
                    return Err(Refusal::new("invalid_value", message).of(param));
                }
                let texts: Vec<_> = parts.iter().map(|part| text_of(&part["text"])).collect();
                let text = texts.join(" ");
                Content::Written { role, text }
            }
            Some("function_call") => Content::Call(Call {
                id: text_of(&item["call_id"]),
                name: text_of(&item["name"]),
                arguments: text_of(&item["arguments"]),
            }),
            Some("function_call_output") => Content::Output {
                call_id: text_of(&item["call_id"]),
                output: text_of(&item["output"]),
            },
            _ => return Err(refused("type")),
        };
        let id = item["id"].as_str().map(str::to_owned);
        Ok(Self {
            id: id.unwrap_or_else(|| fresh_id("item")),
            content,
        })
    }

    /// The item as events show it.
    pub(super) fn shown(&self, status: &str) -> Value {
        let mut shown = match &self.content {
            Content::Heard { words } => message(
                Role::User,
                json!({"type": "input_audio", "transcript": words}),
            ),
            Content::Spoken { text, is_cut, .. } => {
                // The words of a sound that was cut are not known any more.
                let text = (!is_cut).then_some(text);
                message(
                    Role::Assistant,
                    json!({"type": "output_audio", "transcript": text}),
                )
            }
            Content::Written { role, text } => {
                let kind = match role {
                    Role::Assistant => "output_text",
                    _ => "input_text",
                };
                message(*role, json!({"type": kind, "text": text}))
            }
            Content::Call(call) => json!({"type": "function_call", "call_id": call.id,
                "name": call.name, "arguments": call.arguments}),
            Content::Output { call_id, output } => {
                json!({"type": "function_call_output", "call_id": call_id, "output": output})
            }
        };
        shown["id"] = json!(self.id);
        shown["object"] = json!("realtime.item");
        shown["status"] = json!(status);
        shown
    }

    fn message(&self) -> Option<Message> {
        let said = |role: Role, text: &str| Message {
            role,
            text: text.to_owned(),
            calls: Vec::new(),
            answers: None,
        };
        Some(match &self.content {
            Content::Heard { words } => said(Role::User, words.as_deref()?),
            Content::Spoken { text, .. } => said(Role::Assistant, text),
            Content::Written { role, text } => said(*role, text),
            Content::Call(call) => Message {
                calls: vec![call.clone()],
                ..said(Role::Assistant, "")
            },
            Content::Output { call_id, output } => Message {
                answers: Some(call_id.clone()),
                ..said(Role::Tool, output)
            },
        })
    }
}

fn message(role: Role, part: Value) -> Value {
    let role = match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System | Role::Tool => "system",
    };
    json!({"type": "message", "role": role, "content": [part]})
}

fn refused(key: &str) -> Refusal {
    Refusal::new("invalid_value", format!("Invalid value for 'item.{key}'."))
        .of(format!("item.{key}"))
}

impl Conversation {
    /// The id of the last item.
    pub(super) fn last(&self) -> Option<&str> {
        self.items.last().map(|item| item.id.as_str())
    }

    /// Adds an item: at the end, or after the one that `after` names.
    pub(super) fn add(&mut self, item: Item, after: Option<&str>) -> Result<(), Refusal> {
        if self.items.iter().any(|it| it.id == item.id) || self.items.len() >= ITEMS_MAX {
            let message = format!("Error adding item: an item '{}' exists already.", item.id);
            return Err(Refusal::new("item_create_invalid_item_id", message));
        }
        let place = match after {
            None => self.items.len(),
            Some("root") => 0,
            Some(id) => self.place(id)? + 1,
        };
        self.items.insert(place, item);
        Ok(())
    }

    pub(super) fn get(&self, id: &str) -> Result<&Item, Refusal> {
        Ok(&self.items[self.place(id)?])
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Result<&mut Item, Refusal> {
        let place = self.place(id)?;
        Ok(&mut self.items[place])
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        let place = self.place(id)?;
        self.items.remove(place);
        Ok(())
    }

    /// Cuts the sound of an item: what comes after `ms` was not heard.
    pub(super) fn truncate(&mut self, id: &str, ms: u64) -> Result<(), Refusal> {
        let item = self.get_mut(id)?;
        let Content::Spoken {
            text,
            n_samples,
            is_cut,
        } = &mut item.content
        else {
            let message = "Only model output audio messages can be truncated";
            return Err(Refusal::new("invalid_item", message).of("item_id"));
        };
        let all_ms = ms_of(*n_samples);
        if ms > all_ms {
            let message = format!("Audio content of {all_ms}ms is already shorter than {ms}ms");
            return Err(Refusal::new("invalid_value", message).of("audio_end_ms"));
        }
        let n_chars = text.chars().count() as u64 * ms / all_ms.max(1);
        *text = text.chars().take(n_chars as usize).collect();
        *n_samples = (*n_samples as u64 * ms / all_ms.max(1)) as usize;
        *is_cut = true;
        Ok(())
    }

    /// Whether some of the caller's words are not understood yet.
    pub(super) fn awaits_words(&self) -> bool {
        let awaits = |item: &Item| matches!(item.content, Content::Heard { words: None });
        self.items.iter().any(awaits)
    }

    /// The conversation as the brain reads it; calls of one answer belong together.
    pub(super) fn for_brain(&self, asked: &Value) -> brain::Conversation {
        let instructions = Message {
            role: Role::System,
            text: asked["instructions"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            calls: Vec::new(),
            answers: None,
        };
        let mut messages = vec![instructions];
        for message in self.items.iter().filter_map(Item::message) {
            match messages.last_mut() {
                Some(last) if !last.calls.is_empty() && !message.calls.is_empty() => {
                    last.calls.extend(message.calls);
                }
                _ => messages.push(message),
            }
        }
        let tools = asked["tools"].as_array().into_iter().flatten();
        let tools: Vec<_> = tools
            .map(|tool| brain::Tool {
                name: tool["name"].as_str().unwrap_or_default().to_owned(),
                parameters: tool["parameters"].clone(),
            })
            .collect();
        let choice = &asked["tool_choice"];
        let forced_tool = match choice["name"].as_str() {
            Some(name) => Some(name.to_owned()),
            None if choice == "required" => tools.first().map(|tool| tool.name.clone()),
            None => None,
        };
        brain::Conversation {
            messages,
            tools: if choice == "none" { Vec::new() } else { tools },
            forced_tool,
            schema: None,
        }
    }

    fn place(&self, id: &str) -> Result<usize, Refusal> {
        let place = self.items.iter().position(|item| item.id == id);
        place.ok_or_else(|| {
            let message = format!("Error: the item with id '{id}' does not exist.");
            Refusal::new("item_not_found", message).of("item_id")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_heard_is_not_known() {
        let mut conversation = Conversation::default();
        let spoken = Content::Spoken {
            text: "one two three four".to_owned(),
            n_samples: 24_000,
            is_cut: false,
        };
        let item = Item::new(spoken);
        let id = item.id.clone();
        conversation.add(item, None).unwrap();
        assert_eq!(
            conversation
                .truncate(&id, 1001)
                .unwrap_err()
                .param
                .as_deref(),
            Some("audio_end_ms")
        );
        conversation.truncate(&id, 500).unwrap();
        let shown = conversation.get(&id).unwrap().shown("completed");
        assert_eq!(shown["content"][0]["transcript"], Value::Null);
        let read = conversation.for_brain(&json!({}));
        assert_eq!(read.messages[1].text, "one two t");
    }

    #[test]
    fn items_are_placed_found_and_refused_by_their_ids() {
        let mut conversation = Conversation::default();
        let item = |id: &str, kind: &str| {
            Item::read(&json!({"id": id, "type": "message", "role": "user",
                "content": [{"type": kind, "text": id}]}))
        };
        assert!(item("a", "output_text").is_err(), "users have input");
        conversation
            .add(item("a", "input_text").unwrap(), None)
            .unwrap();
        conversation
            .add(item("b", "input_text").unwrap(), Some("root"))
            .unwrap();
        assert!(
            conversation
                .add(item("a", "input_text").unwrap(), None)
                .is_err()
        );
        assert_eq!(conversation.last(), Some("a"));
        conversation.delete("a").unwrap();
        assert_eq!(conversation.last(), Some("b"));
        assert!(conversation.truncate("b", 0).is_err(), "text has no sound");
        assert!(conversation.get("a").is_err());
    }
}
