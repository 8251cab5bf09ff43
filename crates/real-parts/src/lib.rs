//! Real servers for tests and benchmarks: each on a free port of the loopback address, in a folder of
//! its own, and ended with the value that stands for it, or with this process.
//!
//! - [`postgres`]: Postgres, and PgBouncer in front of it.
//! - [`postgrest`]: what a Supabase project is to its clients: PostgREST behind a gateway.
//! - [`process`]: how a server ends, however its test ends.
//! - [`tls`]: a door with TLS before a server.
//!
//! What fails here panics with what to do about it: a test is never skipped, and a measurement that
//! lacks a server has no result.

pub mod postgres;
pub mod postgrest;
pub mod process;
pub mod tls;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

/// Anything that is awaited must happen in this time, also on a machine that is busy building.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The path of a tool the tests need.
///
/// Panics with what to do when it is missing: a test is never skipped.
pub fn tool(path: &str) -> PathBuf {
    let root = std::env::var_os("VOXPOOL_TOOLS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools"),
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
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Awaits, but not longer than [`PATIENCE`]; `what` says what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {} s", PATIENCE.as_secs()),
    }
}

/// Polls until `poll` has a value, but not longer than [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
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
