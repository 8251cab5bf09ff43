//! Many callers save at once: merged into batches, and one by one.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use futures::future::join_all;
use real_parts::postgres::Postgres;
use real_parts::postgrest::{SERVICE_ROLE_KEY, SUPABASE_SQL, Supabase};
use serde::Serialize;
use voxpool::error::Service;
use voxpool::memory::{
    BatchConfig, Batcher, Category, Config, Memory, MemoryOp, PostgresConfig, Store,
    SupabaseConfig, UserId,
};
use voxpool::pool::ConnectionPool;
use voxpool::redact::Pii;

const CALLERS: usize = 100;
const SAVES_PER_CALLER: usize = 100;
/// Memories that a turn saves at once.
const SAVES_PER_TURN: usize = 5;
/// Saves from which the speed of not merging is read.
const SAVES_ALONE: usize = 1_000;

/// What saving cost one store.
#[derive(Serialize)]
pub(crate) struct Saves {
    pub(crate) store: &'static str,
    pub(crate) rows: usize,
    /// Statements or requests sent.
    pub(crate) statements: u64,
    pub(crate) merged_per_second: f64,
    pub(crate) alone_per_second: f64,
}

/// Saves into each store: the embedded one, and real servers of this measurement's own.
pub(crate) async fn saves() -> Result<Vec<Saves>> {
    let directory = tempfile::tempdir()?;
    let sqlite = Config {
        sqlite_path: directory.path().join("memory.db").display().to_string(),
        ..Config::default()
    };
    let server = Postgres::start().await;
    let postgres = Config {
        postgres: PostgresConfig {
            url: Pii::new(server.url(&server.database().await)),
            ..PostgresConfig::default()
        },
        ..Config::default()
    };
    let database = server.database().await;
    server.execute(&database, SUPABASE_SQL).await;
    let api = Supabase::start(&server, &database).await;
    let supabase = SupabaseConfig {
        url: api.url(),
        key: Pii::new(SERVICE_ROLE_KEY.to_owned()),
    };
    let none = SupabaseConfig::default();
    Ok(vec![
        into_store("SQLite", Service::Sqlite, &sqlite, &none).await?,
        into_store("Postgres", Service::Postgres, &postgres, &none).await?,
        into_store("Supabase", Service::Supabase, &Config::default(), &supabase).await?,
    ])
}

async fn into_store(
    name: &'static str,
    service: Service,
    config: &Config,
    supabase: &SupabaseConfig,
) -> Result<Saves> {
    let pool = ConnectionPool::new(Default::default())?;
    let store = voxpool::memory::open(config, supabase, &pool)?.context("no store")?;
    store.prewarm().await?;
    let alone_per_second = alone(&*store).await?;
    let before = statements(&pool).await;
    let merged_per_second = merged(store, service).await?;
    Ok(Saves {
        store: name,
        rows: CALLERS * SAVES_PER_CALLER,
        statements: statements(&pool).await - before,
        merged_per_second,
        alone_per_second,
    })
}

async fn alone(store: &dyn Store) -> Result<f64> {
    let began = Instant::now();
    for n in 0..SAVES_ALONE {
        for result in store.run(vec![save("alone", &n.to_string())?]).await {
            result?;
        }
    }
    Ok(SAVES_ALONE as f64 / began.elapsed().as_secs_f64())
}

async fn merged(store: Arc<dyn Store>, service: Service) -> Result<f64> {
    let batcher = Batcher::new(store, service, BatchConfig::default());
    let began = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let batcher = batcher.clone();
        async move {
            for turn in 0..SAVES_PER_CALLER / SAVES_PER_TURN {
                let user = format!("caller{caller}");
                let ops = (0..SAVES_PER_TURN).map(|n| save(&user, &format!("{turn}-{n}")));
                let ops = ops.collect::<Result<Vec<_>>>()?;
                for result in batcher.batch_memory_operations(ops).await {
                    result?;
                }
            }
            anyhow::Ok(())
        }
    });
    for result in join_all(callers).await {
        result?;
    }
    Ok((CALLERS * SAVES_PER_CALLER) as f64 / began.elapsed().as_secs_f64())
}

/// Calls to the store so far, as the pool counts them.
async fn statements(pool: &ConnectionPool) -> u64 {
    let services = pool.stats().await.services;
    services.iter().map(|service| service.requests).sum()
}

fn save(user: &str, key: &str) -> Result<MemoryOp> {
    let user = UserId::new(user).ok_or_else(|| anyhow!("a user without a name"))?;
    let memory = Memory {
        category: Category::new("FACT"),
        key: Pii::new(key.to_owned()),
        value: Pii::new("likes green tea".to_owned()),
    };
    Ok(MemoryOp::Save(user, memory))
}
