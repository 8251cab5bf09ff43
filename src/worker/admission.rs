//! Whether one more job may come in: slots, load, memory, descriptors, drain. Plain code.
//!
//! **Invariant:** a slot is taken before the server hears that we accept, so a burst of requests
//! can never bring in more jobs than there are slots.

use std::collections::HashMap;
use std::time::Duration;

use super::budget::Budget;
use super::demand::PerCall;
use crate::host::{DescriptorNeeds, Sample};

/// Why a job is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The worker takes no new jobs any more.
    Draining,
    /// Every slot is taken.
    NoSlot,
    /// The machine is too busy.
    Overloaded,
    /// One more call could bring memory to its limit.
    NoMemory,
    /// One more call could find no file descriptors.
    NoDescriptors,
    /// The running calls and this one would want more of the shared connections than there are.
    Saturated,
    /// This very job is running here already.
    Duplicate,
}

impl Refusal {
    /// The reason in logs.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::NoSlot => "every slot is taken",
            Self::Overloaded => "load above the threshold",
            Self::NoMemory => "memory above the threshold",
            Self::NoDescriptors => "too few file descriptors left",
            Self::Saturated => "one more call would make others wait for the connection pool",
            Self::Duplicate => "the job is running here already",
        }
    }
}

/// Who holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Accepted; must be assigned by this time.
    Reserved { until: Duration, owner: usize },
    /// Assigned and running.
    Running,
}

/// The slots of a worker.
#[derive(Debug)]
pub(super) struct Admission {
    slots_max: usize,
    load_threshold: f32,
    slots: HashMap<String, Slot>,
    machine_load: f32,
    budget: Budget,
    per_call: PerCall,
    is_draining: bool,
}

impl Admission {
    /// No job yet, no load.
    pub(super) fn new(slots_max: usize, load_threshold: f32, memory_threshold: f32) -> Self {
        Self {
            slots_max,
            load_threshold,
            slots: HashMap::new(),
            machine_load: 0.0,
            budget: Budget::new(memory_threshold),
            per_call: PerCall::default(),
            is_draining: false,
        }
    }

    /// Takes a slot for a job of registration `owner` until it is assigned, or says why not. Asking
    /// again for a job that waits for its assignment is no second job.
    pub(super) fn reserve(
        &mut self,
        owner: usize,
        job_id: &str,
        until: Duration,
    ) -> Result<(), Refusal> {
        match self.slots.get_mut(job_id) {
            Some(Slot::Running) => return Err(Refusal::Duplicate),
            Some(slot) => {
                *slot = Slot::Reserved { until, owner };
                return Ok(());
            }
            None => {}
        }
        self.refusal().map_or(Ok(()), Err)?;
        let slot = Slot::Reserved { until, owner };
        self.slots.insert(job_id.to_owned(), slot);
        debug_assert!(self.slots.len() <= self.slots_max, "more jobs than slots");
        Ok(())
    }

    /// Turns a reservation into a running job; returns until when it was reserved, `None` when it is not
    /// (any more).
    pub(super) fn assign(&mut self, job_id: &str) -> Option<Duration> {
        let slot = self.slots.get_mut(job_id)?;
        let Slot::Reserved { until, .. } = *slot else {
            return None;
        };
        *slot = Slot::Running;
        Some(until)
    }

    /// Frees the slot of a job that ended or will not come.
    pub(super) fn release(&mut self, job_id: &str) {
        self.slots.remove(job_id);
    }

