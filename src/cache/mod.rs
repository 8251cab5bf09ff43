//! Results worth keeping: [`Cache::cached_async_call`] makes a value once and hands it out until its
//! time is over.
//!
//! Two tiers hold the same bytes: this process (`local`, bounded in entries and bytes) and, with
//! `REDIS_URL`, a Redis that workers share (`shared`, over one connection, `link`). A value read from
//! Redis is kept here no longer than there.
//!
//! **Invariants:** a failure is never kept. Trouble with Redis is a miss, and costs a call no more
//! than the short deadline. Keys are hashes: nobody's words are in them.

mod config;
mod key;
mod link;
mod local;
mod lookup;
mod shared;
mod stats;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::config::Config;
pub use self::key::CacheKey;
pub use self::stats::{CacheStats, SharedStats};
pub use self::value::{CacheValue, Json};

use self::local::{Entry, Local, NotKept};
use self::lookup::{Lookup, look_up};
use self::shared::{Redis, RedisBackend};
use self::stats::{Counters, hit_rate};
use crate::error::CallError;
use crate::pool::ConnectionPool;

/// The address of Redis cannot be used; the text says what one looks like, not what it was.
#[derive(Debug, thiserror::Error)]
#[error("cache.redis_url must look like redis://user:password@host:6379/0, or rediss:// for TLS")]
pub struct AddressError;

/// The cache of the process; clones are the same one.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    config: Config,
    local: Local,
    shared: Option<Arc<Redis>>,
    counters: Counters,
}

impl Cache {
    /// An empty cache. With an address of Redis in `config` it is registered with the pool, and
    /// connected to by the first call (or [`Cache::prewarm`]).
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(config: Config, pool: &ConnectionPool) -> Result<Self, AddressError> {
        let shared = if config.redis_url.expose().is_empty() {
            None
        } else {
            let redis = Redis::new(pool.clone(), &config).map_err(|_| AddressError)?;
            let redis = Arc::new(redis);
            pool.register(Arc::new(RedisBackend(Arc::clone(&redis))));
            Some(redis)
        };
        Ok(Self(Arc::new(Inner {
            local: Local::new(&config),
            shared,
            counters: Counters::default(),
            config,
        })))
    }

