//! The connection pool: the one way out of the process, shared by all calls.
//!
//! Built once, cloned freely. [`ConnectionPool::call`] and [`ConnectionPool::stream`] run a request
//! through the stack of its service (`stack.rs`) and hand it a [`Lease`], which is the only access
//! to the HTTP client. [`ConnectionPool::stats`] tells what happened, [`ConnectionPool::cleanup`]
//! drops what is idle.
//!
//! **Invariant:** no caller's words or sounds pass through here into a log; errors carry codes.
//! What a request looks like is the providers' business (`stt`, `llm`, `tts`), not the pool's.

mod adaptive;
mod backend;
mod book;
mod breaker;
mod budget;
mod call;
mod choice;
mod classify;
mod cleanup;
mod config;
mod connections;
mod connector;
mod decode;
mod demand;
mod dns;
mod endpoint;
mod fit;
mod gate;
mod guard;
mod health;
mod hedge;
mod histogram;
mod http;
mod http_client;
mod learnt;
mod openai;
mod parallel;
mod permits;
mod prewarm;
mod proxy;
mod queue;
mod recorder;
mod refusal;
mod retry;
mod slots;
mod socket;
mod socket_table;
mod sockets;
mod spec;
mod sse;
mod stack;
mod stats;
mod stream;
mod supabase;
mod tls;
mod urgency;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::dns::Resolve;
use tokio::time::Instant;
use tower::ServiceExt;

pub use self::adaptive::Config as AdaptiveConfig;
pub use self::backend::Backend;
pub use self::breaker::{BreakerState, Config as BreakerConfig};
pub use self::call::Lease;
pub(crate) use self::choice::{Candidate, Choice, shares};
pub use self::choice::{CandidateStats, StageStats};
pub(crate) use self::classify::from_openai;
pub use self::cleanup::CleanupReport;
pub use self::config::Config;
pub use self::connections::ConnectionStats;
pub(crate) use self::decode::{Decode, Fault, decode};
pub use self::dns::DnsStats;
pub(crate) use self::endpoint::{Addresses, encoded, fallback_key};
pub use self::endpoint::{
    Config as EndpointConfig, Endpoint, EndpointError, Explain, OPENAI_BASE_URL,
};
pub use self::http::HttpClientStats;
pub use self::http_client::HttpClient;
pub use self::learnt::LearntStats;
pub use self::openai::OpenAiClient;
pub use self::parallel::{PARALLEL_TIMEOUT, parallel_ai_calls};
pub use self::refusal::Refusal;
pub(crate) use self::refusal::refusal_in_stream;
pub use self::sockets::{Opening, SocketPlan, Sockets, TakenSocket};
pub use self::spec::{CallSpec, Priority};
pub(crate) use self::sse::SseDecoder;
pub use self::stats::{
    BreakerStats, CheckStats, HostStats, HttpHostStats, LatencyStats, LimitStats, OperationStats,
    PermitStats, PoolStats, ServiceStats, WaitStats,
};
pub use self::stream::{IDLE_TIMEOUT_MIN, Items};
pub use self::supabase::{SupabaseClient, SupabaseProject};
pub use self::urgency::{CallOptions, CallerId, PermitWait, Urgency};

use self::call::Call;
use self::recorder::{InFlight, Recorder};
use self::stack::Stack;
use crate::error::{CallError, Service};

