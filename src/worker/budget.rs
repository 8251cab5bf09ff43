//! Whether memory and file descriptors have room for one more call. Plain code; `host/` measures.
//!
//! CPU recovers when a call ends; of these two the process dies, or every call of it fails. So they are
//! asked for each call, with what the calls need that came since the last measurement.

use super::admission::Refusal;
use crate::host::{DescriptorNeeds, Sample, Usage};

/// Memory that a call may need at its busiest: jitter buffers, codecs, the history, audio on its way.
const MEMORY_PER_CALL_BYTES: u64 = 8 << 20;

/// Descriptors that stay free beside those that calls are measured to use: files that are open for a
/// moment, connections that no plan knows.
const DESCRIPTORS_SPARE: u64 = 32;

/// Half of the memory does not count as load: as much is in use on an idle machine.
const MEMORY_IDLE: f64 = 0.5;

/// See the module.
#[derive(Debug)]
pub(super) struct Budget {
    memory_threshold: f64,
    needs: DescriptorNeeds,
    memory: Option<Usage>,
    descriptors: Option<Usage>,
    /// Calls when both were measured.
    n_measured: u64,
}

impl Budget {
    /// A budget that knows no limit yet.
    pub(super) fn new(memory_threshold: f32) -> Self {
        Self {
            memory_threshold: f64::from(memory_threshold),
            needs: DescriptorNeeds::default(),
            memory: None,
            descriptors: None,
            n_measured: 0,
        }
    }

    pub(super) fn set_needs(&mut self, needs: DescriptorNeeds) {
        self.needs = needs;
    }

    /// Records a measurement that was made while there were this many calls.
    pub(super) fn measured(&mut self, sample: Sample, n_calls: usize) {
        self.memory = sample.memory;
        self.descriptors = sample.descriptors;
        self.n_measured = n_calls as u64;
    }

    /// Why one more call than `n_calls` does not fit.
    pub(super) fn refusal(&self, n_calls: usize) -> Option<Refusal> {
        if self
            .descriptor_room(n_calls)
            .is_some_and(|room| room < self.per_call())
        {
            return Some(Refusal::NoDescriptors);
        }
        let memory = self
            .memory
            .map(|memory| self.with_new_calls(memory, n_calls));
        let is_full = memory.is_some_and(|memory| memory.ratio() > self.memory_threshold);
        (is_full && self.memory_threshold < 1.0).then_some(Refusal::NoMemory)
    }

    /// How close to refusing this is, 0 to 1.
    pub(super) fn busy(&self, n_calls: usize) -> f32 {
        let memory = self.memory.map_or(0.0, |memory| {
            let ratio = self.with_new_calls(memory, n_calls).ratio();
            (ratio - MEMORY_IDLE) / (self.memory_threshold - MEMORY_IDLE)
        });
        let descriptors = self.descriptor_room(n_calls).map_or(0.0, |room| {
            let n_more = room / self.per_call();
            let n_calls = n_calls as f64;
            // Neither calls nor room for one: full.
            if n_more == 0 {
                1.0
            } else {
                n_calls / (n_calls + n_more as f64)
            }
        });
        memory.max(descriptors).clamp(0.0, 1.0) as f32
    }

    fn with_new_calls(&self, memory: Usage, n_calls: usize) -> Usage {
        let n_new = (n_calls as u64).saturating_sub(self.n_measured);
        Usage {
            used: memory
                .used
                .saturating_add(n_new.saturating_mul(MEMORY_PER_CALL_BYTES)),
            ..memory
        }
    }

    /// Descriptors that are left with this many calls; `None` without a limit.
    fn descriptor_room(&self, n_calls: usize) -> Option<u64> {
        let Usage { used: open, limit } = self.descriptors?;
        let n_calls = n_calls as u64;
        let n_new = n_calls.saturating_sub(self.n_measured);
        // As planned: what a call or the pool has not opened yet is reserved for it.
        let planned = n_calls.saturating_mul(self.per_call());
        let planned = planned.saturating_add(self.needs.process);
        // As measured: something may use more than was planned.
        let measured = n_new.saturating_mul(self.per_call());
        let measured = measured
            .saturating_add(open)
            .saturating_add(DESCRIPTORS_SPARE);
        Some(limit.saturating_sub(planned.max(measured)))
    }

