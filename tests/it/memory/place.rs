//! Where a store of the contract keeps its rows, and how to get at them behind its back.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use voxpool::error::Service;
use voxpool::memory::{Config, PostgresConfig, Store, SupabaseConfig, open};
use voxpool::pool::{self, ConnectionPool, ServiceStats};
use voxpool::redact::Pii;

use crate::common::postgres::{PgBouncer, shared};
use crate::common::postgrest::{ANON_KEY, SERVICE_ROLE_KEY, SUPABASE_SQL, Supabase, anonymous_sql};

/// A place that is empty at first.
pub(super) enum Place {
    /// A file.
    Sqlite(TempDir),
    /// Nothing on disk.
    InMemory,
    /// A database of the shared server.
    Postgres { database: String },
    /// The same behind a transaction pooler.
    Pooled {
        database: String,
        bouncer: PgBouncer,
    },
    /// The same behind Supabase's data API.
    Supabase {
        database: String,
        api: Supabase,
        key: &'static str,
    },
}

/// A store with the pool that it works on.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) pool: ConnectionPool,
    service: Service,
}

impl Place {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(super) async fn postgres() -> Self {
        let database = shared().await.database().await;
        Self::Postgres { database }
    }

    pub(super) async fn pooled() -> Self {
        let server = shared().await;
        Self::Pooled {
            database: server.database().await,
            bouncer: PgBouncer::start(server).await,
        }
    }

    pub(super) async fn supabase() -> Self {
        let server = shared().await;
        let database = server.database().await;
        server.execute(&database, SUPABASE_SQL).await;
        let api = Supabase::start(server, &database).await;
        let key = SERVICE_ROLE_KEY;
        Self::Supabase { database, api, key }
    }

    /// The same with an anonymous key, held to one caller's rows by policies.
    pub(super) async fn anonymous() -> Self {
        let server = shared().await;
        let database = server.database().await;
        server.execute(&database, SUPABASE_SQL).await;
        server.execute(&database, &anonymous_sql()).await;
        let api = Supabase::start(server, &database).await;
        let key = ANON_KEY;
        Self::Supabase { database, api, key }
    }

    fn service(&self) -> Service {
        match self {
            Self::Supabase { .. } => Service::Supabase,
            Self::Sqlite(_) | Self::InMemory => Service::Sqlite,
            Self::Postgres { .. } | Self::Pooled { .. } => Service::Postgres,
        }
    }

    async fn config(&self) -> Config {
        let postgres = |url: String, pooler| Config {
            postgres: PostgresConfig {
                url: Pii::new(url),
                pooler,
                ..PostgresConfig::default()
            },
            ..Config::default()
        };
        match self {
            Self::Sqlite(directory) => Config {
                sqlite_path: file(directory),
                ..Config::default()
            },
            Self::InMemory => Config {
                sqlite_path: ":memory:".to_owned(),
                ..Config::default()
            },
            Self::Postgres { database } => postgres(shared().await.url(database), false),
            Self::Pooled { database, bouncer } => postgres(bouncer.url(database), true),
            Self::Supabase { .. } => Config::default(),
        }
    }

    fn supabase_config(&self) -> SupabaseConfig {
        match self {
            Self::Supabase { api, key, .. } => SupabaseConfig {
                url: api.url(),
                key: Pii::new((*key).to_owned()),
            },
            _ => SupabaseConfig::default(),
        }
    }

    /// A store on a pool of its own, as another worker would have.
    pub(super) async fn open(&self) -> Opened {
        self.open_with(|_| {}).await
    }

    /// The same with other settings.
    pub(super) async fn open_with(&self, change: impl FnOnce(&mut Config)) -> Opened {
        let pool = ConnectionPool::new(pool::Config::default()).expect("a pool");
        let mut config = self.config().await;
        change(&mut config);
        let store = open(&config, &self.supabase_config(), &pool);
        let store = store
            .expect("the settings are right")
            .expect("there is one");
        // As a worker's start does.
        store.prewarm().await.expect("it can be used");
        Opened {
            store,
            pool,
            service: self.service(),
        }
    }

