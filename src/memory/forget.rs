//! Deletes everything of one user from the store that the configuration names, for an operator.

use std::path::Path;

use super::config::{Config, StoreKind, SupabaseConfig};
use super::open::{open, which};
use super::{MemoryAnswer, MemoryOp, OpenError, Selection, UserId, service};
use crate::error::CallError;
use crate::pool::ConnectionPool;

/// The result of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The store.
    pub store: &'static str,
    /// Rows that were deleted; 0 when there were none, or none were left.
    pub rows: u64,
}

/// Why nothing was deleted. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The configuration names no store that outlives the process.
    #[error("{0}, so there is nothing to delete: use the settings of the worker")]
    NoStore(&'static str),
    /// The SQLite file is not there.
    #[error(
        "memory.sqlite_path: there is no file {0}; run this in the worker's directory, or with its \
         settings"
    )]
    NoFile(String),
    /// The settings cannot work.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed; some may be deleted all the same.
    #[error("the store failed, run this again: {0}")]
    Store(String),
}

/// Deletes all memories of a user and the summary. Doing it again does no harm.
///
/// # Errors
/// When there is no store, or it cannot be used.
pub async fn forget(
    config: &Config,
    supabase: &SupabaseConfig,
    pool: &ConnectionPool,
    user: UserId,
) -> Result<Forgotten, ForgetError> {
    match which(config, supabase) {
        StoreKind::None => return Err(ForgetError::NoStore("memory.store is none")),
        StoreKind::Auto | StoreKind::Sqlite => has_file(config.sqlite_path.trim())?,
        StoreKind::Postgres | StoreKind::Supabase => {}
    }
    let Some(store) = open(config, supabase, pool)? else {
        return Err(ForgetError::NoStore("there is no store"));
    };
    let deleted = store.run(vec![MemoryOp::Delete(user, Selection::All)]);
    let rows = match deleted.await.pop() {
        Some(Ok(MemoryAnswer::Deleted(rows))) => rows,
        Some(Err(error)) => return Err(ForgetError::Store(said(&error))),
        Some(Ok(_)) | None => return Err(ForgetError::Store("no answer".to_owned())),
    };
    let scrubbed = store.scrub().await;
    scrubbed.map_err(|error| ForgetError::Store(said(&error)))?;
    Ok(Forgotten {
        store: service(config, supabase).label(),
        rows,
    })
}

/// Opening a file that is not there would make one, and say that nothing was in it.
fn has_file(path: &str) -> Result<(), ForgetError> {
    if path == ":memory:" {
        return Err(ForgetError::NoStore(
            "memory.sqlite_path is :memory:, which ends with the worker",
        ));
    }
    match Path::new(path).exists() {
        true => Ok(()),
        false => Err(ForgetError::NoFile(path.to_owned())),
    }
}

fn said(error: &CallError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.kind),
        None => error.kind.to_string(),
    }
}
