//! What the HTTP endpoint and the metrics may know about the worker. Plain data.

use crate::host::Usage;

/// The worker at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The id the server gave us; `None` while we are not registered.
    pub worker_id: Option<String>,
    /// Name that dispatches ask for.
    pub agent_name: String,
    /// Why we are not registered.
    pub trouble: Option<String>,
    /// As reported to the server: 0 idle, 1 full.
    pub load: f32,
    /// Jobs that run now.
    pub active_jobs: usize,
    /// Jobs that run or were accepted and not assigned yet.
    pub slots_taken: usize,
    /// Jobs held at once at most.
    pub slots_max: usize,
    /// Bytes of memory, if they are known.
    pub memory: Option<Usage>,
    /// File descriptors, if they are known and limited.
    pub descriptors: Option<Usage>,
    /// Whether new jobs are refused for good.
    pub is_draining: bool,
    /// Jobs that ended well.
    pub jobs_succeeded: u64,
    /// Jobs that ended badly, panics included.
    pub jobs_failed: u64,
    /// Jobs that a panic ended.
    pub job_panics: u64,
    /// Registrations after the first.
    pub reconnects: u64,
}

impl Snapshot {
    /// Why the worker cannot get jobs now, if it cannot.
    pub fn unhealthy_because(&self) -> Option<String> {
        if self.worker_id.is_some() {
            return None;
        }
        let why = self.trouble.as_deref().unwrap_or("still connecting");
        Some(format!("not registered with LiveKit: {why}"))
    }
}
