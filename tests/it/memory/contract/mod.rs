//! What every store must do, run for each of them.

mod limits;
mod refusals;
mod scale;

use voxpool::memory::{Category, MemoryOp, Selection};

use self::limits::*;
use self::refusals::*;
use self::scale::*;
use super::place::{Opened, Place};
use super::{delete, get, memory, of_key, save, told, user};

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
        a_user_keeps_the_latest_rows_and_the_summary,
        what_is_too_old_is_not_read_and_goes,
        users_are_walked_through_in_order,
        limits_are_held_beside_saves_that_lose_nothing,
        identities_and_attributes_never_meet,
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
        a_user_keeps_the_latest_rows_and_the_summary,
        what_is_too_old_is_not_read_and_goes,
        identities_and_attributes_never_meet,
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
        a_user_keeps_the_latest_rows_and_the_summary,
        identities_and_attributes_never_meet,
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
