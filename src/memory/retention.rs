//! The limits of rows per user and of their age, held beside the calls.
//!
//! Every few seconds one bounded statement deletes what the users whose memories were saved since may
//! no longer have (`memory.per_user_max`, `memory.keep_days`). With `memory.keep_days` another one
//! walks through all users of the store, some at a time, so that rows of callers who do not call go, too.
//! A read leaves out what is too old, so no caller hears it before it is deleted.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::batch::Counter;
use super::{Store, UserId};
use crate::error::{CallError, ErrorKind};

/// Pause between two statements; a row too many does no harm for that long.
const TICK: Duration = Duration::from_secs(10);

/// Users whose limits one statement holds; half as many after each that took too long.
const USERS_MAX: usize = 500;

/// Users of the walk through the store in one statement: with [`TICK`] 864,000 a day and worker.
const WALKED_MAX: usize = 100;

/// Pause between two walks through the store.
const WALK_PAUSE: Duration = Duration::from_secs(3600);

/// Pause after a store said that it lacks what the limits need, which an operator has to add.
const MISSING_PAUSE: Duration = Duration::from_secs(3600);

/// Users that wait; the limits of one too many are held after their next save.
const WAITING_MAX: usize = 10_000;

/// Users whose memories were saved since their limits were last held.
#[derive(Default)]
pub(super) struct Touched(Mutex<HashSet<UserId>>);

impl Touched {
    pub(super) fn add(&self, users: impl IntoIterator<Item = UserId>) {
        let mut waiting = self.lock();
        for user in users {
            if waiting.len() < WAITING_MAX {
                waiting.insert(user);
            }
        }
    }

