//! What every store must do, run for each of them.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use voxpool::error::ErrorKind;
use voxpool::memory::{Category, MemoryOp, Selection};

use super::model::{Model, any_op};
use super::place::{Opened, Place};
use super::{delete, get, memory, of_key, save, tell, told, user, why};
use crate::common::log::Log;
use crate::common::{eventually, within};

/// Makes the tests of each store.
macro_rules! contract {
    ($($store:ident = $place:expr;)* [$($test:ident,)*]) => {
        contract!(@each [$($store = $place;)*] [$($test,)*]);
    };
    (@each [] $tests:tt) => {};
    (@each [$store:ident = $place:expr; $($rest:tt)*] [$($test:ident,)*]) => {
        mod $store {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($place).await;
                }
            )*
        }
        contract!(@each [$($rest)*] [$($test,)*]);
    };
}

contract! {
    sqlite = Place::sqlite();
    postgres = Place::postgres().await;
    pgbouncer = Place::pooled().await;
    supabase = Place::supabase().await;
    [
        the_latest_saved_is_found_first,
        what_is_saved_again_is_replaced,
        a_read_can_be_limited,
        each_selection_deletes_its_own,
        the_order_within_a_batch_holds,
        a_key_may_be_saved_twice_in_a_batch,
        hostile_texts_stay_texts_and_touch_nobody_else,
        invalid_rows_fail_alone,
        a_row_that_the_database_refuses_fails_alone,
        a_thousand_rows_are_one_statement,
        random_batches_do_what_a_plain_map_does,
        many_at_once_lose_nothing,
        a_cancelled_batch_leaves_whole_rows_and_a_working_store,
        what_was_saved_is_there_after_reopening,
        workers_that_start_together_share_a_table,
        connections_are_counted_and_reused,
        nothing_that_callers_say_reaches_the_log,
    ]
}

contract! {
    supabase_anonymous = Place::anonymous().await;
    [
        the_latest_saved_is_found_first,
        a_read_can_be_limited,
        each_selection_deletes_its_own,
        the_order_within_a_batch_holds,
        a_key_may_be_saved_twice_in_a_batch,
        hostile_texts_stay_texts_and_touch_nobody_else,
        invalid_rows_fail_alone,
        a_row_that_the_database_refuses_fails_alone,
        random_batches_do_what_a_plain_map_does,
        many_at_once_lose_nothing,
        what_was_saved_is_there_after_reopening,
    ]
}

contract! {
    in_memory = Place::InMemory;
    [
        the_latest_saved_is_found_first,
        each_selection_deletes_its_own,
        random_batches_do_what_a_plain_map_does,
        many_at_once_lose_nothing,
        a_cancelled_batch_leaves_whole_rows_and_a_working_store,
        connections_are_counted_and_reused,
    ]
}

async fn the_latest_saved_is_found_first(place: Place) {
    let Opened { store, .. } = place.open().await;
    let ops = ["a", "b", "c"].map(|key| save("alice", key, "1"));
    told(&*store, ops.to_vec()).await;
    assert_eq!(told(&*store, vec![get("alice")]).await, ["c=1 b=1 a=1"]);
    told(&*store, vec![save("alice", "a", "2")]).await;
    assert_eq!(told(&*store, vec![get("alice")]).await, ["a=2 c=1 b=1"]);
    assert_eq!(told(&*store, vec![get("bob")]).await, [""]);
}

async fn what_is_saved_again_is_replaced(place: Place) {
    let Opened { store, .. } = place.open().await;
    for value in ["1", "2", "", "3"] {
        told(&*store, vec![save("alice", "k", value)]).await;
        let found = told(&*store, vec![get("alice")]).await;
        assert_eq!(found, [format!("k={value}")]);
    }
}

async fn a_read_can_be_limited(place: Place) {
    let Opened { store, .. } = place.open().await;
    let ops = (0..20).map(|at| save("alice", &format!("k{at}"), "v"));
    told(&*store, ops.collect()).await;
    let limited = [0, 1, 2].map(|max| MemoryOp::Get(user("alice"), Selection::All, max));
    assert_eq!(
        told(&*store, limited.to_vec()).await,
        ["", "k19=v", "k19=v k18=v"]
    );
}

