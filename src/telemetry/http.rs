//! The HTTP endpoint for probes and operators: `/` for all, `/worker` and `/metrics` for all unless
//! there is a token, `/pool` and `/pool/cleanup` with the token or for this machine (`access.rs`).
//! Other parts add routes of their own; `port.rs` serves them.
//!
//! Source of the paths, port and fields: livekit-agents 1.7 `worker.py` and livekit/protocol
//! `livekit_agent_worker.proto`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::access::{Access, Refused, is_from_here};
use super::metrics::Metrics;
use super::port::{self, PortCollector, PortState};
use crate::overview::Overview;
use crate::redact::Pii;
use crate::worker::Snapshot;

/// Media type of the text format that Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics pages that are made at once: each takes a thread and reads the kernel's socket table.
static PAGES: Semaphore = Semaphore::const_new(2);

/// Settings of the HTTP endpoint (`[http]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address to listen on; 0.0.0.0 is every interface.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Whether a free port is taken when `port` is not free.
    pub port_fallback: bool,
    /// Whether LiveKit's dispatch service is answered here, too.
    pub dispatch: bool,
    /// Token that every path but `/` asks for; empty: `/pool` is this machine's, the rest everyone's.
    pub token: Pii<String>,
    /// Connections at most; when there are more, those that do nothing give way.
    pub connections_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8081,
            port_fallback: false,
            dispatch: true,
            token: Pii::default(),
            connections_max: 256,
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if (1..16).contains(&self.token.expose().len()) {
            let problem = "http.token: must have at least 16 characters, or none";
            problems.push(problem.to_owned());
        }
        if !(8..=65_536).contains(&self.connections_max) {
            problems.push("http.connections_max: must be from 8 to 65536".to_owned());
        }
        problems
    }
}

/// What the endpoint shows.
pub struct Views {
    /// The worker.
    pub worker: watch::Receiver<Snapshot>,
    /// The metrics.
    pub metrics: Metrics,
    /// What the calls share.
    pub overview: Overview,
}

/// An endpoint that is bound and not served yet.
pub struct HttpServer {
    listener: TcpListener,
    routes: Router,
    state: PortState,
}

impl HttpServer {
    /// Binds the port.
    ///
    /// # Errors
    /// When the port is taken or not allowed.
    pub async fn bind(config: &Config, mut views: Views) -> std::io::Result<Self> {
        let mut listener = TcpListener::bind((config.host, config.port)).await;
        if config.port_fallback && is_taken(&listener) {
            listener = TcpListener::bind((config.host, 0)).await;
        }
        let listener = listener?;
        let state = PortState::new(config.connections_max);
        views
            .metrics
            .register(Box::new(PortCollector(state.clone())));
        let access = Access::new(config.token.clone());
        let restricted = Router::new()
            .route("/pool", get(pool))
            .route("/pool/cleanup", post(cleanup))
            .route_layer(middleware::from_fn_with_state(access.clone(), only_allowed));
        let figures = Router::new()
            .route("/worker", get(worker))
            .route("/metrics", get(metrics))
            .route_layer(middleware::from_fn_with_state(access, only_with_token));
        let routes = Router::new()
            .route("/", get(health))
            .merge(figures)
            .merge(restricted)
            .with_state(Arc::new(views));
        Ok(Self {
            listener,
            routes,
            state,
        })
    }

    /// Adds the routes of another part of the program.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, and lets the requests that are being answered then end.
    ///
    /// Cancel safety: dropping the future closes the port and its connections.
    pub async fn serve(self, stop: CancellationToken) {
        port::serve(self.listener, self.routes, self.state, stop).await;
    }
}

async fn health(State(views): State<Arc<Views>>) -> Response {
    let trouble = views.worker.borrow().unhealthy_because();
    match trouble {
        None => "OK".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn worker(State(views): State<Arc<Views>>) -> Response {
    let worker = views.worker.borrow().clone();
    Json(json!({
        "worker_type": "JT_ROOM",
        "worker_id": worker.worker_id.unwrap_or_default(),
        "agent_name": worker.agent_name,
        "active_jobs": worker.active_jobs,
        "worker_load": worker.load,
        "draining": worker.is_draining,
        "sdk_version": env!("CARGO_PKG_VERSION"),
        "protocol_version": 1,
    }))
    .into_response()
}

async fn metrics(State(views): State<Arc<Views>>) -> Response {
    // It goes along with the work: a client that leaves does not end what a thread has begun.
    let Ok(permit) = PAGES.acquire().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let render = move || {
        let page = views.metrics.render();
        drop(permit);
        page
    };
    match tokio::task::spawn_blocking(render).await {
        Ok(page) => ([(header::CONTENT_TYPE, METRICS_TYPE)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn pool(State(views): State<Arc<Views>>) -> Response {
    Json(views.overview.stats().await).into_response()
}

async fn cleanup(State(views): State<Arc<Views>>) -> Response {
    Json(views.overview.cleanup().await).into_response()
}

fn is_taken(listener: &std::io::Result<TcpListener>) -> bool {
    let kind = listener.as_ref().err().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::AddrInUse)
}

/// A layer for routes that answer this machine's own pages and programs only, whatever the token.
///
/// # Errors
/// The refusal, for any other request.
pub async fn only_from_here(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let (parts, body) = request.into_parts();
    match is_from_here(peer.ip(), &parts) {
        true => Ok(next.run(Request::from_parts(parts, body)).await),
        false => Err(StatusCode::FORBIDDEN),
    }
}

async fn only_allowed(
    State(access): State<Access>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    access.check(peer, &parts)?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}

async fn only_with_token(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    access.check_token(&parts)?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}
