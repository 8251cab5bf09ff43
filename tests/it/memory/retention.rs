//! The cost of holding the limits, in each store.

use std::time::Instant;

use super::place::Place;
use super::*;

const USERS: usize = 50;
const ROWS: usize = 600;

/// Callers with 100 rows too many each. The figures are printed; what is asserted is that one
/// statement does it.
async fn trim(name: &str, place: Place) {
    let opened = place.open().await;
    let store = &*opened.store;
    let names: Vec<String> = (0..USERS).map(|n| format!("caller{n}")).collect();
    for name in &names {
        let ops = (0..ROWS).map(|n| save(name, &format!("k{n}"), "likes green tea"));
        told(store, ops.collect()).await;
    }
    let users: Vec<UserId> = names.iter().map(|name| user(name)).collect();
    let (before, began) = (opened.statements("memory.trim").await, Instant::now());
    let trimmed = store.trim(users.clone()).await.expect("it can");
    let took = began.elapsed();
    assert_eq!(trimmed, (USERS * (ROWS - 500)) as u64);
    let began = Instant::now();
    assert_eq!(store.trim(users).await.expect("it can"), 0);
    let nothing = began.elapsed();
    eprintln!(
        "{name}: {trimmed} rows of {USERS} callers trimmed in {took:?}; a look at {USERS} full callers \
         takes {nothing:?}"
    );
    assert_eq!(opened.statements("memory.trim").await - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_holds_the_limits_of_many_callers_in_sqlite() {
    trim("sqlite", Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_holds_the_limits_of_many_callers_in_postgres() {
    trim("postgres", Place::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_holds_the_limits_of_many_callers_in_supabase() {
    trim("supabase", Place::supabase().await).await;
}
