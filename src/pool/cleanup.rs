//! Dropping what is idle, on request and at the end.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::ConnectionPool;

/// How long dropped connections are given to disappear before they are counted.
const SETTLE_MAX: Duration = Duration::from_millis(500);
const SETTLE_STEP: Duration = Duration::from_millis(10);
/// How long backends may take to close.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// What a cleanup did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CleanupReport {
    /// Whether idle connections were dropped; `false` when the last cleanup was a moment ago.
    pub is_done: bool,
    /// When the next one will be, if this one was not.
    pub retry_in_seconds: Option<f64>,
    /// Open connections before; `None` where the system cannot be asked, and when nothing was done.
    pub connections_before: Option<u64>,
    /// Open connections after: those of calls in flight, which are left alone.
    pub connections_after: Option<u64>,
    /// Calls that were under way and went on; `None` when nothing was done.
    pub in_flight: Option<u64>,
    /// Expired DNS answers dropped.
    pub dns_answers_dropped: usize,
}

impl CleanupReport {
    /// One or two sentences that sound right when a voice reads them out.
    pub fn spoken(&self) -> String {
        if !self.is_done {
            let seconds = self.retry_in_seconds.unwrap_or_default().ceil();
            return format!(
                "The last cleanup was just now. The next one is possible in {seconds:.0} seconds."
            );
        }
        let connections = match (self.connections_before, self.connections_after) {
            (Some(before), Some(after)) => {
                format!("There were {before} open connections and there are {after} now.")
            }
            _ => "All idle connections were dropped.".to_owned(),
        };
        format!("The cleanup is done. {connections}")
    }
}

/// When cleanups were done.
#[derive(Default)]
pub(super) struct Log {
    pub(super) count: u64,
    last: Option<Instant>,
}

impl Log {
    /// Notes a cleanup, or says how long to wait for the next.
    fn admit(&mut self, now: Instant, interval_min: Duration) -> Result<(), Duration> {
        if let Some(last) = self.last {
            let wait = interval_min.saturating_sub(now - last);
            if !wait.is_zero() {
                return Err(wait);
            }
        }
        self.last = Some(now);
        self.count += 1;
        Ok(())
    }
}

impl ConnectionPool {
    /// Drops the idle connections of the HTTP client, idle WebSockets and those of every backend, and
    /// expired DNS answers;
    /// what failed its last health check is checked again. Calls in flight are not touched: their
    /// connections close when they end.
    pub async fn cleanup(&self) -> CleanupReport {
        let mut report = CleanupReport {
            is_done: false,
            retry_in_seconds: None,
            connections_before: None,
            connections_after: None,
            in_flight: None,
            dns_answers_dropped: 0,
        };
        let interval_min = self.0.shared.config.cleanup_interval_min;
        // First: a refused cleanup must not cost what counting connections does.
        if let Err(wait) = self.cleanup_log().admit(Instant::now(), interval_min) {
            report.retry_in_seconds = Some(wait.as_secs_f64());
            return report;
        }
        report.is_done = true;
        let before = self.stats().await;
        let services = before.services.iter();
        let in_flight = services.map(|service| service.in_flight).sum();
        report.connections_before = before.connections.open;
        report.in_flight = Some(in_flight);
        self.0.shared.http.drop_all_idle();
        self.drop_idle_sockets();
        let backends = self.0.backends.all();
        join_all(backends.iter().map(|backend| backend.cleanup())).await;
        // What was not well gets a new chance at once.
        self.0.health.look_now();
        report.dns_answers_dropped = self.0.shared.resolver.drop_expired();
        report.connections_after = self.settled(in_flight).await;
        tracing::info!(
            connections_before = report.connections_before,
            connections_after = report.connections_after,
            in_flight,
            "idle connections dropped"
        );
        report
    }

    /// Closes the backends and drops all idle connections, for the end of the process. Call it when
    /// no call is under way any more; those that are have a few seconds to end.
    pub async fn close(&self) {
        let backends = self.0.backends.all();
        let closing = join_all(backends.iter().map(|backend| backend.close()));
        if timeout(CLOSE_MAX, closing).await.is_err() {
            tracing::warn!(
                seconds = CLOSE_MAX.as_secs(),
                "a backend did not close in time"
            );
        }
        self.0.shared.http.drop_all_idle();
        self.drop_idle_sockets();
    }

    pub(super) fn cleanup_log(&self) -> MutexGuard<'_, Log> {
        self.0
            .cleanups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Open connections once no more than `expected` are left, or after a short while.
    async fn settled(&self, expected: u64) -> Option<u64> {
        let give_up = Instant::now() + SETTLE_MAX;
        loop {
            let open = self.stats().await.connections.open?;
            if open <= expected || Instant::now() >= give_up {
                return Some(open);
            }
            tokio::time::sleep(SETTLE_STEP).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn cleanups_keep_their_distance() {
        let mut log = Log::default();
        let interval = Duration::from_secs(10);
        let start = Instant::now();
        assert_eq!(log.admit(start, interval), Ok(()));
        let soon = start + Duration::from_secs(4);
        assert_eq!(log.admit(soon, interval), Err(Duration::from_secs(6)));
        assert_eq!(log.admit(start + interval, interval), Ok(()));
        assert_eq!(log.count, 2);
    }
}
