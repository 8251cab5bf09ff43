//! The tier that workers share: Redis, asked with a short deadline through the pool.
//!
//! **Invariant:** nothing that Redis does or fails to do is more than a miss to a caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use super::config::Config;
use super::key::CacheKey;
use super::link::Link;
use super::lookup;
use super::stats::{Counter, SharedStats};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{Backend, CallSpec, ConnectionPool, ConnectionStats};

/// Before every value: whose it is and how it is written.
const MAGIC: &[u8] = b"vox1";

/// What Redis is asked, as labels.
const GET: &str = "cache.get";
const SET: &str = "cache.set";
const PROBE: &str = "cache.probe";
const LOCK: &str = "cache.lock";
const UNLOCK: &str = "cache.unlock";

/// Deletes a lock unless another has taken its place.
///
/// Source: Redis, command reference, `SET`, "Patterns".
const UNLOCK_SCRIPT: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then \
     return redis.call('del', KEYS[1]) else return 0 end";

/// What `PTTL` says of a key that never ends.
///
/// Source: Redis, command reference, `PTTL`; -2 is a key that is not there.
const NO_EXPIRY: i64 = -1;

/// What the shared tier said.
pub(super) enum Answer {
    /// A value and how long it is still good for.
    Found(Bytes, Duration),
    /// It has none.
    Nothing,
    /// What it has is none of ours.
    Unreadable,
    /// It did not say.
    Failed,
}

/// Redis as the cache sees it, and as the pool does.
pub(super) struct Redis {
    pool: ConnectionPool,
    link: Arc<Link>,
    timeout: Duration,
    pub(super) wait_max: Duration,
    key_prefix: String,
    value_bytes_max: usize,
    is_failing: AtomicBool,
    hits: Counter,
    misses: Counter,
    unreadable: Counter,
    errors: Counter,
    stored: Counter,
    awaited: Counter,
}

impl Redis {
    pub(super) fn new(pool: ConnectionPool, config: &Config) -> Result<Self, RedisError> {
        Ok(Self {
            pool,
            link: Link::new(config.redis_url.expose(), config.redis_timeout)?,
            timeout: config.redis_timeout,
            wait_max: config.redis_wait,
            key_prefix: config.redis_key_prefix.clone(),
            value_bytes_max: config.value_bytes_max,
            is_failing: AtomicBool::new(false),
            hits: Counter::default(),
            misses: Counter::default(),
            unreadable: Counter::default(),
            errors: Counter::default(),
            stored: Counter::default(),
            awaited: Counter::default(),
        })
    }

    /// Opens the connection, so that the first call finds it open.
    pub(super) async fn prewarm(&self) {
        // A failure is seen and told by the first question.
        self.link.connection().await.ok();
    }

    /// Asks whether it is there.
    pub(super) async fn probe(&self) -> Result<(), CallError> {
        let ping = |mut connection: MultiplexedConnection| async move {
            redis::cmd("PING").query_async::<()>(&mut connection).await
        };
        self.ask(PROBE, ping).await
    }

    /// Ends the connection for good.
    pub(super) async fn close(&self) {
        self.link.close().await;
    }

    /// Looks a value up; waits no longer than the deadline.
    pub(super) async fn get(&self, key: &CacheKey) -> Answer {
        let name = self.name(key);
        // One byte more than is allowed shows that there is too much, whatever its size.
        let end = MAGIC.len() + self.value_bytes_max;
        let began = Instant::now();
        let answer = self
            .ask(GET, move |mut connection| {
                let mut pipeline = redis::pipe();
                pipeline.cmd("GETRANGE").arg(&name).arg(0).arg(end);
                pipeline.cmd("PTTL").arg(&name);
                async move {
                    pipeline
                        .query_async::<(Vec<u8>, i64)>(&mut connection)
                        .await
                }
            })
            .await;
        match answer {
            Ok((value, _)) if value.is_empty() => Answer::Nothing,
            Ok((value, ttl_ms)) => self.read(value, ttl_ms, began),
            // Somebody's value of another type under our key; writing ours mends it.
            Err(error) if error.kind == ErrorKind::Rejected => Answer::Unreadable,
            Err(_) => Answer::Failed,
        }
    }

    /// Keeps a value for all workers; trouble is counted and not told.
    pub(super) async fn set(&self, key: &CacheKey, value: &Bytes, ttl: Duration) {
        let name = self.name(key);
        let mut framed = Vec::with_capacity(MAGIC.len() + value.len());
        framed.extend_from_slice(MAGIC);
        framed.extend_from_slice(value);
        let framed = Bytes::from(framed);
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let answer = self
            .ask(SET, move |mut connection| {
                let mut command = redis::cmd("SET");
                command.arg(&name).arg(&framed[..]).arg("PX").arg(ttl_ms);
                async move { command.query_async::<()>(&mut connection).await }
            })
            .await;
        if answer.is_ok() {
            self.stored.add();
        }
    }

