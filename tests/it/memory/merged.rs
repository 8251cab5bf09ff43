//! Saves of many calls, merged on their way to each store.

use std::time::Instant;

use futures::future::join_all;
use voxpool::memory::{BatchConfig, Batcher};

use super::place::Place;
use super::*;

const CALLS: usize = 100;
const SAVES_PER_CALL: usize = 100;

/// Saves one by one that the speed of not merging is read from.
const ALONE: usize = 200;

/// 100 calls save 100 memories each. The figures are printed; what is asserted is what merging is
/// for: a statement for hundreds of rows, and not one row lost.
async fn merge(name: &str, place: Place) {
    let opened = place.open().await;
    let warm = opened
        .store
        .run(vec![save("alone", "0", "warm")])
        .await
        .remove(0);
    assert!(warm.is_ok(), "{warm:?}");
    let service = opened.stats().await.service;

    let before = opened.statements("memory.save").await;
    let began = Instant::now();
    for n in 0..ALONE {
        let op = save("alone", &n.to_string(), "one by one");
        let result = opened.store.run(vec![op]).await.remove(0);
        assert!(result.is_ok(), "{result:?}");
    }
    let alone = ALONE as f64 / began.elapsed().as_secs_f64();
    let n_alone = opened.statements("memory.save").await - before;

    let batcher = Batcher::new(opened.store.clone(), service, BatchConfig::default());
    let before = opened.statements("memory.save").await;
    let began = Instant::now();
    let calls = (0..CALLS).map(|call| {
        let (batcher, caller) = (batcher.clone(), format!("caller{call}"));
        async move {
            // A few at a time, as turns bring them.
            for turn in 0..SAVES_PER_CALL / 5 {
                let ops = (0..5).map(|n| save(&caller, &format!("{turn}-{n}"), "merged"));
                let results = batcher.batch_memory_operations(ops.collect()).await;
                assert!(results.iter().all(Result::is_ok), "{results:?}");
            }
        }
    });
    join_all(calls).await;
    let n_saves = CALLS * SAVES_PER_CALL;
    let merged = n_saves as f64 / began.elapsed().as_secs_f64();
    let statements = opened.statements("memory.save").await - before;
    let stats = batcher.stats();
    eprintln!(
        "{name}: {n_saves} saves of {CALLS} calls in {statements} statements ({} batches of {:.0} \
         operations), {merged:.0} rows/s; one by one {alone:.0} rows/s in {n_alone} statements for \
         {ALONE} rows",
        stats.batches, stats.operations_per_batch,
    );
    assert_eq!(stats.operations, n_saves as u64);
    assert!(statements <= n_saves as u64 / 50, "{statements} statements");
    let rows = usize::try_from(place.count().await).unwrap();
    assert_eq!(rows, n_saves + ALONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_saves_are_a_few_statements_in_sqlite() {
    merge("sqlite", Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_saves_are_a_few_statements_in_postgres() {
    merge("postgres", Place::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_saves_are_a_few_requests_in_supabase() {
    merge("supabase", Place::supabase().await).await;
}
