//! The running jobs: one task each, ended with the worker at the latest.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::job::{JobContext, JobHandler, JobOutcome};

/// How a job's task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// [`JobOutcome::Success`].
    Success,
    /// [`JobOutcome::Failed`].
    Failed(String),
    /// A bug.
    Panicked,
    /// We cut it off.
    Aborted,
}

/// The tasks of the running jobs. Dropping this cuts all of them off.
#[derive(Default)]
pub(super) struct Jobs {
    tasks: JoinSet<JobOutcome>,
    ids: HashMap<Id, String>,
    running: HashMap<String, Running>,
}

struct Running {
    shutdown: CancellationToken,
    abort: AbortHandle,
}

impl Jobs {
    /// Starts a job on a task of its own.
    pub(super) fn start(&mut self, handler: Arc<dyn JobHandler>, context: JobContext) {
        let job_id = context.id.clone();
        let shutdown = context.shutdown.clone();
        let span = tracing::info_span!("job", job_id = %job_id);
        let abort = self
            .tasks
            .spawn(async move { handler.run(context).await }.instrument(span));
        self.ids.insert(abort.id(), job_id.clone());
        self.running.insert(job_id, Running { shutdown, abort });
    }

    /// Asks a job to end.
    pub(super) fn cancel(&self, job_id: &str) {
        if let Some(job) = self.running.get(job_id) {
            job.shutdown.cancel();
        }
    }

    /// Cuts a job off at its next await.
    pub(super) fn abort(&self, job_id: &str) {
        if let Some(job) = self.running.get(job_id) {
            job.abort.abort();
        }
    }

    /// The next job that ends; pends for ever while none runs.
    ///
    /// Cancel safety: an ended job is returned by the next call.
    pub(super) async fn next_ended(&mut self) -> (String, JobEnd) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (task, end) = match ended {
                Ok((task, JobOutcome::Success)) => (task, JobEnd::Success),
                Ok((task, JobOutcome::Failed(why))) => (task, JobEnd::Failed(why)),
                Err(error) => (error.id(), end_of(&error)),
            };
            if let Some(job_id) = self.ids.remove(&task) {
                self.running.remove(&job_id);
                return (job_id, end);
            }
        }
    }
}

fn end_of(error: &JoinError) -> JobEnd {
    if error.is_panic() {
        JobEnd::Panicked
    } else {
        JobEnd::Aborted
    }
}