    /// Whether what was saved outlives the store.
    pub(super) fn is_lasting(&self) -> bool {
        !matches!(self, Self::InMemory)
    }

    /// Makes the database refuse rows whose value begins with `poison`, which the store cannot foresee.
    pub(super) async fn refuse_poison(&self) {
        match self {
            Self::Sqlite(directory) => {
                let path = format!("sqlite://{}", file(directory));
                let mut file = SqliteConnection::connect(&path).await.expect("a file");
                let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON voxpool_memories
                     WHEN NEW.value LIKE 'poison%' BEGIN SELECT RAISE(ABORT, 'no poison'); END";
                file.execute(trigger).await.expect("a trigger");
            }
            Self::InMemory => unreachable!("nobody else gets at it"),
            Self::Postgres { database }
            | Self::Pooled { database, .. }
            | Self::Supabase { database, .. } => {
                let check = "ALTER TABLE voxpool_memories ADD CHECK (value NOT LIKE 'poison%')";
                shared().await.execute(database, check).await;
            }
        }
    }

    /// Makes what is saved under a key so many days older.
    pub(super) async fn age(&self, key: &str, days: u32) {
        let change =
            |to: String| format!("UPDATE voxpool_memories SET saved_at = {to} WHERE key = '{key}'");
        match self {
            Self::Sqlite(directory) => {
                let path = format!("sqlite://{}", file(directory));
                let mut file = SqliteConnection::connect(&path).await.expect("a file");
                let older = change(format!("datetime(saved_at, '-{days} days')"));
                file.execute(AssertSqlSafe(older)).await.expect("a row");
            }
            Self::InMemory => unreachable!("nobody else gets at it"),
            Self::Postgres { database }
            | Self::Pooled { database, .. }
            | Self::Supabase { database, .. } => {
                let older = change(format!("saved_at - interval '{days} days'"));
                shared().await.execute(database, &older).await;
            }
        }
    }

    /// The environment of a program that uses this place.
    pub(super) async fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Sqlite(directory) => vec![("VOXPOOL__MEMORY__SQLITE_PATH", file(directory))],
            Self::InMemory => vec![("VOXPOOL__MEMORY__SQLITE_PATH", ":memory:".to_owned())],
            Self::Postgres { database } => vec![("DATABASE_URL", shared().await.url(database))],
            Self::Pooled { database, bouncer } => vec![
                ("DATABASE_URL", bouncer.url(database)),
                ("VOXPOOL__MEMORY__POSTGRES__POOLER", "true".to_owned()),
            ],
            Self::Supabase { api, key, .. } => vec![
                ("SUPABASE_URL", api.url()),
                ("SUPABASE_SERVICE_ROLE_KEY", (*key).to_owned()),
            ],
        }
    }

    /// Rows in the table, whoever they belong to.
    pub(super) async fn count(&self) -> i64 {
        let count = "SELECT count(*) FROM voxpool_memories";
        match self {
            Self::Sqlite(directory) => {
                let path = format!("sqlite://{}", file(directory));
                let mut file = SqliteConnection::connect(&path).await.expect("a file");
                sqlx::query_scalar(count)
                    .fetch_one(&mut file)
                    .await
                    .unwrap()
            }
            Self::InMemory => unreachable!("nobody else gets at it"),
            Self::Postgres { database }
            | Self::Pooled { database, .. }
            | Self::Supabase { database, .. } => {
                let mut owner = shared().await.connect(database).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(count))
                    .fetch_one(&mut owner)
                    .await
                    .unwrap()
            }
        }
    }
}

impl Opened {
    pub(super) async fn stats(&self) -> ServiceStats {
        let services = self.pool.stats().await.services;
        let mut own = services.into_iter().filter(|it| it.service == self.service);
        own.next().expect("the service was called")
    }

    /// Statements or requests so far.
    pub(super) async fn statements(&self, operation: &str) -> u64 {
        let operations = self.stats().await.operations;
        operations.get(operation).map_or(0, |it| it.requests)
    }
}

pub(super) fn file(directory: &TempDir) -> String {
    let path = directory.path().join("memory.db");
    path.to_str()
        .expect("a path of plain characters")
        .to_owned()
}
