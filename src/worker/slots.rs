//! The slots of the process, as one of its registrations sees them. All registrations share them: each
//! tells its server about the same free places, and a job of one takes a place from all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Config;
use super::admission::{Admission, Refusal};
use crate::host::{DescriptorNeeds, Sample};

/// See the module.
pub(super) struct Slots {
    admission: Arc<Mutex<Admission>>,
    n_owners: Arc<AtomicUsize>,
    owner: usize,
}

impl Slots {
    /// The slots of a process with one registration.
    pub(super) fn new(config: &Config) -> Self {
        let (load, memory) = (config.load_threshold, config.memory_threshold);
        let admission = Admission::new(config.slots_max, load, memory);
        Self {
            admission: Arc::new(Mutex::new(admission)),
            n_owners: Arc::new(AtomicUsize::new(1)),
            owner: 0,
        }
    }

    /// The same slots for one more registration.
    pub(super) fn for_another(&self) -> Self {
        Self {
            admission: Arc::clone(&self.admission),
            n_owners: Arc::clone(&self.n_owners),
            owner: self.n_owners.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Admission) -> T) -> T {
        look(
            &mut self
                .admission
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(super) fn reserve(&self, job_id: &str, until: Duration) -> Result<(), Refusal> {
        self.with(|it| it.reserve(self.owner, job_id, until))
    }

    pub(super) fn assign(&self, job_id: &str) -> Option<Duration> {
        self.with(|it| it.assign(job_id))
    }

    pub(super) fn release(&self, job_id: &str) {
        self.with(|it| it.release(job_id));
    }

    pub(super) fn expire(&self, now: Duration) -> Vec<String> {
        self.with(|it| it.expire(now))
    }

    /// Frees the slots that this registration's server has promised jobs for.
    pub(super) fn forget_reservations(&self) {
        self.with(|it| it.forget_reservations(self.owner));
    }

    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.with(|it| it.next_expiry())
    }

    pub(super) fn measured(&self, load: f32, sample: Sample) {
        self.with(|it| it.measured(load, sample));
    }

    pub(super) fn set_descriptor_needs(&self, needs: DescriptorNeeds) {
        self.with(|it| it.set_descriptor_needs(needs));
    }

    pub(super) fn set_demand(&self, wanted: f32) {
        self.with(|it| it.set_demand(wanted));
    }

    pub(super) fn drain(&self) {
        self.with(Admission::drain);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.with(|it| it.is_draining())
    }

    pub(super) fn is_available(&self) -> bool {
        self.with(|it| it.is_available())
    }

    pub(super) fn slots_taken(&self) -> usize {
        self.with(|it| it.slots_taken())
    }

    pub(super) fn busy(&self) -> f32 {
        self.with(|it| it.busy())
    }
}
