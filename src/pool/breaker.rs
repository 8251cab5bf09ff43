//! When a failing service is left alone: a circuit breaker. Plain code: time and chance are
//! arguments, `gate.rs` holds one for each host.
//!
//! ```text
//!           too many failures               its time is over
//! Closed ───────────────────▶ Open ──────────────────────────▶ HalfOpen
//!    ▲                          ▲    a probe fails: twice as long   │ │
//!    │                          └───────────────────────────────────┘ │
//!    └────────────────────── enough probes succeed ───────────────────┘
//! ```
//!
//! Ours, and not `tower-resilience-circuitbreaker` (0.14): that one knows good and bad outcomes
//! only, so a refusal that says nothing about the service closes it; counts the late failure of a
//! call from before it opened as that of a probe; waits the same time after every opening; and
//! reads the system's clock, so no test could script its time.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::units::seconds;

/// Parts of the window that are forgotten together.
const SLOTS: u32 = 10;
/// An opening lasts up to this share longer, so that many workers do not come back together.
const JITTER: f64 = 0.2;

/// When a service is left alone (`[pool.breaker]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is a breaker at all.
    pub enabled: bool,
    /// How long an outcome counts.
    #[serde(rename = "window_seconds", with = "seconds")]
    pub window: Duration,
    /// Fewer calls than this within the window say nothing about their share of failures.
    pub calls_min: u32,
    /// Share of failed calls that opens the breaker, above 0 to 1.
    pub failure_ratio: f64,
    /// Failures without a success between them that open it, however few the calls.
    pub failures_in_a_row: u32,
    /// How long calls are refused; doubles with every failed probe.
    #[serde(rename = "open_seconds", with = "seconds")]
    pub open: Duration,
    /// Longest time calls are refused before the next probe.
    #[serde(rename = "open_max_seconds", with = "seconds")]
    pub open_max: Duration,
    /// Calls let through to see whether the service is back, and successes that close the breaker.
    pub probes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(30),
            calls_min: 10,
            failure_ratio: 0.5,
            failures_in_a_row: 5,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            probes: 2,
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub(super) fn problems(&self) -> Vec<String> {
        let checks = [
            (
                !self.window.is_zero(),
                "window_seconds: must be more than 0",
            ),
            (self.calls_min >= 1, "calls_min: must be at least 1"),
            (
                self.failure_ratio > 0.0 && self.failure_ratio <= 1.0,
                "failure_ratio: must be above 0 and at most 1",
            ),
            (
                self.failures_in_a_row >= 1,
                "failures_in_a_row: must be at least 1",
            ),
            (
                !self.open.is_zero() && self.open <= self.open_max,
                "open_seconds: must be more than 0 and at most pool.breaker.open_max_seconds",
            ),
            (
                (1..=100).contains(&self.probes),
                "probes: must be from 1 to 100",
            ),
        ];
        let wrong = checks.into_iter().filter(|(is_valid, _)| !is_valid);
        wrong
            .map(|(_, problem)| format!("pool.breaker.{problem}"))
            .collect()
    }
}

/// Whether calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All do.
    Closed,
    /// None does.
    Open,
    /// A few do, to see whether the service is back.
    HalfOpen,
}

/// Leave to make one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    epoch: u64,
}

/// What a call says about its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It works.
    Good,
    /// It fails.
    Bad,
    /// Nothing: the call was dropped, or never got that far.
    Unknown,
}

/// A change of state, to be logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Transition {
    Opened { for_: Duration },
    HalfOpened,
    Closed,
}

/// The breaker of one host.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Config,
    state: State,
    /// Grows with every change of state: a call admitted before it says nothing after it.
    epoch: u64,
    opened: u64,
    /// Openings that followed each other so closely that the service cannot have been well.
    in_a_row: u32,
    closed_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    Open { until: Instant },
    HalfOpen { probing: u32, succeeded: u32 },
}