async fn each_selection_deletes_its_own(place: Place) {
    let Opened { store, .. } = place.open().await;
    let mut ops = Vec::new();
    for name in ["alice", "bob"] {
        for category in ["FACT", "GOAL"] {
            for key in ["a", "b"] {
                ops.push(MemoryOp::Save(user(name), memory(category, key, category)));
            }
        }
    }
    told(&*store, ops).await;
    let found = told(
        &*store,
        vec![
            MemoryOp::Get(user("alice"), Selection::Category(Category::new("GOAL")), 9),
            MemoryOp::Get(user("alice"), of_key("FACT", "b"), 9),
            MemoryOp::Get(user("alice"), of_key("FACT", "c"), 9),
        ],
    );
    assert_eq!(found.await, ["b=GOAL a=GOAL", "b=FACT", ""]);
    let deleted = told(
        &*store,
        vec![
            MemoryOp::Delete(user("alice"), of_key("FACT", "a")),
            MemoryOp::Delete(user("alice"), of_key("FACT", "a")),
            MemoryOp::Delete(user("alice"), Selection::Category(Category::new("GOAL"))),
            delete("alice"),
            delete("carol"),
        ],
    );
    let expected = [
        "deleted 1",
        "deleted 0",
        "deleted 2",
        "deleted 1",
        "deleted 0",
    ];
    assert_eq!(deleted.await, expected);
    let left = told(&*store, vec![get("alice"), get("bob")]).await;
    assert_eq!(left, ["", "b=GOAL a=GOAL b=FACT a=FACT"]);
}

async fn the_order_within_a_batch_holds(place: Place) {
    let Opened { store, .. } = place.open().await;
    let ops = vec![
        save("alice", "k", "1"),
        get("alice"),
        save("bob", "k", "b"),
        save("alice", "k", "2"),
        delete("alice"),
        get("alice"),
        save("alice", "k", "3"),
        get("bob"),
        get("alice"),
    ];
    let expected = [
        "saved",
        "k=1",
        "saved",
        "saved",
        "deleted 1",
        "",
        "saved",
        "k=b",
        "k=3",
    ];
    assert_eq!(told(&*store, ops).await, expected);
}

async fn a_key_may_be_saved_twice_in_a_batch(place: Place) {
    let Opened { store, .. } = place.open().await;
    let mut ops = Vec::new();
    for value in ["1", "2", "3"] {
        for name in ["alice", "bob", "carol"] {
            ops.push(save(name, "k", &format!("{name}{value}")));
            ops.push(save(name, &format!("k{value}"), "x"));
        }
    }
    assert!(told(&*store, ops).await.iter().all(|it| it == "saved"));
    let found = told(&*store, vec![get("bob"), get("alice")]).await;
    assert_eq!(found, ["k3=x k=bob3 k2=x k1=x", "k3=x k=alice3 k2=x k1=x"]);
}

/// What means something to a database, an API or a shell.
const HOSTILE: &[&str] = &[
    "'; DROP TABLE voxpool_memories; --",
    "' OR '1'='1",
    "%",
    "_",
    "alice%",
    "*",
    "eq.alice",
    "in.(alice,bob)",
    "not.is.null",
    "a,b",
    "a)b(c",
    "a\"b\\c",
    "\\u0000",
    "{\"user_id\":\"alice\"}",
    "{alice,bob}",
    "NULL",
    "null",
    "$1",
    "?1",
    ":name",
    "a\nb\r\tc",
    "a b  c ",
    "ÄÖ ß 你好 🎉 e\u{301} \u{200b}\u{202e}",
    "\u{7f}\u{1}\u{1f}\u{ffff}\u{10ffff}",
    "0",
    "",
];

async fn hostile_texts_stay_texts_and_touch_nobody_else(place: Place) {
    let Opened { store, .. } = place.open().await;
    told(&*store, vec![save("alice", "k", "hers")]).await;
    for text in HOSTILE {
        let Some(named) = voxpool::memory::UserId::new(text) else {
            continue; // nobody
        };
        let hostile = memory(&format!("C{text}"), text, text);
        let selection = of_key(&format!("C{text}"), text);
        let ops = vec![
            MemoryOp::Get(named.clone(), Selection::All, 10),
            MemoryOp::Save(named.clone(), hostile.clone()),
            MemoryOp::Get(named.clone(), selection.clone(), 10),
            MemoryOp::Delete(named.clone(), of_key("FACT", "k")),
            MemoryOp::Delete(named.clone(), selection),
            MemoryOp::Save(named.clone(), hostile),
            MemoryOp::Delete(named, Selection::All),
            get("alice"),
        ];
        let found = format!("{text}={text}");
        let expected = [
            "",
            "saved",
            &found,
            "deleted 0",
            "deleted 1",
            "saved",
            "deleted 1",
            "k=hers",
        ];
        assert_eq!(told(&*store, ops).await, expected, "{text:?}");
    }
    // All of them as values of one user, in one batch.
    let ops = HOSTILE.iter().map(|text| save("bob", text, text)).collect();
    told(&*store, ops).await;
    let ops = HOSTILE
        .iter()
        .map(|text| MemoryOp::Get(user("bob"), of_key("FACT", text), 2));
    for (found, text) in told(&*store, ops.collect()).await.iter().zip(HOSTILE) {
        assert_eq!(*found, format!("{text}={text}"));
    }
}

