//! What the agent remembers of its callers: facts by category and key, per user.
//!
//! In reading order, from a call down to the rows: [`CallMemory`] is the memory of one call, whoever
//! is there; a [`Recorder`] finds what is worth remembering in its turns; [`Memories`] are those of
//! all callers and [`UserMemories`] those of one; a [`Batcher`] merges what all calls want of the
//! [`Store`], which keeps the rows. `extraction`, `profile` and `briefing` are plain: what the model
//! is asked and told.
//!
//! **Invariant:** every operation names one user, and touches that user's rows only.
//! **Invariant:** what callers say is [`Pii`] from the first to the last place it is held.

mod batch;
mod briefing;
mod call;
mod categories;
mod extraction;
mod memories;
mod op;
mod profile;
mod recorder;
mod volatile;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use self::batch::{BatchStats, Batcher, Config as BatchConfig};
pub use self::briefing::Briefing;
pub use self::call::{CallMemory, CurrentUser};
pub use self::categories::{Categories, KEY_CHARS_MAX, Refusal, VALUE_CHARS_MAX, key_of};
pub use self::memories::{Known, Memories, MemoryStats, UserMemories};
pub use self::op::{Category, Memory, MemoryAnswer, MemoryOp, Selection, UserId};
pub use self::recorder::{Config as RecorderConfig, FORGET_TOOL, Recorder, RecorderStats};
pub use self::volatile::VolatileStore;

use crate::error::CallError;
#[cfg(doc)]
use crate::redact::Pii;

/// Settings of the memory (`[memory]`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Operations of all calls, merged.
    pub batch: BatchConfig,
    /// What is remembered of conversations.
    pub recorder: RecorderConfig,
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        [self.batch.problems(), self.recorder.problems()].concat()
    }
}

/// Keeps memories. All implementations pass one contract test suite.
pub trait Store: Send + Sync {
    /// Runs operations of any number of users with as few statements as it can.
    ///
    /// Result `i` is that of `ops[i]`. Operations of one batch take effect in their order as far as
    /// they concern the same row. One that fails does not keep the others from succeeding.
    ///
    /// Cancel safety: dropping the future leaves each row either as it was or as it was to be.
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>>;
}
