//! What the agent remembers of its callers: facts by category and key, per user.
//!
//! In reading order, from a call down to the rows: [`CallMemory`] is the memory of one call, whoever
//! is there; a [`Recorder`] finds what is worth remembering in its turns; [`Memories`] are those of
//! all callers and [`UserMemories`] those of one; a [`Batcher`] merges what all calls want of the
//! [`Store`], which keeps the rows. [`open`] chooses one: SQLite, Postgres or Supabase, each of which
//! is a few bulk statements (`bulk`). `identities` decides who is remembered and under which key,
//! `retention` holds the limits of rows and age. `extraction`, `profile` and `briefing` are plain: what the model
//! is asked and told.
//!
//! **Invariant:** every operation names one user, and touches that user's rows only.
//! **Invariant:** what callers say is [`Pii`](crate::redact::Pii) from the first to the last place
//! it is held, but for the rows of a statement, which cannot be printed.

mod batch;
mod briefing;
mod bulk;
mod call;
mod categories;
mod config;
mod connections;
mod extraction;
mod forget;
mod forgets;
mod identities;
mod memories;
mod op;
mod open;
mod postgres;
mod profile;
mod recorder;
mod refused;
mod retention;
mod rows;
mod sqlite;
mod supabase;
mod user;
mod users;
mod volatile;

use futures::future::BoxFuture;

pub use self::batch::{BatchStats, Batcher, Config as BatchConfig};
pub use self::briefing::Briefing;
pub use self::call::{CallMemory, CurrentUser};
pub use self::categories::{Categories, KEY_CHARS_MAX, Refusal, VALUE_CHARS_MAX, key_of};
pub use self::config::{Config, PostgresConfig, StoreKind, SupabaseConfig};
pub use self::forget::{ForgetError, Forgotten, forget};
pub use self::identities::{Config as IdentitiesConfig, Unremembered};
pub use self::memories::{Known, Memories, MemoryStats, UserMemories};
pub use self::op::{Category, Memory, MemoryAnswer, MemoryOp, Selection};
pub use self::open::{OpenError, check, open, service};
pub use self::postgres::PostgresStore;
pub use self::recorder::{Config as RecorderConfig, FORGET_TOOL, Recorder, RecorderStats, Turns};
pub use self::sqlite::SqliteStore;
pub use self::supabase::SupabaseStore;
pub use self::user::UserId;
pub use self::volatile::VolatileStore;

use crate::error::CallError;

/// Keeps memories. All implementations pass one contract test suite.
pub trait Store: Send + Sync {
    /// Runs operations of any number of users with as few statements as it can.
    ///
    /// Result `i` is that of `ops[i]`. Operations of one batch take effect in their order as far as
    /// they concern the same row. One that fails does not keep the others from succeeding.
    ///
    /// Cancel safety: dropping the future leaves each row either as it was or as it was to be.
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>>;

    /// Connects and makes what the store needs, so that the first operations find it done.
    fn prewarm(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Deletes what these users may no longer have: rows beyond the latest `memory.per_user_max`, but
    /// never the summary, and rows older than `memory.keep_days`. Returns how many rows went. A store
    /// without limits deletes nothing.
    fn trim(&self, _users: Vec<UserId>) -> BoxFuture<'_, Result<u64, CallError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Up to `n_max` users of the store, in its order, that come after this one.
    fn users(
        &self,
        _after: Option<UserId>,
        _n_max: u32,
    ) -> BoxFuture<'_, Result<Vec<UserId>, CallError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Overwrites what was deleted where the store's files still hold it, as far as that can be done
    /// from here.
    fn scrub(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
