//! The embedded database.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};
use voxpool::error::ErrorKind;
use voxpool::memory::{Config, SqliteStore};
use voxpool::pool::Backend;

use super::{Saver, pool, save_one};

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
