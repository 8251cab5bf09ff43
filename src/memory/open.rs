//! Which store, and what to do when it is not there yet.

use std::sync::Arc;

use super::Store;
use super::config::{Config, StoreKind, SupabaseConfig};
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::supabase::SupabaseStore;
use crate::error::{CallError, Service};
use crate::pool::{Backend, ConnectionPool};

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

/// The store that the configuration asks for, shown to the pool; `None` when it asks for none.
///
/// It connects when it is first used (or by [`Store::prewarm`]), so a server that is not there, or a file
/// that cannot be used, is no error here: until it can be used its operations fail.
///
/// # Errors
/// When the settings cannot work.
pub fn open(
    config: &Config,
    supabase: &SupabaseConfig,
    pool: &ConnectionPool,
) -> Result<Option<Arc<dyn Store>>, OpenError> {
    match which(config, supabase) {
        StoreKind::Postgres => {
            let store = PostgresStore::new(config, pool.clone())?;
            pool.register(Arc::new(store.clone()));
            Ok(Some(Arc::new(store)))
        }
        StoreKind::Supabase => {
            let store = SupabaseStore::new(config, supabase, pool.clone())?;
            pool.watch(&[store.endpoint().clone()]);
            Ok(Some(Arc::new(store)))
        }
        StoreKind::None => Ok(None),
        _ => {
            let store = SqliteStore::new(config, pool.clone());
            pool.register(Arc::new(store.clone()));
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
            Ok(store) => ("supabase", supabase_ready(&store).await.map_err(failed)),
            Err(error) => ("supabase", Err(said(error))),
        },
        StoreKind::Auto | StoreKind::Sqlite => {
            let opened = SqliteStore::open(config, pool.clone()).await;
            ("sqlite", opened.map(drop).map_err(said))
        }
    };
    Some(tried)
}

/// Whether the project lets us in, and has the functions of this version.
async fn supabase_ready(store: &SupabaseStore) -> Result<(), CallError> {
    store.ready().await?;
    store.limits_ready().await
}

/// The store that `auto` stands for.
pub(super) fn which(config: &Config, supabase: &SupabaseConfig) -> StoreKind {
    match config.store {
        StoreKind::Auto if !config.postgres.url.expose().trim().is_empty() => StoreKind::Postgres,
        StoreKind::Auto if !supabase.url.trim().is_empty() => StoreKind::Supabase,
        StoreKind::Auto => StoreKind::Sqlite,
        kind => kind,
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