impl Breaker {
    pub(super) fn new(rules: Config) -> Self {
        Self {
            rules,
            state: State::Closed(Window::default()),
            epoch: 0,
            opened: 0,
            in_a_row: 0,
            closed_at: None,
        }
    }

    /// How a call would fare now: refused for so long, if it is refused.
    pub(super) fn refusal(&self, now: Instant) -> Option<Duration> {
        match &self.state {
            State::Open { until } if now < *until => Some(*until - now),
            State::HalfOpen { probing, succeeded } => {
                (probing + succeeded >= self.rules.probes).then_some(Duration::ZERO)
            }
            State::Open { .. } | State::Closed(_) => None,
        }
    }

    /// Lets a call through, or says for how long it is refused. What is let through is settled
    /// exactly once.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(Ticket, Option<Transition>), Duration> {
        if let Some(wait) = self.refusal(now) {
            return Err(wait);
        }
        let mut transition = None;
        if matches!(self.state, State::Open { .. }) {
            let (probing, succeeded) = (0, 0);
            self.become_(State::HalfOpen { probing, succeeded });
            transition = Some(Transition::HalfOpened);
        }
        if let State::HalfOpen { probing, .. } = &mut self.state {
            *probing += 1;
        }
        Ok((Ticket { epoch: self.epoch }, transition))
    }

    /// Takes the outcome of a call. `jitter` is from 0 to 1.
    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        verdict: Verdict,
        now: Instant,
        jitter: f64,
    ) -> Option<Transition> {
        if ticket.epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed(window) => {
                let is_failure = match verdict {
                    Verdict::Good => false,
                    Verdict::Bad => true,
                    Verdict::Unknown => return None,
                };
                let is_too_much = window.record(&self.rules, now, 1, is_failure);
                is_too_much.then(|| self.open(now, jitter))
            }
            State::HalfOpen { probing, succeeded } => {
                *probing -= 1;
                match verdict {
                    Verdict::Unknown => None,
                    Verdict::Bad => Some(self.open(now, jitter)),
                    Verdict::Good => {
                        *succeeded += 1;
                        (*succeeded >= self.rules.probes).then(|| self.close(now))
                    }
                }
            }
            // Nobody is let through, so nobody has a ticket of this epoch.
            State::Open { .. } => None,
        }
    }

    /// Takes note that an answer broke off which had begun, and was settled, well.
    pub(super) fn broke_off(
        &mut self,
        ticket: Ticket,
        now: Instant,
        jitter: f64,
    ) -> Option<Transition> {
        if ticket.epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed(window) => {
                // The call was counted when it was settled.
                let is_too_much = window.record(&self.rules, now, 0, true);
                is_too_much.then(|| self.open(now, jitter))
            }
            State::HalfOpen { .. } => Some(self.open(now, jitter)),
            State::Open { .. } => None,
        }
    }

    /// The state a call would meet now.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match &self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { until } if now < *until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    fn open(&mut self, now: Instant, jitter: f64) -> Transition {
        let was_well = match self.state {
            State::Closed(_) => self
                .closed_at
                .is_none_or(|closed_at| now - closed_at >= self.rules.window),
            _ => false,
        };
        self.in_a_row = if was_well { 0 } else { self.in_a_row + 1 };
        let doubled = self.rules.open.saturating_mul(1 << self.in_a_row.min(16));
        let for_ = doubled
            .min(self.rules.open_max)
            .mul_f64(1.0 + JITTER * jitter);
        self.opened += 1;
        self.become_(State::Open { until: now + for_ });
        Transition::Opened { for_ }
    }

    fn close(&mut self, now: Instant) -> Transition {
        self.closed_at = Some(now);
        self.become_(State::Closed(Window::default()));
        Transition::Closed
    }

    fn become_(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// Outcomes of the last while: so many slots, the oldest forgotten first.
#[derive(Debug, Default)]
struct Window {
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
    fn record(&mut self, rules: &Config, now: Instant, calls: u32, is_failure: bool) -> bool {
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
            slot.failures = slot.failures.saturating_add(u32::from(is_failure));
        }
        if !is_failure {
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

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
