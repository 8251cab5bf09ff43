//! What the worker does about each thing that happens. Plain code: time comes in as an argument,
//! and what has to be done goes out as [`Action`]s.
//!
//! **Invariant:** every job that was assigned gets exactly one end status, whatever the server, the
//! connection or the job does.

mod ending;

use std::time::Duration;

use super::admission::Refusal;
use super::config::Config;
use super::dispatcher::{Declined, DirectDispatch};
use super::jobs::JobEnd;
use super::proto::{Dispatch, Incoming, JobReport, JobStatus, Outgoing, WorkerReport};
use super::reports::Reports;
use super::running::Running;
use super::slots::Slots;
use super::snapshot::Snapshot;
use crate::host::{DescriptorNeeds, Sample};
use crate::redact::Pii;

/// Highest load reported while we take jobs: the server passes over workers at 0.7 and above, whatever
/// status they report. Source: livekit-server 1.13.5, `agentservice.go` `JobRequestAffinity` and
/// `DefaultTargetLoad`.
const LOAD_AVAILABLE_MAX: f32 = 0.69;

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Tell the server.
    Send(Outgoing),
    /// Start the job.
    Start {
        dispatch: Dispatch,
        url: String,
        token: String,
        /// When the server asked for it.
        asked_at: Duration,
    },
    /// Ask the job to end.
    Cancel(String),
    /// Cut the job off.
    Abort(String),
    /// Give the connection up and make a new one.
    Reconnect,
}

/// A job that was asked of us, with the token to join its room.
pub(super) struct Direct {
    pub(super) dispatch: DirectDispatch,
    pub(super) token: Pii<String>,
    pub(super) asked_at: Duration,
}

/// The worker between two events.
pub(super) struct State {
    config: Config,
    admission: Slots,
    running: Running,
    reports: Reports,
    worker_id: Option<String>,
    sequence: u64,
    was_available: bool,
    drain_until: Option<Duration>,
    /// Whether all jobs were asked to end.
    is_ending: bool,
    counts: Counts,
    trouble: Option<String>,
    measured: Sample,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    succeeded: u64,
    failed: u64,
    panicked: u64,
    registrations: u64,
}

impl State {
    /// A worker that has not met its server yet.
    pub(super) fn new(config: Config) -> Self {
        let slots = Slots::new(&config);
        Self::on(slots, config)
    }

    /// The same process under another agent name: it takes its jobs from the same slots.
    pub(super) fn for_another(&self, config: Config) -> Self {
        Self::on(self.admission.for_another(), config)
    }

    fn on(slots: Slots, config: Config) -> Self {
        Self {
            admission: slots,
            config,
            running: Running::default(),
            reports: Reports::default(),
            worker_id: None,
            sequence: 0,
            was_available: true,
            drain_until: None,
            is_ending: false,
            counts: Counts::default(),
            trouble: None,
            measured: Sample::default(),
        }
    }

    /// A connection is registered: running jobs and unread statuses are told first.
    pub(super) fn registered(&mut self, worker_id: String) -> Vec<Action> {
        self.worker_id = Some(worker_id);
        self.trouble = None;
        self.counts.registrations += 1;
        self.sequence = 0;
        let mut actions = Vec::new();
        let job_ids = self.running.known_to_the_server();
        if !job_ids.is_empty() {
            actions.push(Action::Send(Outgoing::Migrate(job_ids)));
        }
        if let Some((reports, ping)) = self.reports.resend() {
            actions.extend(
                reports
                    .into_iter()
                    .map(|report| Action::Send(Outgoing::Job(report))),
            );
            actions.push(Action::Send(Outgoing::Ping(ping)));
        }
        actions.push(self.report());
        actions
    }

    /// The connection is lost, or could not be made. Promised jobs will not come; running ones go
    /// on, for they have a connection of their own to the room.
    pub(super) fn disconnected(&mut self, why: String) {
        self.worker_id = None;
        self.trouble = Some(why);
        self.admission.forget_reservations();
    }

