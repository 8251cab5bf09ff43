//! Beside the dispatch: one job that nobody dispatched, and one registration to see that it works.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::config::{Config, ServerConfig};
use super::connection::{ConnectError, Connection};
use super::job::{JobContext, JobHandler, JobOutcome, agent_identity};
use super::jobs::{JobEnd, Jobs};
use super::stop::Stop;
use super::token::{TokenError, join_token};
use crate::redact::Pii;

/// A job without a dispatch: we mint the token and join by ourselves.
pub struct DirectJob {
    context: JobContext,
    config: Config,
}

impl DirectJob {
    /// Prepares to join `room` as `identity`; without one it is made from the job's id, as for a
    /// dispatched job.
    ///
    /// # Errors
    /// When key and secret cannot sign a token.
    pub fn new(
        server: &ServerConfig,
        config: &Config,
        room: &str,
        identity: Option<&str>,
    ) -> Result<Self, TokenError> {
        let id = format!("AJ_direct{}", new_id());
        let own_identity = agent_identity(&id);
        let identity = identity.unwrap_or(&own_identity);
        let now = Instant::now();
        let context = JobContext {
            room: room.to_owned(),
            url: server.url.clone(),
            token: join_token(server, room, identity, &config.agent_name)?,
            agent_name: config.agent_name.clone(),
            metadata: Pii::default(),
            attributes: Pii::new(HashMap::new()),
            asked_at: now,
            assigned_at: now,
            shutdown: CancellationToken::new(),
            id,
        };
        Ok(Self {
            context,
            config: config.clone(),
        })
    }

    /// Runs the job until it ends or `stops` says so; a panic inside is a failed job.
    pub async fn run(
        self,
        handler: Arc<dyn JobHandler>,
        stops: impl Stream<Item = Stop> + Send,
    ) -> JobOutcome {
        let mut stops = std::pin::pin!(stops);
        let mut jobs = Jobs::default();
        let job_id = self.context.id.clone();
        jobs.start(handler, self.context);
        tokio::select! {
            (_, end) = jobs.next_ended() => return outcome(end),
            Some(_) = stops.next() => jobs.cancel(&job_id),
        }
        let grace = timeout(self.config.termination_grace, jobs.next_ended());
        tokio::select! {
            ended = grace => match ended {
                Ok((_, end)) => outcome(end),
                Err(_) => outcome(JobEnd::Aborted),
            },
            Some(_) = stops.next() => outcome(JobEnd::Aborted),
        }
    }
}

/// The part of an id that tells one job from all others.
pub(super) fn new_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn outcome(end: JobEnd) -> JobOutcome {
    match end {
        JobEnd::Success => JobOutcome::Success,
        JobEnd::Failed(why) => JobOutcome::Failed(why),
        JobEnd::Panicked => JobOutcome::Failed("a bug ended the job".to_owned()),
        JobEnd::Aborted => JobOutcome::Failed("the job did not end in time".to_owned()),
    }
}

/// Registers once and leaves; tells the server's version. For `check`: no job can come, for the
/// agent name is one that nobody dispatches.
///
/// # Errors
/// Why the server would not have us.
pub async fn register_once(server: &ServerConfig, config: &Config) -> Result<String, ConnectError> {
    let config = Config {
        agent_name: format!("check-{:08x}", rand::random::<u32>()),
        ..config.clone()
    };
    let (connection, registration) = Connection::open(server, &config).await?;
    connection.close().await;
    Ok(registration.server_version)
}