    /// Takes the key's lock, unless somebody has it: who has it makes the value. It goes by itself
    /// after a while.
    pub(super) async fn lock(&self, key: &CacheKey, token: &str) -> Result<bool, CallError> {
        let (name, token) = (self.lock_name(key), token.to_owned());
        let ttl_ms = u64::try_from(lookup::LOCK_TTL.as_millis()).unwrap_or(u64::MAX);
        let answer = self.ask(LOCK, move |mut connection| {
            let mut command = redis::cmd("SET");
            command
                .arg(&name)
                .arg(&token)
                .arg("NX")
                .arg("PX")
                .arg(ttl_ms);
            async move {
                let taken = command.query_async::<Option<String>>(&mut connection).await;
                taken.map(|it| it.is_some())
            }
        });
        answer.await
    }

    /// Gives the lock back, if it is still the one with this token. Trouble is counted and not told.
    pub(super) async fn unlock(&self, key: &CacheKey, token: &str) {
        let (name, token) = (self.lock_name(key), token.to_owned());
        let answer = self.ask(UNLOCK, move |mut connection| {
            let mut command = redis::cmd("EVAL");
            command.arg(UNLOCK_SCRIPT).arg(1).arg(&name).arg(&token);
            async move { command.query_async::<()>(&mut connection).await }
        });
        answer.await.ok();
    }

    fn lock_name(&self, key: &CacheKey) -> String {
        format!("{}:making", self.name(key))
    }

    /// A lookup ended with a value; `is_awaited`: another worker was making it.
    pub(super) fn note_hit(&self, is_awaited: bool) {
        self.hits.add();
        if is_awaited {
            self.awaited.add();
        }
    }

    /// A lookup ended without a value, or with one that is none of ours.
    pub(super) fn note_miss(&self, is_unreadable: bool) {
        self.misses.add();
        if is_unreadable {
            self.unreadable.add();
        }
    }

    pub(super) fn stats(&self) -> SharedStats {
        SharedStats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            unreadable: self.unreadable.get(),
            errors: self.errors.get(),
            stored: self.stored.get(),
            awaited: self.awaited.get(),
            is_up: !self.is_failing.load(Ordering::Relaxed),
        }
    }

    fn read(&self, mut value: Vec<u8>, ttl_ms: i64, began: Instant) -> Answer {
        let is_ours = value.starts_with(MAGIC) && value.len() <= MAGIC.len() + self.value_bytes_max;
        if !is_ours {
            return Answer::Unreadable;
        }
        let ttl = match u64::try_from(ttl_ms) {
            // The answer has been on its way since: a copy must not outlive the original.
            Ok(ms) => Duration::from_millis(ms).saturating_sub(began.elapsed()),
            Err(_) if ttl_ms == NO_EXPIRY => Duration::MAX,
            // Its time ended between the two questions.
            Err(_) => return Answer::Nothing,
        };
        Answer::Found(Bytes::from(value.split_off(MAGIC.len())), ttl)
    }

    fn name(&self, key: &CacheKey) -> String {
        format!("{}{}", self.key_prefix, key.as_str())
    }

    /// One command through the pool; counts what fails, and says so when it begins or ends.
    async fn ask<T, F, Fut>(&self, operation: &'static str, command: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Fn(MultiplexedConnection) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T, RedisError>> + Send + 'static,
    {
        // What does not answer is done without, not asked again.
        let spec = CallSpec::new(Service::Redis, operation, None, self.timeout).once();
        let began = Instant::now();
        let link = Arc::clone(&self.link);
        let run = move |_lease| {
            let (link, command) = (Arc::clone(&link), command.clone());
            async move {
                let answer = link.run(command).await;
                answer.map_err(|kind| CallError::new(Service::Redis, operation, kind))
            }
        };
        let answer = Box::pin(self.pool.call(spec, run)).await;
        match &answer {
            // An answer, if not the one that was hoped for.
            Ok(_) => self.note_up(),
            Err(error) if error.kind == ErrorKind::Rejected && operation == GET => self.note_up(),
            Err(error) => {
                if error.kind == ErrorKind::Timeout {
                    // Dead or slow: what comes next must not wait for it once more.
                    self.link.give_up_late(began);
                }
                self.note_down(error.kind);
            }
        }
        answer
    }

    fn note_down(&self, kind: ErrorKind) {
        self.errors.add();
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let advice = match kind {
                ErrorKind::Unauthorized => "check user and password in REDIS_URL",
                ErrorKind::Rejected => "check that Redis has memory left and may be written to",
                _ => "check that Redis runs and that REDIS_URL leads to it",
            };
            tracing::warn!(
                kind = kind.label(),
                advice,
                "the shared cache fails: this worker caches for itself until it is back"
            );
        }
    }

    fn note_up(&self) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the shared cache is back");
        }
    }
}

/// What the pool sees of Redis.
pub(super) struct RedisBackend(pub(super) Arc<Redis>);

impl Backend for RedisBackend {
    fn service(&self) -> Service {
        Service::Redis
    }

    fn connections(&self) -> ConnectionStats {
        self.0.link.stats()
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>> {
        let redis = Arc::clone(&self.0);
        async move { redis.probe().await }.boxed()
    }

    /// There is one connection for all commands; those on their way keep it until they are answered.
    fn cleanup(&self) -> BoxFuture<'static, ()> {
        self.0.link.give_up(Instant::now());
        futures::future::ready(()).boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let link = Arc::clone(&self.0.link);
        async move { link.close().await }.boxed()
    }
}
