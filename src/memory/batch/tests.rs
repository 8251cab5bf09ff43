//! Batches in virtual time, at a store that does what it is told.

use std::sync::Mutex;

use futures::future::{BoxFuture, join_all};

use super::*;
use crate::memory::{Category, Memory, Selection, UserId, VolatileStore};
use crate::redact::Pii;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How the store behaves.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Hangs,
    Panics,
    Forgets,
}

/// Takes its time, writes down what it was given and refuses the key "bad".
struct TestStore {
    rows: VolatileStore,
    delay: Duration,
    mood: Mutex<Mood>,
    batches: Mutex<Vec<Vec<String>>>,
}

impl TestStore {
    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }

    fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

fn name(op: &MemoryOp) -> String {
    let what = match op {
        MemoryOp::Save(_, memory) => format!("save {}", memory.key.expose()),
        MemoryOp::Get(..) => "get".to_owned(),
        MemoryOp::Delete(..) => "delete".to_owned(),
    };
    format!("{} {what}", op.user().expose())
}

impl Store for TestStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        let mood = *self.mood.lock().unwrap();
        let names = ops.iter().map(name).collect();
        self.batches.lock().unwrap().push(names);
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            match mood {
                Mood::Well => {}
                Mood::Hangs => std::future::pending().await,
                Mood::Panics => panic!("asked to"),
                Mood::Forgets => return Vec::new(),
            }
            let mut results = Vec::new();
            for op in ops {
                let is_bad = matches!(&op, MemoryOp::Save(_, m) if m.key.expose() == "bad");
                results.push(if is_bad {
                    Err(CallError::new(Service::Sqlite, "test", ErrorKind::Rejected))
                } else {
                    self.rows.run(vec![op]).await.remove(0)
                });
            }
            results
        })
    }
}

fn start(config: Config, delay: Duration) -> (Batcher, Arc<TestStore>) {
    let store = Arc::new(TestStore {
        rows: VolatileStore::default(),
        delay,
        mood: Mutex::new(Mood::Well),
        batches: Mutex::default(),
    });
    let batcher = Batcher::new(Arc::clone(&store) as _, Service::Sqlite, config);
    (batcher, store)
}

fn save(user: &str, key: &str) -> MemoryOp {
    let memory = Memory {
        category: Category::new("FACT"),
        key: Pii::new(key.to_owned()),
        value: Pii::new(format!("{user}'s {key}")),
    };
    MemoryOp::Save(UserId::new(user).unwrap(), memory)
}

fn get(user: &str) -> MemoryOp {
    MemoryOp::Get(UserId::new(user).unwrap(), Selection::All, 100)
}

fn keys(answer: &Result<MemoryAnswer, CallError>) -> Vec<String> {
    match answer {
        Ok(MemoryAnswer::Found(found)) => found.iter().map(|m| m.key.expose().clone()).collect(),
        other => panic!("nothing was found: {other:?}"),
    }
}

fn kind(answer: &Result<MemoryAnswer, CallError>) -> Option<ErrorKind> {
    answer.as_ref().err().map(|error| error.kind)
}

