//! The one HTTP client of the process, and its replacement when the sockets it keeps went bad.
//!
//! reqwest cannot be told to drop its idle connections, but a client can be dropped as a whole: a
//! fresh one takes its place and calls in flight keep the old one until they end. TLS settings,
//! name resolution and the book of connections outlive every generation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use reqwest::ClientBuilder;
use serde::Serialize;

use super::config::Config;
use super::connections::Ledger;
use super::dns::CachingResolver;
use super::tls::Tls;

/// HTTP/2 pings on a silent connection, so that a dead one is noticed before a call needs it.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a ping, or data in flight, may stay unanswered before the connection counts as dead.
const PEER_SILENT_MAX: Duration = Duration::from_secs(10);

/// How the shared HTTP client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HttpClientStats {
    /// `false` when it could not be built: until it can, each request has a connection of its own.
    pub is_shared: bool,
    /// Clients that could not be built.
    pub build_failures: u64,
    /// Requests that went out without the shared client.
    pub one_off_requests: u64,
    /// `false` when the system has no CA certificates: no https service can be reached.
    pub has_certificates: bool,
}

/// The current client and what the next one is built from.
pub(super) struct Http {
    current: RwLock<Arc<Generation>>,
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
type Recipe = dyn Fn() -> ClientBuilder + Send + Sync;

/// A client with its own set of idle connections.
pub(super) struct Generation {
    pub(super) client: reqwest::Client,
    number: u64,
    /// The plain client, in the place of one that could not be built.
    is_one_off: bool,
    /// Whether any answer came over this client: before that, no failure can be a stale socket's.
    has_answered: AtomicBool,
}

impl Generation {
    fn new(client: reqwest::Client, number: u64) -> Self {
        Self {
            client,
            number,
            is_one_off: false,
            has_answered: AtomicBool::new(false),
        }
    }

    pub(super) fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }
}

