//! Supabase's data API: the real PostgREST, behind a gateway that does what Supabase's does.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::postgres::{PASSWORD, Postgres};
use crate::process::Guarded;
use crate::{eventually, free_port, tool};

/// Signs the older keys.
const JWT_SECRET: &str = "a-secret-of-at-least-32-characters-for-tests";
/// The older anonymous key: `{"role": "anon"}`, signed with HS256.
pub const ANON_KEY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.RCWTVNaJqd3cW92OkDfoydUy4Pi2HPAZ1ksVRea8O20";
/// The older service role key: `{"role": "service_role"}`, signed with HS256.
pub const SERVICE_ROLE_KEY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.Uy6ZNRb4mqwh2AjPgHKNoody_w7_uol4nVRuiB7lwO0";
/// The newer secret key, which only the gateway understands.
pub const SECRET_KEY: &str = "sb_secret_of-the-tests";
/// The newer publishable key, which only the gateway understands.
pub const PUBLISHABLE_KEY: &str = "sb_publishable_of-the-tests";

/// Connections that the API has to its database.
pub const CONNECTIONS: usize = 5;

/// The SQL that users of Supabase are told to run.
pub const SUPABASE_SQL: &str = include_str!("../../../config/supabase.sql");

/// The part of it that is for the anonymous key.
pub fn anonymous_sql() -> String {
    let lines = SUPABASE_SQL
        .lines()
        .skip_while(|line| *line != "-- begin: anonymous key")
        .take_while(|line| *line != "-- end: anonymous key")
        .skip(1);
    lines
        .map(|line| line.strip_prefix("-- ").expect("a comment"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A project: the API over one database of a server.
pub struct Supabase {
    process: Option<Guarded>,
    directory: TempDir,
    /// Where it tells how it is.
    admin_port: u16,
    gateway: Gateway,
}

impl Supabase {
    /// Starts the API over a database and waits until it knows what is in it.
    pub async fn start(server: &Postgres, database: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, admin_port) = (free_port(), free_port());
        let settings = format!(
            "db-uri = \"{}\"\ndb-schemas = \"public\"\ndb-anon-role = \"anon\"\n\
             db-pool = {CONNECTIONS}\ndb-pool-acquisition-timeout = 2\nserver-host = \"127.0.0.1\"\n\
             server-port = {port}\nadmin-server-port = {admin_port}\njwt-secret = \"{JWT_SECRET}\"\n",
            server.url_as("authenticator", PASSWORD, database),
        );
        std::fs::write(directory.path().join("postgrest.conf"), settings).expect("a file");
        let mut supabase = Self {
            process: None,
            directory,
            admin_port,
            gateway: Gateway::start(port).await,
        };
        supabase.restart().await;
        supabase
    }

    /// Ends the API at once; the gateway stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the API, again if need be.
    pub async fn restart(&mut self) {
        let (postgrest, folder) = (tool("bin/postgrest"), self.directory.path());
        let settings = folder.join("postgrest.conf");
        let arguments: [&OsStr; 1] = [settings.as_os_str()];
        self.process = Some(Guarded::start(
            postgrest,
            &arguments,
            "KILL",
            &folder.join("log"),
            None,
        ));
        // Not asked at the port of the API: a request that comes too early there makes PostgREST read
        // the schema once more, later, on one of its connections.
        let ready = format!("http://127.0.0.1:{}/ready", self.admin_port);
        eventually("PostgREST knows its schema", async || {
            let answer = reqwest::get(&ready).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// `SUPABASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// Makes the gateway know another secret key instead of [`SECRET_KEY`].
    pub fn rotate_secret_key(&self, key: &'static str) {
        *self.gateway.shared.secret_key() = key;
    }

    /// Requests that came to the gateway.
    pub fn requests(&self) -> usize {
        self.gateway.shared.requests.load(Ordering::Relaxed)
    }
}

/// It runs on a runtime of its own, so that a test which counts tasks counts none of the gateway's.
struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    client: reqwest::Client,
    upstream: String,
    requests: AtomicUsize,
    secret_key: Mutex<&'static str>,
}

impl Shared {
    fn secret_key(&self) -> MutexGuard<'_, &'static str> {
        (self.secret_key.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    async fn start(upstream: u16) -> Self {
        let shared = Arc::new(Shared {
            client: reqwest::Client::builder().build().expect("a client"),
            upstream: format!("http://127.0.0.1:{upstream}"),
            requests: AtomicUsize::new(0),
            secret_key: Mutex::new(SECRET_KEY),
        });
        let routes = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread for the gateway");
        let (bound, listening) = oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await;
            let listener = listener.expect("loopback has free ports");
            let address = listener.local_addr();
            let address = address.expect("a bound socket has an address");
            bound.send(address).expect("the test waits for it");
            axum::serve(listener, routes)
                .await
                .expect("the gateway serves");
        });
        Self {
            address: listening.await.expect("the gateway listens"),
            shared,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Tests drop it within a runtime of theirs, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Checks `apikey`, turns a newer key into a token, strips `/rest/v1`.
async fn forward(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let key = headers.get("apikey").and_then(|key| key.to_str().ok());
    let own = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let authorization = match key {
        Some(ANON_KEY | SERVICE_ROLE_KEY) => own.map(str::to_owned),
        Some(PUBLISHABLE_KEY) if own.is_none() => Some(format!("Bearer {ANON_KEY}")),
        Some(key) if own.is_none() && key == *shared.secret_key() => {
            Some(format!("Bearer {SERVICE_ROLE_KEY}"))
        }
        _ => {
            let refusal = r#"{"message":"Invalid API key"}"#;
            return (StatusCode::UNAUTHORIZED, refusal).into_response();
        }
    };
    let whole = uri.path_and_query().map_or("/", |it| it.as_str());
    let Some(path) = whole.strip_prefix("/rest/v1") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut request = shared
        .client
        .request(method, format!("{}{path}", shared.upstream));
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    for name in [CONTENT_TYPE.as_str(), "x-voxpool-user"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    match request.body(body).send().await {
        Ok(answer) => {
            let status = answer.status();
            let body = answer.bytes().await.unwrap_or_default();
            (status, Body::from(body)).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
