//! A job as the program below sees it: the context it runs in, how it ends, and who runs it.

use std::collections::HashMap;

use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::redact::Pii;

/// One dispatch of the agent to a room, as the server assigned it or an app asked us for it.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// `AJ_…`; made up by us for a job that the server has not assigned.
    pub id: String,
    /// The room's name.
    pub room: String,
    /// Where to join: the assignment's URL, else the worker's own.
    pub url: String,
    /// The join token.
    pub token: Pii<String>,
    /// The agent name the dispatch asked for; empty for automatic dispatch.
    pub agent_name: String,
    /// Free text given with the dispatch.
    pub metadata: Pii<String>,
    /// Key-value pairs given with the dispatch.
    pub attributes: Pii<HashMap<String, String>>,
    /// When the server asked whether we would take the job, or an app asked us for it; for one that nobody
    /// asked for (`connect`), when it was made.
    pub asked_at: Instant,
    /// When the job was ours.
    pub assigned_at: Instant,
    /// Cancelled when the job must end: termination by the server, deletion of its dispatch, the drain's
    /// deadline, or a stop.
    pub shutdown: CancellationToken,
}

/// Identity of the agent's participant in a job's room.
///
/// Source: livekit-agents 1.7 `job.py` `JobRequest.accept`.
pub(super) fn agent_identity(job_id: &str) -> String {
    format!("agent-{job_id}")
}

/// How a job ended, as it is reported to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// The conversation ended as conversations do.
    Success,
    /// It could not be held; the text says why, without anything private.
    Failed(String),
}

/// Runs jobs; a panic inside is caught by the worker and reported as a failed job.
pub trait JobHandler: Send + Sync {
    /// Runs one job to its end. Returns soon after [`JobContext::shutdown`] is cancelled.
    fn run(&self, job: JobContext) -> BoxFuture<'_, JobOutcome>;
}
