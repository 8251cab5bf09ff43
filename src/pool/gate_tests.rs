use std::sync::atomic::AtomicU64;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, StreamExt};
use tokio::time::sleep;

use super::super::{AdaptiveConfig, BreakerConfig, ConnectionPool, HostStats, Lease, LimitStats};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A pool whose calls are tried once.
fn pool() -> ConnectionPool {
    let config = Config {
        retries_max: 0,
        ..Config::default()
    };
    ConnectionPool::new(config).unwrap()
}

/// What calls of these tests are.
fn spec(host: Option<&str>) -> CallSpec {
    CallSpec::new(Service::Http, "get", host.map(Arc::from), SECOND)
}

type Called = BoxFuture<'static, Result<(), ErrorKind>>;

/// A call that succeeds, or fails in this way.
fn call(pool: &ConnectionPool, host: Option<&str>, failure: Option<ErrorKind>) -> Called {
    let (pool, spec) = (pool.clone(), spec(host));
    let ask = move |lease: Lease| async move {
        failure.map_or(Ok(()), |kind| Err(lease.spec().error(kind)))
    };
    async move { pool.call(spec, ask).await.map_err(|error| error.kind) }.boxed()
}

/// A call that gets no answer.
fn unanswered(pool: &ConnectionPool) -> Called {
    let pool = pool.clone();
    let never = |_| std::future::pending::<Result<(), CallError>>();
    async move {
        pool.call(spec(None), never)
            .await
            .map_err(|error| error.kind)
    }
    .boxed()
}

async fn host(pool: &ConnectionPool) -> HostStats {
    pool.stats().await.services.remove(0).hosts.remove(0)
}

async fn state(pool: &ConnectionPool) -> BreakerState {
    host(pool).await.breaker.unwrap().state
}

async fn limit(pool: &ConnectionPool) -> LimitStats {
    host(pool).await.limit.unwrap()
}

