//! Jobs that are asked of the worker itself, beside those that LiveKit's server assigns: we mint the
//! token and join at once. LiveKit's server takes 200 ms to choose a worker; who asks one has chosen.
//!
//! **Invariant:** such a job takes a slot like any other, and the server is told nothing of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Worker;
use super::direct::new_id;
use super::job::agent_identity;
use super::proto::Dispatch;
use super::state::{Action, Direct};
use super::token::join_token;
use crate::redact::Pii;

/// Orders that a worker has not looked at yet; whoever has more waits.
pub(super) const ORDERS_MAX: usize = 64;

/// What the ids of such dispatches begin with; LiveKit's server does not know them.
pub const DIRECT_PREFIX: &str = "AD_direct";

/// An agent is wanted in a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DispatchRequest {
    /// Name of the agent.
    pub agent_name: String,
    /// Deployment that shall serve it; empty: production.
    pub deployment: String,
    /// The room's name.
    pub room: String,
    /// Free text for the job.
    pub metadata: Pii<String>,
    /// Key-value pairs for the job.
    pub attributes: Pii<HashMap<String, String>>,
}

/// A dispatch that the worker has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectDispatch {
    /// [`DIRECT_PREFIX`] and what no other has.
    pub id: String,
    /// `AJ_…`, of the one job that there is.
    pub job_id: String,
    /// What was asked for.
    pub request: DispatchRequest,
    /// Who serves it (`AW_…`).
    pub worker_id: String,
    /// When it was taken.
    pub created_at: SystemTime,
}

impl DirectDispatch {
    /// Identity of the agent's participant.
    pub fn identity(&self) -> String {
        agent_identity(&self.job_id)
    }
}

/// Why a dispatch was not taken. Another worker may take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Nobody of that name or deployment is served here.
    #[error("no agent of this name and deployment is served by this worker")]
    NoSuchAgent,
    /// LiveKit's server cannot be reached, or the worker ends.
    #[error("the worker is not registered with LiveKit, or ends")]
    NotRegistered,
    /// Full, overloaded or draining.
    #[error("the worker takes no job now: {0}")]
    Refused(&'static str),
    /// Key and secret cannot sign a token.
    #[error("the worker's LIVEKIT_API_KEY and LIVEKIT_API_SECRET cannot sign a token")]
    NoToken,
}

/// Something asked of one worker, and where the answer goes.
pub(super) enum Order {
    /// Take a job.
    Create {
        request: DispatchRequest,
        asked_at: Instant,
        answer: oneshot::Sender<Result<DirectDispatch, Declined>>,
    },
    /// Tell what was taken for a room and still runs.
    List(String, oneshot::Sender<Vec<DirectDispatch>>),
    /// End the job of a dispatch for a room.
    Delete {
        room: String,
        id: String,
        answer: oneshot::Sender<Option<DirectDispatch>>,
    },
}

/// Where a worker takes orders.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    agent_name: String,
    deployment: String,
    orders: mpsc::Sender<Order>,
}

/// The way to ask the workers of the process for a job. Clones lead to the same workers.
#[derive(Clone, Debug)]
pub struct Dispatcher(Arc<[Desk]>);

impl Dispatcher {
    pub(super) fn new(desks: impl Iterator<Item = Desk>) -> Self {
        Self(desks.collect())
    }

    /// Starts a job, and does not wait until the agent is in the room.
    ///
    /// # Errors
    /// When it cannot be started here.
    ///
    /// Cancel safety: a dropped call may have started the job.
    pub async fn create(&self, request: DispatchRequest) -> Result<DirectDispatch, Declined> {
        let asked_at = Instant::now();
        let is_meant = |desk: &&Desk| {
            desk.agent_name == request.agent_name && desk.deployment == request.deployment
        };
        let desk = self.0.iter().find(is_meant).ok_or(Declined::NoSuchAgent)?;
        let order = |answer| Order::Create {
            request,
            asked_at,
            answer,
        };
        let answer = desk.ask(order).await;
        answer.unwrap_or(Err(Declined::NotRegistered))
    }

