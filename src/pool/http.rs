//! The one HTTP client of the process, and its replacement when the sockets it keeps went bad.
//!
//! reqwest cannot be told to drop its idle connections, but a client can be dropped as a whole: a
//! fresh one takes its place and calls in flight keep the old one until they end. TLS settings,
//! name resolution and the book of connections outlive every generation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::config::Config;
use super::connections::Ledger;
use super::dns::CachingResolver;

/// HTTP/2 pings on a silent connection, so that a dead one is noticed before a call needs it.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a ping, or data in flight, may stay unanswered before the connection counts as dead.
const PEER_SILENT_MAX: Duration = Duration::from_secs(10);

/// The current client and what the next one is built from.
pub(super) struct Http {
    current: RwLock<Arc<Generation>>,
    /// Builds requests and never sends one, so it has no connections to keep.
    builder: reqwest::Client,
    blueprint: Blueprint,
    evictions: AtomicU64,
}

/// A client with its own set of idle connections.
pub(super) struct Generation {
    pub(super) client: reqwest::Client,
    number: u64,
    /// Whether any answer came over this client: before that, no failure can be a stale socket's.
    has_answered: AtomicBool,
}

impl Generation {
    pub(super) fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }
}

struct Blueprint {
    config: Config,
    tls: rustls::ClientConfig,
    resolver: CachingResolver,
    ledger: Ledger,
}

impl Http {
    pub(super) fn new(
        config: &Config,
        resolver: CachingResolver,
        ledger: Ledger,
    ) -> reqwest::Result<Self> {
        let blueprint = Blueprint {
            config: config.clone(),
            tls: tls_config(),
            resolver,
            ledger,
        };
        let first = blueprint.build(0)?;
        let builder = blueprint.build(0)?.client.clone();
        Ok(Self {
            current: RwLock::new(first),
            builder,
            blueprint,
            evictions: AtomicU64::new(0),
        })
    }

    /// A client for building requests; sending is for [`Http::current`].
    pub(super) fn builder(&self) -> &reqwest::Client {
        &self.builder
    }

    /// The client to send a request with. Not to be kept longer than it takes to be answered.
    pub(super) fn current(&self) -> Arc<Generation> {
        let kept = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        if self.blueprint.config.enabled {
            return kept;
        }
        // For measurements only: what every request would cost without the pool.
        self.blueprint.build(kept.number).unwrap_or(kept)
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
        let next = match self.blueprint.build(expected + 1) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "no new HTTP client could be built, the old one stays");
                return None;
            }
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_expected = current.number == expected;
        let old = is_expected.then(|| std::mem::replace(&mut *current, next));
        drop(current);
        // It closes what it kept: nobody has to wait for that with the lock.
        drop(old);
        Some(is_expected)
    }

    fn number(&self) -> u64 {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.number
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
}

impl Blueprint {
    fn build(&self, number: u64) -> reqwest::Result<Arc<Generation>> {
        let config = &self.config;
        // A client of one request has nothing to keep and no session to resume.
        let (idle_max, tls) = match config.enabled {
            true => (config.connections_per_host_max, self.tls.clone()),
            false => (0, tls_config()),
        };
        let client = reqwest::Client::builder()
            .user_agent(concat!("voxpool/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.resolver.clone())
            .connector_layer(self.ledger.layer())
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
        Ok(Arc::new(Generation {
            client: client.build()?,
            number,
            has_answered: AtomicBool::new(false),
        }))
    }
}

/// TLS with the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), loaded
/// once; sessions are resumed across generations.
pub(super) fn tls_config() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3");
    let mut tls = match rustls_platform_verifier::Verifier::new(provider) {
        Ok(verifier) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
        Err(error) => {
            tracing::error!(
                %error,
                "no CA certificates found, https services cannot be reached: \
                 install ca-certificates or set SSL_CERT_FILE"
            );
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth()
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tls
}
