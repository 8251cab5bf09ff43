//! The async runtime of the process, and its end.

use std::io;
use std::time::Duration;

use tokio::runtime::Builder;

/// How long blocking work may go on after the last call has ended. Looking up a name, writing a database
/// or decoding a recording takes less; work that is stuck cannot be stopped and ends with the process.
const BLOCKING_MAX: Duration = Duration::from_secs(2);

/// Runs `work` to its end on a runtime of its own. Returns within 2 s after that, whatever blocking work
/// still runs.
///
/// # Errors
/// The system gives no threads.
pub fn block_on<F: Future>(work: F) -> io::Result<F::Output> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // Dropping the runtime would wait for blocking work for as long as it takes.
    runtime.shutdown_timeout(BLOCKING_MAX);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn blocking_work_that_never_ends_does_not_hold_the_end() {
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let stuck = move || {
            started.send(()).ok();
            released.recv().ok();
        };
        let (ended, has_ended) = mpsc::channel();
        let began = Instant::now();
        std::thread::spawn(move || {
            let done = block_on(async move {
                tokio::task::spawn_blocking(stuck);
                has_started.recv().ok();
                7
            });
            ended.send(done.ok()).ok();
        });
        // Without the limit this waits for ever.
        let done = has_ended.recv_timeout(Duration::from_secs(30));
        assert_eq!(done, Ok(Some(7)));
        assert!(began.elapsed() >= BLOCKING_MAX, "the work had its time");
        drop(release);
    }
}
