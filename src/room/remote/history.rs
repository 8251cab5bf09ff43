//! The conversation as front ends read it: every item with an id and a time.

use std::collections::VecDeque;

use livekit_protocol::agent::chat_context::ChatItem as PbItem;
use livekit_protocol::agent::chat_context::chat_item::Item;
use prost::Message as _;

use super::encode::{Clocks, chat_item};
use crate::chat::ChatItem;
use crate::turn::Timeline;

/// Items in the history, the oldest are dropped: hours of conversation, and more than the model is
/// given.
const ITEMS_MAX: usize = 1000;

/// Bytes of all items as they are sent. A front end takes them in one message, which may be twice as
/// long.
const BYTES_MAX: usize = 1024 * 1024;

/// The latest items, oldest first.
#[derive(Default)]
pub(super) struct History {
    /// Each with its encoded length.
    items: VecDeque<(PbItem, usize)>,
    n_bytes: usize,
    n_added: u64,
}

impl History {
    /// Adds the item and returns it as it is told. The oldest items leave whole; an item that is too
    /// long by itself is told and not added.
    pub(super) fn add(&mut self, clocks: Clocks, item: &ChatItem, timeline: &Timeline) -> PbItem {
        self.n_added += 1;
        let id = format!("item_{:06}", self.n_added);
        let called = match item {
            ChatItem::ToolOutput { call_id, .. } => self.name_of(call_id),
            _ => String::new(),
        };
        let item = chat_item(id, clocks, item, timeline, called);
        let n_bytes = item.encoded_len();
        self.n_bytes += n_bytes;
        self.items.push_back((item.clone(), n_bytes));
        while self.items.len() > ITEMS_MAX || self.n_bytes > BYTES_MAX {
            let Some((_, n_bytes)) = self.items.pop_front() else {
                break;
            };
            self.n_bytes -= n_bytes;
        }
        item
    }

    pub(super) fn items(&self) -> Vec<PbItem> {
        self.items.iter().map(|(item, _)| item.clone()).collect()
    }

    /// The tool of the latest call with this id.
    fn name_of(&self, id: &str) -> String {
        let mut items = self.items.iter().rev();
        let name = items.find_map(|(item, _)| match &item.item {
            Some(Item::FunctionCall(call)) if call.call_id == id => Some(call.name.clone()),
            _ => None,
        });
        name.unwrap_or_default()
    }
}
