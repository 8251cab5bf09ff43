//! How the HTTP clients of the process are built, and who gets one.
//!
//! TLS settings, name resolution and the book of connections are shared by all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use reqwest::{ClientBuilder, Response, StatusCode, Version};
use serde::Serialize;

use super::book::Slot;
use super::config::Config;
use super::connections::Ledger;
use super::connector::{ConnectorLayer, Underway};
use super::dns::CachingResolver;
use super::slots::{Slots, Taken};
use super::tls::Tls;

/// HTTP/2 pings on a silent connection, so that a dead one is noticed before a call needs it.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a ping, or data in flight, may stay unanswered before the connection counts as dead.
const PEER_SILENT_MAX: Duration = Duration::from_secs(10);

/// How the clients are that keep connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HttpClientStats {
    /// `false` when one could not be built: until it can, each request that needs it has a connection
    /// of its own.
    pub is_shared: bool,
    /// Clients that could not be built.
    pub build_failures: u64,
    /// Requests that went out without a client that keeps its connection.
    pub one_off_requests: u64,
    /// `false` when the system has no CA certificates: no https service can be reached.
    pub has_certificates: bool,
}

/// The clients and what the next ones are built from.
pub(super) struct Http {
    slots: Arc<Slots>,
    /// For requests that a library sends by itself.
    library: Mutex<Option<reqwest::Client>>,
    library_idle_max: usize,
    /// Keeps no connection: it builds requests, and sends those that there is no better client for.
    plain: reqwest::Client,
    recipe: Box<Recipe>,
    tls: Arc<Mutex<Tls>>,
    is_enabled: bool,
    is_failing: AtomicBool,
    build_failures: AtomicU64,
    one_off_requests: AtomicU64,
    evictions: AtomicU64,
}

/// How the next client is made.
type Recipe = dyn Fn(Underway) -> ClientBuilder + Send + Sync;

impl Http {
    /// Clients that are built when they are needed; until one can be, a plain one in its place.
    ///
    /// # Errors
    /// When not even the plain one can be built.
    pub(super) fn new(
        config: &Config,
        resolver: CachingResolver,
        ledger: Ledger,
    ) -> reqwest::Result<Self> {
        let tls = Arc::new(Mutex::new(Tls::load()));
        let recipe = {
            let (config, tls) = (config.clone(), Arc::clone(&tls));
            move |underway| {
                let ledger = ledger.clone();
                pooled(&config, &resolver, &tls)
                    .connector_layer(ConnectorLayer { ledger, underway })
            }
        };
        let plain = recipe(Underway::default()).pool_max_idle_per_host(0);
        Ok(Self {
            slots: Slots::new(config),
            library: Mutex::default(),
            library_idle_max: config.connections_per_host_max,
            plain: plain.build()?,
            recipe: Box::new(recipe),
            tls,
            is_enabled: config.enabled,
            is_failing: AtomicBool::new(false),
            build_failures: AtomicU64::new(0),
            one_off_requests: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        })
    }

    /// A client for building requests; sending is for [`Http::take`].
    pub(super) fn builder(&self) -> &reqwest::Client {
        &self.plain
    }

    /// The client to send a request to `host` with; for one that has a place within the limits.
    pub(super) fn take(&self, host: &Arc<str>) -> Taken {
        // What could not be built is tried again by whoever needs it.
        let build = |underway| {
            let built = self.build((self.recipe)(underway));
            built.ok_or_else(|| self.one_off())
        };
        self.slots.take(host, build)
    }

    /// Takes note of an answer over `taken`; returns whether its connection is shared.
    pub(super) fn answered(&self, taken: &Taken, response: &Response) -> bool {
        self.slots
            .answered(taken, response.version(), is_kept_open(response))
    }

