//! The embedded database.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};
use tokio_util::task::AbortOnDropHandle;
use voxpool::error::{ErrorKind, Service};
use voxpool::memory::{Config, SqliteStore, SupabaseConfig, open};
use voxpool::pool::{Backend, Config as PoolConfig, ConnectionPool};

use super::{Saver, pool, save_one, stats};
use crate::common::eventually;
use crate::common::left::leaves_nothing;

fn sqlite_config(path: &Path) -> Config {
    Config {
        sqlite_path: path.to_str().expect("plain characters").to_owned(),
        timeout: Duration::from_secs(4),
        attempt_timeout: Duration::from_secs(4),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_setting() {
    let directory = tempfile::tempdir().unwrap();
    let no_database = directory.path().join("letter.txt");
    std::fs::write(&no_database, "Dear database, ".repeat(1000)).unwrap();
    for (path, part) in [
        (
            directory.path().join("missing/memory.db"),
            "its folder is not there",
        ),
        (directory.path().to_owned(), "cannot be opened"),
        (no_database, "no SQLite database"),
    ] {
        let error = SqliteStore::open(&sqlite_config(&path), pool()).await;
        let error = error.err().expect("that cannot be opened").to_string();
        assert!(error.starts_with("memory.sqlite_path: "), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

/// A way in which a file cannot be used, until somebody mends it.
struct Trouble {
    path: &'static str,
    begin: fn(&Path),
    mend: fn(&Path),
    why: &'static str,
}

const TROUBLES: [Trouble; 3] = [
    Trouble {
        path: "missing/memory.db",
        begin: |_| {},
        mend: |file| std::fs::create_dir(file.parent().unwrap()).unwrap(),
        why: "its folder is not there",
    },
    Trouble {
        path: "memory.db",
        begin: |file| std::fs::create_dir(file).unwrap(),
        mend: |file| std::fs::remove_dir(file).unwrap(),
        why: "cannot be opened",
    },
    Trouble {
        path: "memory.db",
        begin: |file| std::fs::write(file, "Dear database, ".repeat(1000)).unwrap(),
        mend: |file| std::fs::remove_file(file).unwrap(),
        why: "no SQLite database",
    },
];

#[tokio::test]
async fn a_file_that_cannot_be_used_at_the_start_is_used_when_it_can() {
    for trouble in TROUBLES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(trouble.path);
        (trouble.begin)(&path);
        let config = PoolConfig {
            health_interval: Duration::from_millis(50),
            ..PoolConfig::default()
        };
        let pool = ConnectionPool::new(config).unwrap();
        let (settings, none) = (sqlite_config(&path), SupabaseConfig::default());
        let opened = open(&settings, &none, &pool);
        let store = opened.expect("that is no error").expect("a store");
        store.prewarm().await.unwrap_err();
        let missing = async || pool.stats().await.missing.remove(&Service::Sqlite);
        let why = missing().await.expect("the statistics say so");
        assert!(why.contains(trouble.why), "{why}");
        let error = save_one(&*store, "k").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Rejected);
        assert!(super::why(&error).starts_with("memory.sqlite_path: "));

        (trouble.mend)(&path);
        let monitored = pool.clone();
        let monitor =
            AbortOnDropHandle::new(tokio::spawn(async move { monitored.monitor().await }));
        eventually("the file is opened, and nobody has asked", async || {
            missing().await.is_none().then_some(())
        })
        .await;
        drop(monitor);
        let mut saver = Saver::new();
        saver.one(&*store).await.unwrap();
        saver.check(&*store).await;
        let seen = stats(&pool, Service::Sqlite).await;
        assert!(seen.errors["rejected"] >= 2, "{:?}", seen.errors);
        drop(store);
        leaves_nothing(pool).await;
    }
}

#[tokio::test]
async fn the_next_use_of_a_file_that_was_mended_finds_it() {
    for trouble in TROUBLES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(trouble.path);
        (trouble.begin)(&path);
        let store = SqliteStore::new(&sqlite_config(&path), pool());
        save_one(&store, "k").await.unwrap_err();
        (trouble.mend)(&path);
        let mut saver = Saver::new();
        saver.one(&store).await.unwrap();
        saver.check(&store).await;
    }
}

/// SQLite does not wait in every case where processes meet at a new file: the rounds are to make it
/// happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_meet_at_a_new_file_all_get_it() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let config = sqlite_config(&directory.path().join("memory.db"));
        let opening = (0..8).map(|_| {
            let config = config.clone();
            tokio::spawn(async move { SqliteStore::open(&config, pool()).await.map(drop) })
        });
        for opened in futures::future::join_all(opening).await {
            opened.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let store = SqliteStore::open(&sqlite_config(&path), pool())
        .await
        .unwrap();
    save_one(&store, "k").await.unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        let file = std::fs::metadata(directory.path().join(name)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_another_process_writes_to_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let pool = pool();
    let store = SqliteStore::open(&sqlite_config(&path), pool.clone())
        .await
        .unwrap();
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let url = format!("sqlite://{}", path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let error = saver.one(&store).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    // Reading needs no lock.
    saver.check(&store).await;
    other.execute("COMMIT").await.unwrap();
    saver.until_back(&store).await;
    saver.check(&store).await;
    store.probe().await.unwrap();
    store.close().await;
    assert_eq!(store.connections().open, Some(0));
}

#[tokio::test]
async fn what_was_answered_with_saved_survives_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let store = SqliteStore::open(&sqlite_config(&path), pool())
        .await
        .unwrap();
    let mut saver = Saver::new();
    for _ in 0..100 {
        saver.one(&store).await.unwrap();
    }
    // The files as they are now are what a process that is killed at this moment leaves.
    let left = directory.path().join("left");
    std::fs::create_dir(&left).unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        std::fs::copy(directory.path().join(name), left.join(name)).unwrap();
    }
    let path = left.join("memory.db");
    let store = SqliteStore::open(&sqlite_config(&path), pool())
        .await
        .unwrap();
    saver.check(&store).await;
    assert_eq!(saver.saved.len(), 100);
}
