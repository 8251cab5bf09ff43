//! What was said so far, for connections that do not know it.

use super::super::protocol::ClientEvent;
use super::Dialogue;
use crate::chat::{ChatItem, n_last_within};

/// Bytes of the conversation that a new connection is told, the latest of it: 2,000 long turns, a
/// quarter of what may wait to be sent. A connection that is told more ends at once, again and again.
const REPLAY_BYTES_MAX: usize = 8 << 20;

/// Something of the conversation, to be told to the next connection.
pub(super) struct Entry {
    /// The service's name for it, while its words are not known.
    pub(super) awaited: Option<String>,
    pub(super) item: ChatItem,
}

impl Dialogue {
    /// The conversation so far, for a connection that does not know it.
    pub(in super::super) fn replay(&self) -> Vec<ClientEvent> {
        let mut n_bytes_left = REPLAY_BYTES_MAX;
        let fits = |entry: &&Entry| {
            let n_bytes = n_bytes(&entry.item);
            let is_known_and_fits = n_bytes <= n_bytes_left;
            n_bytes_left = n_bytes_left.saturating_sub(n_bytes);
            is_known_and_fits
        };
        let known = self.history.iter().filter(|entry| entry.awaited.is_none());
        let mut latest: Vec<_> = known.rev().take_while(fits).collect();
        // A tool's answer without its call is refused.
        while matches!(latest.last(), Some(entry) if is_output(entry)) {
            latest.pop();
        }
        let events = latest.into_iter().rev();
        events.map(|entry| ClientEvent::item(&entry.item)).collect()
    }

    /// Adds to it; the oldest goes when it is too long.
    pub(super) fn remember(&mut self, item: ChatItem) {
        self.add_entry(Entry {
            awaited: None,
            item,
        });
    }

    /// Adds what was said, or is about to be known.
    pub(super) fn add_entry(&mut self, entry: Entry) {
        self.history.push(entry);
        let items = self.history.iter().map(|entry| &entry.item);
        let n_kept = n_last_within(items, self.limits.items_max, self.limits.bytes_max);
        self.history.drain(..self.history.len() - n_kept);
        // A tool's answer without its call is refused.
        while matches!(self.history.first(), Some(entry) if is_output(entry)) {
            self.history.remove(0);
        }
    }
}

fn is_output(entry: &Entry) -> bool {
    matches!(entry.item, ChatItem::ToolOutput { .. })
}

/// The bytes of an item's words; what its JSON adds is small.
fn n_bytes(item: &ChatItem) -> usize {
    match item {
        ChatItem::User(text) | ChatItem::Agent { text, .. } => text.len(),
        ChatItem::ToolCall(call) => call.name.len() + call.arguments.len(),
        ChatItem::ToolOutput { output, .. } => output.text.len(),
    }
}