async fn invalid_rows_fail_alone(place: Place) {
    let Opened { store, .. } = place.open().await;
    let long = "x".repeat(2001);
    let ops = vec![
        save("alice", "a", "fine"),
        save("alice", "b", "NUL \0 inside"),
        save("alice", "c", &long),
        save("alice", &long, "c"),
        save(&long, "k", "v"),
        save("alice", "d", &"é".repeat(2000)),
    ];
    let results = store.run(ops).await;
    let is_saved: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_saved, [true, false, false, false, false, true]);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind, ErrorKind::Rejected);
        assert!(!format!("{error} {error:?}").contains("xxx"));
    }
}

async fn a_row_that_the_database_refuses_fails_alone(place: Place) {
    let opened = place.open().await;
    let store = &*opened.store;
    place.refuse_poison().await;
    let mut ops: Vec<_> = (0..64)
        .map(|at| save("alice", &format!("k{at}"), "v"))
        .collect();
    ops[10] = save("bob", "k", "poison");
    ops[50] = save("alice", "k50", "poison");
    let results = store.run(ops).await;
    for (at, result) in results.iter().enumerate() {
        let is_bad = at == 10 || at == 50;
        assert_eq!(result.is_err(), is_bad, "{at}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.kind, ErrorKind::Rejected);
            assert!(
                why(error).contains("does not take this row"),
                "{}",
                why(error)
            );
            assert!(!format!("{error:?}").contains("poison"), "{error:?}");
        }
    }
    let statements = opened.statements("memory.save").await;
    assert!(statements < 40, "{statements} statements");
    // The save before a refused one of the same key stays.
    let ops = vec![
        save("carol", "k", "good"),
        save("carol", "k", "poison"),
        get("carol"),
    ];
    let results = store.run(ops).await;
    assert!(results[0].is_ok() && results[1].is_err());
    let answer = results.into_iter().next_back().expect("three results");
    assert_eq!(tell(answer.expect("a read")), "k=good");
}

async fn a_thousand_rows_are_one_statement(place: Place) {
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

async fn random_batches_do_what_a_plain_map_does(place: Place) {
    let Opened { store, .. } = place.open().await;
    let mut runner = TestRunner::default();
    let batches = proptest::collection::vec(any_op(), 1..40);
    let mut model = Model::default();
    for _ in 0..60 {
        let ops = batches.new_tree(&mut runner).expect("a batch").current();
        let expected: Vec<String> = ops.iter().map(|op| model.run(op)).collect();
        assert_eq!(told(&*store, ops).await, expected);
    }
}

async fn many_at_once_lose_nothing(place: Place) {
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

async fn a_cancelled_batch_leaves_whole_rows_and_a_working_store(place: Place) {
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

async fn what_was_saved_is_there_after_reopening(place: Place) {
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

async fn workers_that_start_together_share_a_table(place: Place) {
    let workers = join_all((0..6).map(|_| place.open())).await;
    let saving = workers.iter().enumerate().map(|(at, worker)| {
        told(&*worker.store, vec![save("alice", &format!("k{at}"), "v")]).boxed()
    });
    join_all(saving).await;
    let found = told(&*workers[0].store, vec![get("alice")]).await;
    assert_eq!(found[0].split(' ').count(), 6, "{found:?}");
}

async fn nothing_that_callers_say_reaches_the_log(place: Place) {
    let (log, _guard) = Log::start();
    let Opened { store, .. } = place.open().await;
    place.refuse_poison().await;
    let secret = "my-name-is-John";
    let of = |key: &str, value: &str| {
        let (key, value) = (format!("{secret}{key}"), format!("{value}{secret}"));
        MemoryOp::Save(user(secret), memory(secret, &key, &value))
    };
    let ops = vec![
        of("a", "fine "),
        of("b", "poison "),
        of("c", "NUL \0 "),
        MemoryOp::Get(user(secret), of_key(secret, secret), 1),
        delete(secret),
    ];
    let mut errors = String::new();
    for error in store.run(ops).await.into_iter().filter_map(Result::err) {
        errors += &format!("{error} {error:?} {}\n", why(&error));
    }
    assert_eq!(errors.lines().count(), 2, "{errors}");
    for text in [&log.text(), &errors] {
        assert!(!text.contains("John"), "{text}");
    }
}

async fn connections_are_counted_and_reused(place: Place) {
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
