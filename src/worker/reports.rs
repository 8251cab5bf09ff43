//! Job statuses on their way to the server: none is lost with a connection. Plain code.
//!
//! The protocol has no receipt for a status, and a lost one leaks a handler in the server
//! (livekit#4894). But the server answers in order: a pong to a ping that followed a status proves
//! that the status was read. Until then a status is kept, and sent again after a reconnect.

use std::collections::VecDeque;

use super::proto::{JobReport, JobStatus};

/// Statuses kept at most; beyond it the oldest is dropped. Ten times the most slots one would give
/// to a worker whose server never answers pings.
const KEPT_MAX: usize = 1000;

/// The statuses that the server may not have read.
#[derive(Debug, Default)]
pub(super) struct Reports {
    kept: VecDeque<Kept>,
    last_ping: i64,
}

#[derive(Debug)]
struct Kept {
    report: JobReport,
    ping: i64,
}

impl Reports {
    /// Takes a status, which replaces an earlier one of the same job. Returns the number of the
    /// ping that has to follow it.
    pub(super) fn add(&mut self, report: JobReport) -> i64 {
        self.kept.retain(|kept| kept.report.job_id != report.job_id);
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
        }
        self.last_ping += 1;
        let ping = self.last_ping;
        self.kept.push_back(Kept { report, ping });
        ping
    }

    /// Forgets what the server has read: all that was sent before this ping.
    pub(super) fn confirm(&mut self, ping: i64) {
        self.kept.retain(|kept| kept.ping > ping);
    }

    /// What has to be sent again on a new connection, oldest first, and the ping to follow it.
    pub(super) fn resend(&mut self) -> Option<(Vec<JobReport>, i64)> {
        if self.kept.is_empty() {
            return None;
        }
        self.last_ping += 1;
        for kept in &mut self.kept {
            kept.ping = self.last_ping;
        }
        let reports = self.kept.iter().map(|kept| kept.report.clone()).collect();
        Some((reports, self.last_ping))
    }

    /// Whether the end of some job has not been read by the server, as far as we know.
    pub(super) fn has_unread_ends(&self) -> bool {
        self.kept
            .iter()
            .any(|kept| kept.report.status != JobStatus::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(job_id: &str, status: JobStatus) -> JobReport {
        JobReport {
            job_id: job_id.to_owned(),
            status,
        }
    }

    #[test]
    fn a_status_is_kept_until_the_server_has_read_it() {
        let mut reports = Reports::default();
        let first = reports.add(report("a", JobStatus::Success));
        let second = reports.add(report("b", JobStatus::Success));
        reports.confirm(first);
        let (again, _) = reports.resend().unwrap();
        assert_eq!(again, [report("b", JobStatus::Success)]);
        reports.confirm(second);
        assert!(
            reports.has_unread_ends(),
            "the old ping says nothing of the new connection"
        );
    }

    #[test]
    fn what_was_sent_again_is_confirmed_by_the_new_ping() {
        let mut reports = Reports::default();
        reports.add(report("a", JobStatus::Failed("why".to_owned())));
        let (_, ping) = reports.resend().unwrap();
        reports.confirm(ping);
        assert!(!reports.has_unread_ends());
        assert!(reports.resend().is_none());
    }

    #[test]
    fn only_the_last_status_of_a_job_is_sent_again() {
        let mut reports = Reports::default();
        reports.add(report("a", JobStatus::Running));
        reports.add(report("b", JobStatus::Running));
        reports.add(report("a", JobStatus::Success));
        let (again, _) = reports.resend().unwrap();
        let expected = [
            report("b", JobStatus::Running),
            report("a", JobStatus::Success),
        ];
        assert_eq!(again, expected);
    }

    #[test]
    fn a_server_that_never_answers_does_not_fill_the_memory() {
        let mut reports = Reports::default();
        for job in 0..KEPT_MAX * 2 {
            reports.add(report(&job.to_string(), JobStatus::Success));
        }
        assert_eq!(reports.resend().unwrap().0.len(), KEPT_MAX);
    }
}
