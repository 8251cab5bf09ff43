//! Tools of other servers, over the Model Context Protocol.
//!
//! Each server of the configuration is connected once per process, and all calls share the
//! connection: `server.rs` keeps it, `connect.rs` opens it (over the pool's HTTP client: `http.rs`), `listing.rs` bounds what it lends, `tool.rs` is one of its tools as the
//! agent calls it.
//!
//! **Invariant:** a server that fails costs its own tools and nothing else: the model is told when it
//! calls one, the log says it once.

mod config;
mod connect;
mod http;
mod listing;
mod server;
mod tool;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::config::{ServerConfig, problems};
use self::connect::Stderr;
use self::server::{Server, Source};
use super::ToolSource;
use crate::pool::ConnectionPool;

/// How long the end of the process waits for the servers' programs to end.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// The servers of the process. Dropping them closes their connections.
#[derive(Default)]
pub struct McpServers {
    servers: Vec<Arc<Server>>,
    tasks: Vec<AbortOnDropHandle<()>>,
    closing: CancellationToken,
}

impl McpServers {
    /// Begins to connect all servers side by side, and keeps them connected. Needs a Tokio runtime.
    pub fn start(configs: &[ServerConfig], pool: &ConnectionPool) -> Self {
        let new = |config: &ServerConfig| Arc::new(Server::new(config.clone(), pool.clone()));
        let servers: Vec<Arc<Server>> = configs.iter().map(new).collect();
        let closing = CancellationToken::new();
        let tasks = servers.iter().map(|server| {
            let keeping = Arc::clone(server).keep(closing.clone());
            AbortOnDropHandle::new(tokio::spawn(keeping))
        });
        Self {
            tasks: tasks.collect(),
            servers,
            closing,
        }
    }

    /// The tools of the servers with these names, `*` for all servers.
    pub fn sources(&self, names: &[String]) -> Vec<Arc<dyn ToolSource>> {
        let is_meant = |server: &&Arc<Server>| {
            let name = server.name();
            names.iter().any(|it| it == "*" || it == name)
        };
        let meant = self.servers.iter().filter(is_meant);
        meant
            .map(|it| Arc::new(Source(Arc::clone(it))) as _)
            .collect()
    }

    /// Waits until each server is connected or has failed for the first time.
    pub async fn settled(&self) {
        join_all(self.servers.iter().map(|server| server.settled())).await;
    }

    /// Closes the connections and ends the servers' programs.
    pub async fn close(&mut self) {
        self.closing.cancel();
        let ends = join_all(self.tasks.drain(..));
        if tokio::time::timeout(CLOSE_WITHIN, ends).await.is_err() {
            tracing::debug!("an MCP server did not end in time");
        }
    }
}

/// Connects once and tells where the server is and how many tools it has, or what is wrong. Its
/// program writes its own complaints to our standard error.
///
/// # Errors
/// What is wrong and what to do.
pub async fn check(
    config: &ServerConfig,
    pool: &ConnectionPool,
) -> (String, Result<String, String>) {
    let service = format!("mcp server {} {}", config.name, config.place());
    let opened = connect::open(config, pool, Stderr::Shown).await;
    let result = opened.map(|connection| {
        let allowed = connection
            .tools
            .iter()
            .filter(|tool| config.allows(&tool.name));
        format!("lends {} tools", allowed.count())
    });
    (service, result)
}
