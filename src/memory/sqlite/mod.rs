//! Memories in a file of this machine: the default, with nothing to install.
//!
//! One connection writes and a few read beside it, which the write-ahead log allows. sqlx gives
//! each a thread of its own, so no runtime thread ever waits for the disk. A batch travels as one
//! JSON text: one prepared statement fits every number of rows.

mod errors;
mod file;
mod limits;
mod statements;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::sync::OnceCell;

use self::errors::{call_error, open_advice};
use self::file::{connect_options, migrate_in_turn, pool_options};
use self::statements::{DELETE, GET, SAVE};
use super::bulk::{self, Table};
use super::config::Config;
use super::connections::Connections;
use super::refused::Refused;
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, OpenError, Store, UserId};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{Backend, CallSpec, ConnectionPool, ConnectionStats};

/// Keeps nothing on disk.
const IN_MEMORY: &str = ":memory:";
/// Connections that only read. A read takes well under a millisecond.
const READERS: u32 = 2;
/// Memories in a SQLite database. Clones are the same store.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    pool: ConnectionPool,
    /// Filled once the file could be opened.
    file: OnceCell<File>,
    connections: Connections,
    config: Config,
}

/// The file, opened.
struct File {
    writer: SqlitePool,
    /// The writer itself when nothing is on disk: such a database has one connection.
    readers: SqlitePool,
}

/// What a statement does to the file.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

impl SqliteStore {
    /// A store that opens its file, or makes it, when it is first used. Each use tries again as long
    /// as that fails, and so does the health monitor.
    pub fn new(config: &Config, pool: ConnectionPool) -> Self {
        Self(Arc::new(Inner {
            pool,
            file: OnceCell::new(),
            connections: Connections::default(),
            config: config.clone(),
        }))
    }

    /// A store whose file is open.
    ///
    /// # Errors
    /// When the file cannot be made, opened or written; the text names the setting.
    pub async fn open(config: &Config, pool: ConnectionPool) -> Result<Self, OpenError> {
        let store = Self::new(config, pool);
        let opened = store.0.file().await.map(drop);
        opened.map_err(|(_, error)| error)?;
        Ok(store)
    }

    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        access: Access,
        statement: impl for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, CallError> {
        let spec = self.0.config.spec(Service::Sqlite, operation);
        self.call_as(spec, access, statement).await
    }

    async fn call_as<T: Send + 'static>(
        &self,
        spec: CallSpec,
        access: Access,
        statement: impl for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, CallError> {
        let operation = spec.operation;
        let (inner, statement) = (Arc::clone(&self.0), Arc::new(statement));
        let attempt = move |_| {
            let (inner, statement) = (Arc::clone(&inner), Arc::clone(&statement));
            async move {
                let file = inner.file().await.map_err(|(kind, error)| {
                    let refused = Refused::new("", error.to_string());
                    CallError::new(Service::Sqlite, operation, kind).because(refused)
                })?;
                let database = match access {
                    Access::Read => &file.readers,
                    Access::Write => &file.writer,
                };
                let result = async {
                    let mut connection = database.acquire().await?;
                    statement(&mut connection).await
                };
                result.await.map_err(|error| call_error(operation, &error))
            }
        };
        self.0.pool.call(spec, attempt).await
    }
}

impl Inner {
    /// The file, which is opened now if it was not yet. The pool's statistics say why there is none.
    async fn file(&self) -> Result<&File, (ErrorKind, OpenError)> {
        let opening = self.file.get_or_try_init(|| async {
            let file = self.open_file().await?;
            if self.pool.go_on_with(Service::Sqlite) {
                tracing::info!("the memory's file can be used now, callers are remembered");
            }
            Ok(file)
        });
        let opened: Result<_, (_, OpenError)> = opening.await;
        opened.inspect_err(|(_, error)| self.pool.go_without(Service::Sqlite, error.to_string()))
    }

