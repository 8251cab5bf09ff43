//! Opening a connection to a server: its program or its address, the handshake, its list of tools.

use std::collections::HashMap;
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rmcp::model::{ClientConfig, Implementation, Tool};
use rmcp::service::{ClientInitializeError, NotificationContext, RunningService};
use rmcp::transport::streamable_http_client::{
    HttpStatusError, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::config::ServerConfig;
use super::http::PooledClient;
use super::listing;
use crate::pool::ConnectionPool;

/// What becomes of what a server's program writes to its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stderr {
    /// Nobody reads it: it may hold what callers said.
    Dropped,
    /// It goes to ours.
    Shown,
}

/// A server that has answered.
pub(super) struct Connection {
    pub(super) service: RunningService<RoleClient, Client>,
    pub(super) tools: Vec<Tool>,
    /// Notified when the server's tools are others.
    pub(super) changed: Arc<Notify>,
}

/// Our side of the protocol: we take tools and lend nothing.
pub(super) struct Client {
    changed: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let name = env!("CARGO_PKG_NAME");
        let implementation = Implementation::new(name, env!("CARGO_PKG_VERSION"));
        ClientConfig::new(Default::default(), implementation)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

/// Connects and asks for the tools, within the server's connect timeout.
///
/// # Errors
/// What is wrong and what to do, without anything secret.
///
/// Cancel safety: a dropped call ends the server's program.
pub(super) async fn open(
    config: &ServerConfig,
    pool: &ConnectionPool,
    stderr: Stderr,
) -> Result<Connection, String> {
    let seconds = config.connect_timeout.as_secs_f32();
    timeout(config.connect_timeout, connect(config, pool, stderr))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {seconds} s")))
}

async fn connect(
    config: &ServerConfig,
    pool: &ConnectionPool,
    stderr: Stderr,
) -> Result<Connection, String> {
    let changed = Arc::<Notify>::default();
    let client = Client {
        changed: Arc::clone(&changed),
    };
    let service = match config.url.is_empty() {
        true => client.serve(program(config, stderr)?).await,
        false => client.serve(address(config, pool)?).await,
    };
    let service = service.map_err(|error| reason(&error))?;
    let tools = listing::list(config, &service).await;
    Ok(Connection {
        tools: tools.map_err(|_| "it does not tell its tools".to_owned())?,
        service,
        changed,
    })
}

fn program(config: &ServerConfig, stderr: Stderr) -> Result<TokioChildProcess, String> {
    let mut command = Command::new(&config.command);
    command
        .args(&config.args)
        .env_clear()
        .envs(&config.inherited);
    command.envs(
        config
            .env
            .iter()
            .map(|(name, value)| (name, value.expose())),
    );
    let stderr = match stderr {
        Stderr::Dropped => Stdio::null(),
        Stderr::Shown => Stdio::inherit(),
    };
    let started = TokioChildProcess::builder(command).stderr(stderr).spawn();
    let (process, _) = started.map_err(|error| {
        format!(
            "its command cannot be started ({}); check mcp.command",
            error.kind()
        )
    })?;
    Ok(process)
}

fn address(
    config: &ServerConfig,
    pool: &ConnectionPool,
) -> Result<StreamableHttpClientTransport<PooledClient>, String> {
    let mut headers = HashMap::new();
    for (name, value) in &config.headers {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value.expose().as_str());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err("a header cannot be sent; check mcp.headers".to_owned());
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let mut settings =
        StreamableHttpClientTransportConfig::with_uri(config.url.as_str()).custom_headers(headers);
    let token = config.token.expose().trim();
    if !token.is_empty() {
        settings = settings.auth_header(token);
    }
    let client = PooledClient(pool.clone());
    Ok(StreamableHttpClientTransport::with_client(client, settings))
}

/// Why there is no connection, in words of ours: those of the libraries may hold the address with
/// a key in it.
fn reason(error: &ClientInitializeError) -> String {
    if error.is_authorization_required() {
        return "it refuses us; check mcp.token and mcp.headers".to_owned();
    }
    let transport = match error {
        ClientInitializeError::TransportError { error, .. } => Some(error.error.as_ref()),
        _ => None,
    };
    let mut cause: Option<&(dyn Error + 'static)> = transport.map(|error| error as _);
    while let Some(error) = cause {
        if let Some(status) = error.downcast_ref::<HttpStatusError>() {
            return format!("it answers with HTTP status {}", status.status);
        }
        if let Some(error) = error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            return http_reason(error);
        }
        cause = error.source();
    }
    match error {
        ClientInitializeError::ConnectionClosed(_) => {
            "it ended before it answered; does the command speak MCP?".to_owned()
        }
        _ => "it does not answer as an MCP server".to_owned(),
    }
}

fn http_reason(error: &StreamableHttpError<reqwest::Error>) -> String {
    match error {
        StreamableHttpError::HttpStatus(error) => {
            format!("it answers with HTTP status {}", error.status)
        }
        StreamableHttpError::Client(error) => match error.status() {
            Some(status) if matches!(status.as_u16(), 401 | 403) => {
                "it refuses us; check mcp.token and mcp.headers".to_owned()
            }
            Some(status) => format!("it answers with HTTP status {}", status.as_u16()),
            None => "it cannot be reached; check mcp.url and that it is up".to_owned(),
        },
        _ => "it does not answer as an MCP server; check mcp.url".to_owned(),
    }
}
