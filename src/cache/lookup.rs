//! Looking a value up in Redis, and who makes it when it is not there: of all workers one, for as
//! long as the others care to wait.
//!
//! Beside a value that is being made is a lock that ends by itself. **Invariant:** it only saves work.
//! Lost, late, or left by a worker that died, it costs a second making, and never a value.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::{Instant, sleep};

use super::key::CacheKey;
use super::shared::{Answer, Redis};

/// How long a lock lasts if nobody gives it back: longer than anybody waits for it
/// (`cache.redis_wait_ms` is at most as long), and a short while for a worker that was killed.
pub(super) const LOCK_TTL: Duration = Duration::from_secs(10);

/// Pause between two looks for what another worker is making.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a lookup came to.
pub(super) enum Lookup {
    /// A value that is fit for use, and how long it still is.
    Found(Bytes, Duration),
    /// Nothing; the value is to be made, and shared.
    Make(Option<Lock>),
    /// Redis does not answer; it need not be asked again for this call.
    Alone,
}

/// The right of this worker to make a value.
pub(super) struct Lock {
    redis: Arc<Redis>,
    key: CacheKey,
    token: String,
}

impl Lock {
    /// Lets others have it. One that is dropped instead lasts until its time is over.
    pub(super) async fn release(self) {
        self.redis.unlock(&self.key, &self.token).await;
    }
}

/// Looks a value up that `is_fit`. When there is none and `may_wait`, one worker is to make it, and
/// the others get it from there, unless that takes longer than `cache.redis_wait_ms`.
pub(super) async fn look_up(
    redis: &Arc<Redis>,
    key: &CacheKey,
    may_wait: bool,
    is_fit: impl Fn(&Bytes) -> bool,
) -> Lookup {
    let give_up = Instant::now() + redis.wait_max;
    let mut lock = None;
    let mut has_waited = false;
    loop {
        let is_unreadable = match redis.get(key).await {
            Answer::Found(bytes, left) if is_fit(&bytes) => {
                redis.note_hit(has_waited);
                if let Some(lock) = lock {
                    Lock::release(lock).await;
                }
                return Lookup::Found(bytes, left);
            }
            Answer::Found(..) | Answer::Unreadable => true,
            Answer::Nothing => false,
            Answer::Failed => return Lookup::Alone,
        };
        let is_late = has_waited && Instant::now() + LOOK_INTERVAL >= give_up;
        // Whoever has the lock has looked once more after taking it.
        let may_wait = may_wait && !redis.wait_max.is_zero();
        if !may_wait || lock.is_some() || is_late {
            redis.note_miss(is_unreadable);
            return Lookup::Make(lock);
        }
        match take(redis, key).await {
            Ok(Some(taken)) => lock = Some(taken),
            Ok(None) => {
                has_waited = true;
                sleep(LOOK_INTERVAL).await;
            }
            Err(()) => return Lookup::Alone,
        }
    }
}

async fn take(redis: &Arc<Redis>, key: &CacheKey) -> Result<Option<Lock>, ()> {
    let token = format!("{:032x}", rand::rng().random::<u128>());
    let is_taken = redis.lock(key, &token).await.map_err(drop)?;
    Ok(is_taken.then(|| Lock {
        redis: Arc::clone(redis),
        key: key.clone(),
        token,
    }))
}
