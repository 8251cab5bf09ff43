//! One server: connected, watched and connected again, for as long as the process lives.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, ClientRequest, ErrorCode, PingRequest};
use rmcp::service::{Peer, ServiceError};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::config::ServerConfig;
use super::connect::{self, Connection, Stderr};
use super::listing;
use super::tool::McpTool;
use crate::chat::ToolOutput;
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{CallSpec, ConnectionPool};
use crate::tools::{Tool, ToolSource};

/// How often a server that says nothing is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it has to answer that.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait before the first try to connect again; doubles with every failure.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(500);

/// Longest wait between two tries.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// A server and what is known of it.
pub(super) struct Server {
    config: ServerConfig,
    /// The server in the pool's statistics.
    host: Arc<str>,
    pool: ConnectionPool,
    known: watch::Sender<Known>,
    /// A call failed: is the server still there?
    doubt: Notify,
}

/// What a server has said last.
#[derive(Clone, Default)]
struct Known {
    /// Its tools. They stay when the connection is lost: the model is told when it calls one.
    tools: Arc<[rmcp::model::Tool]>,
    /// The connection, while there is one.
    peer: Option<Peer<RoleClient>>,
    /// Whether connecting has come to an end at least once.
    is_settled: bool,
}

impl Server {
    pub(super) fn new(config: ServerConfig, pool: ConnectionPool) -> Self {
        Self {
            host: format!("mcp/{}", config.name).into(),
            config,
            pool,
            known: watch::channel(Known::default()).0,
            doubt: Notify::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Waits until the server is connected or has failed for the first time.
    pub(super) async fn settled(&self) {
        let mut known = self.known.subscribe();
        // The sender is ours, so it lives.
        known.wait_for(|it| it.is_settled).await.ok();
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Keeps the server connected until `closing`.
    pub(super) async fn keep(self: Arc<Self>, closing: CancellationToken) {
        let mut delay = RETRY_DELAY_MIN;
        let mut has_failed = false;
        loop {
            let opening = connect::open(&self.config, &self.pool, Stderr::Dropped);
            let opened = tokio::select! {
                opened = opening => opened,
                () = closing.cancelled() => return,
            };
            let why = match opened {
                Ok(connection) => {
                    let tools = connection.tools.len();
                    tracing::info!(server = self.name(), tools, "an MCP server is connected");
                    (delay, has_failed) = (RETRY_DELAY_MIN, false);
                    match self.watch(connection, &closing).await {
                        Some(why) => why,
                        None => return,
                    }
                }
                Err(why) => why,
            };
            self.known.send_modify(|known| {
                known.peer = None;
                known.is_settled = true;
            });
            if !std::mem::replace(&mut has_failed, true) {
                let server = self.name();
                tracing::warn!(
                    server,
                    why,
                    "an MCP server cannot be used; its tools fail until it is back"
                );
            }
            tokio::select! {
                () = sleep(delay.mul_f64(rand::random_range(0.8..1.2))) => {}
                () = closing.cancelled() => return,
            }
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    /// Follows a connection to its end and says why it ended; `None` when we close.
    async fn watch(&self, connection: Connection, closing: &CancellationToken) -> Option<String> {
        let Connection {
            service,
            tools,
            changed,
        } = connection;
        let peer = service.peer().clone();
        let stop = service.cancellation_token();
        let mut ended = service.waiting().boxed();
        self.learn(tools, &peer);
        loop {
            let is_there = tokio::select! {
                _ = &mut ended => return Some("the connection is lost".to_owned()),
                () = closing.cancelled() => {
                    stop.cancel();
                    // How it ends does not matter any more.
                    drop(ended.await);
                    return None;
                }
                () = changed.notified() => self.ask_again(&peer).await,
                () = sleep(PING_INTERVAL) => is_there(&peer).await,
                () = self.doubt.notified() => is_there(&peer).await,
            };
            if !is_there {
                return Some("it does not answer".to_owned());
            }
        }
    }

    /// Asks for the tools again.
    async fn ask_again(&self, peer: &Peer<RoleClient>) -> bool {
        let tools = listing::list(&self.config, peer);
        let tools = timeout(self.config.connect_timeout, tools).await;
        let Ok(Ok(tools)) = tools else {
            return false;
        };
        let n_tools = tools.len();
        tracing::info!(
            server = self.name(),
            tools = n_tools,
            "an MCP server has other tools"
        );
        self.learn(tools, peer);
        true
    }

    fn learn(&self, tools: Vec<rmcp::model::Tool>, peer: &Peer<RoleClient>) {
        for name in &self.config.allowed_tools {
            if !tools.iter().any(|tool| tool.name == *name) {
                let server = self.name();
                tracing::warn!(server, tool = name, "an MCP server lacks an allowed tool");
            }
        }
        self.known.send_replace(Known {
            tools: tools.into(),
            peer: Some(peer.clone()),
            is_settled: true,
        });
    }

    /// Calls a tool. What the server says is an output, an error of its own too.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// Cancel safety: a dropped call tells the server that nobody waits any more.
    pub(super) async fn call(
        self: Arc<Self>,
        params: CallToolRequestParams,
    ) -> Result<ToolOutput, CallError> {
        let spec = CallSpec::new(
            Service::Mcp,
            "tools.call",
            Some(Arc::clone(&self.host)),
            self.config.timeout,
        );
        let pool = self.pool.clone();
        pool.call(spec.once(), move |lease| {
            let (server, params) = (Arc::clone(&self), params.clone());
            async move {
                let called = server.send(params).await;
                called.or_else(|failure| match failure {
                    // It has answered; that it refuses is for the model to know.
                    ServiceError::McpError(error) => Ok(ToolOutput {
                        text: error.message.into_owned(),
                        is_error: true,
                    }),
                    _ => Err(lease.spec().error(ErrorKind::Unavailable)),
                })
            }
        })
        .await
    }

    async fn send(&self, params: CallToolRequestParams) -> Result<ToolOutput, ServiceError> {
        let peer = self.known.borrow().peer.clone();
        let peer = peer.ok_or(ServiceError::TransportClosed)?;
        let called = peer.call_tool(params).await;
        let is_ours = |error: &ServiceError| {
            matches!(error,
            ServiceError::McpError(error) if error.code == ErrorCode::INVALID_PARAMS)
        };
        if called.as_ref().is_err_and(|error| !is_ours(error)) {
            self.doubt.notify_one();
        }
        called.map(|result: CallToolResult| super::tool::output(result))
    }
}

/// The tools of a server as agents take them.
pub(super) struct Source(pub(super) Arc<Server>);

impl ToolSource for Source {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let tools = Arc::clone(&self.0.known.borrow().tools);
        let tool = |tool: &rmcp::model::Tool| McpTool {
            server: Arc::clone(&self.0),
            tool: tool.clone(),
        };
        tools.iter().map(|it| Arc::new(tool(it)) as _).collect()
    }
}

/// Whether the server answers. One that does not know the question is there as well.
async fn is_there(peer: &Peer<RoleClient>) -> bool {
    let ping = ClientRequest::PingRequest(PingRequest::default());
    match timeout(PING_TIMEOUT, peer.send_request(ping)).await {
        Ok(Ok(_)) => true,
        Ok(Err(ServiceError::McpError(error))) => error.code == ErrorCode::METHOD_NOT_FOUND,
        Ok(Err(_)) | Err(_) => false,
    }
}