    /// The client for a library that sends its requests by itself. Not to be kept: its idle
    /// connections must go when it is replaced.
    pub(super) fn library(&self) -> reqwest::Client {
        let mut kept = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            // It may send several at once.
            let client = (self.recipe)(Underway::default());
            *kept = self.build(client.pool_max_idle_per_host(self.library_idle_max));
        }
        kept.clone().unwrap_or_else(|| self.one_off())
    }

    fn one_off(&self) -> reqwest::Client {
        self.one_off_requests.fetch_add(1, Ordering::Relaxed);
        self.plain.clone()
    }

    /// Says so when trouble begins and when it ends.
    fn build(&self, client: ClientBuilder) -> Option<reqwest::Client> {
        match client.build() {
            Ok(client) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("an HTTP client could be built again, connections are shared");
                }
                Some(client)
            }
            Err(error) => {
                self.build_failures.fetch_add(1, Ordering::Relaxed);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        %error,
                        "no HTTP client could be built: calls go on with what there is, or with a \
                         connection each"
                    );
                }
                None
            }
        }
    }

    /// Drops all idle connections.
    pub(super) fn drop_all_idle(&self) {
        self.slots.drop_all_idle();
        let mut library = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = library.take();
        drop((library, dropped));
    }

    /// Drops connections that nobody has used for the idle timeout. Their clients do so, too, and
    /// take up to twice as long.
    pub(super) fn drop_expired(&self) {
        self.slots.drop_expired();
    }

    /// Drops the idle connections to a host because one of them was dead, unless that has been done.
    pub(super) fn evict(&self, failed: &Slot) {
        if self.slots.evict(failed) {
            self.evictions.fetch_add(1, Ordering::Relaxed);
            let host = &*failed.host;
            tracing::info!(
                host,
                "a kept connection was dead, all idle ones to its host were dropped"
            );
        }
    }

    /// Drops the idle connections to a host because a health check failed.
    pub(super) fn drop_idle(&self, host: &Arc<str>) {
        self.slots.drop_idle(host);
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// The TLS settings for a WebSocket, which begins as HTTP/1.1.
    pub(super) fn socket_tls(&self) -> rustls::ClientConfig {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = tls.config();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self) -> HttpClientStats {
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        HttpClientStats {
            is_shared: self.is_enabled && !self.is_failing.load(Ordering::Relaxed),
            build_failures: self.build_failures.load(Ordering::Relaxed),
            one_off_requests: self.one_off_requests.load(Ordering::Relaxed),
            has_certificates: tls.has_certificates(),
        }
    }
}

/// Whether the connection can be used again after the answer: the server says nothing of closing it,
/// and its end is not the end of the answer.
///
/// Source: RFC 9112, sections 6.3 and 9.3.
fn is_kept_open(response: &Response) -> bool {
    let (version, headers) = (response.version(), response.headers());
    let options = headers.get_all(CONNECTION).iter();
    let mut options = options
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','));
    let is_closed = options.any(|option| option.trim().eq_ignore_ascii_case("close"));
    let has_end = headers.contains_key(CONTENT_LENGTH)
        || headers.contains_key(TRANSFER_ENCODING)
        || response.status() == StatusCode::NO_CONTENT;
    version > Version::HTTP_11 || (version == Version::HTTP_11 && has_end && !is_closed)
}

fn pooled(config: &Config, resolver: &CachingResolver, tls: &Mutex<Tls>) -> ClientBuilder {
    // A client of one request has nothing to keep and no session to resume.
    let (idle_max, tls) = match config.enabled {
        true => {
            let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
            (1, tls.config())
        }
        false => (0, Tls::load().config()),
    };
    let client = reqwest::Client::builder()
        .user_agent(concat!("voxpool/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver.clone())
        .pool_idle_timeout(config.idle_timeout)
        .pool_max_idle_per_host(idle_max)
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(config.tcp_keepalive)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(PEER_SILENT_MAX)
        .http2_keep_alive_while_idle(true)
        // A redirected POST loses its body or its key; the address has to be set right.
        .redirect(reqwest::redirect::Policy::none())
        // The stack retries, and nobody beneath it.
        .retry(reqwest::retry::never());
    #[cfg(target_os = "linux")]
    let client = client.tcp_user_timeout(PEER_SILENT_MAX);
    client
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
