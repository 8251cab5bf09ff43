//! A job handler under the test's control: each job waits to be told how to end.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use voxpool::worker::{JobContext, JobHandler, JobOutcome};

use super::within;

/// How the test wants a job to end.
#[derive(Debug)]
pub(crate) enum End {
    With(JobOutcome),
    Panic,
}

/// A job that runs; dropping it lets the job end well.
pub(crate) struct RunningJob {
    pub(crate) context: JobContext,
    end: oneshot::Sender<End>,
}

impl RunningJob {
    /// Ends the job.
    pub(crate) fn end(self, end: End) {
        assert!(self.end.send(end).is_ok(), "the job has ended already");
    }

    /// Waits until the worker asks the job to end.
    pub(crate) async fn asked_to_end(&self) {
        within("the job is asked to end", self.context.shutdown.cancelled()).await;
    }

    /// Whether the job's task is still there.
    pub(crate) fn is_running(&self) -> bool {
        !self.end.is_closed()
    }
}

/// The handler, and where its jobs come out.
pub(crate) struct Scripted {
    jobs: mpsc::Sender<RunningJob>,
    is_stubborn: bool,
}

/// The test's end of a [`Scripted`] handler.
pub(crate) struct Jobs(mpsc::Receiver<RunningJob>);

/// Jobs that end when they are told to, by the test or by the worker.
pub(crate) fn scripted() -> (Arc<Scripted>, Jobs) {
    handler(false)
}

/// Jobs that end only when the test tells them to.
pub(crate) fn stubborn() -> (Arc<Scripted>, Jobs) {
    handler(true)
}

fn handler(is_stubborn: bool) -> (Arc<Scripted>, Jobs) {
    let (sender, receiver) = mpsc::channel(64);
    let handler = Scripted {
        jobs: sender,
        is_stubborn,
    };
    (Arc::new(handler), Jobs(receiver))
}

impl Jobs {
    /// The next job that starts.
    pub(crate) async fn next(&mut self) -> RunningJob {
        within("a job starts", self.0.recv())
            .await
            .expect("the handler lives")
    }

    /// A job that has started and was not taken yet.
    pub(crate) fn started(&mut self) -> Option<RunningJob> {
        self.0.try_recv().ok()
    }
}

impl JobHandler for Scripted {
    fn run(&self, job: JobContext) -> BoxFuture<'_, JobOutcome> {
        async move {
            let (end, ended) = oneshot::channel();
            let shutdown = job.shutdown.clone();
            if self
                .jobs
                .send(RunningJob { context: job, end })
                .await
                .is_err()
            {
                return JobOutcome::Success;
            }
            let is_stubborn = self.is_stubborn;
            tokio::select! {
                end = ended => match end {
                    Ok(End::With(outcome)) => outcome,
                    Ok(End::Panic) => panic!("as the test wished"),
                    Err(_) => JobOutcome::Success,
                },
                () = shutdown.cancelled(), if !is_stubborn => JobOutcome::Success,
            }
        }
        .boxed()
    }
}
