//! How jobs and the worker come to their end: deadlines, the drain, the stop.

use std::time::Duration;

use super::{Action, State};

impl State {
    /// Time has passed: reservations expire, jobs that do not end are cut off.
    pub(in super::super) fn deadline(&mut self, now: Duration) -> Vec<Action> {
        for job_id in self.admission.expire(now) {
            tracing::warn!(
                job_id,
                "an accepted job was not assigned in time; its slot is free"
            );
        }
        let mut actions = Vec::new();
        if self.drain_until.is_some_and(|until| until <= now) {
            tracing::warn!(
                jobs = self.running.len(),
                "the drain's time is over; jobs must end"
            );
            self.drain_until = None;
            self.is_ending = true;
            actions.extend(self.end_all_by(now + self.config.termination_grace));
        }
        actions.extend(self.running.overdue(now).into_iter().map(Action::Abort));
        actions.extend(self.report_if_changed());
        actions
    }

    /// When [`State::deadline`] is due.
    pub(in super::super) fn next_deadline(&self) -> Option<Duration> {
        let cut_off = self.running.next_overdue();
        [self.admission.next_expiry(), self.drain_until, cut_off]
            .into_iter()
            .flatten()
            .filter(|at| *at < Duration::MAX)
            .min()
    }

    /// Takes no more jobs; the running ones get the drain's time.
    pub(in super::super) fn drain(&mut self, now: Duration) -> Vec<Action> {
        self.admission.drain();
        self.drain_until = Some(now + self.config.drain_timeout);
        vec![self.report()]
    }

    /// Takes no more jobs and asks the running ones to end: they have as long as after a termination.
    /// If they were asked before, by a stop or by the end of the drain, they are cut off.
    pub(in super::super) fn stop(&mut self, now: Duration) -> Vec<Action> {
        self.admission.drain();
        self.admission.forget_reservations();
        self.drain_until = None;
        let jobs = self.running.len();
        let end_by = if std::mem::replace(&mut self.is_ending, true) {
            tracing::warn!(jobs, "stopping at once: jobs are cut off");
            now
        } else {
            tracing::info!(
                jobs,
                "stopping: jobs must end; a further signal cuts them off"
            );
            now + self.config.termination_grace
        };
        let mut actions = vec![self.report()];
        actions.extend(self.end_all_by(end_by));
        actions
    }

    /// Whether the worker was told to go and nothing holds it any more.
    pub(in super::super) fn is_done(&self) -> bool {
        self.admission.is_draining() && self.admission.slots_taken() == 0
    }

    fn end_all_by(&mut self, at: Duration) -> Vec<Action> {
        let to_ask = self.running.end_all_by(at).into_iter();
        to_ask.map(Action::Cancel).collect()
    }
}