    /// Descriptors of a call: as planned, or more when the calls there are use more.
    fn per_call(&self) -> u64 {
        let open = self.descriptors.map_or(0, |descriptors| descriptors.used);
        let of_calls = open.saturating_sub(self.needs.process);
        let measured = of_calls.checked_div(self.n_measured).unwrap_or(0);
        measured.max(self.needs.call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn budget(memory: Option<(u64, u64)>, descriptors: Option<(u64, u64)>, n: usize) -> Budget {
        let usage = |(used, limit)| Usage { used, limit };
        let mut budget = Budget::new(0.9);
        budget.set_needs(DescriptorNeeds {
            process: 100,
            call: 10,
        });
        let sample = Sample {
            cpu: None,
            memory: memory.map(usage),
            descriptors: descriptors.map(usage),
        };
        budget.measured(sample, n);
        budget
    }

    #[test]
    fn without_a_measurement_nothing_is_refused() {
        let budget = budget(None, None, 0);
        assert_eq!(budget.refusal(10_000), None);
        assert_eq!(budget.busy(10_000), 0.0);
    }

    #[test]
    fn a_burst_gets_as_many_calls_as_have_descriptors() {
        // None of them has opened anything yet.
        let budget = budget(None, Some((40, 150)), 0);
        let taken = (0..100)
            .take_while(|n| budget.refusal(*n).is_none())
            .count();
        assert_eq!(taken, 5, "100 + 5 × 10 = 150");
        assert_eq!(budget.refusal(5), Some(Refusal::NoDescriptors));
        assert_eq!(budget.busy(0), 0.0);
        assert_eq!(budget.busy(5), 1.0);
    }

    #[test]
    fn calls_that_use_more_than_planned_leave_room_for_fewer() {
        // Three calls with 40 each.
        let budget = budget(None, Some((220, 300)), 3);
        assert_eq!(budget.refusal(3), None, "220 + 32 + 40 = 292");
        assert_eq!(budget.refusal(4), Some(Refusal::NoDescriptors));
    }

    #[test]
    fn something_else_that_uses_descriptors_counts() {
        assert_eq!(
            budget(None, Some((950, 1000)), 0).refusal(0),
            None,
            "18 are left"
        );
        let budget = budget(None, Some((965, 1000)), 0);
        assert_eq!(
            budget.refusal(0),
            Some(Refusal::NoDescriptors),
            "3 are left"
        );
    }

    #[test]
    fn memory_near_its_limit_refuses_and_counts_the_calls_of_a_burst() {
        let full = budget(Some((91, 100)), None, 0);
        assert_eq!(full.refusal(0), Some(Refusal::NoMemory));
        // 160 MiB of 200, of which 180 may be used: two calls more, and then not a third.
        let budget = budget(Some((160 * MIB, 200 * MIB)), None, 7);
        assert_eq!(budget.refusal(7), None);
        assert_eq!(budget.refusal(9), None);
        assert_eq!(budget.refusal(10), Some(Refusal::NoMemory));
    }

    #[test]
    fn half_of_the_memory_is_no_load_and_a_threshold_of_1_refuses_nothing() {
        assert_eq!(budget(Some((50, 100)), None, 0).busy(0), 0.0);
        assert!((budget(Some((70, 100)), None, 0).busy(0) - 0.5).abs() < 0.001);
        let mut without = Budget::new(1.0);
        let memory = Some(Usage {
            used: 101,
            limit: 100,
        });
        without.measured(
            Sample {
                memory,
                ..Sample::default()
            },
            0,
        );
        assert_eq!(without.refusal(0), None);
    }

    proptest! {
        #[test]
        fn any_measurement_gives_a_load_from_0_to_1(
            memory in any::<Option<(u64, u64)>>(), descriptors in any::<Option<(u64, u64)>>(),
            n_measured in any::<usize>(), n_calls in any::<usize>()
        ) {
            let budget = budget(memory, descriptors, n_measured);
            prop_assert!((0.0..=1.0).contains(&budget.busy(n_calls)));
            budget.refusal(n_calls);
        }
    }
}
