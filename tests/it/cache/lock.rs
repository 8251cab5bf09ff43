//! What is dear to make is made by one worker, and the others get it from there.

use std::sync::Arc;
use std::time::Duration;

use redis::Commands;
use tokio::sync::Notify;
use voxpool::cache::{Config, Json};
use voxpool::error::{CallError, ErrorKind, Service};

use super::{LONG, Value, Worker, key, shared_key};
use crate::common::redis::Redis;
use crate::common::{eventually, within};

fn worker(redis: &Redis, redis_wait: Duration) -> Worker {
    Worker::with(Config {
        redis_url: redis.url(),
        // Not what is measured here, and a machine under load is slow.
        redis_timeout: Duration::from_secs(2),
        redis_wait,
        ..Config::default()
    })
}

impl Worker {
    /// Asks for the value of this name, which `make` makes.
    async fn ask_for_dear<F>(&self, name: &str, make: F) -> Result<Vec<u32>, ErrorKind>
    where
        F: Future<Output = Result<Value, CallError>> + Send,
    {
        let made = self.cache.cached_by_one_worker(key(name), Some(LONG), || {
            self.n_made
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            make
        });
        made.await.map(|it| it.0).map_err(|error| error.kind)
    }

    async fn ask_dear(&self, name: &str, number: u32) -> Result<Vec<u32>, ErrorKind> {
        self.ask_for_dear(name, async move { Ok(Json(vec![number])) })
            .await
    }
}

fn lock_key(name: &str) -> String {
    format!("{}:making", shared_key(name))
}

const PATIENT: Duration = Duration::from_secs(10);

/// A worker that is making a value, until it is told how that ends.
fn making(
    worker: &Worker,
    outcome: Result<u32, ErrorKind>,
) -> (
    Arc<Notify>,
    tokio::task::JoinHandle<Result<Vec<u32>, ErrorKind>>,
) {
    let (worker, end) = (worker.clone(), Arc::<Notify>::default());
    let ended = Arc::clone(&end);
    let task = tokio::spawn(async move {
        let made = async move {
            ended.notified().await;
            let error = |kind| CallError::new(Service::OpenAi, "test", kind);
            outcome.map(|number| Json(vec![number])).map_err(error)
        };
        worker.ask_for_dear("x", made).await
    });
    (end, task)
}

async fn is_locked(redis: &Redis) {
    eventually("the value is being made", async || {
        let is_there: bool = redis.client().exists(lock_key("x")).ok()?;
        is_there.then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_worker_makes_and_the_others_wait_for_it() {
    let redis = Redis::start().await;
    let (a, b) = (worker(&redis, PATIENT), worker(&redis, PATIENT));
    let (end, making) = making(&a, Ok(1));
    is_locked(&redis).await;
    let lasts: i64 = redis.client().pttl(lock_key("x")).unwrap();
    assert!((1..=10_000).contains(&lasts), "{lasts} ms");
    let waiting = {
        let b = b.clone();
        tokio::spawn(async move { b.ask_dear("x", 2).await })
    };
    eventually("the other has looked for it more than once", async || {
        (b.service_if_asked().await?.requests >= 3).then_some(())
    })
    .await;
    end.notify_one();
    assert_eq!(within("it is made", making).await.unwrap(), Ok(vec![1]));
    assert_eq!(within("it is got", waiting).await.unwrap(), Ok(vec![1]));
    assert_eq!((a.n_made(), b.n_made()), (1, 0));
    let (of_a, of_b) = (a.shared().await, b.shared().await);
    assert_eq!((of_a.misses, of_a.hits, of_a.awaited), (1, 0, 0));
    assert_eq!((of_b.misses, of_b.hits, of_b.awaited), (0, 1, 1));
    assert_eq!(redis.keys(), [shared_key("x")], "the lock is given back");
}

#[tokio::test]
async fn when_the_maker_fails_the_next_worker_makes_it() {
    let redis = Redis::start().await;
    let (a, b) = (worker(&redis, PATIENT), worker(&redis, PATIENT));
    let (end, making) = making(&a, Err(ErrorKind::Rejected));
    is_locked(&redis).await;
    let waiting = {
        let b = b.clone();
        tokio::spawn(async move { b.ask_dear("x", 2).await })
    };
    end.notify_one();
    let failed = within("it fails", making).await.unwrap();
    assert_eq!(failed, Err(ErrorKind::Rejected));
    assert_eq!(within("it is made", waiting).await.unwrap(), Ok(vec![2]));
    assert_eq!((a.n_made(), b.n_made()), (1, 1));
    assert_eq!(redis.keys(), [shared_key("x")]);
}

#[tokio::test]
async fn a_worker_that_was_killed_while_making_is_waited_for_no_longer_than_allowed() {
    let redis = Redis::start().await;
    let _: () = redis
        .client()
        .pset_ex(lock_key("x"), "of another", 60_000)
        .unwrap();
    let b = worker(&redis, Duration::from_millis(200));
    assert_eq!(b.ask_dear("x", 2).await, Ok(vec![2]));
    assert_eq!((b.n_made(), b.shared().await.stored), (1, 1));
    // It was not ours to give back.
    let left: String = redis.client().get(lock_key("x")).unwrap();
    assert_eq!(left, "of another");
    let impatient = worker(&redis, Duration::ZERO);
    let _: () = redis.client().del(shared_key("x")).unwrap();
    assert_eq!(impatient.ask_dear("x", 3).await, Ok(vec![3]));
    let asked = impatient.service().await.requests;
    assert_eq!(asked, 2, "a lookup and a store: nobody is waited for");
}

#[tokio::test]
async fn a_redis_that_goes_while_another_worker_is_waited_for_is_done_without() {
    let mut redis = Redis::start().await;
    let _: () = redis
        .client()
        .pset_ex(lock_key("x"), "of another", 60_000)
        .unwrap();
    let b = worker(&redis, PATIENT);
    let waiting = {
        let b = b.clone();
        tokio::spawn(async move { b.ask_dear("x", 2).await })
    };
    eventually("it waits", async || {
        (b.service_if_asked().await?.requests >= 3).then_some(())
    })
    .await;
    redis.kill();
    assert_eq!(within("it is made", waiting).await.unwrap(), Ok(vec![2]));
    assert!(!b.shared().await.is_up);
}