    /// The value under `key`: from this process, else from Redis, else from `f`, whose value is then
    /// kept for `ttl` (`None`: `cache.ttl_seconds`).
    ///
    /// Calls for the same key at the same time make one call of `f`, and get what came of it, be it
    /// a value or a failure. Failures are not kept. Redis adds at most its deadline before `f` and
    /// again after it.
    ///
    /// # Errors
    /// Those of `f`.
    ///
    /// Cancel safety: when the call that makes the value is dropped, `f` is dropped, and of those
    /// who wait the next one calls its own.
    pub async fn cached_async_call<T, F, Fut>(
        &self,
        key: CacheKey,
        ttl: Option<Duration>,
        f: F,
    ) -> Result<T, CallError>
    where
        T: CacheValue + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        self.cached(key, ttl, false, f).await
    }

    /// The same for what is dear to make: of all workers that share a Redis one makes the value, and
    /// the others wait for it, but no longer than `cache.redis_wait_ms`; then, or when that one
    /// failed, they make their own.
    ///
    /// # Errors
    /// Those of `f`.
    pub async fn cached_by_one_worker<T, F, Fut>(
        &self,
        key: CacheKey,
        ttl: Option<Duration>,
        f: F,
    ) -> Result<T, CallError>
    where
        T: CacheValue + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        self.cached(key, ttl, true, f).await
    }

    async fn cached<T, F, Fut>(
        &self,
        key: CacheKey,
        ttl: Option<Duration>,
        may_wait: bool,
        f: F,
    ) -> Result<T, CallError>
    where
        T: CacheValue + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        let Inner {
            local, counters, ..
        } = &*self.0;
        if let Some(bytes) = local.get(&key).await {
            if let Some(value) = T::from_bytes(bytes.clone()) {
                counters.hits.add();
                return Ok(value);
            }
            local.remove(&key, &bytes).await;
        }
        let mut call = Call {
            f: Some(f),
            may_wait,
            made: None,
            is_maker: false,
        };
        let ttl = ttl.unwrap_or(self.0.config.ttl);
        let outcome = local
            .get_or_make(&key, self.make(&key, ttl, &mut call))
            .await;
        if !call.is_maker {
            counters.coalesced.add();
        }
        // What was made here is handed out as it is, not read from its bytes.
        if let Some(value) = call.made {
            return Ok(value);
        }
        let bytes = match outcome.as_ref().map_err(Arc::as_ref) {
            Ok(bytes) | Err(NotKept::TooLarge(bytes)) => bytes.clone(),
            Err(NotKept::Failed(error)) => return Err(error.without_cause()),
        };
        if let Some(value) = T::from_bytes(bytes) {
            return Ok(value);
        }
        // Somebody else used the key for another type at the same moment.
        let f = call.f.take().expect("what it made was handed out above");
        counters.misses.add();
        f().await
    }

    /// The numbers of this moment.
    pub async fn stats(&self) -> CacheStats {
        let Inner {
            local,
            counters,
            shared,
            ..
        } = &*self.0;
        let (entries, bytes, evictions, expired) = local.numbers().await;
        let (hits, coalesced) = (counters.hits.get(), counters.coalesced.get());
        let misses = counters.misses.get();
        let shared = shared.as_ref().map(|shared| shared.stats());
        let shared_hits = shared.map_or(0, |shared| shared.hits);
        CacheStats {
            entries,
            bytes,
            hits,
            coalesced,
            misses,
            errors: counters.errors.get(),
            hit_rate: hit_rate(hits + coalesced + shared_hits, misses),
            evictions,
            expired,
            too_large: counters.too_large.get(),
            shared,
        }
    }

    /// Drops what is out of date in this process; says how many values that were. (Redis does so by
    /// itself.)
    pub async fn cleanup(&self) -> u64 {
        self.0.local.cleanup().await
    }

    /// Connects to Redis, if there is one, so that the first call need not wait. Waits no longer than
    /// a call would.
    pub async fn prewarm(&self) {
        if let Some(shared) = &self.0.shared {
            shared.prewarm().await;
        }
    }

    /// Asks Redis whether it is there; `None` without one.
    ///
    /// # Errors
    /// When it is not, does not know our password, or does not answer within `cache.redis_timeout_ms`.
    pub async fn probe(&self) -> Option<Result<(), CallError>> {
        Some(self.0.shared.as_ref()?.probe().await)
    }

    /// Closes the connection to Redis for good; commands on their way are waited for. What is kept in
    /// this process stays.
    pub async fn close(&self) {
        if let Some(shared) = &self.0.shared {
            shared.close().await;
        }
    }

    /// Gets the value from Redis, or makes it and keeps it.
    async fn make<T, F, Fut>(
        &self,
        key: &CacheKey,
        ttl: Duration,
        call: &mut Call<T, F>,
    ) -> Result<Entry, NotKept>
    where
        T: CacheValue + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        let counters = &self.0.counters;
        call.is_maker = true;
        // A Redis that did not answer before `f` is not asked again after it.
        let mut shared = self.0.shared.as_ref();
        let mut lock = None;
        if let Some(redis) = shared {
            let is_fit = |bytes: &Bytes| T::from_bytes(bytes.clone()).is_some();
            match look_up(redis, key, call.may_wait, is_fit).await {
                Lookup::Found(bytes, left) => return Ok(Entry::new(bytes, ttl.min(left))),
                Lookup::Make(ours) => lock = ours,
                Lookup::Alone => shared = None,
            }
        }
        let f = call.f.take().expect("the local tier runs one maker once");
        counters.misses.add();
        let outcome = match f().await {
            Ok(made) => {
                let bytes = made.to_bytes();
                call.made = Some(made);
                self.keep(key, bytes, ttl, shared).await
            }
            Err(error) => {
                counters.errors.add();
                Err(NotKept::Failed(error))
            }
        };
        if let Some(lock) = lock {
            lock.release().await;
        }
        outcome
    }

    /// Keeps what was made, unless it is too large.
    async fn keep(
        &self,
        key: &CacheKey,
        bytes: Bytes,
        ttl: Duration,
        shared: Option<&Arc<Redis>>,
    ) -> Result<Entry, NotKept> {
        if bytes.len() > self.0.config.value_bytes_max {
            self.0.counters.too_large.add();
            return Err(NotKept::TooLarge(bytes));
        }
        // Its time begins here first, so that it ends here first.
        let entry = Entry::new(bytes.clone(), ttl);
        if let Some(redis) = shared {
            redis.set(key, &bytes, ttl).await;
        }
        Ok(entry)
    }
}

/// One call on its way.
struct Call<T, F> {
    f: Option<F>,
    /// For another worker.
    may_wait: bool,
    made: Option<T>,
    /// It gets or makes the value itself.
    is_maker: bool,
}
