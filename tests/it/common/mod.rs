//! What the integration tests share: real servers on free ports, and ways to wait with a deadline.

pub(crate) mod jobs;
pub(crate) mod livekit;
pub(crate) mod log;
pub(crate) mod postgres;
pub(crate) mod postgrest;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod running;
pub(crate) mod toxiproxy;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

/// Anything that is awaited must happen in this time, also on a machine that is busy building.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The path of a tool the tests need.
///
/// Panics with what to do when it is missing: a test is never skipped.
pub(crate) fn tool(path: &str) -> PathBuf {
    let root = std::env::var_os("VOXPOOL_TOOLS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".tools"),
        PathBuf::from,
    );
    let tool = root.join(path);
    assert!(
        tool.exists(),
        "{} is missing: run make setup",
        tool.display()
    );
    tool
}

/// A TCP port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Awaits, but not longer than [`PATIENCE`]; `what` says what did not happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {} s", PATIENCE.as_secs()),
    }
}

/// Polls until `poll` has a value, but not longer than [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = poll().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}
