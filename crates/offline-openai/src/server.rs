//! Listens, serves connections, and stops.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::engine::{Engine, EngineError};
use crate::faults::{FaultRule, Faults};
use crate::routes::{App, Connection, OpenConnection, router};
use crate::stats::{Stats, StatsSnapshot};

/// How long answers under way may take when the server stops; then their connections are closed.
const GRACE: Duration = Duration::from_secs(2);
/// Pause after a failed accept: it fails for want of file descriptors, which others must give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// flite or pocketsphinx is missing or does not work.
    #[error("{0}; or start with --fixed, which needs no speech programs")]
    Engine(#[from] EngineError),
}

/// Starts servers.
pub struct Server;

impl Server {
    /// Tries the speech programs, listens, and serves until the handle is stopped or dropped.
    ///
    /// # Errors
    /// When the address is taken, or a speech program is missing and the mode is not fixed.
    pub async fn bind(config: Config) -> Result<(SocketAddr, ServerHandle), StartError> {
        let address = SocketAddr::new(config.host, config.port);
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let engine = match &config.fixed {
            Some(fixed) => Engine::fixed(fixed.clone()),
            None => Engine::real(config.recognisers).await?,
        };
        let faults = Faults::new(config.faults.clone());
        let app = Arc::new(App {
            config,
            engine,
            stats: Stats::default(),
            faults,
        });
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(serve(listener, Arc::clone(&app), stopping));
        Ok((
            address,
            ServerHandle {
                address,
                app,
                stop,
                task,
            },
        ))
    }
}

/// A running server. Dropping it closes everything at once.
pub struct ServerHandle {
    address: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ServerHandle {
    /// What a client is given as its base URL, such as `http://127.0.0.1:8100/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The counters of this moment.
    pub fn stats(&self) -> StatsSnapshot {
        self.app.stats.snapshot()
    }

    /// Makes the next requests of an endpoint fail; false when too many such rules are pending.
    pub fn fail(&self, rule: FaultRule) -> bool {
        self.app.faults.add(rule)
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.app.faults.clear();
    }

    /// Accepts no more, lets answers under way finish for up to 2 s, then closes what is left.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // An error would be a panic in the accept loop, which leaves nothing to wait for.
        (&mut self.task).await.ok();
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let router = router(Arc::clone(&app));
    // Dropping the set ends every connection in it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let open = OpenConnection::new(Arc::clone(&app));
                    let connection = Connection::new(open, stopping.clone());
                    connections.spawn(serve_one(stream, router.clone(), connection));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            _ = stopping.changed() => break,
        }
    }
    drop(listener);
    timeout(GRACE, async {
        while connections.join_next().await.is_some() {}
    })
    .await
    .ok();
}

fn serve_one(
    stream: TcpStream,
    router: Router,
    connection: Connection,
) -> impl Future<Output = ()> {
    // Small pieces of a stream are to leave at once.
    stream.set_nodelay(true).ok();
    let service = TowerToHyperService::new(router.layer(Extension(connection.clone())));
    async move {
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let mut serving = pin!(serving.with_upgrades());
        tokio::select! {
            // A connection that breaks is the client's business, or a fault that was asked for.
            ended = serving.as_mut() => { ended.ok(); }
            () = connection.stopping() => {
                serving.as_mut().graceful_shutdown();
                serving.await.ok();
            }
        }
    }
}
