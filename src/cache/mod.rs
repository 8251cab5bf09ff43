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
mod shared;
mod stats;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;
use std::time::Duration;

pub use self::config::Config;
pub use self::key::CacheKey;
pub use self::stats::{CacheStats, SharedStats};
pub use self::value::{CacheValue, Json};

use self::local::{Entry, Local, NotKept};
use self::shared::{Answer, Redis, RedisBackend};
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
        let Inner {
            counters, config, ..
        } = &*self.0;
        call.is_maker = true;
        // A Redis that did not answer before `f` is not asked again after it.
        let mut shared = self.0.shared.as_ref();
        if let Some(redis) = shared {
            match redis.get(key).await {
                Answer::Found(bytes, left) if T::from_bytes(bytes.clone()).is_some() => {
                    redis.note_hit();
                    return Ok(Entry::new(bytes, ttl.min(left)));
                }
                Answer::Found(..) => redis.note_useless(),
                Answer::Nothing => {}
                Answer::Failed => shared = None,
            }
        }
        let f = call.f.take().expect("the local tier runs one maker once");
        counters.misses.add();
        let made = f().await.map_err(|error| {
            counters.errors.add();
            NotKept::Failed(error)
        })?;
        let bytes = made.to_bytes();
        call.made = Some(made);
        if bytes.len() > config.value_bytes_max {
            counters.too_large.add();
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
    made: Option<T>,
    /// It gets or makes the value itself.
    is_maker: bool,
}
