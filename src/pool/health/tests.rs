use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::super::config::Config;
use super::super::connections::ConnectionStats;
use super::super::{BreakerConfig, CallSpec, HostStats, Lease};
use super::*;
use crate::error::Service;

const SECOND: Duration = Duration::from_secs(1);

/// A service with a switch, asked through the pool like any other.
struct Switched {
    pool: ConnectionPool,
    service: Service,
    is_down: Arc<Mutex<Option<ErrorKind>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    attempts: AtomicU64,
    cleanups: AtomicU64,
    closed: AtomicU64,
}

impl Switched {
    fn call(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let spec = CallSpec::new(self.service, "select", None, SECOND);
        let (pool, is_down) = (self.pool.clone(), Arc::clone(&self.is_down));
        let counts = Arc::clone(&self.counts);
        async move {
            let ask = move |lease: Lease| {
                counts.attempts.fetch_add(1, Ordering::SeqCst);
                let failure = *is_down.lock().unwrap();
                let result = failure.map_or(Ok(()), |kind| Err(lease.spec().error(kind)));
                async move { result }
            };
            pool.call(spec, ask).await
        }
        .boxed()
    }

    fn down(&self, kind: Option<ErrorKind>) {
        *self.is_down.lock().unwrap() = kind;
    }

    fn attempts(&self) -> u64 {
        self.counts.attempts.load(Ordering::SeqCst)
    }

    async fn host(&self) -> HostStats {
        let stats = self.pool.stats().await;
        let service = (stats.services.into_iter()).find(|it| it.service == self.service);
        service.unwrap().hosts.remove(0)
    }

    async fn state(&self) -> BreakerState {
        self.host().await.breaker.unwrap().state
    }
}

impl Backend for Switched {
    fn service(&self) -> Service {
        self.service
    }

    fn connections(&self) -> ConnectionStats {
        ConnectionStats::default()
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        self.call()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        self.counts.cleanups.fetch_add(1, Ordering::SeqCst);
        async {}.boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.counts.closed.fetch_add(1, Ordering::SeqCst);
        async {}.boxed()
    }
}

/// A backend on a pool whose calls are tried once.
fn backend() -> Arc<Switched> {
    let pool = ConnectionPool::new(Config {
        retries_max: 0,
        breaker: BreakerConfig {
            open: 5 * SECOND,
            ..BreakerConfig::default()
        },
        ..Config::default()
    })
    .unwrap();
    let backend = Arc::new(Switched {
        pool: pool.clone(),
        service: Service::Postgres,
        is_down: Arc::default(),
        counts: Arc::default(),
    });
    pool.register(Arc::clone(&backend) as _);
    backend
}

