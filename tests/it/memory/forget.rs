//! `voxpool forget`, the real program on the real stores.

use std::path::Path;

use voxpool::memory::{Category, MemoryOp, UserId};

use super::place::{Place, file};
use super::{get, memory, save, told, user};
use crate::common::free_port;
use crate::program::{run, run_in};

/// Runs the program in an empty directory with the settings of a place.
async fn forget(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let variables = place.variables().await;
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, it)| (*name, it.as_str()))
        .collect();
    let arguments: Vec<&str> = ["forget"].iter().chain(arguments).copied().collect();
    run(&arguments, &variables).await
}

async fn everything_of_one_caller_goes(place: Place, store: &str) {
    let opened = place.open().await;
    let account = || UserId::of_attribute("user.id", "42").expect("a value");
    let ops = vec![
        save("alice-4711", "likes", "green tea"),
        save("alice-4711", "home", "London"),
        MemoryOp::Save(
            user("alice-4711"),
            memory(Category::PROFILE, "summary", "Likes tea."),
        ),
        MemoryOp::Save(account(), memory("FACT", "likes", "coffee")),
        save("bob", "likes", "water"),
    ];
    told(&*opened.store, ops).await;
    for (arguments, rows) in [
        (["--identity", "alice-4711"], 3),
        (["--identity", "alice-4711"], 0),
        (["--attribute", "user.id=42"], 1),
        (["--attribute", "user.id=42"], 0),
        (["--identity", " bob "], 0),
    ] {
        let (code, out, err) = forget(&place, &arguments).await;
        assert_eq!(code, 0, "{out}{err}");
        let expected = format!("deleted {rows} memories of this caller from {store}\n");
        assert_eq!(out, expected, "{err}");
        assert!(!err.contains("alice-4711"), "{err}");
    }
    let left = told(&*opened.store, vec![get("alice-4711"), get("bob")]).await;
    assert_eq!(left, ["", "likes=water"]);
    assert_eq!(place.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_one_caller_goes_from_sqlite() {
    everything_of_one_caller_goes(Place::sqlite(), "sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_one_caller_goes_from_postgres() {
    everything_of_one_caller_goes(Place::postgres().await, "postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_one_caller_goes_from_supabase() {
    everything_of_one_caller_goes(Place::supabase().await, "supabase").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_of_the_words_is_left_in_the_files_of_sqlite() {
    let place = Place::sqlite();
    let Place::Sqlite(directory) = &place else {
        unreachable!("it was just made")
    };
    let opened = place.open().await;
    told(
        &*opened.store,
        vec![save("alice", "likes", "green tea"), save("bob", "k", "v")],
    )
    .await;
    let path = file(directory);
    let holds = |words: &str| {
        ["", "-wal"].iter().any(|suffix| {
            let bytes = std::fs::read(format!("{path}{suffix}")).unwrap_or_default();
            bytes.windows(words.len()).any(|it| it == words.as_bytes())
        })
    };
    assert!(holds("green tea"));
    let (code, _, err) = forget(&place, &["--identity", "alice"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(!holds("green tea") && !holds("alice"));
    assert!(holds("bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_delete_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = format!("postgres://voxpool@127.0.0.1:{}/voxpool", free_port());
    let none = [("VOXPOOL__MEMORY__STORE", "none")];
    let in_memory = [("VOXPOOL__MEMORY__SQLITE_PATH", ":memory:")];
    let down = [("DATABASE_URL", nowhere.as_str())];
    let identity = ["forget", "--identity", "alice-4711"];
    for (arguments, variables, code, why) in [
        (&["forget"][..], &[][..], 64, "--identity"),
        (&["forget", "--identity", " "], &[], 64, "blank"),
        (&["forget", "--attribute", "user.id"], &[], 64, "user.id=42"),
        (&identity, &none, 64, "memory.store is none"),
        (&identity, &in_memory, 64, ":memory:"),
        (&identity, &[], 64, "there is no file voxpool.db"),
        (&identity, &down, 1, "run this again"),
    ] {
        let (exit, out, err) = run_in(arguments, variables, &directory).await;
        assert_eq!(exit, code, "{arguments:?} {variables:?}\n{out}{err}");
        assert!(err.contains(why), "{why} not in {err}");
        assert!(!err.contains("alice-4711") && out.is_empty(), "{out}{err}");
    }
    assert!(!Path::new(&directory.path().join("voxpool.db")).exists());
}
