//! Memories in Postgres: arrays in, one statement per kind however many rows.
//!
//! The pool of connections is lazy: it is fine if the server is not there when the worker starts.
//! The table is made by the first operation that finds a server, and again if somebody dropped it.
//!
//! Nothing relies on a session: behind a transaction pooler (`memory.postgres.pooler`) every
//! statement is a transaction of its own, which keeps its parts on one server connection.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::bulk::{self, Table};
use super::config::Config;
use super::connections::Connections;
use super::refused::{Refused, from_sqlstate};
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, Store};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{Backend, ConnectionPool, ConnectionStats};

/// A connection that was idle this long is asked whether it is still there before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);

/// The advisory lock of the migrations: workers that start together take turns. The number is
/// "voxpool" in ASCII.
const MIGRATION_LOCK: i64 = 0x0076_6f78_706f_6f6c;

/// The migrator names its statements, which a pooler's next client must not meet.
const FORGET: &str = "DEALLOCATE ALL";

const SCHEMA_ADVICE: &str = "the table voxpool_memories is missing or not as this version needs \
     it: let the worker make it (memory.postgres.migrate = true), or run the files of \
     src/memory/migrations/postgres in their order";

/// Later rows get later numbers, whatever order they are written in; they are written in the order
/// of their keys, so that two batches with the same rows never wait for each other.
const SAVE: &str = "
WITH numbered AS MATERIALIZED (
    SELECT user_id, category, key, value, nextval('voxpool_memories_saved') AS saved
    FROM (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
            WITH ORDINALITY AS rows (user_id, category, key, value, place)
        ORDER BY place
    ) AS ordered
)
INSERT INTO voxpool_memories (user_id, category, key, value, saved)
SELECT user_id, category, key, value, saved FROM numbered ORDER BY user_id, category, key
ON CONFLICT (user_id, category, key)
DO UPDATE SET value = EXCLUDED.value, saved = EXCLUDED.saved, saved_at = now()";

const DELETE: &str = "
DELETE FROM voxpool_memories AS memories
USING unnest($1::text[], $2::text[], $3::text[]) AS wanted (user_id, category, key)
WHERE memories.user_id = wanted.user_id
    AND (wanted.category IS NULL OR memories.category = wanted.category)
    AND (wanted.key IS NULL OR memories.key = wanted.key)
RETURNING memories.user_id, memories.category, memories.key";

const GET: &str = "
SELECT wanted.place - 1, found.category, found.key, found.value
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    WITH ORDINALITY AS wanted (user_id, category, key, count_max, place)
CROSS JOIN LATERAL (
    SELECT category, key, value, saved FROM voxpool_memories AS memories
    WHERE memories.user_id = wanted.user_id
        AND (wanted.category IS NULL OR memories.category = wanted.category)
        AND (wanted.key IS NULL OR memories.key = wanted.key)
    ORDER BY saved DESC LIMIT wanted.count_max
) AS found
ORDER BY wanted.place, found.saved DESC";

/// Memories in a Postgres database. Clones are the same store.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: ConnectionPool,
    database: PgPool,
    connections: Connections,
    config: Config,
    /// Filled once the table is known to be there.
    is_migrated: Mutex<Arc<OnceCell<()>>>,
}

/// What to do with a connection; made anew for every attempt.
type Statement<T> =
    dyn for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + Sync;

