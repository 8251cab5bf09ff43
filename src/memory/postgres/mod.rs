//! Memories in Postgres: arrays in, one statement per kind however many rows.
//!
//! The pool of connections is lazy: it is fine if the server is not there when the worker starts.
//! The table is made by the first operation that finds a server, and again if somebody dropped it.
//!
//! Nothing relies on a session: behind a transaction pooler (`memory.postgres.pooler`) every
//! statement is a transaction of its own, which keeps its parts on one server connection.

mod database;
mod limits;
mod migrate;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::{Executor, PgConnection};
use tokio::sync::OnceCell;

use self::database::Database;
use super::bulk::{self, Table};
use super::config::Config;
use super::refused::Refused;
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, OpenError, Store, UserId};
use crate::error::{CallError, Service};
use crate::pool::{Backend, CallSpec, ConnectionPool, ConnectionStats};

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

/// Leaves out rows that are older than `$5` days; 0: none.
const GET: &str = "
SELECT wanted.place - 1, found.category, found.key, found.value
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    WITH ORDINALITY AS wanted (user_id, category, key, count_max, place)
CROSS JOIN LATERAL (
    SELECT category, key, value, saved FROM voxpool_memories AS memories
    WHERE memories.user_id = wanted.user_id
        AND (wanted.category IS NULL OR memories.category = wanted.category)
        AND (wanted.key IS NULL OR memories.key = wanted.key)
        AND ($5 = 0 OR memories.saved_at >= now() - make_interval(days => $5))
    ORDER BY saved DESC LIMIT wanted.count_max
) AS found
ORDER BY wanted.place, found.saved DESC";

/// Answered only where the table is there and we may read it.
const PROBE: &str = "SELECT FROM voxpool_memories LIMIT 0";

/// Memories in a Postgres database. Clones are the same store.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: ConnectionPool,
    database: Database,
    config: Config,
    /// Filled once the table is known to be there.
    is_migrated: Mutex<Arc<OnceCell<()>>>,
}

impl PostgresStore {
    /// A store that connects when it is first used. Only within a Tokio runtime: it looks after
    /// idle connections in a task, which ends with the last clone or when it is closed.
    ///
    /// # Errors
    /// When the address cannot be understood.
    pub fn new(config: &Config, pool: ConnectionPool) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Inner {
            pool,
            database: Database::new(&config.postgres)?,
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
                migrate::migrate(connection, is_pooled).boxed()
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
        self.call_as(spec, statement).await
    }

    async fn call_as<T: Send + 'static>(
        &self,
        spec: CallSpec,
        statement: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, CallError> {
        let operation = spec.operation;
        let (inner, statement) = (Arc::clone(&self.0), Arc::new(statement));
        let attempt = move |_| {
            let (inner, statement) = (Arc::clone(&inner), Arc::clone(&statement));
            async move {
                let result = inner.database.attempt(operation, &*statement).await;
                if result.as_ref().is_err_and(is_without_table) {
                    *inner.is_migrated() = Arc::default();
                }
                result
            }
        };
        self.0.pool.call(spec, attempt).await
    }
}

impl Inner {
    fn is_migrated(&self) -> MutexGuard<'_, Arc<OnceCell<()>>> {
        (self.is_migrated.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether statements stay prepared on their connection, under a name.
    fn names_statements(&self) -> bool {
        !self.config.postgres.pooler
    }
}

/// Whether the refusal is that of a table that is not there.
fn is_without_table(error: &CallError) -> bool {
    let cause = error.cause.as_ref();
    let refused = cause.and_then(|cause| cause.downcast_ref::<Refused>());
    refused.is_some_and(|refused| matches!(refused.code(), "42P01" | "3F000"))
}

/// As `make_interval` takes them.
fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
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
            Ok(deleted.map(RowKey::from_columns).collect())
        }
        .boxed()
    }

    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>> {
        let columns = Columns::new(wanted);
        async move {
            self.ready().await?;
            let is_named = self.0.names_statements();
            let keep_days = days(self.0.config.keep_days);
            let found = self.call("memory.get", move |connection| {
                let columns = Arc::clone(&columns);
                async move {
                    sqlx::query_as::<_, (i64, String, String, String)>(GET)
                        .persistent(is_named)
                        .bind(&columns.users)
                        .bind(&columns.categories)
                        .bind(&columns.keys)
                        .bind(&columns.counts_max)
                        .bind(keep_days)
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
}

impl Backend for PostgresStore {
    fn service(&self) -> Service {
        Service::Postgres
    }

    fn connections(&self) -> ConnectionStats {
        self.0.database.stats()
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let store = self.clone();
        async move {
            store.ready().await?;
            store
                .call("memory.probe", |connection| {
                    async move { connection.execute(PROBE).await.map(drop) }.boxed()
                })
                .await
        }
        .boxed()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.0);
        async move { inner.database.drop_idle().await }.boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.0);
        async move { inner.database.close().await }.boxed()
    }
}
