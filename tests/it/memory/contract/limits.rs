//! Rows per user, their age, and whose they are.

use std::collections::BTreeSet;

use futures::future::join_all;
use voxpool::memory::{Category, MemoryOp, UserId};

use crate::memory::place::{Opened, Place};
use crate::memory::{get, memory, save, told, user};

pub(super) async fn a_user_keeps_the_latest_rows_and_the_summary(place: Place) {
    let opened = place.open_with(|config| config.per_user_max = 5).await;
    let store = &*opened.store;
    let summary = memory(Category::PROFILE, "summary", "s");
    let mut ops = vec![MemoryOp::Save(user("alice"), summary)];
    ops.extend((0..8).map(|at| save("alice", &format!("k{at}"), "v")));
    ops.extend((0..5).map(|at| save("bob", &format!("k{at}"), "v")));
    told(store, ops).await;
    let users = || ["alice", "bob", "carol"].map(user).to_vec();
    assert_eq!(store.trim(users()).await.expect("it can"), 3);
    let found = told(store, vec![get("alice"), get("bob")]).await;
    assert_eq!(found[0], "k7=v k6=v k5=v k4=v k3=v summary=s");
    assert_eq!(found[1].split(' ').count(), 5, "others keep theirs");
    assert_eq!(store.trim(users()).await.expect("it can"), 0);
    // What is saved again is new.
    told(
        store,
        vec![save("alice", "k3", "w"), save("alice", "k8", "v")],
    )
    .await;
    assert_eq!(store.trim(vec![user("alice")]).await.expect("it can"), 1);
    let found = told(store, vec![get("alice")]).await;
    assert_eq!(found[0], "k8=v k3=w k7=v k6=v k5=v summary=s");
}

pub(super) async fn what_is_too_old_is_not_read_and_goes(place: Place) {
    let opened = place.open_with(|config| config.keep_days = 30).await;
    let store = &*opened.store;
    let ops = ["old", "older", "young", "renewed"].map(|key| save("alice", key, "v"));
    told(store, ops.to_vec()).await;
    for (key, days) in [("old", 31), ("older", 900), ("young", 29), ("renewed", 31)] {
        place.age(key, days).await;
    }
    told(store, vec![save("alice", "renewed", "w")]).await;
    let found = told(store, vec![get("alice")]).await;
    assert_eq!(found, ["renewed=w young=v"], "also before it is deleted");
    assert_eq!(place.count().await, 4);
    let for_ever = place.open().await.store;
    assert_eq!(for_ever.trim(vec![user("alice")]).await.expect("it can"), 0);
    assert_eq!(store.trim(vec![user("alice")]).await.expect("it can"), 2);
    assert_eq!(place.count().await, 2);
}

pub(super) async fn users_are_walked_through_in_order(place: Place) {
    let Opened { store, .. } = place.open().await;
    let names = ["alice", "Alice", "bob", "é", " alice ", "你好"];
    let ops = names
        .iter()
        .flat_map(|name| [save(name, "a", "v"), save(name, "b", "v")]);
    told(&*store, ops.collect()).await;
    let (mut after, mut walked) = (None, Vec::new());
    loop {
        let users = store.users(after.clone(), 4).await.expect("it can");
        let Some(last) = users.last() else { break };
        after = Some(last.clone());
        walked.extend(users);
    }
    assert_eq!(walked.len(), names.len(), "each once");
    let walked: BTreeSet<UserId> = walked.into_iter().collect();
    assert_eq!(walked, names.map(user).into());
}

pub(super) async fn limits_are_held_beside_saves_that_lose_nothing(place: Place) {
    let opened = place.open_with(|config| config.per_user_max = 20).await;
    let store = &*opened.store;
    let names: Vec<_> = (0..4).map(|at| format!("user{at}")).collect();
    let users: Vec<_> = names.iter().map(|name| user(name)).collect();
    // Every round saves the same keys again, in an order of its own.
    let saving = (0..4_usize).map(|writer| {
        let names = &names;
        async move {
            for round in 0..4_usize {
                let at = |at: usize| (at * 7 + writer * 13 + round * 3) % 80;
                let ops = (0..80)
                    .map(at)
                    .map(|at| save(&names[at % 4], &format!("k{at}"), "v"));
                told(store, ops.collect()).await;
            }
        }
    });
    let trimming = (0..2).map(|_| async {
        for _ in 0..10 {
            store
                .trim(users.clone())
                .await
                .expect("no save is in the way");
        }
    });
    tokio::join!(join_all(saving), join_all(trimming));
    store.trim(users.clone()).await.expect("it can");
    for found in told(store, names.iter().map(|name| get(name)).collect()).await {
        assert_eq!(found.split(' ').count(), 20, "{found}");
    }
}

pub(super) async fn identities_and_attributes_never_meet(place: Place) {
    let Opened { store, .. } = place.open().await;
    let account = |value| UserId::of_attribute("user.id", value).expect("a value");
    let users = [
        user("alice"),
        user(" alice "),
        account("alice"),
        account(" alice "),
        user("voxpool:attribute:user.id=alice"),
        user("voxpool:identity:alice"),
        user("user.id=alice"),
    ];
    let ops = users
        .iter()
        .enumerate()
        .map(|(at, user)| MemoryOp::Save(user.clone(), memory("FACT", "k", &at.to_string())));
    told(&*store, ops.collect()).await;
    for (at, user) in users.iter().enumerate() {
        let get = MemoryOp::Get(user.clone(), voxpool::memory::Selection::All, 9);
        assert_eq!(told(&*store, vec![get]).await, [format!("k={at}")]);
    }
}