impl PostgresStore {
    /// A store that connects when it is first used.
    ///
    /// # Errors
    /// When the address cannot be understood.
    pub fn new(config: &Config, pool: ConnectionPool) -> Result<Self, super::OpenError> {
        let options = connect_options(config)?;
        let connections = Connections::default();
        let (opened, reused) = (connections.clone(), connections.clone());
        let postgres = &config.postgres;
        let database = PgPoolOptions::new()
            .max_connections(postgres.connections_max)
            .acquire_timeout(postgres.acquire_timeout)
            .idle_timeout(postgres.idle_timeout)
            .test_before_acquire(false)
            .after_connect(move |_, _| {
                opened.opened();
                Box::pin(std::future::ready(Ok(())))
            })
            .before_acquire(move |connection, idle| {
                let reused = reused.clone();
                Box::pin(async move {
                    if idle.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    reused.reused();
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self(Arc::new(Inner {
            pool,
            database,
            connections,
            config: config.clone(),
            is_migrated: Mutex::default(),
        })))
    }

    /// Connects, and makes the table unless it is there.
    ///
    /// # Errors
    /// When the server is not there, does not let us in, or the table cannot be made.
    pub async fn ready(&self) -> Result<(), CallError> {
        if !self.0.config.postgres.migrate {
            return Ok(());
        }
        let is_migrated = Arc::clone(&self.0.is_migrated());
        let is_pooled = self.0.config.postgres.pooler;
        let migrating = || {
            self.call("memory.migrate", move |connection| {
                migrate(connection, is_pooled).boxed()
            })
        };
        is_migrated.get_or_try_init(migrating).await?;
        Ok(())
    }

    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        statement: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, CallError> {
        let spec = self.0.config.spec(Service::Postgres, operation);
        let (inner, statement) = (Arc::clone(&self.0), Arc::new(statement));
        let attempt = move |_| {
            let (inner, statement) = (Arc::clone(&inner), Arc::clone(&statement));
            async move { inner.attempt(operation, &*statement).await }
        };
        self.0.pool.call(spec, attempt).await
    }
}

fn connect_options(config: &Config) -> Result<PgConnectOptions, super::OpenError> {
    let postgres = &config.postgres;
    let options = PgConnectOptions::from_str(postgres.url.expose().trim())
        .map_err(|_| super::OpenError::DatabaseUrl)?
        .application_name("voxpool")
        .disable_statement_logging();
    Ok(if postgres.pooler {
        options.statement_cache_capacity(0).extra_float_digits(None)
    } else {
        let timeout = format!("{}ms", postgres.statement_timeout.as_millis());
        options.options([
            ("statement_timeout", timeout.as_str()),
            ("client_min_messages", "warning"),
        ])
    })
}

/// Makes or updates the table. One transaction, so that the lock is given back whatever happens.
async fn migrate(connection: &mut PgConnection, is_pooled: bool) -> sqlx::Result<()> {
    let mut migrator: Migrator = sqlx::migrate!("src/memory/migrations/postgres");
    migrator.dangerous_set_table_name("voxpool_migrations");
    // The migrator's own lock belongs to a session, which a pooler may take away. A newer worker
    // may have migrated further: tables only gain columns, so an older one can go on.
    migrator.set_locking(false).set_ignore_missing(true);
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    if is_pooled {
        transaction.execute(FORGET).await?;
    }
    let migrated = migrator.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::Migrate(Box::new(error)),
    })?;
    if is_pooled {
        transaction.execute(FORGET).await?;
    }
    transaction.commit().await
}

impl Inner {
    fn is_migrated(&self) -> std::sync::MutexGuard<'_, Arc<OnceCell<()>>> {
        self.is_migrated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether statements stay prepared on their connection, under a name.
    fn names_statements(&self) -> bool {
        !self.config.postgres.pooler
    }

    async fn attempt<T>(
        &self,
        operation: &'static str,
        statement: &Statement<T>,
    ) -> Result<T, CallError> {
        let acquired = self.database.acquire().await;
        let mut connection = acquired.map_err(|error| self.not_connected(operation, error))?;
        let _in_use = self.connections.in_use();
        let result = if self.config.postgres.pooler {
            self.in_transaction(&mut connection, statement).await
        } else {
            statement(&mut connection).await
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if is_broken(&error) {
            // Its neighbours were most likely cut off with it.
            drop(connection.detach());
            self.drop_idle().await;
        }
        let error = self.error(operation, error);
        if is_without_table(&error) {
            *self.is_migrated() = Arc::default();
        }
        Err(error)
    }

    async fn in_transaction<T>(
        &self,
        connection: &mut PgConnection,
        statement: &Statement<T>,
    ) -> sqlx::Result<T> {
        let timeout_ms = self.config.postgres.statement_timeout.as_millis();
        let begin = format!(
            "BEGIN; SET LOCAL statement_timeout = {timeout_ms}; \
             SET LOCAL client_min_messages = warning"
        );
        let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
        let value = statement(&mut transaction).await?;
        transaction.commit().await?;
        Ok(value)
    }

    /// No connection: either all are in use, or none could be opened. sqlx tries again while a
    /// server refuses or is full, and reports only that the time was over.
    fn not_connected(&self, operation: &'static str, error: sqlx::Error) -> CallError {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            let max = u64::from(self.config.postgres.connections_max);
            if self.connections.in_use_count() >= max {
                return CallError::new(Service::Postgres, operation, ErrorKind::Saturated).because(
                    Refused::new("", "all of memory.postgres.connections_max are in use"),
                );
            }
            self.connections.failed();
            let advice = "no connection could be opened: is the server running, and has it \
                          connections left?";
            return CallError::new(Service::Postgres, operation, ErrorKind::Unavailable)
                .because(Refused::new("", advice));
        }
        if !matches!(error, sqlx::Error::PoolClosed) {
            self.connections.failed();
        }
        self.error(operation, error)
    }

    /// Never with the database's own words: they quote the row.
    fn error(&self, operation: &'static str, error: sqlx::Error) -> CallError {
        let new = |kind| CallError::new(Service::Postgres, operation, kind);
        match error {
            sqlx::Error::Database(error) => {
                let state = error.code().unwrap_or_default();
                from_sqlstate(Service::Postgres, operation, &state, SCHEMA_ADVICE)
            }
            sqlx::Error::Io(error) => new(ErrorKind::Unavailable).because(error),
            sqlx::Error::Tls(error) => new(ErrorKind::Unavailable).because(error),
            sqlx::Error::PoolClosed => {
                new(ErrorKind::Unavailable).because("the connections were closed")
            }
            sqlx::Error::Configuration(_) => new(ErrorKind::Rejected).because(Refused::new(
                "",
                "DATABASE_URL names something this driver cannot do",
            )),
            sqlx::Error::Migrate(_) => new(ErrorKind::Rejected).because(Refused::new(
                "",
                "the table was made by another program: see its rows in voxpool_migrations",
            )),
            _ => new(ErrorKind::Malformed).because("the server's answer is not as expected"),
        }
    }

