//! The outcomes that a closed breaker remembers.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Config, Verdict};

/// Parts of the window that are forgotten together.
const SLOTS: u32 = 10;

/// Outcomes of the last while: so many slots, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    failures_in_a_row: u32,
}

#[derive(Debug)]
struct Slot {
    began: Instant,
    calls: u32,
    failures: u32,
}

impl Window {
    /// Takes the outcome of so many calls; returns whether there are now too many failures.
    pub(super) fn record(
        &mut self,
        rules: &Config,
        now: Instant,
        calls: u32,
        verdict: Verdict,
    ) -> bool {
        while (self.slots.front()).is_some_and(|slot| now - slot.began >= rules.window) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() {
            self.failures_in_a_row = 0;
        }
        let width = rules.window / SLOTS;
        if (self.slots.back()).is_none_or(|slot| now - slot.began >= width) {
            self.slots.push_back(Slot {
                began: now,
                calls: 0,
                failures: 0,
            });
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.calls = slot.calls.saturating_add(calls);
            let is_failure = verdict == Verdict::Bad;
            slot.failures = slot.failures.saturating_add(u32::from(is_failure));
        }
        if verdict == Verdict::Good {
            self.failures_in_a_row = 0;
            return false;
        }
        self.failures_in_a_row += 1;
        self.failures_in_a_row >= rules.failures_in_a_row || self.is_share_too_high(rules)
    }

    fn is_share_too_high(&self, rules: &Config) -> bool {
        let sum = |count: fn(&Slot) -> u32| -> f64 {
            self.slots.iter().map(|slot| f64::from(count(slot))).sum()
        };
        let (calls, failures) = (sum(|slot| slot.calls), sum(|slot| slot.failures));
        calls >= f64::from(rules.calls_min) && failures >= rules.failure_ratio * calls
    }
}
