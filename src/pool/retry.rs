//! Whether and when a failed attempt is made again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use rand::Rng as _;
use tokio::time::Instant;
use tower::retry::Policy;

use super::call::Call;
use super::config::Config;
use super::recorder::Recorder;
use crate::error::{CallError, ErrorKind};

/// Decides for one call; every call starts with a fresh copy.
#[derive(Clone)]
pub(super) struct RetryPolicy {
    rules: Rules,
    recorder: Recorder,
    retries: u32,
    malformed: u32,
    dead_sockets: u32,
}

/// The part of the configuration that this is about.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    retries_max: u32,
    delay_min: Duration,
    delay_max: Duration,
    retry_after_max: Duration,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            retries_max: config.retries_max,
            delay_min: config.retry_delay_min,
            delay_max: config.retry_delay_max,
            retry_after_max: config.retry_after_max,
        }
    }

    /// The pause before retry number `retry` (0 is the first), or `None` to give up.
    ///
    /// `jitter` is from 0 to 1: calls that failed together must not come back together.
    fn delay(&self, error: &CallError, retry: u32, jitter: f64) -> Option<Duration> {
        if !error.kind.is_retryable() || retry >= self.retries_max {
            return None;
        }
        if error
            .retry_after
            .is_some_and(|wait| wait > self.retry_after_max)
        {
            return None;
        }
        let doubled = self.delay_min.saturating_mul(1 << retry.min(16));
        let backoff = doubled.min(self.delay_max).mul_f64(0.5 + 0.5 * jitter);
        Some(error.retry_after.unwrap_or_default().max(backoff))
    }
}

impl RetryPolicy {
    pub(super) fn new(rules: Rules, recorder: Recorder) -> Self {
        Self {
            rules,
            recorder,
            retries: 0,
            malformed: 0,
            dead_sockets: 0,
        }
    }

    fn next_delay(&mut self, call: &Call, error: &CallError) -> Option<Duration> {
        if !call.spec.is_repeatable {
            return None;
        }
        let met_dead_socket = call.progress.met_dead_socket.swap(false, Ordering::Relaxed);
        if met_dead_socket && self.dead_sockets == 0 && self.rules.retries_max > 0 {
            // Says nothing about the service: go again at once, on a fresh connection.
            self.dead_sockets += 1;
            return Some(Duration::ZERO);
        }
        if (call.spec.retries_max).is_some_and(|retries_max| self.retries >= retries_max) {
            return None;
        }
        if matches!(error.kind, ErrorKind::Malformed | ErrorKind::Empty) {
            self.malformed += 1;
            if self.malformed > 1 {
                return None;
            }
        }
        let delay = self
            .rules
            .delay(error, self.retries, rand::rng().random())?;
        self.retries += 1;
        // A retry that cannot begin in time would only turn a clear error into a timeout.
        (Instant::now() + delay < call.deadline).then_some(delay)
    }
}

impl Policy<Call, (), CallError> for RetryPolicy {
    type Future = BoxFuture<'static, ()>;

    fn retry(
        &mut self,
        call: &mut Call,
        result: &mut Result<(), CallError>,
    ) -> Option<Self::Future> {
        let error = result.as_ref().err()?;
        let delay = self.next_delay(call, error)?;
        self.recorder.retried();
        tracing::debug!(
            service = error.service.label(),
            operation = error.operation,
            kind = error.kind.label(),
            delay_ms = delay.as_millis() as u64,
            "trying again"
        );
        Some(Box::pin(tokio::time::sleep(delay)))
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Service;

    fn rules() -> Rules {
        Rules::new(&Config::default())
    }

    fn error(kind: ErrorKind, retry_after: Option<u64>) -> CallError {
        CallError {
            retry_after: retry_after.map(Duration::from_secs),
            ..CallError::new(Service::OpenAi, "chat.stream", kind)
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let error = error(ErrorKind::Unavailable, None);
        let rules = Rules {
            retries_max: 10,
            ..rules()
        };
        let ms = |retry| rules.delay(&error, retry, 1.0).unwrap().as_millis();
        assert_eq!(
            [ms(0), ms(1), ms(2), ms(6), ms(9)],
            [100, 200, 400, 2000, 2000]
        );
    }

    #[test]
    fn jitter_takes_at_most_half_of_a_pause() {
        let error = error(ErrorKind::Unavailable, None);
        assert_eq!(
            rules().delay(&error, 0, 0.0),
            Some(Duration::from_millis(50))
        );
    }

    #[test]
    fn what_cannot_help_is_not_tried() {
        for kind in ErrorKind::ALL
            .into_iter()
            .filter(|kind| !kind.is_retryable())
        {
            assert_eq!(rules().delay(&error(kind, None), 0, 1.0), None, "{kind:?}");
        }
        assert_eq!(
            rules().delay(&error(ErrorKind::Timeout, None), 3, 1.0),
            None
        );
    }

    #[test]
    fn a_short_wait_is_honoured_and_a_long_one_is_not_waited_for() {
        let delay = |seconds| rules().delay(&error(ErrorKind::RateLimited, Some(seconds)), 0, 1.0);
        assert_eq!(delay(3), Some(Duration::from_secs(3)));
        assert_eq!(delay(0), Some(Duration::from_millis(100)));
        assert_eq!(delay(60), None);
    }
}
