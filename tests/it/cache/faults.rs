//! Redis in trouble: whatever it does, a call gets its value, and the numbers tell the truth.

use std::time::Duration;

use redis::Connection;
use tokio::time::Instant;
use voxpool::cache::Config;
use voxpool::error::ErrorKind;
use voxpool::pool::BreakerState;

use super::{LONG, Worker, connections};
use crate::common::redis::Redis;
use crate::common::{eventually, free_port, left};

/// Asks for new values until the breaker refuses to ask Redis; each value is made all the same.
async fn is_left_alone(worker: &Worker) {
    let mut n = 0;
    eventually("the breaker opens", async || {
        n += 1;
        assert_eq!(worker.ask(&format!("without {n}"), LONG, n).await, [n]);
        let service = worker.service().await;
        let refused = service.errors.get(ErrorKind::CircuitOpen.label());
        refused.is_some().then_some(())
    })
    .await;
    assert!(!worker.shared().await.is_up);
}

/// Asks for new values until one is shared again, and the breaker is closed.
async fn is_shared_again(worker: &Worker) {
    let stored = worker.shared().await.stored;
    let mut n = 0;
    eventually("the cache is shared again", async || {
        n += 1;
        assert_eq!(worker.ask(&format!("again {n}"), LONG, n).await, [n]);
        let shared = worker.shared().await;
        let is_closed = worker.breaker().await?.state == BreakerState::Closed;
        (shared.stored > stored && shared.is_up && is_closed).then_some(())
    })
    .await;
}

/// Closes everything: then Redis has no connection of ours, and the runtime no task.
pub(super) async fn leaves_nothing(worker: Worker, redis: &Redis) {
    let pool = worker.pool.clone();
    drop(worker);
    left::leaves_nothing(pool).await;
    eventually("Redis has seen its socket close", async || {
        (connections(redis) == 0).then_some(())
    })
    .await;
}

/// Changes a setting of a running Redis.
fn set(client: &mut Connection, setting: &str, value: &str) {
    let mut command = redis::cmd("CONFIG");
    let _: () = command.arg(&["SET", setting, value]).query(client).unwrap();
}

#[tokio::test]
async fn a_redis_that_is_killed_is_done_without_and_used_again_when_it_is_back() {
    let mut redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    worker.ask("before", LONG, 1).await;
    redis.kill();
    assert_eq!(worker.ask("during", LONG, 2).await, [2]);
    assert_eq!(worker.ask("during", LONG, 3).await, [2], "kept here");
    let shared = worker.shared().await;
    assert!(!shared.is_up && shared.errors >= 1, "{shared:?}");
    assert_eq!(worker.service().await.connections.open, Some(0));
    is_left_alone(&worker).await;

    redis.restart().await;
    is_shared_again(&worker).await;
    assert!(worker.breaker().await.unwrap().opened >= 1);
    assert_eq!(connections(&redis), 1);
    let service = worker.service().await;
    assert_eq!(service.connections.opened, 2);
    assert!(service.connections.failed >= 1, "{service:?}");
    leaves_nothing(worker, &redis).await;
}

#[tokio::test]
async fn a_restart_between_two_calls_costs_nothing() {
    let mut redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    worker.ask("before", LONG, 1).await;
    redis.kill();
    redis.restart().await;
    worker.ask("after", LONG, 2).await;
    let shared = worker.shared().await;
    assert_eq!((shared.stored, shared.errors), (2, 0));
    assert!(shared.is_up);
}

#[tokio::test]
async fn connections_that_redis_cuts_are_replaced() {
    let redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    for n in 0..5 {
        worker.ask(&n.to_string(), LONG, n).await;
        let cut: u32 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query(&mut redis.client())
            .unwrap();
        assert!(cut >= 1);
    }
    assert_eq!(worker.shared().await.stored, 5);
    assert_eq!(worker.shared().await.errors, 0);
}

