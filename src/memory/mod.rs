//! What the agent remembers of its callers: facts by category and key, per user.
//!
//! A [`Store`] keeps them; every store works on batches, so that many calls share one statement.
//! [`open`] chooses one: SQLite, Postgres or Supabase. Each is three bulk statements (`bulk`).
//!
//! **Invariant:** every operation names one user, and touches that user's rows only.
//! **Invariant:** what callers say is [`Pii`](crate::redact::Pii) from the first to the last place
//! it is held, but for the rows of a statement, which cannot be printed.

mod bulk;
mod config;
mod connections;
mod op;
mod open;
mod postgres;
mod refused;
mod rows;
mod sqlite;
mod supabase;

use futures::future::BoxFuture;

pub use self::config::{Config, PostgresConfig, StoreKind, SupabaseConfig};
pub use self::op::{Category, Memory, MemoryAnswer, MemoryOp, Selection, UserId};
pub use self::open::{OpenError, check, open};
pub use self::postgres::PostgresStore;
pub use self::sqlite::SqliteStore;
pub use self::supabase::SupabaseStore;

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
}
