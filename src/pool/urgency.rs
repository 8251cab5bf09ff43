//! The call on whose behalf a request is made, and how urgent the request is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::SetOnce;

/// How urgent a request is: where permits are short, they are given in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    /// A turn cannot go on without it: its transcription, and the model's answer to it.
    #[default]
    Turn,
    /// The first sentence of a reply: the caller waits for a sound.
    FirstSentence,
    /// A sentence that follows one which the caller hears meanwhile.
    LaterSentence,
    /// Work on an answer before its turn is over. It may turn out to be of no use.
    Speculation,
    /// No caller waits for it.
    Background,
}

impl Urgency {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Turn,
        Self::FirstSentence,
        Self::LaterSentence,
        Self::Speculation,
        Self::Background,
    ];

    /// The label in metrics and stats.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::FirstSentence => "first_sentence",
            Self::LaterSentence => "later_sentence",
            Self::Speculation => "speculation",
            Self::Background => "background",
        }
    }
}

/// Names one caller of the process, so that permits can be shared out between callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerId(u64);

impl CallerId {
    /// A name that no other caller of this process has.
    pub fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// How long the requests of one reply have waited for permits; clones share the sum.
#[derive(Clone, Debug, Default)]
pub struct PermitWait(Arc<AtomicU64>);

impl PermitWait {
    /// The sum so far.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

/// What a request says about itself beside its content. The default is an urgent request of no
/// particular caller.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// The caller it is made for.
    pub caller: Option<CallerId>,
    /// How urgent it is once it is certain to be of use.
    pub urgency: Urgency,
    /// Set when it is certain to be of use; until then it counts as [`Urgency::Speculation`]. `None`
    /// for a request that is certain from its beginning.
    pub committed: Option<Arc<SetOnce<()>>>,
    /// Where the time that it waits for a permit is added up.
    pub waited: PermitWait,
}

impl CallOptions {
    /// The same request with this urgency.
    #[must_use]
    pub fn urgency(mut self, urgency: Urgency) -> Self {
        self.urgency = urgency;
        self
    }

    /// How urgent it is now.
    pub(super) fn current(&self) -> Urgency {
        let is_open = |committed: &Arc<SetOnce<()>>| !committed.initialized();
        match self.committed.as_ref().is_some_and(is_open) {
            true => self.urgency.max(Urgency::Speculation),
            false => self.urgency,
        }
    }

    /// Returns when it is certain to be of use.
    pub(super) async fn committed(&self) {
        if let Some(committed) = &self.committed {
            committed.wait().await;
        }
    }
}
