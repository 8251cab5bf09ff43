//! The cache without Redis, on Tokio's paused clock.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use proptest::prelude::*;
use tokio::time::sleep;

use super::*;
use crate::error::{ErrorKind, Service};
use crate::pool;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn cache(config: Config) -> Cache {
    let pool = ConnectionPool::new(pool::Config::default()).unwrap();
    Cache::new(config, &pool).unwrap()
}

fn key(name: &str) -> CacheKey {
    CacheKey::new("test:v1", [name])
}

/// A slow maker that counts how often it was asked.
#[derive(Default)]
struct Maker(AtomicU32);

impl Maker {
    async fn make(&self, text: &str) -> Result<String, CallError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        sleep(seconds(1)).await;
        Ok(text.to_owned())
    }

    async fn fail(&self) -> Result<String, CallError> {
        self.make("").await?;
        Err(CallError::new(
            Service::Http,
            "test",
            ErrorKind::RateLimited,
        ))
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_made_once_and_kept_for_its_time() {
    let (cache, maker) = (cache(Config::default()), Maker::default());
    let ask = async |ttl| {
        let asked = cache.cached_async_call(key("a"), ttl, || maker.make("hello"));
        asked.await.unwrap()
    };
    assert_eq!(ask(None).await, "hello");
    sleep(seconds(299)).await;
    assert_eq!(ask(None).await, "hello");
    assert_eq!(maker.count(), 1, "within 300 s");
    sleep(seconds(1)).await;
    assert_eq!(ask(Some(seconds(10))).await, "hello");
    assert_eq!(maker.count(), 2, "after 300 s");
    sleep(seconds(10)).await;
    ask(Some(seconds(10))).await;
    assert_eq!(maker.count(), 3, "after a time of its own");
    let stats = cache.stats().await;
    assert_eq!((stats.hits, stats.misses, stats.expired), (1, 3, 2));
    assert_eq!((stats.entries, stats.bytes), (1, 5));
    assert_eq!(stats.hit_rate, Some(0.25));
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_make_one_value() {
    let (cache, maker) = (cache(Config::default()), Maker::default());
    let asked = (0..10).map(|_| cache.cached_async_call(key("a"), None, || maker.make("one")));
    let answers = join_all(asked).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap() == "one")
    );
    assert_eq!(maker.count(), 1);
    let other = cache.cached_async_call(key("b"), None, || maker.make("two"));
    assert_eq!(other.await.unwrap(), "two", "another key is another value");
    let stats = cache.stats().await;
    assert_eq!((stats.misses, stats.coalesced, stats.hits), (2, 9, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_who_wait_and_is_not_kept() {
    let (cache, maker) = (cache(Config::default()), Maker::default());
    let asked = (0..3).map(|_| cache.cached_async_call(key("a"), None, || maker.fail()));
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap_err().kind, ErrorKind::RateLimited);
    }
    assert_eq!(maker.count(), 1);
    let again = cache.cached_async_call(key("a"), None, || maker.make("better"));
    assert_eq!(again.await.unwrap(), "better");
    let stats = cache.stats().await;
    assert_eq!((stats.misses, stats.errors, stats.entries), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn when_the_first_caller_goes_the_next_one_takes_over() {
    let (cache, maker) = (cache(Config::default()), Arc::new(Maker::default()));
    let ask = || {
        let (cache, maker) = (cache.clone(), Arc::clone(&maker));
        tokio::spawn(async move {
            let asked = cache.cached_async_call(key("a"), None, || maker.make("made"));
            asked.await.unwrap()
        })
    };
    let first = ask();
    sleep(Duration::from_millis(500)).await;
    let others = [ask(), ask()];
    tokio::task::yield_now().await;
    first.abort();
    for other in others {
        assert_eq!(other.await.unwrap(), "made");
    }
    assert_eq!(maker.count(), 2, "the first one's was dropped half way");
}

#[tokio::test(start_paused = true)]
async fn a_maker_that_panics_leaves_nothing_behind() {
    let (cache, maker) = (cache(Config::default()), Maker::default());
    let panicking = cache.cached_async_call(key("a"), None, || async {
        if maker.count() == 0 {
            panic!("as the test wished");
        }
        Ok(String::new())
    });
    let panicked = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
    assert!(panicked.is_err());
    let next = cache.cached_async_call(key("a"), None, || maker.make("fine"));
    assert_eq!(next.await.unwrap(), "fine");
}

#[tokio::test(start_paused = true)]
async fn entries_and_bytes_are_bounded_and_the_oldest_go() {
    let config = Config {
        entries_max: 10,
        bytes_max: 1000,
        ..Config::default()
    };
    let cache = cache(config);
    let put = async |n: usize, size: usize| {
        let made = cache.cached_async_call(key(&n.to_string()), None, || async move {
            Ok(Bytes::from(vec![0; size]))
        });
        made.await.unwrap();
        cache.stats().await
    };
    for n in 0..30 {
        assert!(put(n, 1).await.entries <= 10);
    }
    let stats = put(99, 1).await;
    assert_eq!((stats.entries, stats.evictions), (10, 21));
    put(99, 1).await;
    assert_eq!(cache.stats().await.hits, 1, "the newest is still there");
    for n in 100..110 {
        let stats = put(n, 400).await;
        assert!(stats.bytes <= 1000, "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_too_large_is_handed_to_all_who_wait_and_not_kept() {
    let config = Config {
        value_bytes_max: 10,
        ..Config::default()
    };
    let (cache, maker) = (cache(config), Maker::default());
    let asked =
        (0..3).map(|_| cache.cached_async_call(key("a"), None, || maker.make("longer than ten")));
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap(), "longer than ten");
    }
    assert_eq!(maker.count(), 1);
    let stats = cache.stats().await;
    assert_eq!((stats.entries, stats.too_large), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_used_for_another_type_is_made_anew() {
    let cache = cache(Config::default());
    let bytes =
        cache.cached_async_call(key("a"), None, || async { Ok(Bytes::from_static(&[0xff])) });
    bytes.await.unwrap();
    let text = cache.cached_async_call(key("a"), None, || async { Ok("text".to_owned()) });
    assert_eq!(text.await.unwrap(), "text");
    let again: Result<String, _> = cache
        .cached_async_call(key("a"), None, || async { panic!("it is kept") })
        .await;
    assert_eq!(again.unwrap(), "text");
}

#[tokio::test(start_paused = true)]
async fn cleanup_drops_what_is_out_of_date_and_nothing_else() {
    let (cache, maker) = (cache(Config::default()), Maker::default());
    for (name, ttl) in [("a", 10), ("b", 20), ("c", 1000)] {
        let ttl = Some(seconds(ttl));
        let made = cache.cached_async_call(key(name), ttl, || maker.make(name));
        made.await.unwrap();
    }
    assert_eq!(cache.cleanup().await, 0);
    sleep(seconds(30)).await;
    assert_eq!(cache.cleanup().await, 2);
    assert_eq!(cache.cleanup().await, 0);
    assert_eq!(cache.stats().await.entries, 1);
}

#[test]
fn an_address_that_cannot_be_read_is_not_repeated() {
    let pool = ConnectionPool::new(pool::Config::default()).unwrap();
    let config = Config {
        redis_url: crate::redact::Pii::new("redis://:secret@host:port".to_owned()),
        ..Config::default()
    };
    let error = Cache::new(config, &pool).err().unwrap();
    assert!(!error.to_string().contains("secret"), "{error}");
}

/// One thing that happens to a cache.
#[derive(Clone, Debug)]
enum Step {
    Ask { key: u8, ttl: u64, size: usize },
    Wait(u64),
    Cleanup,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..20_u8, 1..50_u64, 0..200_usize)
            .prop_map(|(key, ttl, size)| Step::Ask { key, ttl, size }),
        2 => (0..30_u64).prop_map(Step::Wait),
        1 => Just(Step::Cleanup),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_is_kept_beyond_its_time_or_the_limits(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let cache = cache(Config { entries_max: 8, bytes_max: 800, ..Config::default() });
            for step in steps {
                match step {
                    Step::Ask { key: name, ttl, size } => {
                        let now = tokio::time::Instant::now();
                        let until = (now + seconds(ttl)).into_std();
                        let base = runtime_start();
                        let stamp = until.duration_since(base).as_millis() as u64;
                        let made = cache.cached_async_call(
                            key(&name.to_string()),
                            Some(seconds(ttl)),
                            || async move { Ok(Json((stamp, "x".repeat(size)))) },
                        );
                        let Json((stamp, _)) = made.await.unwrap();
                        assert!(base + Duration::from_millis(stamp + 1) > now.into_std());
                    }
                    Step::Wait(n) => sleep(seconds(n)).await,
                    Step::Cleanup => {
                        cache.cleanup().await;
                    }
                }
                let stats = cache.stats().await;
                assert!(stats.entries <= 8 && stats.bytes <= 800, "{stats:?}");
            }
        });
    }
}

/// A moment before all others of these tests.
fn runtime_start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Callers come and go at any moment: never two makers at once, and who stays gets the value.
    #[test]
    fn whoever_stays_is_answered_and_nobody_makes_twice_at_once(
        callers in prop::collection::vec((0..3000_u64, prop::option::of(0..2500_u64)), 1..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let cache = cache(Config::default());
            let busy = Arc::new(tokio::sync::Mutex::new(()));
            let calls = callers.into_iter().map(|(arrives, patience)| {
                let (cache, busy) = (cache.clone(), Arc::clone(&busy));
                async move {
                    sleep(Duration::from_millis(arrives)).await;
                    let made = cache.cached_async_call(key("a"), None, || async {
                        let _busy = busy.try_lock().expect("one maker at a time");
                        sleep(seconds(1)).await;
                        Ok("made".to_owned())
                    });
                    let answered = match patience {
                        Some(ms) => tokio::time::timeout(Duration::from_millis(ms), made).await.ok(),
                        None => Some(made.await),
                    };
                    match answered {
                        Some(value) => assert_eq!(value.unwrap(), "made"),
                        None => assert!(patience.is_some()),
                    }
                }
            });
            join_all(calls.map(tokio::spawn)).await.into_iter().for_each(|call| call.unwrap());
        });
    }
}
