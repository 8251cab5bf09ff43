//! Redis as one of the pool's services: guarded, watched, cleaned up and closed with the others.

use futures::future::join_all;
use voxpool::pool::BreakerState;

use super::faults::leaves_nothing;
use super::{LONG, Worker, connections};
use crate::common::eventually;
use crate::common::redis::Redis;

#[tokio::test]
async fn the_breaker_opens_while_redis_is_away_and_closes_without_a_caller() {
    let mut redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    worker.ask("before", LONG, 1).await;
    let state = async || worker.breaker().await.map(|it| it.state);
    assert_eq!(state().await, Some(BreakerState::Closed));
    redis.kill();
    let mut n = 0;
    eventually("the breaker opens", async || {
        n += 1;
        assert_eq!(worker.ask(&format!("during {n}"), LONG, n).await, [n]);
        (state().await == Some(BreakerState::Open)).then_some(())
    })
    .await;
    assert_eq!(worker.ask("open", LONG, 7).await, [7]);
    let refused = worker.service().await.errors.get("circuit_open").copied();
    assert!(refused >= Some(1), "{refused:?}");

    redis.restart().await;
    let closed = eventually("the breaker closes", async || {
        (state().await == Some(BreakerState::Closed)).then_some(())
    });
    tokio::select! {
        () = closed => {}
        () = worker.pool.monitor() => {}
    }
    let stored = worker.shared().await.stored;
    worker.ask("after", LONG, 8).await;
    let shared = worker.shared().await;
    assert!(shared.is_up && shared.stored == stored + 1, "{shared:?}");
    leaves_nothing(worker, &redis).await;
}

#[tokio::test]
async fn a_cleanup_replaces_the_connection_and_disturbs_no_call() {
    let redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    worker.ask("before", LONG, 1).await;
    let calls = (0..200).map(|n| {
        let worker = &worker;
        async move {
            tokio::task::yield_now().await;
            worker.ask(&n.to_string(), LONG, n).await
        }
    });
    let (_, report) = tokio::join!(join_all(calls), worker.pool.cleanup());
    assert!(report.is_done);
    worker.ask("after", LONG, 1).await;
    let shared = worker.shared().await;
    assert_eq!((shared.errors, shared.stored), (0, 202));
    assert!(worker.service().await.connections.opened >= 2);
    eventually("the old connection is gone", async || {
        (connections(&redis) == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn closing_the_pool_closes_redis() {
    let redis = Redis::start().await;
    let worker = Worker::new(redis.url());
    let metrics = tokio::runtime::Handle::current().metrics();
    let n_tasks = metrics.num_alive_tasks();
    worker.ask("x", LONG, 1).await;
    assert_eq!(connections(&redis), 1);
    worker.pool.close().await;
    eventually("no socket and no task is left", async || {
        (connections(&redis) == 0 && metrics.num_alive_tasks() <= n_tasks).then_some(())
    })
    .await;
}