#[tokio::test]
async fn a_wrong_password_is_a_miss_and_says_so() {
    let redis = Redis::start_with("right").await;
    let worker = Worker::new(redis.url_with("wrong"));
    assert_eq!(worker.ask("x", LONG, 1).await, [1]);
    let shared = worker.shared().await;
    assert!(!shared.is_up && shared.errors == 1, "{shared:?}");
    let service = worker.service().await;
    assert_eq!(service.connections.failed, 1);
    let unauthorized = service.errors.get(ErrorKind::Unauthorized.label());
    assert_eq!(unauthorized, Some(&1), "{service:?}");
    is_left_alone(&worker).await;
    let mut client = redis.client();
    set(&mut client, "requirepass", "wrong");
    is_shared_again(&worker).await;
    set(&mut client, "requirepass", "right");
    drop(client);
    leaves_nothing(worker, &redis).await;

    let without = Worker::new(redis.url_with(""));
    assert_eq!(without.ask("x", LONG, 1).await, [1]);
    assert!(!without.shared().await.is_up);
    leaves_nothing(without, &redis).await;
    let worker = Worker::new(redis.url());
    worker.ask("x", LONG, 1).await;
    assert!(worker.shared().await.is_up);
    leaves_nothing(worker, &redis).await;
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_deadline_and_not_one_per_call() {
    let redis = Redis::start().await;
    let deadline = Duration::from_secs(1);
    let worker = Worker::with(Config {
        redis_url: redis.url(),
        redis_timeout: deadline,
        ..Config::default()
    });
    worker.ask("before", LONG, 1).await;
    redis.hang();
    let began = Instant::now();
    for n in 0..30 {
        assert_eq!(worker.ask(&format!("during {n}"), LONG, n).await, [n]);
    }
    let took = began.elapsed();
    assert!(took < 10 * deadline, "30 calls took {took:?}");
    assert!(!worker.shared().await.is_up);
    is_left_alone(&worker).await;

    redis.go_on();
    is_shared_again(&worker).await;
    leaves_nothing(worker, &redis).await;
}

#[tokio::test]
async fn a_redis_that_hangs_from_the_start_does_not_hold_up_the_first_call() {
    let redis = Redis::start().await;
    redis.hang();
    let worker = Worker::with(Config {
        redis_url: redis.url(),
        ..Config::default()
    });
    worker.cache.prewarm().await;
    assert_eq!(worker.ask("first", LONG, 1).await, [1]);
    assert!(!worker.shared().await.is_up);
    redis.go_on();
    is_shared_again(&worker).await;
    leaves_nothing(worker, &redis).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_redis_that_hangs() {
    let redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    redis.hang();
    let metrics = tokio::runtime::Handle::current().metrics();
    let n_tasks = metrics.num_alive_tasks();
    let asking = tokio::spawn({
        let worker = worker.clone();
        async move { worker.ask("x", LONG, 1).await }
    });
    eventually("it connects", async || {
        (metrics.num_alive_tasks() > n_tasks + 1).then_some(())
    })
    .await;
    worker.cache.close().await;
    assert_eq!(asking.await.unwrap(), [1]);
    eventually("no task is left", async || {
        (metrics.num_alive_tasks() <= n_tasks).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_not_there_or_full_or_out_of_connections_is_done_without() {
    let redis = Redis::start().await;
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let worker = Worker::new(voxpool::redact::Pii::new(nowhere));
    assert_eq!(worker.ask("x", LONG, 1).await, [1]);
    assert!(!worker.shared().await.is_up);
    leaves_nothing(worker, &redis).await;

    let mut client = redis.client();
    set(&mut client, "maxclients", "1");
    let worker = Worker::new(redis.url());
    assert_eq!(worker.ask("x", LONG, 1).await, [1]);
    assert!(!worker.shared().await.is_up);
    is_left_alone(&worker).await;
    set(&mut client, "maxclients", "100");
    is_shared_again(&worker).await;

    set(&mut client, "maxmemory", "1");
    assert_eq!(worker.ask("full", LONG, 1).await, [1]);
    let shared = worker.shared().await;
    assert!(!shared.is_up && shared.errors >= 2, "{shared:?}");
    set(&mut client, "maxmemory", "0");
    is_shared_again(&worker).await;
    drop(client);
    leaves_nothing(worker, &redis).await;
}

#[tokio::test]
async fn a_redis_that_is_slow_is_done_without_until_it_is_not() {
    let redis = Redis::start().await;
    let deadline = Duration::from_millis(100);
    let worker = Worker::with(Config {
        redis_url: redis.url(),
        redis_timeout: deadline,
        ..Config::default()
    });
    worker.cache.prewarm().await;
    let _: () = redis::cmd("CLIENT")
        .arg(&["PAUSE", "3000", "ALL"])
        .query(&mut redis.client())
        .unwrap();
    let errors = worker.shared().await.errors;
    for n in 0..20 {
        assert_eq!(worker.ask(&format!("slow {n}"), LONG, n).await, [n]);
    }
    let shared = worker.shared().await;
    assert!(!shared.is_up && shared.errors >= errors + 20, "{shared:?}");
    assert!(worker.breaker().await.unwrap().opened >= 1);
    is_shared_again(&worker).await;
    let opened = worker.service().await.connections.opened;
    assert!(opened < 10, "a new connection for every call: {opened}");
    leaves_nothing(worker, &redis).await;
}