/// The pool could not be built; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built: check the proxy and TLS settings of the environment")]
pub struct BuildError(#[from] reqwest::Error);

/// The shared clients of the process and the guarded way to them. Clones are the same pool.
#[derive(Clone)]
pub struct ConnectionPool(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    stacks: HashMap<Service, (Stack, Recorder)>,
    started: Instant,
    cleanups: Mutex<cleanup::Log>,
    prewarming: tokio::sync::Mutex<()>,
    backends: backend::Backends,
    health: health::Health,
    choices: Mutex<Vec<choice::Shown>>,
    sockets: Mutex<Vec<std::sync::Weak<sockets::Set>>>,
    missing: Mutex<BTreeMap<Service, String>>,
    learnt: learnt::Learnt,
}

/// What an attempt needs.
struct Shared {
    config: Config,
    http: http::Http,
    permits: Arc<permits::Permits>,
    gates: Arc<gate::Gates>,
    ledger: connections::Ledger,
    resolver: dns::CachingResolver,
    /// Of the environment; the HTTP client reads them itself.
    proxies: Matcher,
    /// Pieces of streamed answers that could not be read and were skipped.
    unreadable_pieces: Arc<AtomicU64>,
}

impl ConnectionPool {
    /// Builds the clients; opens no connection yet (see [`ConnectionPool::prewarm`]). What cannot be
    /// built now is built by the first call that needs it, and done without until then.
    ///
    /// # Errors
    /// When not even the plainest HTTP client can be built.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let resolver = dns::CachingResolver::system(config.dns_ttl);
        Self::build(config, resolver)
    }

    /// The same, with names looked up by `resolver` in place of the operating system, as where the
    /// addresses of services are in a registry. Its answers are kept as long as the system's would be
    /// ([`Config::dns_ttl`]). It is asked for HTTP and the pool's WebSockets; a [`Backend`] connects
    /// by itself.
    ///
    /// # Errors
    /// As [`ConnectionPool::new`].
    pub fn with_resolver(
        config: Config,
        resolver: impl Resolve + 'static,
    ) -> Result<Self, BuildError> {
        let resolver = dns::CachingResolver::asking(config.dns_ttl, resolver);
        Self::build(config, resolver)
    }

    fn build(config: Config, resolver: dns::CachingResolver) -> Result<Self, BuildError> {
        let ledger = connections::Ledger::default();
        let shared = Arc::new(Shared {
            http: http::Http::new(&config, resolver.clone(), ledger.clone())?,
            permits: permits::Permits::new(&config),
            gates: Arc::new(gate::Gates::new(&config)),
            ledger,
            resolver,
            proxies: Matcher::from_system(),
            unreadable_pieces: Arc::default(),
            config,
        });
        let started = Instant::now();
        let stack = |service| {
            let recorder = Recorder::new(service, started);
            let rules = retry::Rules::new(&shared.config);
            let stack = stack::build(&shared, rules, recorder.clone());
            (service, (stack, recorder))
        };
        Ok(Self(Arc::new(Inner {
            stacks: Service::ALL.into_iter().map(stack).collect(),
            shared,
            started,
            cleanups: Mutex::default(),
            prewarming: tokio::sync::Mutex::default(),
            backends: backend::Backends::default(),
            health: health::Health::default(),
            choices: Mutex::default(),
            sockets: Mutex::default(),
            missing: Mutex::default(),
            learnt: learnt::Learnt::default(),
        })))
    }

    /// Runs one call through the stack of its service. `run` makes one attempt; it is called again
    /// for each retry, and must not have an effect that cannot be repeated.
    ///
    /// # Errors
    /// The last attempt's, or why there was none.
    ///
    /// Cancel safety: dropping the future drops the attempt and closes its request.
    pub async fn call<T, F, Fut>(&self, spec: CallSpec, run: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Fn(Lease) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let in_flight = self.begin(&spec);
        let result = self.pass(spec, run).await;
        drop(in_flight);
        result
    }

    /// The numbers of this moment.
    pub async fn stats(&self) -> PoolStats {
        let pool = self.clone();
        let stats = tokio::task::spawn_blocking(move || pool.stats_blocking());
        // A runtime that shuts down starts no more of them.
        stats.await.unwrap_or_else(|_| self.stats_blocking())
    }

    /// The numbers of this moment. Reads the kernel's socket table, so it is not for a thread of
    /// the async runtime.
    pub fn stats_blocking(&self) -> PoolStats {
        let shared = &self.0.shared;
        let (connections, by_service) = shared.ledger.observe();
        let of_service = |service: Service| {
            let own = self.0.backends.get(service).map(|it| it.connections());
            let connections =
                own.unwrap_or_else(|| by_service.get(&service).copied().unwrap_or_default());
            self.recorder(service)
                .stats(connections, self.hosts(service))
        };
        PoolStats {
            uptime_seconds: self.0.started.elapsed().as_secs_f64(),
            connections,
            http_client: shared.http.stats(),
            permits: shared.permits.stats(),
            http_hosts: shared.permits.hosts(),
            dns: shared.resolver.stats(),
            evictions: shared.http.evictions(),
            cleanups: self.cleanup_log().count,
            services: Service::ALL.into_iter().filter_map(of_service).collect(),
            stages: self.choices().iter().map(choice::Shown::stats).collect(),
            missing: self.missing().clone(),
            unreadable_pieces: shared.unreadable_pieces.load(Ordering::Relaxed),
            learnt: self.0.learnt.stats(),
        }
    }

    /// The part of the tightest limit that was wanted at once lately, where callers wait: above 1
    /// where requests had to wait for permits. For the admission of further calls.
    pub fn demand(&self) -> f32 {
        self.0.shared.permits.demand()
    }

    /// What is known of each host of a service.
    fn hosts(&self, service: Service) -> Vec<HostStats> {
        let gates = self.0.shared.gates.of(service);
        let keys: BTreeSet<_> = (gates.iter().map(|gate| gate.key.clone()))
            .chain(self.0.health.keys_of(service))
            .collect();
        let hosts = keys.into_iter().map(|key| {
            let gate = gates.iter().find(|gate| gate.key == key);
            HostStats {
                host: key.host.as_deref().map(str::to_owned),
                priority: key.priority,
                breaker: gate.and_then(|gate| gate.breaker_stats()),
                limit: self.0.shared.permits.limit(&key),
                last_check: self.0.health.last_check(&key),
            }
        });
        hosts.collect()
    }

    /// Sends `run` through the stack and brings back what it yielded.
    async fn pass<T, F, Fut>(&self, spec: CallSpec, run: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Fn(Lease) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let yielded = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&yielded);
        let attempt = move |lease: Lease| {
            let (attempt, kept) = (run(lease), Arc::clone(&kept));
            let attempt = async move {
                let value = attempt.await?;
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            };
            Box::pin(attempt) as futures::future::BoxFuture<'static, _>
        };
        let stack = self.0.stacks[&spec.service].0.clone();
        stack.oneshot(Call::new(spec, Arc::new(attempt))).await?;
        let value = yielded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(value.expect("an attempt that succeeded has left its value"))
    }

    /// Shows a choice in the statistics.
    fn show(&self, choice: choice::Shown) {
        self.choices().push(choice);
    }

    fn choices(&self) -> std::sync::MutexGuard<'_, Vec<choice::Shown>> {
        (self.0.choices.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows in the statistics that calls go on without a service, because its client could not be
    /// made; `why` is for an operator and holds no secret.
    pub fn go_without(&self, service: Service, why: String) {
        self.missing().insert(service, why);
    }

    /// The opposite: the service is there. Returns whether calls went on without it.
    pub fn go_on_with(&self, service: Service) -> bool {
        self.missing().remove(&service).is_some()
    }

    fn missing(&self) -> std::sync::MutexGuard<'_, BTreeMap<Service, String>> {
        (self.0.missing.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker_rules(&self) -> &BreakerConfig {
        &self.0.shared.config.breaker
    }

    fn begin(&self, spec: &CallSpec) -> InFlight {
        self.recorder(spec.service).begin(spec.operation)
    }

    fn recorder(&self, service: Service) -> &Recorder {
        &self.0.stacks[&service].1
    }
}