    /// The server said something.
    pub(super) fn message(&mut self, now: Duration, message: Incoming) -> Vec<Action> {
        match message {
            Incoming::Availability(dispatch) => self.asked(now, &dispatch),
            Incoming::Assignment {
                dispatch,
                url,
                token,
            } => self.assigned(dispatch, url, token),
            Incoming::Termination { job_id } => self.terminated(now, job_id),
            Incoming::Pong(ping) => {
                self.reports.confirm(ping);
                Vec::new()
            }
            Incoming::GoAway => vec![Action::Reconnect],
            Incoming::Registered { .. } => {
                tracing::warn!("registered a second time on one connection; ignored");
                Vec::new()
            }
        }
    }

    fn asked(&mut self, now: Duration, dispatch: &Dispatch) -> Vec<Action> {
        let job_id = dispatch.job_id.clone();
        let until = now + self.config.assignment_timeout;
        let admitted = self.admission.reserve(&job_id, until);
        let accepted_as = match admitted {
            Ok(()) => Some(self.config.agent_name.clone()),
            Err(refusal) => {
                log_refusal(&job_id, refusal);
                None
            }
        };
        let mut actions = vec![Action::Send(Outgoing::Availability {
            job_id,
            accepted_as,
        })];
        actions.extend(self.report_if_changed());
        actions
    }

    fn assigned(&mut self, dispatch: Dispatch, url: String, token: String) -> Vec<Action> {
        let job_id = dispatch.job_id.clone();
        if self.running.contains(&job_id) {
            tracing::warn!(job_id, "assigned a second time; ignored");
            return Vec::new();
        }
        let Some(reserved_until) = self.admission.assign(&job_id) else {
            tracing::warn!(
                job_id,
                "unknown assignment, or one that came too late; refused"
            );
            let why = "the worker does not wait for this job (any more)".to_owned();
            return self.status(job_id, JobStatus::Failed(why));
        };
        if dispatch.room.is_empty() || token.is_empty() {
            tracing::error!(job_id, "assignment without a room or token; refused");
            self.admission.release(&job_id);
            self.counts.failed += 1;
            let why = "the assignment has no room or no token".to_owned();
            return self.status(job_id, JobStatus::Failed(why));
        }
        self.running.assigned(job_id.clone());
        let mut actions = vec![Action::Start {
            dispatch,
            url,
            token,
            asked_at: reserved_until.saturating_sub(self.config.assignment_timeout),
        }];
        actions.extend(self.status(job_id, JobStatus::Running));
        actions
    }

    /// A job was asked of us: it starts at once.
    pub(super) fn dispatched(&mut self, direct: Direct) -> Result<Vec<Action>, Declined> {
        let Direct {
            dispatch,
            token,
            asked_at,
        } = direct;
        let job_id = &dispatch.job_id;
        let admitted = self.admission.reserve(job_id, asked_at);
        admitted.map_err(|refusal| Declined::Refused(refusal.label()))?;
        self.admission.assign(job_id);
        let mut actions = vec![Action::Start {
            dispatch: (&dispatch).into(),
            url: String::new(),
            token: token.expose().clone(),
            asked_at,
        }];
        self.running.dispatched(dispatch);
        actions.extend(self.report_if_changed());
        Ok(actions)
    }

    /// What was asked of us for this room and still runs, oldest first.
    pub(super) fn dispatches(&self, room: &str) -> Vec<DirectDispatch> {
        self.running.dispatches(room)
    }

    /// Asks one job to end, as after a termination by the server.
    pub(super) fn end(&mut self, now: Duration, job_id: &str) -> Vec<Action> {
        let end_by = now + self.config.termination_grace;
        match self.running.end_by(job_id, end_by) {
            true => vec![Action::Cancel(job_id.to_owned())],
            false => Vec::new(),
        }
    }

    fn terminated(&mut self, now: Duration, job_id: String) -> Vec<Action> {
        if !self.running.contains(&job_id) {
            // Normal after a job that ended by itself: the server says so when the agent leaves.
            tracing::debug!(job_id, "termination of a job that does not run here");
            self.admission.release(&job_id);
            return self.report_if_changed().into_iter().collect();
        }
        tracing::info!(job_id, "the server terminates the job");
        self.end(now, &job_id)
    }