    async fn open_file(&self) -> Result<File, (ErrorKind, OpenError)> {
        let path = self.path();
        let options = connect_options(path).map_err(|error| (ErrorKind::Rejected, error))?;
        let database = |options: SqliteConnectOptions, max| {
            pool_options(max, &self.connections).connect_lazy_with(options)
        };
        let writer = database(options.clone(), 1);
        if let Err(error) = migrate_in_turn(&writer).await {
            writer.close().await;
            let (kind, why) = open_advice(path, &error);
            let path = path.to_owned();
            return Err((kind, OpenError::Sqlite { path, why }));
        }
        let readers = match path {
            IN_MEMORY => writer.clone(),
            _ => database(options.read_only(true), READERS),
        };
        Ok(File { writer, readers })
    }

    fn path(&self) -> &str {
        self.config.sqlite_path.trim()
    }
}

/// As `json_each` takes it.
fn json<T: serde::Serialize>(rows: &[T]) -> Arc<str> {
    serde_json::to_string(rows)
        .expect("texts and numbers can be written as JSON")
        .into()
}

impl Table for SqliteStore {
    fn service(&self) -> Service {
        Service::Sqlite
    }

    fn save(&self, rows: Vec<Row>) -> BoxFuture<'_, Result<(), CallError>> {
        let rows = json(&rows);
        self.call("memory.save", Access::Write, move |connection| {
            let query = sqlx::query(SAVE).bind(rows.to_string());
            async move { query.execute(connection).await.map(drop) }.boxed()
        })
        .boxed()
    }

    fn delete(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<RowKey>, CallError>> {
        let wanted = json(&wanted);
        let deleted = self.call("memory.delete", Access::Write, move |connection| {
            let query = sqlx::query_as::<_, (String, String, String)>(DELETE);
            let query = query.bind(wanted.to_string());
            async move { query.fetch_all(connection).await }.boxed()
        });
        async move {
            let deleted = deleted.await?.into_iter();
            Ok(deleted.map(RowKey::from_columns).collect())
        }
        .boxed()
    }

    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>> {
        let wanted = json(&wanted);
        let keep_days = i64::from(self.0.config.keep_days);
        let found = self.call("memory.get", Access::Read, move |connection| {
            let query = sqlx::query_as::<_, (i64, String, String, String)>(GET);
            let query = query.bind(wanted.to_string()).bind(keep_days);
            async move { query.fetch_all(connection).await }.boxed()
        });
        async move { Ok(found.await?.into_iter().map(Found::from_columns).collect()) }.boxed()
    }
}

impl Store for SqliteStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        bulk::run(self, self.0.config.limits(), ops).boxed()
    }

    fn prewarm(&self) -> BoxFuture<'_, Result<(), CallError>> {
        self.probe()
    }

    fn trim(&self, users: Vec<UserId>) -> BoxFuture<'_, Result<u64, CallError>> {
        self.trim_rows(users).boxed()
    }

    fn users(
        &self,
        after: Option<UserId>,
        n_max: u32,
    ) -> BoxFuture<'_, Result<Vec<UserId>, CallError>> {
        self.users_after(after, n_max).boxed()
    }

    fn scrub(&self) -> BoxFuture<'_, Result<(), CallError>> {
        self.scrub_log().boxed()
    }
}

impl Backend for SqliteStore {
    fn service(&self) -> Service {
        Service::Sqlite
    }

    fn connections(&self) -> ConnectionStats {
        let inner = &self.0;
        let sizes = inner.file.get().map(|file| match inner.path() {
            IN_MEMORY => file.writer.size(),
            _ => file.writer.size() + file.readers.size(),
        });
        inner.connections.stats(sizes.unwrap_or_default().into())
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let store = self.clone();
        async move {
            store
                .call("memory.probe", Access::Read, |connection| {
                    async move { sqlx::query("SELECT 1").execute(connection).await.map(drop) }
                        .boxed()
                })
                .await
        }
        .boxed()
    }

    /// Nothing: its connections are files of this machine, which cannot go stale.
    fn cleanup(&self) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.0);
        async move {
            if let Some(file) = inner.file.get() {
                file.readers.close().await;
                file.writer.close().await;
            }
        }
        .boxed()
    }
}
