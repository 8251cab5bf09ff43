//! Memories in a file of this machine: the default, with nothing to install.
//!
//! One connection writes and a few read beside it, which the write-ahead log allows. sqlx gives
//! each a thread of its own, so no runtime thread ever waits for the disk. A batch travels as one
//! JSON text: one prepared statement fits every number of rows.

mod errors;

use std::fs::OpenOptions;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use self::errors::{call_error, is_busy, open_advice};
use super::bulk::{self, Table};
use super::config::Config;
use super::connections::Connections;
use super::refused::Refused;
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, OpenError, Store};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{Backend, ConnectionPool, ConnectionStats};

/// Keeps nothing on disk.
const IN_MEMORY: &str = ":memory:";
/// Connections that only read. A read takes well under a millisecond.
const READERS: u32 = 2;
/// How long a statement waits while another process writes to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a file that was refused at once is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// `REPLACE` gives the row a new number, in the order of the array.
const SAVE: &str = "
INSERT OR REPLACE INTO voxpool_memories (user_id, category, key, value)
SELECT value ->> 'user_id', value ->> 'category', value ->> 'key', value ->> 'value'
FROM json_each(?1) ORDER BY json_each.key";

const DELETE: &str = "
DELETE FROM voxpool_memories WHERE saved IN (
    SELECT memories.saved FROM json_each(?1) AS wanted
    JOIN voxpool_memories AS memories ON memories.user_id = wanted.value ->> 'user_id'
        AND memories.category = coalesce(wanted.value ->> 'category', memories.category)
        AND memories.key = coalesce(wanted.value ->> 'key', memories.key)
) RETURNING user_id, category, key";

const GET: &str = "
SELECT place, category, key, value FROM (
    SELECT wanted.key AS place, memories.category, memories.key, memories.value,
        wanted.value ->> 'count_max' AS count_max,
        row_number() OVER (PARTITION BY wanted.key ORDER BY memories.saved DESC) AS nth
    FROM json_each(?1) AS wanted
    JOIN voxpool_memories AS memories ON memories.user_id = wanted.value ->> 'user_id'
        AND memories.category = coalesce(wanted.value ->> 'category', memories.category)
        AND memories.key = coalesce(wanted.value ->> 'key', memories.key)
) WHERE nth <= count_max ORDER BY place, nth";

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

fn connect_options(path: &str) -> Result<SqliteConnectOptions, OpenError> {
    if path == IN_MEMORY {
        let options = SqliteConnectOptions::from_str("sqlite::memory:");
        let options = options.expect("the address of a database in memory is well-formed");
        return Ok(options.disable_statement_logging());
    }
    let parent = Path::new(path).parent().filter(|it| *it != Path::new(""));
    if parent.is_some_and(|parent| !parent.is_dir()) {
        return Err(OpenError::Sqlite {
            path: path.to_owned(),
            why: "its folder is not there".to_owned(),
        });
    }
    make_private(Path::new(path));
    Ok(SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging())
}

/// Makes the file, if there is none, readable to nobody else: it will hold what callers said. When
/// that fails, opening it says why.
fn make_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// Connections stay open: they cost a file handle, and one in memory is the database itself.
fn pool_options(max: u32, connections: &Connections) -> SqlitePoolOptions {
    let (opened, reused) = (connections.clone(), connections.clone());
    SqlitePoolOptions::new()
        .max_connections(max)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            opened.opened();
            Box::pin(std::future::ready(Ok(())))
        })
        .before_acquire(move |_, _| {
            reused.reused();
            Box::pin(std::future::ready(Ok(true)))
        })
}

/// Makes or updates the table; processes that start together take turns. Of those that switch a new
/// file to its log at once, SQLite refuses some without waiting, whatever the busy timeout: they
/// would wait for each other. These try again.
///
/// Source: <https://sqlite.org/c3ref/busy_handler.html>
async fn migrate_in_turn(writer: &SqlitePool) -> sqlx::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match migrate(writer).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
            result => return result,
        }
    }
}

async fn migrate(writer: &SqlitePool) -> sqlx::Result<()> {
    let mut migrator: Migrator = sqlx::migrate!("src/memory/migrations/sqlite");
    migrator.dangerous_set_table_name("voxpool_migrations");
    migrator.set_ignore_missing(true);
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let migrated = migrator.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::Migrate(Box::new(error)),
    })?;
    transaction.commit().await
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
        let found = self.call("memory.get", Access::Read, move |connection| {
            let query = sqlx::query_as::<_, (i64, String, String, String)>(GET);
            let query = query.bind(wanted.to_string());
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
