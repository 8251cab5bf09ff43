//! What was said so far, for connections that do not know it.

use super::super::protocol::ClientEvent;
use super::Dialogue;
use crate::chat::{ChatItem, n_last_within};

/// Something of the conversation, to be told to the next connection.
pub(super) struct Entry {
    /// The service's name for it, while its words are not known.
    pub(super) awaited: Option<String>,
    pub(super) item: ChatItem,
}

impl Dialogue {
    /// The conversation so far, for a connection that does not know it.
    pub(in super::super) fn replay(&self) -> Vec<ClientEvent> {
        let known = |entry: &&Entry| entry.awaited.is_none();
        let entries = self.history.iter().filter(known);
        entries
            .map(|entry| ClientEvent::item(&entry.item))
            .collect()
    }

    /// Adds to it; the oldest goes when it is too long.
    pub(super) fn remember(&mut self, item: ChatItem) {
        self.history.push(Entry {
            awaited: None,
            item,
        });
        let items = self.history.iter().map(|entry| &entry.item);
        let n_kept = n_last_within(items, self.limits.items_max, self.limits.bytes_max);
        self.history.drain(..self.history.len() - n_kept);
        // A tool's answer without its call is refused.
        while matches!(self.history.first(), Some(entry)
            if matches!(entry.item, ChatItem::ToolOutput { .. }))
        {
            self.history.remove(0);
        }
    }
}
