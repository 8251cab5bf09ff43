//! The names that this program grew out of, as its public API has them: who looks for one finds it,
//! with what it takes and gives.

use std::time::Duration;

use reqwest::header::HeaderMap;
use voxpool::cache::{Cache, CacheKey, Json};
use voxpool::error::{CallError, Service};
use voxpool::memory::{BatchConfig, Batcher, MemoryAnswer, MemoryOp, VolatileStore};
use voxpool::pool::{
    CleanupReport, Config, ConnectionPool, Endpoint, HttpClient, OpenAiClient, PARALLEL_TIMEOUT,
    PoolStats, SupabaseClient, SupabaseProject, parallel_ai_calls,
};

const SECOND: Duration = Duration::from_secs(1);

use super::stages::Stages;
use super::wire::{Wire, transcript};

/// A pool that knows of two services, and has opened nothing.
fn pool() -> (ConnectionPool, OpenAiClient, HttpClient, SupabaseClient) {
    let pool = ConnectionPool::new(Config::default()).unwrap();
    let at = |service| Endpoint::of(service, "http://127.0.0.1:9", HeaderMap::new()).unwrap();
    let openai = pool.openai(&at(Service::OpenAi), SECOND);
    let http = pool.http(&at(Service::Http), SECOND);
    let project = SupabaseProject::new("http://127.0.0.1:9", "sb_secret_x").unwrap();
    let supabase = pool.supabase(&project, SECOND);
    (pool, openai, http, supabase)
}

#[tokio::test]
async fn the_pool_has_its_clients_statistics_and_cleanup() {
    let (pool, _openai, _http, supabase) = pool();
    let stats: PoolStats = pool.stats().await;
    assert_eq!(stats.connections.opened, 0, "clients cost no connection");
    assert!(stats.http_client.is_shared);
    let arguments = r#"{"wanted":[]}"#.into();
    let refused = supabase
        .rpc::<Vec<u32>>("test", "f", HeaderMap::new(), arguments)
        .await;
    assert_eq!(refused.unwrap_err().service, Service::Supabase);
    let report: CleanupReport = pool.cleanup().await;
    assert!(report.is_done);
}

#[tokio::test]
async fn a_service_that_calls_go_on_without_is_in_the_statistics() {
    let (pool, ..) = pool();
    pool.go_without(Service::Sqlite, "its folder is not there".to_owned());
    let stats = pool.stats().await;
    assert_eq!(stats.missing[&Service::Sqlite], "its folder is not there");
    assert!(stats.spoken().contains("Calls go on without sqlite."));
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["missing"]["sqlite"], "its folder is not there");
}

#[tokio::test]
async fn the_three_functions_take_and_give_what_they_always_did() {
    let (pool, ..) = pool();
    let call = |n: u32| async move { Ok::<_, CallError>(n) };
    let results = parallel_ai_calls([1, 2].map(call), PARALLEL_TIMEOUT).await;
    assert_eq!(PARALLEL_TIMEOUT, Duration::from_secs(30));
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, [1, 2]);

    let cache = Cache::new(Default::default(), &pool).unwrap();
    let key = || CacheKey::new("names", ["x"]);
    for made in [7, 8] {
        let value = cache.cached_async_call(key(), None, || async move { Ok(Json(made)) });
        assert_eq!(value.await.unwrap().0, 7);
    }
    let stats = cache.stats().await;
    assert_eq!((stats.hits, stats.misses), (1, 1));

    let store = std::sync::Arc::<VolatileStore>::default();
    let batcher = Batcher::new(store, Service::Sqlite, BatchConfig::default());
    let ops: Vec<MemoryOp> = Vec::new();
    let answers: Vec<Result<MemoryAnswer, CallError>> = batcher.batch_memory_operations(ops).await;
    assert!(answers.is_empty());
}

/// What `getConnectionPoolStats` and `GET /pool` say, for programs.
#[tokio::test]
async fn the_statistics_tell_all_that_they_should() {
    let wire = Wire::start(|_| transcript("hello")).await;
    let stages = Stages::new(&wire.base_url);
    stages.pool.watch(&[stages.stt.endpoint().clone()]);
    stages.transcribe().await.unwrap();
    stages.transcribe().await.unwrap();
    let stats = serde_json::to_value(stages.overview().stats().await).unwrap();
    for place in [
        "/uptime_seconds",
        "/services/0/connections/opened",
        "/services/0/connections/reused",
        "/services/0/connections/closed",
        "/services/0/in_flight",
        "/services/0/errors",
        "/services/0/latency/p50_ms",
        "/services/0/latency/p95_ms",
        "/services/0/hosts/0/breaker/state",
        "/services/0/hosts/0/limit/limit",
        "/services/0/hosts/0/last_check",
        "/cache/entries",
        "/cache/hits",
        "/cache/misses",
        "/cache/hit_rate",
        "/missing",
    ] {
        assert!(stats.pointer(place).is_some(), "{place} not in {stats}");
    }
    let connections = &stats["services"][0]["connections"];
    assert_eq!(
        (&connections["opened"], &connections["reused"]),
        (&1.into(), &1.into())
    );
    let memory = serde_json::to_value(voxpool::memory::MemoryStats::default()).unwrap();
    for place in ["/batches/batches", "/batches/merged", "/recorder/saved"] {
        assert!(memory.pointer(place).is_some(), "{place} not in {memory}");
    }
}