    /// A job has ended, by itself or cut off.
    pub(super) fn ended(&mut self, job_id: String, end: JobEnd) -> Vec<Action> {
        let is_known_to_the_server = self.running.ended(&job_id);
        self.admission.release(&job_id);
        let status = match end {
            JobEnd::Success => JobStatus::Success,
            JobEnd::Failed(why) => JobStatus::Failed(why),
            JobEnd::Panicked => {
                self.counts.panicked += 1;
                JobStatus::Failed("a bug ended the job; the worker's log has the place".to_owned())
            }
            JobEnd::Aborted => JobStatus::Failed("the job did not end in time".to_owned()),
        };
        match &status {
            JobStatus::Failed(reason) => {
                self.counts.failed += 1;
                tracing::warn!(job_id, reason, "job failed");
            }
            _ => {
                self.counts.succeeded += 1;
                tracing::info!(job_id, "job ended");
            }
        }
        let mut actions = match is_known_to_the_server {
            true => self.status(job_id, status),
            false => Vec::new(),
        };
        actions.extend(self.report_if_changed());
        actions
    }

    /// Sets how many file descriptors the process and its calls need.
    pub(super) fn set_descriptor_needs(&mut self, needs: DescriptorNeeds) {
        self.admission.set_descriptor_needs(needs);
    }

    /// The machine was measured, which gives this load.
    pub(super) fn measured(&mut self, machine_load: f32, sample: Sample) -> Vec<Action> {
        self.admission.measured(machine_load, sample);
        self.measured = sample;
        self.report_if_changed().into_iter().collect()
    }

    /// That part of a shared limit is wanted by the running jobs.
    pub(super) fn demanded(&mut self, wanted: f32) {
        self.admission.set_demand(wanted);
    }

    /// Whether the server may not have read how some job ended.
    pub(super) fn has_unread_ends(&self) -> bool {
        self.reports.has_unread_ends()
    }

    /// Status and load as they are now, for the server.
    pub(super) fn report(&mut self) -> Action {
        self.was_available = self.admission.is_available();
        self.sequence += 1;
        Action::Send(Outgoing::Status(WorkerReport {
            is_available: self.was_available,
            is_draining: self.admission.is_draining(),
            load: self.load(),
            job_count: u32::try_from(self.admission.slots_taken()).unwrap_or(u32::MAX),
            sequence: self.sequence,
        }))
    }

    /// The id the server gave us; `None` while we are not registered.
    pub(super) fn worker_id(&self) -> Option<&str> {
        self.worker_id.as_deref()
    }

    /// What everyone else may know about the worker.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            worker_id: self.worker_id.clone(),
            agent_name: self.config.agent_name.clone(),
            trouble: self.trouble.clone(),
            load: self.load(),
            active_jobs: self.running.len(),
            slots_taken: self.admission.slots_taken(),
            slots_max: self.config.slots_max,
            memory: self.measured.memory,
            descriptors: self.measured.descriptors,
            is_draining: self.admission.is_draining(),
            jobs_succeeded: self.counts.succeeded,
            jobs_failed: self.counts.failed,
            job_panics: self.counts.panicked,
            reconnects: self.counts.registrations.saturating_sub(1),
        }
    }

    fn load(&self) -> f32 {
        let busy = self.admission.busy().clamp(0.0, 1.0);
        if self.admission.is_available() {
            busy * LOAD_AVAILABLE_MAX
        } else {
            busy.max(LOAD_AVAILABLE_MAX)
        }
    }

    /// Tells the server at once when we fill up or have room again; load alone waits for its turn.
    fn report_if_changed(&mut self) -> Option<Action> {
        (self.admission.is_available() != self.was_available).then(|| self.report())
    }

    fn status(&mut self, job_id: String, status: JobStatus) -> Vec<Action> {
        let report = JobReport { job_id, status };
        let ping = self.reports.add(report.clone());
        vec![
            Action::Send(Outgoing::Job(report)),
            Action::Send(Outgoing::Ping(ping)),
        ]
    }
}

fn log_refusal(job_id: &str, refusal: Refusal) {
    tracing::info!(job_id, reason = refusal.label(), "job refused");
}

#[cfg(test)]
mod tests;