    async fn drop_idle(&self) {
        for _ in 0..self.database.num_idle() {
            let Some(connection) = self.database.try_acquire() else {
                return;
            };
            // An error means that it was gone already.
            drop(connection.close().await);
        }
    }
}

fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            let state = error.code().unwrap_or_default();
            state.starts_with("57P") || state.starts_with("08")
        }
        _ => false,
    }
}

/// Whether the refusal is that of a table that is not there.
fn is_without_table(error: &CallError) -> bool {
    let cause = error.cause.as_ref();
    let refused = cause.and_then(|cause| cause.downcast_ref::<Refused>());
    refused.is_some_and(|refused| refused.is_about(SCHEMA_ADVICE))
}

/// The columns of what is wanted.
struct Columns {
    users: Vec<String>,
    categories: Vec<Option<String>>,
    keys: Vec<Option<String>>,
    counts_max: Vec<i64>,
}

impl Columns {
    fn new(wanted: Vec<Wanted>) -> Arc<Self> {
        let mut columns = Self {
            users: Vec::new(),
            categories: Vec::new(),
            keys: Vec::new(),
            counts_max: Vec::new(),
        };
        for wanted in wanted {
            columns.users.push(wanted.user_id);
            columns.categories.push(wanted.category);
            columns.keys.push(wanted.key);
            columns.counts_max.push(i64::from(wanted.count_max));
        }
        Arc::new(columns)
    }
}

impl Table for PostgresStore {
    fn service(&self) -> Service {
        Service::Postgres
    }

    fn save(&self, rows: Vec<Row>) -> BoxFuture<'_, Result<(), CallError>> {
        let column = |of: fn(&Row) -> &String| rows.iter().map(of).cloned().collect::<Vec<_>>();
        let columns = Arc::new([
            column(|row| &row.key.user_id),
            column(|row| &row.key.category),
            column(|row| &row.key.key),
            column(|row| &row.value),
        ]);
        async move {
            self.ready().await?;
            let is_named = self.0.names_statements();
            self.call("memory.save", move |connection| {
                let columns = Arc::clone(&columns);
                async move {
                    let mut query = sqlx::query(SAVE).persistent(is_named);
                    for column in &*columns {
                        query = query.bind(column);
                    }
                    query.execute(connection).await.map(drop)
                }
                .boxed()
            })
            .await
        }
        .boxed()
    }

    fn delete(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<RowKey>, CallError>> {
        let columns = Columns::new(wanted);
        async move {
            self.ready().await?;
            let is_named = self.0.names_statements();
            let deleted = self.call("memory.delete", move |connection| {
                let columns = Arc::clone(&columns);
                async move {
                    sqlx::query_as::<_, (String, String, String)>(DELETE)
                        .persistent(is_named)
                        .bind(&columns.users)
                        .bind(&columns.categories)
                        .bind(&columns.keys)
                        .fetch_all(connection)
                        .await
                }
                .boxed()
            });
            let deleted = deleted.await?.into_iter();
            Ok(deleted
                .map(|(user_id, category, key)| RowKey {
                    user_id,
                    category,
                    key,
                })
                .collect())
        }
        .boxed()
    }

    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>> {
        let columns = Columns::new(wanted);
        async move {
            self.ready().await?;
            let is_named = self.0.names_statements();
            let found = self.call("memory.get", move |connection| {
                let columns = Arc::clone(&columns);
                async move {
                    sqlx::query_as::<_, (i64, String, String, String)>(GET)
                        .persistent(is_named)
                        .bind(&columns.users)
                        .bind(&columns.categories)
                        .bind(&columns.keys)
                        .bind(&columns.counts_max)
                        .fetch_all(connection)
                        .await
                }
                .boxed()
            });
            Ok(found.await?.into_iter().map(Found::from_columns).collect())
        }
        .boxed()
    }
}

impl Store for PostgresStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        bulk::run(self, self.0.config.limits(), ops).boxed()
    }
}

impl Backend for PostgresStore {
    fn service(&self) -> Service {
        Service::Postgres
    }

    fn connections(&self) -> ConnectionStats {
        self.0.connections.stats(self.0.database.size().into())
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let store = self.clone();
        async move {
            store.ready().await?;
            store
                .call("memory.probe", |connection| {
                    async move { connection.execute("SELECT 1").await.map(drop) }.boxed()
                })
                .await
        }
        .boxed()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.0);
        async move { inner.drop_idle().await }.boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.0);
        async move { inner.database.close().await }.boxed()
    }
}
