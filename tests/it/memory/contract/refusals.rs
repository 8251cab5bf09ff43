//! Texts that mean something elsewhere, and rows that cannot be saved.

use voxpool::error::ErrorKind;
use voxpool::memory::{MemoryOp, Selection};

use crate::common::log::Log;
use crate::memory::place::{Opened, Place};
use crate::memory::{delete, get, memory, of_key, save, tell, told, user, why};

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

pub(super) async fn hostile_texts_stay_texts_and_touch_nobody_else(place: Place) {
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

pub(super) async fn invalid_rows_fail_alone(place: Place) {
    let Opened { store, .. } = place.open().await;
    let long = "x".repeat(2001);
    let ops = vec![
        save("alice", "a", "fine"),
        save("alice", "b", "NUL \0 inside"),
        save("alice", "c", &long),
        save("alice", &long, "c"),
        save("alice", "d", &"é".repeat(2000)),
    ];
    let results = store.run(ops).await;
    let is_saved: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_saved, [true, false, false, false, true]);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind, ErrorKind::Rejected);
        assert!(!format!("{error} {error:?}").contains("xxx"));
    }
}

pub(super) async fn a_row_that_the_database_refuses_fails_alone(place: Place) {
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

pub(super) async fn nothing_that_callers_say_reaches_the_log(place: Place) {
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
