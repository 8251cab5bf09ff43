//! Understands speech with pocketsphinx, one process for each sound.
//!
//! Loading the model takes about 0.35 s, which a caller would hear as a pause in every turn. So
//! processes are started ahead: each has loaded its model and waits at its standard input. A sound is
//! written into one of them, which decodes it, prints the words and ends; another is started in its
//! place once the answer is out. No process hears two sounds, so nothing carries over between callers.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{EngineError, start_error};
use crate::audio::bytes_of;

const PROGRAM: &str = "pocketsphinx_continuous";
const PACKAGES: &str = "pocketsphinx pocketsphinx-en-us";
/// Decoding takes about a sixth of the sound's length; callers give up long before this.
const DEADLINE: Duration = Duration::from_secs(30);
/// Requests that may wait for a process; the next one is refused rather than left hanging.
const WAITING_MAX: usize = 32;
/// How long a new process waits to be started while another is warm: after a transcript comes the
/// reply's speech, which needs the machine more than the model's loading does.
const REFILL_DELAY: Duration = Duration::from_millis(700);
/// Silence put after the sound, so that its last word is not cut: 0.2 s at 16 kHz.
const TAIL_SAMPLES: usize = 3_200;

/// What pocketsphinx is started with, beside its defaults.
///
/// An input that is not called `.wav` is read as raw 16 kHz mono, which is what is written to it.
const ARGUMENTS: &[&str] = &["-infile", "/dev/stdin", "-logfn", "/dev/null"];

/// Understands several sounds at once and keeps as many processes warm.
pub(crate) struct Pocketsphinx {
    running: Semaphore,
    admitted: Semaphore,
    warm: Arc<Warm>,
    refill: JoinHandle<()>,
}

impl Pocketsphinx {
    /// Keeps `concurrency` processes, at least one, from the first request on.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.max(1);
        let warm = Arc::new(Warm::default());
        Self {
            running: Semaphore::new(concurrency),
            admitted: Semaphore::new(concurrency + WAITING_MAX),
            refill: tokio::spawn(keep_warm(Arc::clone(&warm), concurrency)),
            warm,
        }
    }

    /// Returns the words in a sound, in lower case and without punctuation; none is an empty text.
    ///
    /// Shape: mono, 16 kHz.
    ///
    /// # Cancel safety
    /// The process is killed when the future is dropped.
    pub(crate) async fn transcribe(&self, samples: Vec<i16>) -> Result<String, EngineError> {
        let _admitted = self
            .admitted
            .try_acquire()
            .map_err(|_| EngineError::Full { program: PROGRAM })?;
        let _running = self
            .running
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let child = match self.warm.take() {
            Some(child) => child,
            None => start()?,
        };
        // Given up or not, the process is used up.
        let _refill = NotifyOnDrop(&self.warm.taken);
        timeout(DEADLINE, decode(child, samples))
            .await
            .map_err(|_| EngineError::Late {
                program: PROGRAM,
                limit: DEADLINE,
            })?
    }
}

impl Drop for Pocketsphinx {
    fn drop(&mut self) {
        self.refill.abort();
    }
}

/// Processes that have loaded their model, or are about to.
#[derive(Default)]
struct Warm {
    children: Mutex<VecDeque<Child>>,
    taken: Notify,
}

impl Warm {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest process that is still alive.
    fn take(&self) -> Option<Child> {
        let mut children = self.lock();
        while let Some(mut child) = children.pop_front() {
            if matches!(child.try_wait(), Ok(None)) {
                return Some(child);
            }
        }
        None
    }
}

/// Starts a process for each that was taken, once its request has ended.
///
/// A failure to start shows at the next request, which then starts its own.
async fn keep_warm(warm: Arc<Warm>, n_warm: usize) {
    loop {
        warm.taken.notified().await;
        if !warm.lock().is_empty() {
            sleep(REFILL_DELAY).await;
        }
        while warm.lock().len() < n_warm {
            let Ok(child) = start() else { break };
            warm.lock().push_back(child);
        }
    }
}

struct NotifyOnDrop<'a>(&'a Notify);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn start() -> Result<Child, EngineError> {
    Command::new(PROGRAM)
        .args(ARGUMENTS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| start_error(PROGRAM, PACKAGES, source))
}

async fn decode(mut child: Child, samples: Vec<i16>) -> Result<String, EngineError> {
    let mut bytes = bytes_of(&samples);
    bytes.resize(bytes.len() + 2 * TAIL_SAMPLES, 0);
    let mut stdin = child
        .stdin
        .take()
        .expect("the process was started with a pipe");
    let write = async move {
        // A process that died closes the pipe; its exit status below tells more than this error.
        stdin.write_all(&bytes).await.ok();
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), write);
    let output = output.map_err(|source| EngineError::Run {
        program: PROGRAM,
        source,
    })?;
    let status = output.status;
    if !status.success() {
        return Err(EngineError::Failed {
            program: PROGRAM,
            status,
            packages: PACKAGES,
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