async fn open(pool: &ConnectionPool) {
    for _ in 0..5 {
        let result = call(pool, None, Some(ErrorKind::Unavailable)).await;
        assert_eq!(result, Err(ErrorKind::Unavailable));
    }
    assert_eq!(state(pool).await, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_makes_no_attempt_and_says_when_to_come_back() {
    let pool = pool();
    open(&pool).await;
    let no_attempt = |_| async { unreachable!("an attempt is made") };
    let refused: CallError = pool
        .call::<(), _, _>(spec(None), no_attempt)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::CircuitOpen);
    let wait = refused.retry_after.unwrap();
    assert!((5 * SECOND..=6 * SECOND).contains(&wait), "{wait:?}");
    sleep(wait).await;
    assert_eq!(call(&pool, None, None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_are_no_failures_and_keep_nothing() {
    let pool = pool();
    for _ in 0..100 {
        assert!(unanswered(&pool).now_or_never().is_none());
    }
    assert_eq!(state(&pool).await, BreakerState::Closed);
    let LimitStats { limit, in_use } = limit(&pool).await;
    assert_eq!((limit, in_use), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_probes_keep_no_place_from_others() {
    let pool = pool();
    open(&pool).await;
    sleep(6 * SECOND).await;
    for _ in 0..100 {
        assert!(unanswered(&pool).now_or_never().is_none());
    }
    for _ in 0..2 {
        assert_eq!(call(&pool, None, None).await, Ok(()));
    }
    assert_eq!(state(&pool).await, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn probes_are_bounded() {
    let pool = pool();
    open(&pool).await;
    sleep(6 * SECOND).await;
    let results = join_all((0..10).map(|_| unanswered(&pool))).await;
    let of = |kind| results.iter().filter(|it| **it == Err(kind)).count();
    assert_eq!((of(ErrorKind::Timeout), of(ErrorKind::CircuitOpen)), (2, 8));
}

#[tokio::test(start_paused = true)]
async fn overload_lowers_the_limit_and_waiting_for_a_place_is_within_the_deadline() {
    let pool = pool();
    for _ in 0..10 {
        for _ in 0..4 {
            let result = call(&pool, None, Some(ErrorKind::RateLimited)).await;
            assert_eq!(result, Err(ErrorKind::RateLimited));
            sleep(SECOND).await;
        }
        call(&pool, None, None).await.unwrap();
    }
    let result = call(&pool, None, Some(ErrorKind::RateLimited)).await;
    assert_eq!(result, Err(ErrorKind::RateLimited));
    assert_eq!(limit(&pool).await.limit, 4);
    assert_eq!(
        state(&pool).await,
        BreakerState::Closed,
        "now and then it answers"
    );

    let results = join_all((0..6).map(|_| unanswered(&pool))).await;
    let of = |kind| results.iter().filter(|it| **it == Err(kind)).count();
    assert_eq!((of(ErrorKind::Timeout), of(ErrorKind::Saturated)), (4, 2));
    assert_eq!(limit(&pool).await.in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_its_permit_back_when_its_answer_begins() {
    let pool = pool();
    let items = || {
        pool.stream(spec(None), SECOND, |_| async {
            let items = stream::iter([Ok(1), Ok(2)]).chain(stream::pending());
            Ok(items.boxed())
        })
    };
    let mut unheard = items();
    assert!(unheard.next().now_or_never().is_some());
    assert_eq!(limit(&pool).await.in_use, 0, "although the stream goes on");
    assert_eq!(pool.stats().await.services[0].in_flight, 1);

    let never = pool.stream(spec(None), SECOND, |_| async {
        Ok(stream::pending::<Result<(), CallError>>().boxed())
    });
    let mut never = Box::pin(never);
    assert!(never.next().now_or_never().is_none());
    assert_eq!(limit(&pool).await.in_use, 1, "nothing came yet");
    drop(never);
    assert_eq!(limit(&pool).await.in_use, 0);
}

/// A caller who interrupts breaks off what was asked for them.
#[tokio::test(start_paused = true)]
async fn requests_that_a_caller_breaks_off_lower_no_limit() {
    let pool = pool();
    for _ in 0..30 {
        let mut asked: Vec<_> = (0..3).map(|_| unanswered(&pool)).collect();
        for call in &mut asked {
            assert!(call.now_or_never().is_none());
        }
        sleep(SECOND / 2).await;
    }
    assert_eq!(limit(&pool).await.limit, 30);
    assert_eq!(state(&pool).await, BreakerState::Closed);
}

/// Waiting for a permit is our own doing: whatever becomes of it says nothing about the service.
#[tokio::test(start_paused = true)]
async fn calls_that_end_while_they_wait_open_no_breaker_and_lower_no_limit() {
    let config = Config {
        connections_per_host_max: 8,
        retries_max: 0,
        ..Config::default()
    };
    let pool = ConnectionPool::new(config).unwrap();
    let slow = (0..8).map(|_| {
        let slow = CallSpec::new(Service::Http, "get", None, 100 * SECOND);
        pool.call(slow, |_| async {
            sleep(50 * SECOND).await;
            Ok(())
        })
    });
    let slow = join_all(slow);
    let waiting = async {
        for _ in 0..20 {
            assert_eq!(call(&pool, None, None).await, Err(ErrorKind::Saturated));
        }
    };
    let (answers, ()) = tokio::join!(slow, waiting);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(state(&pool).await, BreakerState::Closed);
    assert!(limit(&pool).await.limit >= 8);
    assert_eq!(call(&pool, None, None).await, Ok(()));
}

/// A retry whose second attempt never got a permit: the first one's failure counts.
#[tokio::test(start_paused = true)]
async fn a_failed_attempt_counts_although_the_next_one_only_waited() {
    let config = Config {
        connections_per_host_max: 1,
        adaptive: AdaptiveConfig {
            enabled: false,
            ..AdaptiveConfig::default()
        },
        ..Config::default()
    };
    let pool = ConnectionPool::new(config).unwrap();
    for _ in 0..5 {
        let failing = pool.call::<(), _, _>(spec(Some("a:80")), |lease: Lease| async move {
            Err(lease.spec().error(ErrorKind::Unavailable))
        });
        let other = CallSpec {
            service: Service::LiveKit,
            timeout: 2 * SECOND,
            attempt_timeout: 2 * SECOND,
            ..spec(Some("a:80"))
        };
        let blocking = async {
            sleep(Duration::from_millis(1)).await;
            let blocked = pool.call(other, |_| async {
                sleep(SECOND + SECOND / 2).await;
                Ok(())
            });
            blocked.await
        };
        let (failed, blocked) = tokio::join!(failing, blocking);
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Saturated);
        blocked.unwrap();
    }
    let refused = call(&pool, Some("a:80"), None).await;
    assert_eq!(refused, Err(ErrorKind::CircuitOpen));
}

#[tokio::test(start_paused = true)]
async fn a_host_in_trouble_leaves_the_others_alone() {
    let pool = pool();
    for _ in 0..5 {
        let failed = call(&pool, Some("a:80"), Some(ErrorKind::Unavailable)).await;
        assert_eq!(failed, Err(ErrorKind::Unavailable));
        assert_eq!(call(&pool, Some("b:80"), None).await, Ok(()));
    }
    let refused = call(&pool, Some("a:80"), None).await;
    assert_eq!(refused, Err(ErrorKind::CircuitOpen));
    assert_eq!(call(&pool, Some("b:80"), None).await, Ok(()));
    let stats = pool.stats().await;
    let service = &stats.services[0];
    let states: Vec<_> = (service.hosts.iter())
        .map(|it| (it.host.as_deref(), it.breaker.unwrap().state))
        .collect();
    let (a, b) = (Some("a:80"), Some("b:80"));
    assert_eq!(states, [(a, BreakerState::Open), (b, BreakerState::Closed)]);
    assert_eq!(service.worst_breaker(), BreakerState::Open);
}

/// A call that no caller waits for.
fn background(pool: &ConnectionPool, failure: Option<ErrorKind>) -> Called {
    let (pool, spec) = (pool.clone(), spec(None).background());
    let ask = move |lease: Lease| async move {
        failure.map_or(Ok(()), |kind| Err(lease.spec().error(kind)))
    };
    async move { pool.call(spec, ask).await.map_err(|error| error.kind) }.boxed()
}

#[tokio::test(start_paused = true)]
async fn work_in_the_background_that_fails_ends_no_conversation() {
    let pool = pool();
    for _ in 0..5 {
        let failed = background(&pool, Some(ErrorKind::Timeout)).await;
        assert_eq!(failed, Err(ErrorKind::Timeout));
    }
    let refused = background(&pool, None).await;
    assert_eq!(refused, Err(ErrorKind::CircuitOpen));
    assert_eq!(call(&pool, None, None).await, Ok(()));
    let stats = pool.stats().await;
    let hosts = &stats.services[0].hosts;
    let shown: Vec<_> = (hosts.iter())
        .map(|it| (it.priority, it.breaker.unwrap().state))
        .collect();
    let expected = [
        (Priority::Caller, BreakerState::Closed),
        (Priority::Background, BreakerState::Open),
    ];
    assert_eq!(shown, expected);
    assert_eq!(stats.services[0].worst_breaker(), BreakerState::Closed);
    let limits = hosts.iter().map(|it| it.limit.unwrap().limit);
    assert!(limits.eq([30, 4]), "the background's has fallen from 8");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_fails_leaves_work_in_the_background_alone() {
    let pool = pool();
    open(&pool).await;
    assert_eq!(background(&pool, None).await, Ok(()));
    let refused = call(&pool, None, None).await;
    assert_eq!(refused, Err(ErrorKind::CircuitOpen));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_hosts_is_bounded_also_when_all_fail() {
    let pool = pool();
    for n in 0..300 {
        let host = format!("host-{n}:80");
        for _ in 0..5 {
            call(&pool, Some(&host), Some(ErrorKind::Unavailable))
                .await
                .ok();
        }
        sleep(SECOND).await;
    }
    let hosts = pool.stats().await.services[0].hosts.len();
    assert!(hosts <= GATES_MAX, "{hosts}");
}

#[tokio::test(start_paused = true)]
async fn a_late_attempt_is_hedged_and_the_first_answer_wins() {
    let pool = pool();
    let attempts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&attempts);
    let spec = CallSpec::new(Service::Http, "get", None, 10 * SECOND).hedge_after(SECOND);
    let began = Instant::now();
    let answer = pool.call(spec, move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(if number == 0 { 5 * SECOND } else { SECOND }).await;
            Ok(number)
        }
    });
    assert_eq!(answer.await.unwrap(), 1, "the second was faster");
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
    assert_eq!(pool.stats().await.services[0].hedges, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_waits_for_its_hedge() {
    let pool = pool();
    let attempts = AtomicU64::new(0);
    let spec = CallSpec::new(Service::Http, "get", None, 10 * SECOND).hedge_after(SECOND);
    let answer = pool.call(spec, move |lease: Lease| {
        let number = attempts.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(2 * SECOND).await;
            match number {
                0 => Err(lease.spec().error(ErrorKind::Unavailable)),
                _ => Ok(number),
            }
        }
    });
    assert_eq!(answer.await.unwrap(), 1);
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
        let result = call(&pool, None, Some(ErrorKind::Unavailable)).await;
        assert_eq!(result, Err(ErrorKind::Unavailable));
    }
    let host = host(&pool).await;
    assert!(host.breaker.is_none() && host.limit.is_none());
}
