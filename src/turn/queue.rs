//! What the agent wants to say of itself, by priority.

use std::collections::VecDeque;

/// Names something the agent wants to say, within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpeechId(pub u32);

/// What is said first, and what waits for the user.
///
/// Source of the levels: livekit-agents 1.8.9, `speech_handle.py` (0, 5 and 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// After everything else.
    Low = 0,
    /// In order.
    #[default]
    Normal = 5,
    /// Before everything else, and without waiting until the user has said what they are saying.
    High = 10,
}

/// Something that waits to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedSpeech {
    /// What.
    pub id: SpeechId,
    /// When.
    pub priority: Priority,
    /// Whether the user can stop it.
    pub is_interruptible: bool,
}

/// Speeches that may wait: more than anybody would listen to.
const WAITING_MAX: usize = 16;

/// Highest priority first, and in order within one.
#[derive(Debug, Default)]
pub(crate) struct SpeechQueue {
    waiting: VecDeque<QueuedSpeech>,
}

impl SpeechQueue {
    /// Adds one. Returns the one that there is no place for: the last of the lowest priority.
    pub(crate) fn push(&mut self, speech: QueuedSpeech) -> Option<SpeechId> {
        let place = self
            .waiting
            .partition_point(|waiting| waiting.priority >= speech.priority);
        self.waiting.insert(place, speech);
        if self.waiting.len() > WAITING_MAX {
            return self.waiting.pop_back().map(|last| last.id);
        }
        None
    }

    /// The next one; only an urgent one while the user is taking a turn.
    pub(crate) fn pop(&mut self, is_user_turn: bool) -> Option<QueuedSpeech> {
        let next = self.waiting.front()?;
        let may_speak = !is_user_turn || next.priority == Priority::High;
        may_speak.then(|| self.waiting.pop_front()).flatten()
    }

    pub(crate) fn remove(&mut self, id: SpeechId) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Empties the queue.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = SpeechId> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|speech| speech.id)
    }
}
