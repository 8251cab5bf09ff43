//! A call's turns on their way from the session to the recorder's task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

use super::backlog::{Backlog, Waiting, Work};
use super::{FORGET_TOOL, Recording};
use crate::memory::extraction::Said;
use crate::memory::forgets::Forgets;
use crate::memory::users::CallUsers;
use crate::turn::Turn;

/// Where a session hands over the turns of its call. Clones are the same.
#[derive(Clone)]
pub struct Turns(Arc<Shared>);

struct Shared {
    recording: Arc<Recording>,
    users: CallUsers,
    forgets: Forgets,
    state: Mutex<State>,
    /// There is a turn, or the end of the call.
    news: Notify,
}

struct State {
    backlog: Backlog,
    n_at_work: usize,
}

impl Turns {
    pub(super) fn new(recording: Arc<Recording>, users: CallUsers, forgets: Forgets) -> Self {
        let config = &recording.config;
        let state = State {
            backlog: Backlog::new(config.queue_max, config.profile_every_turns),
            n_at_work: 0,
        };
        Self(Arc::new(Shared {
            recording,
            users,
            forgets,
            state: Mutex::new(state),
            news: Notify::new(),
        }))
    }

    /// Keeps a turn if a user who is remembered said something in it, and did not ask to forget. When
    /// `memory.recorder.queue_max` are waiting, the oldest goes and is counted. Never waits.
    pub fn push(&self, turn: Turn) {
        let Some(user) = turn.user.as_ref().and_then(|it| self.0.users.of(it)) else {
            return;
        };
        let calls = turn.tool_calls.expose();
        let asked_to_forget = calls.iter().any(|call| call.name == FORGET_TOOL);
        let forgot = asked_to_forget || self.0.forgets.has_entirely(&user);
        if turn.transcript.expose().trim().is_empty() || forgot {
            return;
        }
        let waiting = Waiting {
            user,
            said: Said {
                by_user: turn.transcript.expose().clone(),
                by_agent: turn.heard.expose().clone(),
            },
            n_forgets: self.0.forgets.count(),
        };
        let is_dropped = self.state().backlog.push(waiting);
        let counters = &self.0.recording.counters;
        counters.turns.add(1);
        counters.dropped.add(u64::from(is_dropped));
        self.0.news.notify_one();
    }

    /// The call is over.
    pub(super) fn close(&self) {
        self.state().backlog.close();
        self.0.news.notify_one();
    }

    /// What is to be done next; `None` when the call is over and all is done. For one task only.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&self) -> Option<Work> {
        loop {
            if let Poll::Ready(work) = self.take() {
                return work;
            }
            self.0.news.notified().await;
        }
    }

    fn take(&self) -> Poll<Option<Work>> {
        let mut state = self.state();
        // The model is not asked about words that their user wants forgotten.
        let forgets = &self.0.forgets;
        state.backlog.drop_of(|user| forgets.has_entirely(user));
        let work = state.backlog.next();
        state.n_at_work = work.as_ref().map_or(0, |work| work.exchanges.len());
        if work.is_none() && state.backlog.is_open() {
            return Poll::Pending;
        }
        Poll::Ready(work)
    }

    /// Puts back what of `work` the model failed to look at, unless there will be no other try.
    pub(super) fn put_back(&self, work: &Work, failed: Vec<Said>) {
        if failed.is_empty() || work.n_forgets != self.0.forgets.count() {
            return;
        }
        let counters = &self.0.recording.counters;
        let mut state = self.state();
        if state.backlog.is_last_try() {
            counters.lost.add(failed.len() as u64);
            return;
        }
        let waiting = |said| Waiting {
            user: work.user.clone(),
            said,
            n_forgets: work.n_forgets,
        };
        let waiting = failed.into_iter().map(waiting).collect();
        counters.dropped.add(state.backlog.put_back(waiting) as u64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        (self.0.state.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns that nobody has looked at when all is over are lost.
impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let n_lost = state.backlog.len() + state.n_at_work;
        self.recording.counters.lost.add(n_lost as u64);
    }
}
