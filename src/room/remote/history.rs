//! The conversation as front ends read it: every item with an id and a time.

use std::collections::VecDeque;

use livekit_protocol::agent::chat_context::ChatItem as PbItem;
use livekit_protocol::agent::chat_context::chat_item::Item;

use super::encode::{Clocks, chat_item};
use crate::chat::ChatItem;
use crate::turn::Timeline;

/// Items kept, the oldest are dropped: hours of conversation, and more than the model is given.
const ITEMS_MAX: usize = 1000;

/// The latest items, oldest first.
#[derive(Default)]
pub(super) struct History {
    items: VecDeque<PbItem>,
    n_added: u64,
}

impl History {
    /// Keeps the item and returns it as it is told.
    pub(super) fn add(&mut self, clocks: Clocks, item: &ChatItem, timeline: &Timeline) -> PbItem {
        self.n_added += 1;
        let id = format!("item_{:06}", self.n_added);
        let called = match item {
            ChatItem::ToolOutput { call_id, .. } => self.name_of(call_id),
            _ => String::new(),
        };
        let item = chat_item(id, clocks, item, timeline, called);
        if self.items.len() == ITEMS_MAX {
            self.items.pop_front();
        }
        self.items.push_back(item.clone());
        item
    }

    pub(super) fn items(&self) -> Vec<PbItem> {
        self.items.iter().cloned().collect()
    }

    /// The tool of the latest call with this id.
    fn name_of(&self, id: &str) -> String {
        let name = self.items.iter().rev().find_map(|item| match &item.item {
            Some(Item::FunctionCall(call)) if call.call_id == id => Some(call.name.clone()),
            _ => None,
        });
        name.unwrap_or_default()
    }
}
