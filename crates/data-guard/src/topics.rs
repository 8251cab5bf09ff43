//! The topics of data streams that the process reads.

use std::sync::OnceLock;

pub(crate) type Topics = &'static [&'static str];

static READ: OnceLock<Topics> = OnceLock::new();

/// From now on new connections drop streams of all other topics, without a count: an app's
/// participants may talk to each other as they like. Only the first call has an effect. Without a
/// call, streams of every topic pass.
pub fn read_only_topics(topics: &'static [&'static str]) {
    READ.get_or_init(|| topics);
}

pub(crate) fn read() -> Option<Topics> {
    READ.get().copied()
}