    /// Frees the slots whose assignment did not come in time, and names them.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<String> {
        self.take_reserved(|until, _| until <= now)
    }

    /// Frees every slot of `owner` that waits for an assignment: the server that promised it is gone.
    pub(super) fn forget_reservations(&mut self, owner: usize) -> Vec<String> {
        self.take_reserved(|_, whose| whose == owner)
    }

    /// When the next reservation ends.
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.slots
            .values()
            .filter_map(|slot| match slot {
                Slot::Reserved { until, .. } => Some(*until),
                Slot::Running => None,
            })
            .min()
    }

    /// Records the machine's load, 0 to 1, and what was measured of it.
    pub(super) fn measured(&mut self, load: f32, sample: Sample) {
        self.machine_load = load;
        self.budget.measured(sample, self.slots.len());
    }

    /// Sets how many file descriptors the process and its calls need.
    pub(super) fn set_descriptor_needs(&mut self, needs: DescriptorNeeds) {
        self.budget.set_needs(needs);
    }

    /// Takes note of the part of a shared limit that the running jobs want.
    pub(super) fn set_demand(&mut self, wanted: f32) {
        self.per_call.measure(wanted, self.slots.len());
    }

    /// Refuses every new job from now on.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Whether new jobs are refused for good.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Whether one more job would be taken now.
    pub(super) fn is_available(&self) -> bool {
        self.refusal().is_none()
    }

    /// Jobs that hold a slot.
    pub(super) fn slots_taken(&self) -> usize {
        self.slots.len()
    }

    /// How close to refusing the worker is, 0 to 1: the machine's load as a part of the threshold, the
    /// part of the slots that is taken, the part of the shared limit that is wanted, or how full memory
    /// and descriptors are, whichever is the most.
    pub(super) fn busy(&self) -> f32 {
        let taken = self.slots.len() as f32 / self.slots_max.max(1) as f32;
        let machine = self.machine_load / self.load_threshold;
        let wanted = self.per_call.of(self.slots.len());
        let budget = self.budget.busy(self.slots.len());
        taken.max(machine).max(wanted).max(budget).min(1.0)
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.is_draining {
            Some(Refusal::Draining)
        } else if self.slots.len() >= self.slots_max {
            Some(Refusal::NoSlot)
        } else if self.machine_load > self.load_threshold {
            Some(Refusal::Overloaded)
        } else if !self.slots.is_empty() && self.per_call.of(self.slots.len() + 1) > 1.0 {
            // An idle worker takes a call whatever one call wants: another would be no better.
            Some(Refusal::Saturated)
        } else {
            self.budget.refusal(self.slots.len())
        }
    }

    fn take_reserved(&mut self, is_over: impl Fn(Duration, usize) -> bool) -> Vec<String> {
        let over: Vec<String> = self
            .slots
            .iter()
            .filter(|(_, slot)| {
                matches!(slot, Slot::Reserved { until, owner } if is_over(*until, *owner))
            })
            .map(|(job_id, _)| job_id.clone())
            .collect();
        for job_id in &over {
            self.slots.remove(job_id);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Usage;
    use proptest::prelude::*;

    const LATER: Duration = Duration::from_secs(7);

    fn with(slots_max: usize, load_threshold: f32) -> Admission {
        Admission::new(slots_max, load_threshold, 0.9)
    }

    #[test]
    fn a_burst_gets_as_many_jobs_as_there_are_slots() {
        let mut admission = with(3, 0.7);
        let accepted = (0..10)
            .filter(|n| admission.reserve(0, &n.to_string(), LATER).is_ok())
            .count();
        assert_eq!(accepted, 3);
        assert_eq!(admission.reserve(0, "x", LATER), Err(Refusal::NoSlot));
        assert!(!admission.is_available());
    }

    #[test]
    fn a_slot_that_was_not_assigned_in_time_is_free_again() {
        let mut admission = with(1, 0.7);
        admission.reserve(0, "a", LATER).unwrap();
        assert_eq!(admission.next_expiry(), Some(LATER));
        assert!(
            admission
                .expire(LATER - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(admission.expire(LATER), ["a"]);
        assert_eq!(admission.assign("a"), None, "the reservation is gone");
        assert_eq!(admission.reserve(0, "b", LATER), Ok(()));
    }

    #[test]
    fn a_running_job_never_expires() {
        let mut admission = with(1, 0.7);
        admission.reserve(0, "a", LATER).unwrap();
        assert_eq!(admission.assign("a"), Some(LATER));
        assert_eq!(admission.next_expiry(), None);
        assert!(admission.expire(LATER * 100).is_empty());
        assert!(admission.forget_reservations(0).is_empty());
        assert_eq!(admission.reserve(0, "a", LATER), Err(Refusal::Duplicate));
    }

    #[test]
    fn a_lost_server_takes_only_its_own_promises_along() {
        let mut admission = with(2, 0.7);
        admission.reserve(0, "a", LATER).unwrap();
        admission.reserve(1, "b", LATER).unwrap();
        assert_eq!(admission.reserve(1, "c", LATER), Err(Refusal::NoSlot));
        assert_eq!(admission.forget_reservations(1), ["b"]);
        assert_eq!(admission.assign("a"), Some(LATER));
    }

    #[test]
    fn load_above_the_threshold_refuses_and_full_threshold_never_does() {
        let mut admission = with(9, 0.7);
        admission.measured(0.71, Sample::default());
        assert_eq!(admission.reserve(0, "a", LATER), Err(Refusal::Overloaded));
        admission.measured(0.7, Sample::default());
        assert_eq!(admission.reserve(0, "a", LATER), Ok(()));

        let mut without = with(9, 1.0);
        without.measured(1.0, Sample::default());
        assert_eq!(without.reserve(0, "a", LATER), Ok(()));
    }

    #[test]
    fn a_burst_gets_as_many_jobs_as_have_descriptors_and_each_that_ends_makes_room() {
        let mut admission = with(100, 1.0);
        admission.set_descriptor_needs(DescriptorNeeds {
            process: 100,
            call: 10,
        });
        let descriptors = Some(Usage {
            used: 20,
            limit: 130,
        });
        let sample = Sample {
            descriptors,
            ..Sample::default()
        };
        admission.measured(0.0, sample);
        let accepted = (0..10)
            .filter(|n| admission.reserve(0, &n.to_string(), LATER).is_ok())
            .count();
        assert_eq!(accepted, 3);
        assert_eq!(
            admission.reserve(0, "x", LATER),
            Err(Refusal::NoDescriptors)
        );
        assert!(!admission.is_available());
        assert!((admission.busy() - 1.0).abs() < 0.001);
        admission.release("0");
        assert_eq!(admission.reserve(0, "x", LATER), Ok(()));
    }

    #[test]
    fn a_call_that_would_make_others_wait_is_refused_and_the_load_says_so() {
        let mut admission = with(100, 0.7);
        for n in 0..10 {
            admission.reserve(0, &n.to_string(), LATER).unwrap();
        }
        admission.set_demand(0.85);
        assert_eq!(admission.reserve(0, "fits", LATER), Ok(()));
        assert!(
            (admission.busy() - 0.935).abs() < 0.001,
            "{}",
            admission.busy()
        );
        assert_eq!(admission.reserve(0, "a", LATER), Err(Refusal::Saturated));
        for n in 0..5 {
            admission.release(&n.to_string());
        }
        assert_eq!(admission.reserve(0, "a", LATER), Ok(()), "some have left");
    }

    #[test]
    fn an_idle_worker_takes_a_call_however_much_one_wants() {
        let mut admission = with(100, 0.7);
        admission.reserve(0, "a", LATER).unwrap();
        admission.set_demand(3.0);
        assert_eq!(admission.reserve(0, "b", LATER), Err(Refusal::Saturated));
        admission.release("a");
        assert_eq!(admission.reserve(0, "b", LATER), Ok(()));
    }

    #[test]
    fn draining_refuses_new_jobs_and_keeps_the_running() {
        let mut admission = with(2, 0.7);
        admission.reserve(0, "a", LATER).unwrap();
        admission.drain();
        assert_eq!(admission.reserve(0, "b", LATER), Err(Refusal::Draining));
        assert!(
            admission.assign("a").is_some(),
            "what was accepted before may come"
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Reserve(u8, u64),
        Assign(u8),
        Release(u8),
        Expire(u64),
        Forget,
        Load(f32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..12, 0_u64..50).prop_map(|(job, until)| Step::Reserve(job, until)),
            (0_u8..12).prop_map(Step::Assign),
            (0_u8..12).prop_map(Step::Release),
            (0_u64..50).prop_map(Step::Expire),
            Just(Step::Forget),
            (0.0_f32..1.0).prop_map(Step::Load),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_slots_hold(
            slots_max in 1_usize..6, steps in proptest::collection::vec(step(), 0..200)
        ) {
            let mut admission = with(slots_max, 0.7);
            for step in steps {
                match step {
                    Step::Reserve(job, until) => {
                        let until = Duration::from_secs(until);
                        admission.reserve(0, &job.to_string(), until).ok();
                    }
                    Step::Assign(job) => {
                        admission.assign(&job.to_string());
                    }
                    Step::Release(job) => admission.release(&job.to_string()),
                    Step::Expire(now) => drop(admission.expire(Duration::from_secs(now))),
                    Step::Forget => drop(admission.forget_reservations(0)),
                    Step::Load(load) => admission.measured(load, Sample::default()),
                }
                prop_assert!(admission.slots_taken() <= slots_max);
                prop_assert!((0.0..=1.0).contains(&admission.busy()));
            }
        }
    }
}