    /// The dispatches for a room whose jobs run here, oldest first for each agent.
    ///
    /// Cancel safety: nothing is lost.
    pub async fn list(&self, room: &str) -> Vec<DirectDispatch> {
        let mut all = Vec::new();
        for desk in self.0.iter() {
            let answer = desk.ask(|answer| Order::List(room.to_owned(), answer));
            all.extend(answer.await.unwrap_or_default());
        }
        all
    }

    /// Ends the job of a dispatch, which has as long to end as after a termination by the server.
    /// `None` if there is none of that id for that room here.
    ///
    /// Cancel safety: a dropped call may have ended the job.
    pub async fn delete(&self, room: &str, id: &str) -> Option<DirectDispatch> {
        for desk in self.0.iter() {
            let order = |answer| Order::Delete {
                room: room.to_owned(),
                id: id.to_owned(),
                answer,
            };
            if let Some(Some(deleted)) = desk.ask(order).await {
                return Some(deleted);
            }
        }
        None
    }
}

impl Desk {
    /// The answer of the worker, unless it has ended.
    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Worker {
    /// Where this worker takes orders.
    pub(super) fn desk(&self) -> Desk {
        Desk {
            agent_name: self.config.agent_name.clone(),
            deployment: self.config.deployment.clone(),
            orders: self.orders.0.clone(),
        }
    }

    /// The way to ask this worker for a job.
    pub fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(std::iter::once(self.desk()))
    }

    /// Answers an order; what it makes the worker do.
    pub(super) fn obey(&mut self, order: Order) -> Vec<Action> {
        let now = self.started.elapsed();
        match order {
            Order::Create {
                request,
                asked_at,
                answer,
            } => {
                // Nobody waits for it any more, and may have asked another worker.
                if answer.is_closed() {
                    return Vec::new();
                }
                let taken = self.take(request, asked_at);
                let (taken, actions) = match taken {
                    Ok((dispatch, actions)) => (Ok(dispatch), actions),
                    Err(declined) => (Err(declined), Vec::new()),
                };
                drop(answer.send(taken));
                actions
            }
            Order::List(room, answer) => {
                drop(answer.send(self.state.dispatches(&room)));
                Vec::new()
            }
            Order::Delete { room, id, answer } => {
                let mut dispatches = self.state.dispatches(&room).into_iter();
                let dispatch = dispatches.find(|dispatch| dispatch.id == id);
                let job_id = dispatch.as_ref().map(|dispatch| dispatch.job_id.clone());
                drop(answer.send(dispatch));
                let Some(job_id) = job_id else {
                    return Vec::new();
                };
                tracing::info!(job_id, "the job's dispatch is deleted");
                self.state.end(now, &job_id)
            }
        }
    }

    fn take(
        &mut self,
        request: DispatchRequest,
        asked_at: Instant,
    ) -> Result<(DirectDispatch, Vec<Action>), Declined> {
        let worker_id = self.state.worker_id().ok_or(Declined::NotRegistered)?;
        let id = new_id();
        let dispatch = DirectDispatch {
            id: format!("{DIRECT_PREFIX}{id}"),
            job_id: format!("AJ_direct{id}"),
            request,
            worker_id: worker_id.to_owned(),
            created_at: SystemTime::now(),
        };
        let (room, agent_name) = (&dispatch.request.room, &dispatch.request.agent_name);
        let token = join_token(&self.server, room, &dispatch.identity(), agent_name);
        let actions = self.state.dispatched(Direct {
            dispatch: dispatch.clone(),
            token: token.map_err(|_| Declined::NoToken)?,
            asked_at: asked_at.saturating_duration_since(self.started),
        })?;
        Ok((dispatch, actions))
    }
}

impl From<&DirectDispatch> for Dispatch {
    fn from(dispatch: &DirectDispatch) -> Self {
        let request = dispatch.request.clone();
        Self {
            job_id: dispatch.job_id.clone(),
            room: request.room,
            agent_name: request.agent_name,
            metadata: request.metadata.expose().clone(),
            attributes: request.attributes.expose().clone(),
        }
    }
}