/// Lets the monitor run for a while of virtual time.
async fn monitored(backend: &Switched, seconds: u32) {
    tokio::select! {
        () = backend.pool.monitor() => {}
        () = sleep(seconds * SECOND + Duration::from_millis(1)) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_silent_is_asked_every_five_minutes() {
    let backend = backend();
    monitored(&backend, 3600).await;
    assert_eq!(
        backend.attempts(),
        12,
        "60, 360, 660 … seconds after the start"
    );
    let check = backend.host().await.last_check.unwrap();
    assert_eq!((check.result, check.checks, check.failures), ("ok", 12, 0));
}

/// A service whose probes never end.
struct Hung(AtomicU64);

impl Backend for Hung {
    fn service(&self) -> Service {
        Service::Redis
    }

    fn connections(&self) -> ConnectionStats {
        ConnectionStats::default()
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().boxed()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_its_time_delays_no_other() {
    let backend = backend();
    let hung = Arc::new(Hung(AtomicU64::new(0)));
    backend.pool.register(Arc::clone(&hung) as _);
    monitored(&backend, 3600).await;
    assert_eq!(backend.attempts(), 12);
    assert_eq!(hung.0.load(Ordering::SeqCst), 1, "asked, and not twice");
}

/// A service whose client has a bug.
struct Buggy;

impl Backend for Buggy {
    fn service(&self) -> Service {
        Service::Redis
    }

    fn connections(&self) -> ConnectionStats {
        ConnectionStats::default()
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        async { panic!("as the test wished") }.boxed()
    }

    fn cleanup(&self) -> BoxFuture<'static, ()> {
        panic!("as the test wished")
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_has_failed_and_ends_no_other() {
    let backend = backend();
    backend.pool.register(Arc::new(Buggy));
    monitored(&backend, 180).await;
    let key = Key::of_callers(Service::Redis, None);
    let check = backend.pool.0.health.last_check(&key).unwrap();
    assert_eq!((check.result, check.checks), ("unavailable", 3));
    assert_eq!(check.failures, 3);
    assert_eq!(backend.attempts(), 1, "the other was asked, too");
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn connections_that_are_gone_are_noticed_although_nobody_asks() {
    let backend = backend();
    let ledger = &backend.pool.0.shared.ledger;
    ledger.opened((([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()));
    monitored(&backend, 60).await;
    assert_eq!(ledger.n_remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_answered_is_not_asked() {
    let backend = backend();
    let busy = async {
        for _ in 0..60 {
            backend.call().await.unwrap();
            sleep(60 * SECOND).await;
        }
    };
    tokio::select! {
        () = backend.pool.monitor() => {}
        () = busy => {}
    }
    assert_eq!(backend.attempts(), 60);
}

#[tokio::test(start_paused = true)]
async fn what_is_down_is_asked_every_minute_until_it_is_back() {
    let backend = backend();
    backend.down(Some(ErrorKind::Unavailable));
    monitored(&backend, 180).await;
    assert_eq!(backend.attempts(), 3);
    let cleanups = backend.counts.cleanups.load(Ordering::SeqCst);
    assert_eq!(cleanups, 1, "once, when it went down");
    assert_eq!(
        backend.host().await.last_check.unwrap().result,
        "unavailable"
    );

    backend.down(None);
    monitored(&backend, 60).await;
    let check = backend.host().await.last_check.unwrap();
    assert_eq!((check.result, check.failures), ("ok", 3));
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_found_to_be_back_is_asked_again_when_it_is_silent() {
    let backend = backend();
    backend.down(Some(ErrorKind::Unavailable));
    monitored(&backend, 60).await;
    backend.down(None);
    backend.call().await.unwrap();
    assert_eq!(backend.attempts(), 2);
    monitored(&backend, 290).await;
    assert_eq!(backend.attempts(), 2, "it has answered");
    monitored(&backend, 300).await;
    assert_eq!(backend.attempts(), 3);
    assert_eq!(backend.host().await.last_check.unwrap().result, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_drops_no_connections() {
    let backend = backend();
    backend.down(Some(ErrorKind::Unauthorized));
    monitored(&backend, 60).await;
    assert_eq!(
        backend.host().await.last_check.unwrap().result,
        "unauthorized"
    );
    assert_eq!(backend.counts.cleanups.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_at_once_and_the_monitor_closes_it() {
    let backend = backend();
    backend.down(Some(ErrorKind::Timeout));
    for _ in 0..5 {
        backend.call().await.unwrap_err();
    }
    assert_eq!(backend.state().await, BreakerState::Open);
    let began = Instant::now();
    let error = backend.call().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CircuitOpen);
    assert!(error.retry_after.unwrap() >= 5 * SECOND);
    assert_eq!((began.elapsed(), backend.attempts()), (Duration::ZERO, 5));
    let spoken = backend.pool.stats().await.spoken();
    assert!(spoken.contains("is not asked for the moment"), "{spoken}");

    backend.down(None);
    monitored(&backend, 8).await;
    assert_eq!(backend.state().await, BreakerState::Closed);
    assert_eq!(backend.attempts(), 7, "two probes, and no caller's call");
    let spoken = backend.pool.stats().await.spoken();
    assert!(!spoken.contains("failing"), "{spoken}");
    backend.call().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_monitor_hears_of_a_breaker_that_opens_while_it_sleeps() {
    let backend = backend();
    backend.down(Some(ErrorKind::Unavailable));
    let trouble = async {
        sleep(SECOND).await;
        for _ in 0..5 {
            backend.call().await.unwrap_err();
        }
        backend.down(None);
        sleep(8 * SECOND).await;
    };
    tokio::select! {
        () = backend.pool.monitor() => {}
        () = trouble => {}
    }
    assert_eq!(backend.state().await, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_down_is_probed_ever_more_rarely() {
    let backend = backend();
    backend.down(Some(ErrorKind::Unavailable));
    for _ in 0..5 {
        backend.call().await.unwrap_err();
    }
    monitored(&backend, 600).await;
    let probes = backend.attempts() - 5;
    // After 5, 10, 20, 40 s and then every minute, each up to a fifth longer.
    assert!((10..=14).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn closing_closes_the_backends() {
    let backend = backend();
    backend.pool.close().await;
    assert_eq!(backend.counts.closed.load(Ordering::SeqCst), 1);
}
