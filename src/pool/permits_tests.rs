use futures::FutureExt;
use futures::future::BoxFuture;
use proptest::prelude::*;
use tokio::sync::SetOnce;

use super::super::adaptive::Config as AdaptiveConfig;
use super::super::urgency::CallOptions;
use super::*;
use crate::error::Service;

const SECOND: Duration = Duration::from_secs(1);

fn permits(all: usize, per_host: usize, background: usize) -> Arc<Permits> {
    Permits::new(&Config {
        connections_max: all,
        connections_per_host_max: per_host,
        background_max: background,
        ..Config::default()
    })
}

fn spec(host: &str) -> CallSpec {
    CallSpec::new(Service::Http, "ask", Some(Arc::from(host)), 10 * SECOND)
}

fn acquire(
    permits: &Arc<Permits>,
    spec: CallSpec,
) -> BoxFuture<'static, Result<Permit, CallError>> {
    let permits = Arc::clone(permits);
    let deadline = Instant::now() + spec.timeout;
    async move { permits.acquire(&spec, deadline).await }.boxed()
}

fn try_acquire(permits: &Arc<Permits>, host: &str) -> Option<Permit> {
    acquire(permits, spec(host)).now_or_never()?.ok()
}

fn try_acquire_behind(permits: &Arc<Permits>, host: &str) -> Option<Permit> {
    let spec = spec(host).background();
    acquire(permits, spec).now_or_never()?.ok()
}

#[tokio::test(start_paused = true)]
async fn work_in_the_background_has_few_permits_within_the_limits() {
    let permits = permits(9, 4, 3);
    let held: Vec<_> = (0..2)
        .map(|_| try_acquire_behind(&permits, "a").unwrap())
        .collect();
    assert!(try_acquire_behind(&permits, "a").is_none(), "half of a's");
    let other = try_acquire_behind(&permits, "b").unwrap();
    assert!(
        try_acquire_behind(&permits, "b").is_none(),
        "all that it has"
    );
    let callers: Vec<_> = (0..2)
        .map(|_| try_acquire(&permits, "a").unwrap())
        .collect();
    assert!(try_acquire(&permits, "a").is_none(), "a has four");
    let stats = permits.stats();
    assert_eq!((stats.in_use, stats.background_in_use), (5, 3));
    drop((held, other));
    let stats = permits.stats();
    assert_eq!((stats.in_use, stats.background_in_use), (2, 0));
    drop(callers);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_one_permit_work_in_the_background_may_have_it() {
    let permits = permits(1, 1, 8);
    assert!(try_acquire_behind(&permits, "a").is_some());
}

#[tokio::test(start_paused = true)]
async fn one_host_cannot_take_all_connections() {
    let permits = permits(3, 2, 1);
    let held: Vec<_> = (0..2)
        .map(|_| try_acquire(&permits, "a").unwrap())
        .collect();
    assert!(try_acquire(&permits, "a").is_none(), "third at one host");
    let other = try_acquire(&permits, "b");
    assert!(other.is_some());
    assert!(try_acquire(&permits, "c").is_none(), "fourth in all");
    drop(held);
    assert!(try_acquire(&permits, "c").is_some());
}

#[tokio::test(start_paused = true)]
async fn the_number_of_hosts_is_bounded() {
    let permits = permits(10, 2, 1);
    for n in 0..300 {
        drop(try_acquire(&permits, &format!("host-{n}")));
    }
    assert!(permits.hosts().len() <= 64);
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_an_end_of_its_own_within_the_calls() {
    let permits = permits(1, 1, 1);
    let held = try_acquire(&permits, "a").unwrap();
    let began = Instant::now();
    let error = acquire(&permits, spec("a")).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Saturated);
    assert_eq!(began.elapsed(), Config::default().permit_timeout);
    assert_eq!(permits.stats().waiting, 0);
    drop(held);
    assert_eq!(permits.stats().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_request_waits_is_added_up_for_its_turn() {
    let permits = permits(1, 1, 1);
    let held = try_acquire(&permits, "a").unwrap();
    let options = CallOptions::default();
    let waiting = tokio::spawn(acquire(&permits, spec("a").options(&options)));
    tokio::time::sleep(SECOND).await;
    drop(held);
    waiting.await.unwrap().ok().unwrap();
    assert_eq!(options.waited.total(), SECOND);
    let waits = permits.stats().waits["turn"];
    assert_eq!((waits.count, waits.seconds), (1, 1.0));
}

#[tokio::test(start_paused = true)]
async fn speculation_is_urgent_from_the_moment_its_turn_ends() {
    let permits = permits(10, 4, 1);
    let committed = Arc::new(SetOnce::new());
    let options = CallOptions {
        committed: Some(Arc::clone(&committed)),
        ..CallOptions::default()
    };
    let held: Vec<_> = (0..3)
        .map(|_| try_acquire(&permits, "a").unwrap())
        .collect();
    let waiting = tokio::spawn(acquire(&permits, spec("a").options(&options)));
    tokio::time::sleep(5 * SECOND).await;
    assert!(!waiting.is_finished(), "it may wait: no caller does");
    assert_eq!(permits.stats().speculation_held_back, 1);
    committed.set(()).unwrap();
    assert!(waiting.await.unwrap().is_ok());
    drop(held);
    assert_eq!(permits.stats().in_use, 0);
}

proptest! {
    /// Each wait is dropped at any moment: before it began, while it waits, with its permit on the
    /// way, and after.
    #[test]
    fn no_permit_is_lost_however_waits_are_dropped(
        steps in proptest::collection::vec((0u8..8, any::<usize>()), 0..150)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let permits = Permits::new(&Config {
            connections_max: 5,
            connections_per_host_max: 4,
            background_max: 1,
            adaptive: AdaptiveConfig { limit_start: 3, limit_min: 1, ..AdaptiveConfig::default() },
            ..Config::default()
        });
        let mut held: Vec<Permit> = Vec::new();
        let mut waiting: Vec<BoxFuture<'static, Result<Permit, CallError>>> = Vec::new();
        for (step, n) in steps {
            let host = ["a", "b"][n % 2];
            match step {
                0 | 1 => waiting.push(acquire(&permits, spec(host))),
                2 => waiting.push(acquire(&permits, spec(host).background())),
                3 if !waiting.is_empty() => drop(waiting.remove(n % waiting.len())),
                4 | 5 if !waiting.is_empty() => {
                    let which = n % waiting.len();
                    if let Some(given) = (&mut waiting[which]).now_or_never() {
                        drop(waiting.remove(which));
                        held.extend(given.ok());
                    }
                }
                6 if !held.is_empty() => drop(held.remove(n % held.len())),
                7 if !held.is_empty() => {
                    held[n % held.len()].begun("ask", Some(Sample::Overload));
                }
                _ => {}
            }
            prop_assert!(permits.stats().connections_in_use <= 5);
        }
        drop(waiting);
        drop(held);
        let stats = permits.stats();
        prop_assert_eq!((stats.in_use, stats.asking, stats.waiting), (0, 0, 0));
        let key = Key::of(&spec("a"));
        let limit = permits.limit(&key).map_or(3, |it| it.limit);
        let all: Vec<_> = std::iter::from_fn(|| try_acquire(&permits, "a")).collect();
        prop_assert_eq!(all.len(), limit.min(4));
    }
}