    fn take(&self, n_max: usize) -> Vec<UserId> {
        let mut waiting = self.lock();
        let users: Vec<_> = waiting.iter().take(n_max).cloned().collect();
        for user in &users {
            waiting.remove(user);
        }
        users
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the walk through the store is.
struct Walk {
    after: Option<UserId>,
    due: Instant,
}

impl Walk {
    /// Takes the users that came after the last ones, of whom so many were asked for.
    fn came(&mut self, users: &[UserId], n_asked: usize, now: Instant) {
        let is_over = users.len() < n_asked;
        self.after = users.last().cloned().filter(|_| !is_over);
        if is_over {
            self.due = now + WALK_PAUSE;
        }
    }
}

/// Holds the limits for ever; `walks` through the store if memories have an age. Counts the rows that
/// went.
pub(super) async fn hold(store: &dyn Store, touched: &Touched, trimmed: &Counter, walks: bool) {
    let mut walk = Walk {
        after: None,
        due: Instant::now(),
    };
    let (mut pause, mut users_max) = (TICK, USERS_MAX);
    let mut is_failing = false;
    loop {
        sleep(pause).await;
        let mut users = touched.take(users_max);
        let held = async {
            let now = Instant::now();
            if walks && walk.due <= now {
                let n_asked = users_max.min(WALKED_MAX);
                let n_max = u32::try_from(n_asked).unwrap_or(u32::MAX);
                let walked = store.users(walk.after.clone(), n_max).await?;
                walk.came(&walked, n_asked, now);
                users.extend(walked);
            }
            match users.is_empty() {
                true => Ok(0),
                false => store.trim(users.clone()).await,
            }
        };
        let held: Result<u64, CallError> = held.await;
        let is_missing = |error: &CallError| error.kind == ErrorKind::SchemaMissing;
        pause = match &held {
            Err(error) if is_missing(error) => MISSING_PAUSE,
            _ => TICK,
        };
        users_max = match &held {
            Err(error) if error.kind == ErrorKind::Timeout => (users_max / 2).max(1),
            _ => (users_max * 2).min(USERS_MAX),
        };
        match held {
            Ok(rows) => {
                is_failing = false;
                trimmed.add(rows);
            }
            Err(error) => {
                touched.add(users);
                note(&error, std::mem::replace(&mut is_failing, true));
            }
        }
    }
}

/// Logs the first failure in a row, with the service's name and advice.
fn note(error: &CallError, was_failing: bool) {
    if !was_failing {
        tracing::warn!(
            store = error.service.label(),
            kind = error.kind.label(),
            why = error.cause.as_ref().map(ToString::to_string),
            "memory.per_user_max and memory.keep_days do not hold at the moment"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::error::Service;
    use crate::memory::{MemoryAnswer, MemoryOp};

    fn users(names: std::ops::Range<usize>) -> Vec<UserId> {
        let user = |n| UserId::new(&format!("user{n:04}")).unwrap();
        names.map(user).collect()
    }

    /// A store with so many users, that notes whose limits were held.
    #[derive(Default)]
    struct Noting {
        n_users: usize,
        failure: Mutex<Option<ErrorKind>>,
        trimmed: Mutex<Vec<Vec<UserId>>>,
    }

    impl Noting {
        /// How many users each statement was for, since it was last asked.
        fn sizes(&self) -> Vec<usize> {
            let trimmed = std::mem::take(&mut *self.trimmed.lock().unwrap());
            trimmed.iter().map(Vec::len).collect()
        }
    }

    impl Store for Noting {
        fn run(&self, _: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
            unreachable!("limits are no operations of callers")
        }

        fn trim(&self, users: Vec<UserId>) -> BoxFuture<'_, Result<u64, CallError>> {
            self.trimmed.lock().unwrap().push(users);
            let failure = *self.failure.lock().unwrap();
            let answer = match failure {
                Some(kind) => Err(CallError::new(Service::Sqlite, "test", kind)),
                None => Ok(1),
            };
            std::future::ready(answer).boxed()
        }

        fn users(
            &self,
            after: Option<UserId>,
            n_max: u32,
        ) -> BoxFuture<'_, Result<Vec<UserId>, CallError>> {
            let all = users(0..self.n_users).into_iter();
            let next = all.filter(|it| after.as_ref().is_none_or(|after| it > after));
            let next = next.take(n_max as usize).collect();
            std::future::ready(Ok(next)).boxed()
        }
    }

    fn start(store: &Arc<Noting>, walks: bool) -> (Arc<Touched>, AbortOnDropHandle<()>) {
        let touched = Arc::<Touched>::default();
        let (store, users) = (Arc::clone(store), Arc::clone(&touched));
        let holding = async move { hold(&*store, &users, &Counter::default(), walks).await };
        (touched, AbortOnDropHandle::new(tokio::spawn(holding)))
    }

    #[tokio::test(start_paused = true)]
    async fn users_whose_memories_were_saved_are_looked_at_once_and_so_many_at_a_time() {
        let store = Arc::<Noting>::default();
        let (touched, _holding) = start(&store, false);
        for _ in 0..3 {
            touched.add(users(0..USERS_MAX + 1));
        }
        sleep(TICK * 4).await;
        assert_eq!(store.sizes(), [USERS_MAX, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_failed_is_asked_again() {
        let store = Arc::<Noting>::default();
        let (touched, _holding) = start(&store, false);
        *store.failure.lock().unwrap() = Some(ErrorKind::Unavailable);
        touched.add(users(0..2));
        sleep(TICK + TICK / 2).await;
        *store.failure.lock().unwrap() = None;
        sleep(TICK * 3).await;
        assert_eq!(store.sizes(), [2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_takes_too_long_is_tried_with_fewer_users() {
        let store = Arc::<Noting>::default();
        let (touched, _holding) = start(&store, false);
        *store.failure.lock().unwrap() = Some(ErrorKind::Timeout);
        touched.add(users(0..USERS_MAX));
        sleep(TICK * 3 + TICK / 2).await;
        *store.failure.lock().unwrap() = None;
        assert_eq!(store.sizes(), [500, 250, 125]);
        sleep(TICK * 4).await;
        assert_eq!(store.sizes(), [62, 124, 248, 66]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_lacks_a_function_is_left_alone_for_an_hour() {
        let store = Arc::<Noting>::default();
        let (touched, _holding) = start(&store, false);
        *store.failure.lock().unwrap() = Some(ErrorKind::SchemaMissing);
        touched.add(users(0..1));
        sleep(MISSING_PAUSE / 2).await;
        assert_eq!(store.sizes(), [1]);
        sleep(MISSING_PAUSE).await;
        assert_eq!(store.sizes(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_reaches_every_user_and_then_rests() {
        let store = Arc::new(Noting {
            n_users: 250,
            ..Noting::default()
        });
        let (_touched, _holding) = start(&store, true);
        sleep(TICK * 6).await;
        let seen = store.trimmed.lock().unwrap().concat();
        assert_eq!(seen, users(0..250));
        assert_eq!(store.sizes(), [100, 100, 50]);
        sleep(WALK_PAUSE).await;
        assert_eq!(store.sizes()[0], 100, "the next walk begins");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_when_nothing_was_saved() {
        let store = Arc::<Noting>::default();
        let (_touched, _holding) = start(&store, false);
        sleep(TICK * 100).await;
        assert!(store.sizes().is_empty());
    }

    #[test]
    fn users_that_wait_have_a_limit() {
        let touched = Touched::default();
        touched.add(users(0..WAITING_MAX + 5));
        assert_eq!(touched.lock().len(), WAITING_MAX);
    }
}
