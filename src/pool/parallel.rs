//! Calls side by side.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::error::{CallError, ErrorKind, Service};

/// The usual deadline of [`parallel_ai_calls`].
pub const PARALLEL_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs calls side by side and returns what became of each, in their order: one that fails leaves
/// the others alone. The calls share one deadline; those that are not done after `timeout` are
/// dropped and are a [`ErrorKind::Timeout`].
///
/// The calls run inside the caller's task. How many requests really are under way is the pool's
/// business; the others wait, within the deadline. A call that panics ends the caller, as it would
/// without this function, and the others are dropped.
///
/// Cancel safety: dropping the future drops every call; nothing goes on without it.
pub async fn parallel_ai_calls<T, C>(
    calls: impl IntoIterator<Item = C>,
    timeout: Duration,
) -> Vec<Result<T, CallError>>
where
    C: Future<Output = Result<T, CallError>>,
{
    let deadline = Instant::now() + timeout;
    let calls = calls.into_iter().map(async |call| {
        timeout_at(deadline, call).await.unwrap_or_else(|_| {
            let operation = "parallel_ai_calls";
            Err(CallError::new(
                Service::OpenAi,
                operation,
                ErrorKind::Timeout,
            ))
        })
    });
    join_all(calls).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use tokio::time::sleep;

    use super::*;

    fn call(n: u64, seconds: u64) -> BoxFuture<'static, Result<u64, CallError>> {
        async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok(n)
        }
        .boxed()
    }

    fn failing() -> BoxFuture<'static, Result<u64, CallError>> {
        let error = CallError::new(Service::OpenAi, "chat.stream", ErrorKind::Rejected);
        async move { Err(error) }.boxed()
    }

    /// Values, or the kinds of the errors.
    fn kinds(results: Vec<Result<u64, CallError>>) -> Vec<Result<u64, ErrorKind>> {
        let kind = |result: Result<u64, CallError>| result.map_err(|error| error.kind);
        results.into_iter().map(kind).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_take_as_long_as_one_and_keep_their_order() {
        let began = Instant::now();
        let calls = (0..50).map(|n| call(n, 1 + n % 2));
        let results = kinds(parallel_ai_calls(calls, PARALLEL_TIMEOUT).await);
        assert_eq!(results, (0..50).map(Ok).collect::<Vec<_>>());
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_leaves_the_others_alone() {
        let calls = [call(0, 1), failing(), call(2, 1)];
        let results = kinds(parallel_ai_calls(calls, PARALLEL_TIMEOUT).await);
        assert_eq!(results, [Ok(0), Err(ErrorKind::Rejected), Ok(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_is_a_timeout_and_the_rest_is_kept() {
        let began = Instant::now();
        let calls = [call(0, 100), call(1, 1), call(2, 31)];
        let results = kinds(parallel_ai_calls(calls, PARALLEL_TIMEOUT).await);
        let late = Err(ErrorKind::Timeout);
        assert_eq!(results, [late, Ok(1), late]);
        assert_eq!(began.elapsed(), PARALLEL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_halfway_it_drops_every_call() {
        struct Alive(Arc<AtomicUsize>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let alive = Arc::new(AtomicUsize::new(50));
        let calls = (0..50).map(|n| {
            let guard = Alive(Arc::clone(&alive));
            async move {
                let _guard = guard;
                call(n, 60).await
            }
        });
        let mut all = Box::pin(parallel_ai_calls(calls, PARALLEL_TIMEOUT));
        assert!((&mut all).now_or_never().is_none());
        assert_eq!(alive.load(Ordering::SeqCst), 50);
        drop(all);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn none_is_no_results() {
        let none: [BoxFuture<'static, Result<u64, CallError>>; 0] = [];
        assert!(parallel_ai_calls(none, PARALLEL_TIMEOUT).await.is_empty());
    }
}
