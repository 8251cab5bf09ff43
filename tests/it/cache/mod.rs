//! The cache over a real Redis: shared between workers, and what goes wrong with it.

mod faults;
mod greeting;
mod lock;
mod pooled;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::Commands;
use voxpool::cache::{Cache, CacheKey, CacheStats, Config, Json, SharedStats};
use voxpool::error::{CallError, Service};
use voxpool::pool::{self, BreakerStats, ConnectionPool, ServiceStats};
use voxpool::redact::Pii;

use crate::common::eventually;
use crate::common::redis::Redis;

/// What the tests cache.
type Value = Json<Vec<u32>>;

/// The cache of one worker, and how often it made a value.
#[derive(Clone)]
struct Worker {
    pool: ConnectionPool,
    cache: Cache,
    n_made: Arc<AtomicU32>,
}

impl Worker {
    fn new(redis_url: Pii<String>) -> Self {
        Self::with(Config {
            redis_url,
            // Not what is measured here, and a machine under load is slow.
            redis_timeout: Duration::from_secs(2),
            ..Config::default()
        })
    }

    fn with(config: Config) -> Self {
        let mut of_pool = pool::Config::default();
        // Tests do not wait until Redis is asked again.
        of_pool.breaker.open = Duration::from_millis(200);
        of_pool.breaker.open_max = Duration::from_secs(1);
        let pool = ConnectionPool::new(of_pool).unwrap();
        let cache = Cache::new(config, &pool).unwrap();
        Self {
            pool,
            cache,
            n_made: Arc::default(),
        }
    }

    /// Asks for the value of this name: the number that it is made of.
    async fn ask(&self, name: &str, ttl: Duration, number: u32) -> Vec<u32> {
        let made = self
            .cache
            .cached_async_call(key(name), Some(ttl), || async {
                self.n_made.fetch_add(1, Ordering::Relaxed);
                Ok::<Value, CallError>(Json(vec![number]))
            });
        made.await.unwrap().0
    }

    fn n_made(&self) -> u32 {
        self.n_made.load(Ordering::Relaxed)
    }

    async fn stats(&self) -> CacheStats {
        self.cache.stats().await
    }

    async fn shared(&self) -> SharedStats {
        self.stats().await.shared.unwrap()
    }

    /// What the pool says of Redis, which has been asked.
    async fn service(&self) -> ServiceStats {
        self.service_if_asked().await.expect("Redis was asked")
    }

    /// The same, while it may not have been asked yet: a task that is to ask it may not have run.
    async fn service_if_asked(&self) -> Option<ServiceStats> {
        let stats = self.pool.stats().await;
        let mut services = stats.services.into_iter();
        services.find(|service| service.service == Service::Redis)
    }
}

impl Worker {
    async fn breaker(&self) -> Option<BreakerStats> {
        self.service().await.hosts.first()?.breaker
    }
}

fn key(name: &str) -> CacheKey {
    CacheKey::new("test:v1", [name])
}

/// The key as it is in Redis.
fn shared_key(name: &str) -> String {
    format!("voxpool:{}", key(name).as_str())
}

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn what_one_worker_made_another_one_uses() {
    let redis = Redis::start().await;
    let (a, b) = (Worker::new(redis.url()), Worker::new(redis.url()));
    assert_eq!(a.ask("x", LONG, 1).await, [1]);
    assert_eq!(b.ask("x", LONG, 2).await, [1]);
    assert_eq!(b.ask("x", LONG, 3).await, [1], "from its own copy");
    assert_eq!((a.n_made(), b.n_made()), (1, 0));
    let (of_a, of_b) = (a.stats().await, b.stats().await);
    assert_eq!((of_a.misses, of_a.hits), (1, 0));
    assert_eq!((of_b.misses, of_b.hits, of_b.entries), (0, 1, 1));
    let (of_a, of_b) = (of_a.shared.unwrap(), of_b.shared.unwrap());
    assert_eq!((of_a.misses, of_a.stored, of_a.hits), (1, 1, 0));
    assert_eq!((of_b.misses, of_b.stored, of_b.hits), (0, 0, 1));
    assert!(of_a.is_up && of_b.is_up);
    assert_eq!(redis.keys(), [shared_key("x")]);
}