impl Http {
    /// The client, or a plain one in its place until it can be built.
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
            move || pooled(&config, &resolver, &ledger, &tls)
        };
        let plain = recipe().pool_max_idle_per_host(0).build()?;
        Ok(Self::with(plain, config.enabled, tls, Box::new(recipe)))
    }

    fn with(
        plain: reqwest::Client,
        is_enabled: bool,
        tls: Arc<Mutex<Tls>>,
        recipe: Box<Recipe>,
    ) -> Self {
        let one_off = Generation {
            is_one_off: true,
            ..Generation::new(plain.clone(), 0)
        };
        let http = Self {
            current: RwLock::new(Arc::new(one_off)),
            plain,
            recipe,
            tls,
            is_enabled,
            is_failing: AtomicBool::new(false),
            build_failures: AtomicU64::new(0),
            one_off_requests: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        };
        http.replace();
        http
    }

    /// TLS for connections that become WebSockets: those begin as HTTP/1.1.
    pub(super) fn websocket_tls(&self) -> Arc<rustls::ClientConfig> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = tls.config();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// A client for building requests; sending is for [`Http::current`].
    pub(super) fn builder(&self) -> &reqwest::Client {
        &self.plain
    }

    /// The client to send a request with. Not to be kept longer than it takes to be answered.
    pub(super) fn current(&self) -> Arc<Generation> {
        let kept = self.kept();
        if !self.is_enabled {
            // For measurements only: what every request would cost without the pool.
            return self.build(kept.number).map_or(kept, Arc::new);
        }
        if !kept.is_one_off {
            return kept;
        }
        // What could not be built is tried again by whoever needs it.
        self.swap(kept.number);
        let kept = self.kept();
        if kept.is_one_off {
            self.one_off_requests.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    fn kept(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says so when trouble begins and when it ends.
    fn build(&self, number: u64) -> Option<Generation> {
        match (self.recipe)().build() {
            Ok(client) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the HTTP client could be built again, connections are shared");
                }
                Some(Generation::new(client, number))
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

    /// Drops all idle connections; returns whether that was possible.
    pub(super) fn replace(&self) -> bool {
        // When somebody else was faster they have just been dropped.
        self.swap(self.number()).is_some()
    }

    /// Puts a fresh client in the place of number `expected`; `Some(false)` when another is there
    /// by now, `None` when none could be built.
    fn swap(&self, expected: u64) -> Option<bool> {
        // Built before the lock is taken: requests go on meanwhile.
        let next = Arc::new(self.build(expected + 1)?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_expected = current.number == expected;
        let old = is_expected.then(|| std::mem::replace(&mut *current, next));
        drop(current);
        // It closes what it kept: nobody has to wait for that with the lock.
        drop(old);
        Some(is_expected)
    }

    fn number(&self) -> u64 {
        self.kept().number
    }

    /// Drops all idle connections because one of `failed`'s was dead, unless that has been done.
    pub(super) fn evict(&self, failed: &Generation) {
        let has_kept = failed.has_answered.load(Ordering::Relaxed);
        let is_current = self.number() == failed.number;
        if has_kept && is_current && self.swap(failed.number) == Some(true) {
            self.evictions.fetch_add(1, Ordering::Relaxed);
            tracing::info!("a kept connection was dead, all idle connections were dropped");
        }
    }

    /// Drops all idle connections because a health check failed.
    pub(super) fn drop_idle(&self) {
        if self.replace() {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self) -> HttpClientStats {
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        HttpClientStats {
            is_shared: self.is_enabled && !self.kept().is_one_off,
            build_failures: self.build_failures.load(Ordering::Relaxed),
            one_off_requests: self.one_off_requests.load(Ordering::Relaxed),
            has_certificates: tls.has_certificates(),
        }
    }
}

fn pooled(
    config: &Config,
    resolver: &CachingResolver,
    ledger: &Ledger,
    tls: &Mutex<Tls>,
) -> ClientBuilder {
    // A client of one request has nothing to keep and no session to resume.
    let (idle_max, tls) = match config.enabled {
        true => {
            let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
            (config.connections_per_host_max, tls.config())
        }
        false => (0, Tls::load().config()),
    };
    let client = reqwest::Client::builder()
        .user_agent(concat!("voxpool/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver.clone())
        .connector_layer(ledger.layer())
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
mod tests {
    use super::*;

    /// A client whose recipe works while the switch says so.
    fn http() -> (Http, Arc<AtomicBool>) {
        let works = Arc::new(AtomicBool::new(true));
        let switch = Arc::clone(&works);
        let (resolver, ledger) = (
            CachingResolver::system(Duration::from_secs(1)),
            Ledger::default(),
        );
        let tls = Arc::new(Mutex::new(Tls::load()));
        let own = Arc::clone(&tls);
        let recipe = move || {
            let client = pooled(&Config::default(), &resolver, &ledger, &own);
            match switch.load(Ordering::Relaxed) {
                true => client,
                // No header may hold that.
                false => client.user_agent("two\nlines"),
            }
        };
        let plain = recipe().build().unwrap();
        works.store(false, Ordering::Relaxed);
        (Http::with(plain, true, tls, Box::new(recipe)), works)
    }

    #[test]
    fn a_client_that_cannot_be_built_is_done_without_and_built_by_who_needs_it() {
        let (http, works) = http();
        assert!(http.current().is_one_off && http.current().is_one_off);
        let stats = http.stats();
        assert!(!stats.is_shared);
        assert_eq!((stats.build_failures, stats.one_off_requests), (3, 2));
        works.store(true, Ordering::Relaxed);
        assert!(!http.current().is_one_off);
        let stats = http.stats();
        assert!(stats.is_shared);
        assert_eq!((stats.build_failures, stats.one_off_requests), (3, 2));
    }

    #[test]
    fn a_client_that_cannot_be_replaced_stays() {
        let (http, works) = http();
        works.store(true, Ordering::Relaxed);
        let before = http.current();
        works.store(false, Ordering::Relaxed);
        assert!(!http.replace());
        assert!(Arc::ptr_eq(&before, &http.current()));
        works.store(true, Ordering::Relaxed);
        assert!(http.replace());
        assert!(!Arc::ptr_eq(&before, &http.current()));
    }

    #[test]
    fn many_that_meet_a_dead_connection_at_once_drop_the_idle_ones_once() {
        let (http, works) = http();
        works.store(true, Ordering::Relaxed);
        let failed = http.current();
        http.evict(&failed);
        assert_eq!(http.evictions(), 0, "nothing had been kept");
        failed.note_answer();
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| http.evict(&failed));
            }
        });
        assert_eq!(http.evictions(), 1);
        http.evict(&failed);
        assert_eq!(http.evictions(), 1, "it has been done");
    }
}
