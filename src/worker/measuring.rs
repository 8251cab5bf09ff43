//! Measures the machine at each tick, on a thread that may block: the kernel may take its time to
//! answer, and the runtime has audio to send.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::host::{Host, Sample};

/// How often the load is measured.
///
/// Source: livekit-agents 1.7 `worker.py`.
const INTERVAL: Duration = Duration::from_millis(500);

/// What was measured at a tick.
#[derive(Debug, Default)]
pub(super) struct Measurement {
    pub(super) sample: Sample,
    /// How much later than it asked for the runtime woke this task.
    pub(super) lag: Duration,
}

/// See the module.
pub(super) struct Measuring {
    /// `None` measures nothing.
    host: Option<Arc<Mutex<Host>>>,
    ticks: Interval,
    /// The lag of the last tick, and the measurement that it began.
    running: Option<(Duration, JoinHandle<Sample>)>,
}

impl Measuring {
    pub(super) fn new(host: Option<Host>) -> Self {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            host: host.map(|host| Arc::new(Mutex::new(host))),
            ticks,
            running: None,
        }
    }

    /// The next measurement.
    ///
    /// Cancel safety: a measurement that has begun is the next one.
    pub(super) async fn next(&mut self) -> Measurement {
        loop {
            if let Some((lag, running)) = &mut self.running {
                let lag = *lag;
                // A measurement that panics is one that knows nothing.
                let sample = running.await.unwrap_or_default();
                self.running = None;
                return Measurement { sample, lag };
            }
            let due = self.ticks.tick().await;
            let Some(host) = &self.host else {
                return Measurement::default();
            };
            let (lag, host) = (due.elapsed(), Arc::clone(host));
            let sample = move || host.lock().unwrap_or_else(PoisonError::into_inner).sample();
            self.running = Some((lag, spawn_blocking(sample)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_measurement_that_was_not_waited_for_is_the_next_one() {
        let mut measuring = Measuring::new(Some(Host::default()));
        let host = measuring.host.clone().unwrap();
        let (hold, held) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let holder = spawn_blocking(move || {
            let host = host.lock();
            hold.send(()).unwrap();
            released.blocking_recv().ok();
            drop(host);
        });
        held.await.unwrap();
        while measuring.running.is_none() {
            let waiting = timeout(Duration::from_millis(1), measuring.next());
            assert!(waiting.await.is_err(), "the machine is not measured yet");
        }
        drop(release);
        holder.await.unwrap();
        let first = measuring.next().await;
        assert_eq!(
            first.sample.cpu, None,
            "there is nothing to compare it with"
        );
        if cfg!(target_os = "linux") {
            assert!(measuring.next().await.sample.cpu.is_some());
        }
    }
}
