use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::super::config::Config;
use super::super::connections::ConnectionStats;
use super::super::{AdaptiveConfig, BreakerConfig, CallSpec, HostStats};
use super::*;

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
            let ask = move |lease: super::super::Lease| {
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
async fn dropped_calls_are_no_failures_and_keep_nothing() {
    let backend = backend();
    let forever = || {
        let spec = CallSpec::new(Service::Postgres, "select", None, SECOND);
        let never = |_| std::future::pending::<Result<(), CallError>>();
        backend.pool.call(spec, never)
    };
    for _ in 0..100 {
        assert!(forever().now_or_never().is_none());
    }
    let host = backend.host().await;
    assert_eq!(host.breaker.unwrap().state, BreakerState::Closed);
    assert_eq!(host.limit.unwrap().in_use, 0);
    assert_eq!(host.limit.unwrap().limit, 30);

    // Also as probes of a breaker that is half-open.
    backend.down(Some(ErrorKind::Unavailable));
    for _ in 0..5 {
        backend.call().await.unwrap_err();
    }
    sleep(6 * SECOND).await;
    for _ in 0..100 {
        assert!(forever().now_or_never().is_none());
    }
    backend.down(None);
    backend.call().await.unwrap();
    backend.call().await.unwrap();
    assert_eq!(backend.state().await, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn overload_lowers_the_limit_and_waiting_for_a_place_is_within_the_deadline() {
    let backend = backend();
    for _ in 0..10 {
        backend.down(Some(ErrorKind::RateLimited));
        backend.call().await.unwrap_err();
        sleep(SECOND).await;
    }
    assert_eq!(backend.host().await.limit.unwrap().limit, 4);
    assert_eq!(
        backend.state().await,
        BreakerState::Closed,
        "a 429 is an answer"
    );

    let spec = CallSpec::new(Service::Postgres, "select", None, SECOND);
    let never = |_| std::future::pending::<Result<(), CallError>>();
    let calls = (0..6).map(|_| backend.pool.call(spec.clone(), never));
    let results = join_all(calls).await;
    let kinds: Vec<_> = (results.into_iter())
        .map(|it| it.unwrap_err().kind)
        .collect();
    let of = |kind| kinds.iter().filter(|it| **it == kind).count();
    assert_eq!((of(ErrorKind::Timeout), of(ErrorKind::Saturated)), (4, 2));
    assert_eq!(backend.host().await.limit.unwrap().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_attempt_is_hedged_and_the_first_answer_wins() {
    let backend = backend();
    let attempts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&attempts);
    let spec = CallSpec::new(Service::Postgres, "select", None, 10 * SECOND).hedge_after(SECOND);
    let began = Instant::now();
    let answer = backend.pool.call(spec, move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(if number == 0 { 5 * SECOND } else { SECOND }).await;
            Ok(number)
        }
    });
    assert_eq!(answer.await.unwrap(), 1, "the second was faster");
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
    assert_eq!(backend.pool.stats().await.services[0].hedges, 1);
}

#[tokio::test(start_paused = true)]
async fn closing_closes_the_backends() {
    let backend = backend();
    backend.pool.close().await;
    assert_eq!(backend.counts.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn without_breaker_and_limit_every_call_passes() {
    let config = Config {
        retries_max: 0,
        breaker: BreakerConfig {
            enabled: false,
            ..BreakerConfig::default()
        },
        adaptive: AdaptiveConfig {
            enabled: false,
            ..AdaptiveConfig::default()
        },
        ..Config::default()
    };
    let pool = ConnectionPool::new(config).unwrap();
    for _ in 0..50 {
        let spec = CallSpec::new(Service::Postgres, "select", None, SECOND);
        let fail = |lease: super::super::Lease| async move {
            Err::<(), _>(lease.spec().error(ErrorKind::Unavailable))
        };
        let error = pool.call(spec, fail).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    let host = &pool.stats().await.services[0].hosts[0];
    assert!(host.breaker.is_none() && host.limit.is_none());
}