#[tokio::test]
async fn a_copy_ends_with_its_original() {
    let redis = Redis::start().await;
    let (a, b) = (Worker::new(redis.url()), Worker::new(redis.url()));
    a.ask("x", LONG, 1).await;
    let mut client = redis.client();
    let left: i64 = client.pttl(shared_key("x")).unwrap();
    assert!((1..=300_000).contains(&left), "{left} ms");
    let _: () = client.pexpire(shared_key("x"), 3000).unwrap();
    assert_eq!(b.ask("x", LONG, 2).await, [1]);
    eventually("Redis drops the value", async || {
        let is_there: bool = client.exists(shared_key("x")).ok()?;
        (!is_there).then_some(())
    })
    .await;
    assert_eq!(b.ask("x", LONG, 3).await, [3], "the copy is gone, too");
}

#[tokio::test]
async fn a_value_without_an_end_gets_one_here() {
    let redis = Redis::start().await;
    let (a, b) = (Worker::new(redis.url()), Worker::new(redis.url()));
    a.ask("x", LONG, 1).await;
    let _: () = redis.client().persist(shared_key("x")).unwrap();
    let soon = Duration::from_millis(300);
    assert_eq!(b.ask("x", soon, 2).await, [1]);
    eventually("the copy ends", async || {
        (b.stats().await.entries == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_none_of_ours_is_a_miss_and_is_mended() {
    let redis = Redis::start().await;
    let mut client = redis.client();
    let large = [&b"vox1["[..], &[b' '; 2_000_000], b"7]"].concat();
    let _: () = client.lpush(shared_key("list"), "x").unwrap();
    let _: () = client.set(shared_key("garbage"), "\u{0}garbage").unwrap();
    let _: () = client.set(shared_key("empty"), "").unwrap();
    let _: () = client.set(shared_key("other version"), "vox0[7]").unwrap();
    let _: () = client.set(shared_key("other type"), "vox1{}").unwrap();
    let _: () = client.set(shared_key("too large"), large).unwrap();
    let names = [
        "list",
        "garbage",
        "empty",
        "other version",
        "other type",
        "too large",
    ];
    let (a, b) = (Worker::new(redis.url()), Worker::new(redis.url()));
    for (n, name) in names.into_iter().enumerate() {
        assert_eq!(a.ask(name, LONG, 1).await, [1], "{name}");
        assert_eq!(a.n_made() as usize, n + 1, "{name}");
        assert_eq!(b.ask(name, LONG, 2).await, [1], "{name} was mended");
    }
    let shared = a.shared().await;
    // An empty value is as good as none.
    assert_eq!((shared.unreadable, shared.misses), (5, 6));
    assert_eq!((shared.errors, shared.stored), (0, 6));
    assert!(shared.is_up, "Redis itself is well");
}

#[tokio::test]
async fn what_is_too_large_is_not_shared() {
    let redis = Redis::start().await;
    let worker = Worker::with(Config {
        redis_url: redis.url(),
        value_bytes_max: 2,
        ..Config::default()
    });
    assert_eq!(worker.ask("x", LONG, 1).await, [1]);
    assert!(redis.keys().is_empty());
    assert_eq!(worker.stats().await.too_large, 1);
}

#[tokio::test]
async fn all_commands_share_one_connection_which_is_counted_and_closed() {
    let redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    let metrics = tokio::runtime::Handle::current().metrics();
    let n_tasks = metrics.num_alive_tasks();
    let asked = (0..50).map(|n| {
        let worker = &worker;
        async move { worker.ask(&n.to_string(), LONG, n).await }
    });
    futures::future::join_all(asked).await;
    let service = worker.service().await;
    assert_eq!(service.connections.opened, 1);
    assert_eq!(service.connections.open, Some(1));
    assert_eq!(service.connections.reused, 99, "a lookup and a store each");
    assert_eq!(connections(&redis), 1);

    worker.cache.close().await;
    eventually("the socket is closed", async || {
        (connections(&redis) == 0).then_some(())
    })
    .await;
    eventually("no task is left", async || {
        (metrics.num_alive_tasks() <= n_tasks).then_some(())
    })
    .await;
    assert_eq!(worker.service().await.connections.open, Some(0));
    assert_eq!(worker.ask("after", LONG, 7).await, [7], "goes on without");
    assert_eq!(connections(&redis), 0);
}

/// Connections that Redis has beside the one that asks.
pub(crate) fn connections(redis: &Redis) -> usize {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut redis.client())
        .unwrap();
    list.lines().count() - 1
}
