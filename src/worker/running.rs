//! The jobs that run, whoever asked for them, and when those that must end are cut off. Plain code.

use std::collections::HashMap;
use std::time::Duration;

use super::dispatcher::DirectDispatch;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Running(HashMap<String, RunningJob>);

#[derive(Debug, Default)]
struct RunningJob {
    /// When it is cut off, once it was asked to end.
    end_by: Option<Duration>,
    /// Of a job that LiveKit's server has not assigned, and is told nothing of.
    dispatch: Option<DirectDispatch>,
}

impl Running {
    /// A job that the server has assigned.
    pub(super) fn assigned(&mut self, job_id: String) {
        self.0.insert(job_id, RunningJob::default());
    }

    /// A job that was asked of us.
    pub(super) fn dispatched(&mut self, dispatch: DirectDispatch) {
        let job_id = dispatch.job_id.clone();
        let job = RunningJob {
            end_by: None,
            dispatch: Some(dispatch),
        };
        self.0.insert(job_id, job);
    }

    /// Takes out a job that has ended; whether the server knows it.
    pub(super) fn ended(&mut self, job_id: &str) -> bool {
        let job = self.0.remove(job_id);
        job.is_none_or(|job| job.dispatch.is_none())
    }

    pub(super) fn contains(&self, job_id: &str) -> bool {
        self.0.contains_key(job_id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The jobs that the server knows, in order.
    pub(super) fn known_to_the_server(&self) -> Vec<String> {
        let assigned = self.0.iter().filter(|(_, job)| job.dispatch.is_none());
        let mut job_ids: Vec<String> = assigned.map(|(job_id, _)| job_id.clone()).collect();
        job_ids.sort();
        job_ids
    }

    /// What was asked of us for this room and still runs, oldest first.
    pub(super) fn dispatches(&self, room: &str) -> Vec<DirectDispatch> {
        let dispatches = self.0.values().filter_map(|job| job.dispatch.as_ref());
        let mut dispatches: Vec<_> = dispatches
            .filter(|dispatch| dispatch.request.room == room)
            .cloned()
            .collect();
        dispatches.sort_by_key(|dispatch| dispatch.created_at);
        dispatches
    }

    /// Sets when a job is cut off, at the latest; whether it has to be asked to end, as it was not yet.
    pub(super) fn end_by(&mut self, job_id: &str, at: Duration) -> bool {
        let Some(job) = self.0.get_mut(job_id) else {
            return false;
        };
        let is_first = job.end_by.is_none();
        job.end_by = Some(job.end_by.map_or(at, |earlier| earlier.min(at)));
        is_first
    }

    /// The same of all; those that have to be asked to end.
    pub(super) fn end_all_by(&mut self, at: Duration) -> Vec<String> {
        let job_ids: Vec<String> = self.0.keys().cloned().collect();
        let to_ask = |job_id: &String| self.end_by(job_id, at);
        job_ids.into_iter().filter(to_ask).collect()
    }

    /// The jobs to cut off now; each is named once.
    pub(super) fn overdue(&mut self, now: Duration) -> Vec<String> {
        let mut overdue = Vec::new();
        for (job_id, job) in &mut self.0 {
            if job.end_by.is_some_and(|end_by| end_by <= now) {
                job.end_by = Some(Duration::MAX);
                overdue.push(job_id.clone());
            }
        }
        overdue
    }

    /// When [`Running::overdue`] is due.
    pub(super) fn next_overdue(&self) -> Option<Duration> {
        self.0.values().filter_map(|job| job.end_by).min()
    }
}
