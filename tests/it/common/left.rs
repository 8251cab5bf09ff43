//! What is left when work is over: tasks and sockets, each counted.

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use voxpool::error::Service;
use voxpool::pool::{ConnectionPool, PoolStats, ServiceStats};

use super::eventually;
use crate::pool::stages::SOON;

/// Tasks of the runtime, and open sockets of some pools. Nothing that is kept for the next use counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    tasks: usize,
    sockets: u64,
}

/// Tasks of the runtime that a test runs on.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Counts while no call is under way; `None` while one is. Needs pools whose cleanups may follow each
/// other at once.
pub(crate) async fn left(pools: &[ConnectionPool]) -> Option<Left> {
    let mut sockets = 0;
    for pool in pools {
        assert!(pool.cleanup().await.is_done, "cleanup_interval_min");
        let stats = pool.stats().await;
        if in_flight(&stats) > 0 {
            return None;
        }
        sockets += open(&stats);
    }
    Some(Left {
        tasks: tasks(),
        sockets,
    })
}

/// Waits until a fault has left nothing beside what there was `before` it.
pub(crate) async fn back_to(before: Left, what: &str, pools: &[ConnectionPool]) {
    let began = Instant::now();
    loop {
        let now = left(pools).await;
        if now.is_some_and(|it| it.tasks <= before.tasks && it.sockets <= before.sockets) {
            return;
        }
        assert!(
            began.elapsed() < SOON,
            "{what}: {now:?} is left where there was {before:?}"
        );
        sleep(SOON / 300).await;
    }
}

/// Closes a pool that nobody uses any more: no call is under way, and all its sockets close.
pub(crate) async fn closes(pool: &ConnectionPool) {
    assert_eq!(in_flight(&pool.stats().await), 0);
    pool.close().await;
    eventually("every socket is closed", async || {
        (open(&pool.stats().await) == 0).then_some(())
    })
    .await;
}

/// The same, and then no task is left on the test's runtime.
pub(crate) async fn leaves_nothing(pool: ConnectionPool) {
    closes(&pool).await;
    drop(pool);
    eventually("no task is left", async || (tasks() == 0).then_some(())).await;
}

/// Calls that are under way, and places that are taken.
fn in_flight(stats: &PoolStats) -> u64 {
    let places = stats.permits.in_use + stats.permits.background_in_use;
    let calls: u64 = stats.services.iter().map(|it| it.in_flight).sum();
    calls + places as u64
}

/// Sockets to all services: those of HTTP, and those of clients with connections of their own. One may
/// be counted twice. The connections of the embedded database are files.
fn open(stats: &PoolStats) -> u64 {
    let remote = |it: &&ServiceStats| it.service != Service::Sqlite;
    let of_services = stats.services.iter().filter(remote);
    let all = of_services.map(|it| &it.connections);
    let all = all.chain([&stats.connections]);
    all.map(|it| it.open.unwrap_or_default()).sum()
}
