//! The playground: a web page to talk to the agent and to watch it work. For `dev`; `start` has none.
//!
//! The page is `playground/` of the repository, compiled in; LiveKit's web client comes from npm and
//! is read from disk. The page gets a token for a fresh room from here, so it holds no secret.
//!
//! **Invariant:** tokens are for this machine's own pages only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::telemetry::{TurnFigures, only_from_here};
use crate::worker::{ServerConfig, guest_token};

/// A file of the page: path, media type, content.
type Asset = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        (
            concat!("/playground/", $name),
            $media_type,
            include_str!(concat!("../playground/", $name)),
        )
    };
}

const ASSETS: [Asset; 10] = [
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("main.js", SCRIPT),
    asset!("call.js", SCRIPT),
    asset!("captions.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("latency.js", SCRIPT),
    asset!("levels.js", SCRIPT),
    asset!("pool.js", SCRIPT),
    asset!("stages.js", SCRIPT),
];

const PAGE: &str = include_str!("../playground/index.html");

/// How long a token can be used to join.
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// Settings of the playground (`[playground]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// LiveKit's web client as an ECMAScript module; relative to the working directory.
    pub livekit_client: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            livekit_client: ".tools/node_modules/livekit-client/dist/livekit-client.esm.mjs".into(),
        }
    }
}

/// What the page needs to know.
pub struct Playground {
    /// Where its LiveKit client is.
    pub config: Config,
    /// The server that the worker takes jobs from.
    pub livekit: ServerConfig,
    /// The agent to ask for; empty: it comes to every new room.
    pub agent_name: String,
    /// The usual endpointing delay, to tell it from a late transcript.
    pub endpointing_delay: Duration,
    /// The turns to show.
    pub turns: TurnFigures,
}

impl Playground {
    /// The page, its files and what they ask for.
    pub fn routes(self) -> Router {
        let policy = content_security_policy(&self.livekit.url);
        let mut files = Router::new()
            .route("/playground", get(page))
            .route("/playground/livekit-client.js", get(livekit_client));
        for (path, media_type, content) in ASSETS {
            let answer = ([(header::CONTENT_TYPE, media_type)], content);
            files = files.route(path, get(async move || answer));
        }
        let own = Router::new()
            .route("/playground/token", post(token))
            .route("/playground/turns/{user}/{after}", get(turns))
            .route_layer(middleware::from_fn(only_from_here));
        files
            .merge(own)
            .with_state(Arc::new(self))
            .layer(middleware::map_response(move |response| {
                let policy = policy.clone();
                async move { secured(response, policy) }
            }))
    }
}

/// The page may load its own files and talk to the worker and to the LiveKit server, nothing else.
fn content_security_policy(livekit_url: &str) -> HeaderValue {
    let uri: Uri = livekit_url.parse().unwrap_or_default();
    let (web_socket, http) = match uri.scheme_str() {
        Some("wss" | "https") => ("wss:", "https:"),
        _ => ("ws:", "http:"),
    };
    let server = match uri.authority() {
        // A policy cannot name an IPv6 address.
        Some(authority) if !authority.as_str().starts_with('[') => {
            format!("{web_socket}//{authority} {http}//{authority}")
        }
        _ => format!("{web_socket} {http}"),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         media-src 'self' mediastream: blob:; connect-src 'self' {server}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

fn secured(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "microphone=(self), camera=(), geolocation=()",
        ),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

async fn page(State(playground): State<Arc<Playground>>) -> Response {
    match read_client(&playground).await {
        Ok(_) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response(),
        Err(missing) => missing,
    }
}

async fn livekit_client(State(playground): State<Arc<Playground>>) -> Response {
    match read_client(&playground).await {
        Ok(script) => ([(header::CONTENT_TYPE, SCRIPT)], script).into_response(),
        Err(missing) => missing,
    }
}

/// LiveKit's client, or what to do when it is not there.
async fn read_client(playground: &Playground) -> Result<Vec<u8>, Response> {
    let path = playground.config.livekit_client.clone();
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    if let Ok(Ok(script)) = read {
        return Ok(script);
    }
    let text = format!(
        "The playground needs LiveKit's web client, and it is not at {}.\n\
         Run `make playground` in voxpool's checkout, start `voxpool dev` there, and reload; or set \
         playground.livekit_client to the file livekit-client.esm.mjs of the npm package \
         livekit-client.\n",
        playground.config.livekit_client.display()
    );
    Err((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
}

#[derive(Deserialize)]
struct TokenRequest {
    /// Who asks; the agent knows the same identity again.
    identity: String,
}

async fn token(
    State(playground): State<Arc<Playground>>,
    Json(request): Json<TokenRequest>,
) -> Response {
    let identity = request.identity;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !(8..=64).contains(&identity.len()) || !identity.chars().all(is_plain) {
        let text = "identity: must be 8 to 64 letters, digits or hyphens\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let room = format!(
        "playground-{:012x}",
        rand::random::<u64>() & 0xffff_ffff_ffff
    );
    let (livekit, agent_name) = (&playground.livekit, &playground.agent_name);
    match guest_token(livekit, &room, &identity, agent_name, TOKEN_TTL) {
        Ok(token) => Json(json!({
            "url": livekit.url,
            "token": token.expose(),
            "room": room,
            "endpointing_delay_ms": playground.endpointing_delay.as_millis(),
        }))
        .into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn turns(
    State(playground): State<Arc<Playground>>,
    Path((user, after)): Path<(String, u64)>,
) -> Response {
    Json(playground.turns.recent(&user, after)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_may_talk_to_its_server_only() {
        for (url, allowed) in [
            (
                "ws://127.0.0.1:7880",
                "connect-src 'self' ws://127.0.0.1:7880 http://127.0.0.1:7880;",
            ),
            (
                "wss://x.livekit.cloud/prefix",
                "connect-src 'self' wss://x.livekit.cloud https://x.livekit.cloud;",
            ),
            ("ws://[::1]:7880", "connect-src 'self' ws: http:;"),
        ] {
            let policy = content_security_policy(url);
            assert!(policy.to_str().unwrap().contains(allowed), "{policy:?}");
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/playground");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("/playground/{name}");
            let is_served = name == "index.html" || ASSETS.iter().any(|asset| asset.0 == path);
            assert!(is_served, "{name} is not in ASSETS");
        }
    }
}