#[tokio::test(start_paused = true)]
async fn operations_of_many_calls_become_one_batch() {
    let (batcher, store) = start(Config::default(), ms(1));
    let calls = (0..50).map(|n| {
        let batcher = batcher.clone();
        async move {
            tokio::time::sleep(Duration::from_micros(80 * n)).await;
            let user = format!("user{n}");
            let ops = vec![save(&user, "name"), get(&user)];
            let results = batcher.batch_memory_operations(ops).await;
            assert_eq!(results[0].as_ref().unwrap(), &MemoryAnswer::Saved);
            assert_eq!(keys(&results[1]), ["name"]);
        }
    });
    join_all(calls).await;
    assert_eq!(store.sizes(), [100]);
    let stats = batcher.stats();
    assert_eq!(
        (stats.batches, stats.operations, stats.merged),
        (1, 100, 100)
    );
    assert!((stats.operations_per_batch - 100.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn one_operation_waits_a_few_milliseconds_and_no_more() {
    let (batcher, _) = start(Config::default(), Duration::ZERO);
    let began = Instant::now();
    batcher.run(save("a", "name")).await.unwrap();
    assert_eq!(began.elapsed(), ms(5));
}

#[tokio::test(start_paused = true)]
async fn while_a_batch_is_at_the_store_the_next_one_gathers_and_goes_without_waiting() {
    let (batcher, store) = start(Config::default(), ms(50));
    let began = Instant::now();
    let first = batcher.run(save("a", "1"));
    let others = (2..12).map(|n| {
        let batcher = batcher.clone();
        async move {
            tokio::time::sleep(ms(2 + 4 * n)).await;
            batcher.run(save("a", &n.to_string())).await.unwrap();
        }
    });
    let (first, _) = tokio::join!(first, join_all(others));
    first.unwrap();
    assert_eq!(store.sizes(), [1, 10]);
    assert_eq!(began.elapsed(), ms(5 + 50 + 50));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once_and_order_is_kept() {
    let config = Config {
        ops_max: 4,
        ..Config::default()
    };
    let (batcher, store) = start(config, Duration::ZERO);
    let ops = (0..10).map(|n| save("a", &n.to_string())).collect();
    let began = Instant::now();
    let results = batcher.batch_memory_operations(ops).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(store.sizes(), [4, 4, 2]);
    assert_eq!(began.elapsed(), ms(5), "only the last one waits");
    let found = batcher.run(get("a")).await;
    assert_eq!(
        keys(&found),
        ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_what_was_written_before_it_also_across_batches() {
    let (batcher, _) = start(Config::default(), ms(20));
    let user = UserId::new("a").unwrap();
    let ops = vec![
        save("a", "name"),
        get("a"),
        MemoryOp::Delete(user, Selection::All),
        get("a"),
    ];
    let first = batcher.batch_memory_operations(ops);
    let later = async {
        tokio::time::sleep(ms(10)).await;
        batcher
            .batch_memory_operations(vec![save("a", "home"), get("a")])
            .await
    };
    let (first, later) = tokio::join!(first, later);
    assert_eq!(keys(&first[1]), ["name"]);
    assert_eq!(first[2].as_ref().unwrap(), &MemoryAnswer::Deleted(1));
    assert!(keys(&first[3]).is_empty());
    assert_eq!(keys(&later[1]), ["home"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_operation_fails_alone() {
    let (batcher, _) = start(Config::default(), Duration::ZERO);
    let ops = vec![save("a", "1"), save("a", "bad"), save("a", "2")];
    let results = batcher.batch_memory_operations(ops).await;
    let kinds: Vec<_> = results.iter().map(kind).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Rejected), None]);
    assert_eq!(batcher.stats().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_in_order() {
    let config = Config {
        queue_max: 3,
        ..Config::default()
    };
    let (batcher, _) = start(config, Duration::ZERO);
    let began = Instant::now();
    let ops = (0..5).map(|n| save("a", &n.to_string())).collect();
    let results = batcher.batch_memory_operations(ops).await;
    let kinds: Vec<_> = results.iter().map(kind).collect();
    let full = Some(ErrorKind::Saturated);
    assert_eq!(kinds, [None, None, None, full, full]);
    assert_eq!(began.elapsed(), ms(5));
    assert_eq!(batcher.stats().refused, 2);
    batcher.run(get("a")).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_batches_has_a_limit() {
    let config = Config {
        batches_per_second_max: 10,
        ops_max: 1,
        ..Config::default()
    };
    let (batcher, store) = start(config, Duration::ZERO);
    let began = Instant::now();
    let ops = (0..11).map(|n| save("a", &n.to_string())).collect();
    let results = batcher.batch_memory_operations(ops).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(store.sizes().len(), 11);
    assert_eq!(
        began.elapsed().as_millis() / 10,
        100,
        "one at once, ten in a second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_panics_or_loses_answers_fails_its_batch_only() {
    for (mood, expected) in [
        (Mood::Hangs, ErrorKind::Timeout),
        (Mood::Panics, ErrorKind::Unavailable),
        (Mood::Forgets, ErrorKind::Malformed),
    ] {
        let (batcher, store) = start(Config::default(), Duration::ZERO);
        store.feels(mood);
        let results = batcher
            .batch_memory_operations(vec![save("a", "1"), get("a")])
            .await;
        for result in &results {
            assert_eq!(kind(result), Some(expected));
        }
        store.feels(Mood::Well);
        assert!(batcher.run(get("a")).await.is_ok(), "after {expected:?}");
        // The deadline of the first may have passed before its batch's did.
        assert_eq!(batcher.stats().failed, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_reads_nothing_but_may_have_saved() {
    let (batcher, store) = start(Config::default(), Duration::ZERO);
    let ops = vec![save("a", "name"), get("a")];
    let gone = tokio::time::timeout(ms(1), batcher.batch_memory_operations(ops)).await;
    assert!(gone.is_err());
    let found = batcher.run(get("a")).await;
    assert_eq!(keys(&found), ["name"]);
    assert_eq!(store.sizes(), [2], "the save and the second read");
    assert_eq!(batcher.stats().abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn closing_runs_what_is_queued_and_refuses_the_rest() {
    let config = Config {
        ops_max: 2,
        batches_per_second_max: 1,
        ..Config::default()
    };
    let (batcher, store) = start(config, ms(10));
    let ops = (0..6).map(|n| save("a", &n.to_string())).collect();
    let saving = {
        let batcher = batcher.clone();
        tokio::spawn(async move { batcher.batch_memory_operations(ops).await })
    };
    tokio::time::sleep(ms(1)).await;
    let began = Instant::now();
    assert!(batcher.close(ms(100)).await, "flushed");
    assert!(
        began.elapsed() < ms(50),
        "the limit of the rate does not hold back the end"
    );
    assert!(saving.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(store.sizes(), [2, 2, 2]);
    let late = batcher.run(get("a")).await;
    assert_eq!(kind(&late), Some(ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn closing_has_an_end() {
    let (batcher, store) = start(Config::default(), Duration::ZERO);
    store.feels(Mood::Hangs);
    let saving = batcher.run(save("a", "name"));
    let closing = async {
        tokio::time::sleep(ms(10)).await;
        batcher.close(ms(100)).await
    };
    let (saved, is_closed) = tokio::join!(saving, closing);
    assert!(!is_closed);
    assert_eq!(kind(&saved), Some(ErrorKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_run_when_nobody_holds_the_batcher_any_more() {
    let (batcher, store) = start(Config::default(), Duration::ZERO);
    // The operation is queued by the first poll.
    let gone = tokio::time::timeout(ms(1), batcher.run(save("a", "name"))).await;
    assert!(gone.is_err());
    drop(batcher);
    tokio::time::sleep(ms(10)).await;
    assert_eq!(store.sizes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_saves_of_a_hundred_calls_are_a_handful_of_batches() {
    let (batcher, store) = start(Config::default(), ms(10));
    let calls = (0..100).map(|n| {
        let batcher = batcher.clone();
        async move {
            let user = format!("user{n}");
            let ops = (0..100).map(|n| save(&user, &n.to_string())).collect();
            let results = batcher.batch_memory_operations(ops).await;
            assert!(results.iter().all(Result::is_ok));
        }
    });
    join_all(calls).await;
    assert_eq!(store.sizes(), vec![500; 20]);
}

#[test]
fn the_defaults_are_valid_and_nonsense_is_named() {
    assert!(Config::default().problems().is_empty());
    let broken = Config {
        wait: ms(5_000),
        ops_max: 0,
        batches_per_second_max: 0,
        queue_max: 0,
        timeout: Duration::ZERO,
    };
    assert_eq!(broken.problems().len(), 5);
}
