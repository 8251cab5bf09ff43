//! Many rows, many callers, many workers, and what is left afterwards.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use voxpool::memory::{MemoryOp, Selection};

use crate::common::{eventually, within};
use crate::memory::model::{Model, any_op};
use crate::memory::place::{Opened, Place};
use crate::memory::{delete, get, of_key, save, told, user};

pub(super) async fn a_thousand_rows_are_one_statement(place: Place) {
    let opened = place.open().await;
    let store = &*opened.store;
    let name = |at: usize| format!("user{}", at % 100);
    let saves = (0..1000).map(|at| save(&name(at), &format!("k{at}"), "v"));
    told(store, saves.collect()).await;
    assert_eq!(opened.statements("memory.save").await, 1);
    if let Place::Supabase { api, .. } = &place {
        // One to see whether the project is there.
        assert_eq!(api.requests(), 2);
    }
    assert_eq!(place.count().await, 1000);
    let gets = (0..1000).map(|at| MemoryOp::Get(user(&name(at)), Selection::All, 3));
    let found = told(store, gets.collect()).await;
    assert_eq!(found[7], "k907=v k807=v k707=v");
    assert_eq!(opened.statements("memory.get").await, 1);
    let deletes =
        (0..1000).map(|at| MemoryOp::Delete(user(&name(at)), of_key("FACT", &format!("k{at}"))));
    assert!(
        told(store, deletes.collect())
            .await
            .iter()
            .all(|it| it == "deleted 1")
    );
    assert_eq!(opened.statements("memory.delete").await, 1);
    assert_eq!(place.count().await, 0);
    // Saves, deletes and reads of different callers: one statement of each kind.
    let ops = (0..30).map(|at| match at % 3 {
        0 => save(&format!("s{at}"), "k", "v"),
        1 => delete(&format!("d{at}")),
        _ => get(&format!("g{at}")),
    });
    told(store, ops.collect()).await;
    for operation in ["memory.save", "memory.get", "memory.delete"] {
        assert_eq!(opened.statements(operation).await, 2, "{operation}");
    }
}

pub(super) async fn random_batches_do_what_a_plain_map_does(place: Place) {
    let Opened { store, .. } = place.open().await;
    // The same batches in each run, so that a failure can be seen again.
    let mut runner = TestRunner::deterministic();
    let batches = proptest::collection::vec(any_op(), 1..40);
    let mut model = Model::default();
    for _ in 0..60 {
        let ops = batches.new_tree(&mut runner).expect("a batch").current();
        let expected: Vec<String> = ops.iter().map(|op| model.run(op)).collect();
        assert_eq!(told(&*store, ops).await, expected);
    }
}

pub(super) async fn many_at_once_lose_nothing(place: Place) {
    let Opened { store, .. } = place.open().await;
    let batch = |writer: usize| {
        // Every writer saves the same keys of the same callers, each in an order of its own.
        let ops = (0..40).map(|at| {
            let at = (at * 7 + writer * 13) % 40;
            save(
                &format!("user{}", at % 4),
                &format!("k{at}"),
                &format!("{writer}"),
            )
        });
        let mut ops: Vec<_> = ops.collect();
        ops.push(save(&format!("own{writer}"), "k", "mine"));
        ops.push(get(&format!("own{writer}")));
        ops
    };
    let answers = join_all((0..16).map(|writer| told(&*store, batch(writer)))).await;
    for answer in answers {
        assert_eq!(answer.last().expect("a read"), "k=mine");
    }
    let found = told(
        &*store,
        (0..4).map(|at| get(&format!("user{at}"))).collect(),
    )
    .await;
    assert!(
        found.iter().all(|it| it.split(' ').count() == 10),
        "{found:?}"
    );
}

pub(super) async fn a_cancelled_batch_leaves_whole_rows_and_a_working_store(place: Place) {
    let Opened { store, pool, .. } = place.open().await;
    let batch = |round: usize| {
        let ops = (0..50).map(|at| save("alice", &format!("k{at}"), &format!("{round}")));
        ops.collect::<Vec<_>>()
    };
    told(&*store, batch(0)).await;
    for round in 1..20_usize {
        let running = store.run(batch(round));
        let late = Duration::from_micros(u64::try_from(round * round * 20).expect("small"));
        drop(tokio::time::timeout(late, running).await);
    }
    let found = within("the store still works", told(&*store, vec![get("alice")])).await;
    let values: Vec<&str> = found[0]
        .split(' ')
        .filter_map(|it| it.split('=').nth(1))
        .collect();
    assert_eq!(values.len(), 50);
    assert!(
        values
            .iter()
            .all(|it| it.parse::<usize>().is_ok_and(|round| round < 20))
    );
    told(&*store, batch(99)).await;
    let in_flight = || async {
        let services = pool.stats().await.services;
        services.iter().map(|it| it.in_flight).sum::<u64>()
    };
    eventually("nothing is in flight", async || {
        (in_flight().await == 0).then_some(())
    })
    .await;
}

pub(super) async fn what_was_saved_is_there_after_reopening(place: Place) {
    assert!(place.is_lasting());
    let first = place.open().await;
    told(
        &*first.store,
        vec![save("alice", "a", "1"), save("alice", "b", "2")],
    )
    .await;
    drop(first);
    let second = place.open().await;
    told(&*second.store, vec![save("alice", "c", "3")]).await;
    let found = told(&*second.store, vec![get("alice")]).await;
    assert_eq!(found, ["c=3 b=2 a=1"]);
}

pub(super) async fn workers_that_start_together_share_a_table(place: Place) {
    let workers = join_all((0..6).map(|_| place.open())).await;
    let saving = workers.iter().enumerate().map(|(at, worker)| {
        told(&*worker.store, vec![save("alice", &format!("k{at}"), "v")]).boxed()
    });
    join_all(saving).await;
    let found = told(&*workers[0].store, vec![get("alice")]).await;
    assert_eq!(found[0].split(' ').count(), 6, "{found:?}");
}

pub(super) async fn connections_are_counted_and_reused(place: Place) {
    let opened = place.open().await;
    for at in 0..20 {
        told(
            &*opened.store,
            vec![save("alice", &format!("k{at}"), "v"), get("alice")],
        )
        .await;
    }
    let stats = opened.stats().await;
    let connections = stats.connections;
    // A connection is given back after the answer, so the next statement may open another one.
    assert!((1..=10).contains(&connections.opened), "{connections:?}");
    assert!(
        connections.reused + connections.opened >= 40,
        "{connections:?}"
    );
    assert_eq!(
        connections.open,
        Some(connections.opened),
        "{connections:?}"
    );
    assert_eq!((connections.closed, connections.failed), (Some(0), 0));
    assert_eq!((stats.in_flight, stats.errors_total()), (0, 0));
    assert!(stats.latency.p50_ms.is_some());
}
