//! Decodes recordings beside the async runtime: few at a time, and never longer than a call waits.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Recordings that the process decodes at the same time. Each keeps a core busy for up to a second, and
/// the calls need the others.
const DECODES_MAX: usize = 2;

/// How long a recording waits for its decoding and takes for it. The microphone waits 3 s for all of it.
const DECODE_WITHIN: Duration = Duration::from_secs(2);

/// The decoding of the process.
pub(super) static DECODING: Decoding = Decoding::new(DECODES_MAX, DECODE_WITHIN);

/// A concurrency limit with a deadline.
pub(super) struct Decoding {
    permits: Semaphore,
    within: Duration,
}

impl Decoding {
    const fn new(n_permits: usize, within: Duration) -> Self {
        Self {
            permits: Semaphore::const_new(n_permits),
            within,
        }
    }

    /// Runs the work on a blocking thread. A thread cannot be stopped: at the deadline the work is
    /// given up, and it holds its permit until it ends, so stuck work never takes more than the limit.
    ///
    /// # Errors
    /// The deadline has passed, or the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        let run = async {
            let permit = self.permits.acquire().await.ok()?;
            let work = move || {
                let _permit = permit;
                work()
            };
            spawn_blocking(work).await.ok()
        };
        match tokio::time::timeout(self.within, run).await {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err("its decoding failed"),
            Err(_) => Err("its decoding took too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    static STUCK: Decoding = Decoding::new(1, Duration::from_millis(50));

    #[tokio::test]
    async fn stuck_work_frees_its_call_and_holds_only_its_permit() {
        let (release, released) = mpsc::channel::<()>();
        let stuck = STUCK.run(move || released.recv().is_ok()).await;
        assert_eq!(stuck, Err("its decoding took too long"));
        assert_eq!(STUCK.run(|| 1).await, Err("its decoding took too long"));
        release.send(()).unwrap();
        // The permit comes back when the thread has ended.
        drop(STUCK.permits.acquire().await.unwrap());
        assert_eq!(STUCK.run(|| 1).await, Ok(1));
    }
}
