//! Which store, and what to do when it is not there yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::Store;
use super::config::{Config, StoreKind, SupabaseConfig};
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::supabase::SupabaseStore;
use crate::error::{CallError, Service};
use crate::pool::{Backend, ConnectionPool};

/// How long the start waits to see whether a server answers: only to be able to say so.
const START_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why there is no memory. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The file of the embedded database.
    #[error("memory.sqlite_path: {path} cannot be used: {why}")]
    Sqlite {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address of the Postgres server.
    #[error(
        "memory.postgres.url: cannot be understood; write DATABASE_URL like \
         postgres://user:password@host:5432/database, with special characters percent-encoded"
    )]
    DatabaseUrl,
    /// The address or the key of the Supabase project.
    #[error("supabase.{0}")]
    Supabase(String),
}

/// Opens the store that the configuration asks for and shows it to the pool; `None` when it asks
/// for none.
///
/// A server that is not there, or a file that cannot be used, is no error: the store connects when it
/// comes, and until then its operations fail.
///
/// # Errors
/// When the settings cannot work.
pub async fn open(
    config: &Config,
    supabase: &SupabaseConfig,
    pool: &ConnectionPool,
) -> Result<Option<Arc<dyn Store>>, OpenError> {
    match which(config, supabase) {
        StoreKind::Postgres => {
            let store = PostgresStore::new(config, pool.clone())?;
            pool.register(Arc::new(store.clone()));
            note("postgres", soon(store.ready()).await);
            Ok(Some(Arc::new(store)))
        }
        StoreKind::Supabase => {
            let store = SupabaseStore::new(config, supabase, pool.clone())?;
            pool.watch(&[store.endpoint().clone()]);
            note("supabase", soon(store.ready()).await);
            Ok(Some(Arc::new(store)))
        }
        StoreKind::None => Ok(None),
        _ => {
            let store = SqliteStore::new(config, pool.clone());
            pool.register(Arc::new(store.clone()));
            note("sqlite", soon(store.probe()).await);
            Ok(Some(Arc::new(store)))
        }
    }
}

/// The service behind the store that the configuration asks for.
pub fn service(config: &Config, supabase: &SupabaseConfig) -> Service {
    match which(config, supabase) {
        StoreKind::Postgres => Service::Postgres,
        StoreKind::Supabase => Service::Supabase,
        StoreKind::Auto | StoreKind::Sqlite | StoreKind::None => Service::Sqlite,
    }
}

/// Tries the store that the configuration asks for, for somebody who wants to know: which it is, and
/// what is wrong with it.
pub async fn check(
    config: &Config,
    supabase: &SupabaseConfig,
    pool: &ConnectionPool,
) -> Option<(&'static str, Result<(), String>)> {
    let said = |error: OpenError| error.to_string();
    let failed = |error: CallError| match &error.cause {
        Some(cause) => format!("{}: {cause}", error.kind),
        None => error.kind.to_string(),
    };
    let tried = match which(config, supabase) {
        StoreKind::None => return None,
        StoreKind::Postgres => match PostgresStore::new(config, pool.clone()) {
            Ok(store) => ("postgres", store.probe().await.map_err(failed)),
            Err(error) => ("postgres", Err(said(error))),
        },
        StoreKind::Supabase => match SupabaseStore::new(config, supabase, pool.clone()) {
            Ok(store) => ("supabase", store.ready().await.map_err(failed)),
            Err(error) => ("supabase", Err(said(error))),
        },
        StoreKind::Auto | StoreKind::Sqlite => {
            let opened = SqliteStore::open(config, pool.clone()).await;
            ("sqlite", opened.map(drop).map_err(said))
        }
    };
    Some(tried)
}

/// The store that `auto` stands for.
fn which(config: &Config, supabase: &SupabaseConfig) -> StoreKind {
    match config.store {
        StoreKind::Auto if !config.postgres.url.expose().trim().is_empty() => StoreKind::Postgres,
        StoreKind::Auto if !supabase.url.trim().is_empty() => StoreKind::Supabase,
        StoreKind::Auto => StoreKind::Sqlite,
        kind => kind,
    }
}

/// The worker does not wait for a server that takes its time.
async fn soon(
    ready: impl Future<Output = Result<(), CallError>>,
) -> Result<Result<(), CallError>, Elapsed> {
    timeout(START_WAIT_MAX, ready).await
}

/// Says once how it is at the start; later changes are the pool's to tell.
fn note(store: &'static str, is_ready: Result<Result<(), CallError>, Elapsed>) {
    match is_ready {
        Ok(Ok(())) => tracing::info!(store, "callers are remembered"),
        Err(_) => tracing::warn!(
            store,
            "the memory has not answered yet; calls go on without it until it does"
        ),
        Ok(Err(error)) => tracing::warn!(
            store,
            kind = error.kind.label(),
            why = error.cause.map(|cause| cause.to_string()),
            "the memory cannot be used; calls go on without it until it can"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::PostgresConfig;
    use super::*;
    use crate::redact::Pii;

    #[test]
    fn auto_takes_what_is_configured() {
        let supabase = SupabaseConfig {
            url: "https://x.example".to_owned(),
            key: Pii::new("k".to_owned()),
        };
        let nothing = SupabaseConfig::default();
        let postgres = Config {
            postgres: PostgresConfig {
                url: Pii::new("postgres://x.example/db".to_owned()),
                ..PostgresConfig::default()
            },
            ..Config::default()
        };
        assert_eq!(which(&Config::default(), &nothing), StoreKind::Sqlite);
        assert_eq!(which(&Config::default(), &supabase), StoreKind::Supabase);
        assert_eq!(which(&postgres, &supabase), StoreKind::Postgres);
        let none = Config {
            store: StoreKind::None,
            ..postgres
        };
        assert_eq!(which(&none, &supabase), StoreKind::None);
    }
}
