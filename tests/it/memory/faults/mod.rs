//! What happens when a store's server is away, full, slow or closed to us: what callers of the store
//! get, that it recovers by itself, and that nothing that was answered with "saved" is lost.

mod postgres;
mod sqlite;
pub(crate) mod supabase;

use std::time::Duration;

use sqlx::{Executor, PgConnection};
use voxpool::error::{CallError, ErrorKind, Service};
use voxpool::memory::{Config, MemoryAnswer, PostgresConfig, Store};
use voxpool::pool::{self, BreakerState, ConnectionPool, ServiceStats};
use voxpool::redact::Pii;

use super::{get, save, told, why};
use crate::common::eventually;
use crate::common::postgres::Postgres;

/// A pool whose breakers and retries do not let tests wait.
pub(crate) fn pool() -> ConnectionPool {
    let mut config = pool::Config::default();
    config.breaker.open = Duration::from_millis(200);
    config.breaker.open_max = Duration::from_secs(1);
    config.retries_max = 1;
    config.cleanup_interval_min = Duration::ZERO;
    ConnectionPool::new(config).expect("a pool")
}

/// Impatient settings for one database.
pub(crate) fn config(url: String) -> Config {
    Config {
        timeout: Duration::from_secs(2),
        attempt_timeout: Duration::from_secs(1),
        postgres: PostgresConfig {
            url: Pii::new(url),
            acquire_timeout: Duration::from_millis(300),
            statement_timeout: Duration::from_millis(500),
            ..PostgresConfig::default()
        },
        ..Config::default()
    }
}

/// One save.
async fn save_one(store: &dyn Store, key: &str) -> Result<(), CallError> {
    let mut results = store.run(vec![save("alice", key, "v")]).await;
    match results.pop().expect("a result") {
        Ok(answer) => {
            assert_eq!(answer, MemoryAnswer::Saved);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn stats(pool: &ConnectionPool, service: Service) -> ServiceStats {
    let services = pool.stats().await.services;
    let mut own = services.into_iter().filter(|it| it.service == service);
    own.next().expect("it was called")
}

/// Saves one key after another, and notes which were answered with "saved".
struct Saver {
    saved: Vec<String>,
    next: usize,
}

impl Saver {
    fn new() -> Self {
        Self {
            saved: Vec::new(),
            next: 0,
        }
    }

    async fn one(&mut self, store: &dyn Store) -> Result<(), CallError> {
        self.next += 1;
        let key = format!("k{}", self.next);
        save_one(store, &key).await?;
        self.saved.push(key);
        Ok(())
    }

    /// Saves until it fails as it does when a server is away, and then until the breaker is open.
    async fn until_away(&mut self, store: &dyn Store) {
        self.until_refused(store, &[ErrorKind::Unavailable]).await;
    }

    /// Saves until the breaker is open; what fails before that fails as one of these.
    async fn until_refused(&mut self, store: &dyn Store, kinds: &[ErrorKind]) {
        eventually("the breaker refuses a save", async || {
            let error = self.one(store).await.err()?;
            let is_open = error.kind == ErrorKind::CircuitOpen;
            assert!(
                is_open || kinds.contains(&error.kind),
                "{error}: {}",
                why(&error)
            );
            is_open.then_some(())
        })
        .await;
    }

    /// Saves until it works again.
    async fn until_back(&mut self, store: &dyn Store) {
        eventually("a save works again", async || self.one(store).await.ok()).await;
    }

    /// All that was answered with "saved" is there.
    async fn check(&self, store: &dyn Store) {
        let found = told(store, vec![get("alice")]).await;
        let found: Vec<&str> = found[0].split(' ').collect();
        for key in &self.saved {
            assert!(
                found.contains(&format!("{key}=v").as_str()),
                "{key} is lost"
            );
        }
    }
}

/// The breaker has opened, and closes with the next calls that succeed.
async fn breaker_is_closed(
    pool: &ConnectionPool,
    service: Service,
    saver: &mut Saver,
    store: &dyn Store,
) {
    eventually("the breaker is closed", async || {
        saver.one(store).await.ok()?;
        let breaker = stats(pool, service).await.hosts[0].breaker?;
        assert!(breaker.opened >= 1);
        (breaker.state == BreakerState::Closed).then_some(())
    })
    .await;
}

/// A connection that keeps everybody from the table until it is dropped.
async fn lock(server: &Postgres, database: &str) -> PgConnection {
    let mut owner = server.connect(database).await.unwrap();
    let lock = "BEGIN; LOCK TABLE voxpool_memories IN ACCESS EXCLUSIVE MODE";
    owner.execute(lock).await.unwrap();
    owner
}
