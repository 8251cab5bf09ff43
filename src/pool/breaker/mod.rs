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

mod config;
mod window;

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub use self::config::Config;
use self::window::Window;

/// An opening lasts up to this share longer, so that many workers do not come back together.
const JITTER: f64 = 0.2;

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
    /// It is there and takes no more at the moment. One that takes some of what it is asked is asked less
    /// at once (`adaptive.rs`); only one that takes nothing is left alone.
    Busy,
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
            State::Closed(_) if verdict == Verdict::Unknown => None,
            State::Closed(_) => self.record(1, verdict, now, jitter),
            State::HalfOpen { probing, succeeded } => {
                *probing -= 1;
                match verdict {
                    Verdict::Unknown => None,
                    Verdict::Bad | Verdict::Busy => Some(self.open(now, jitter)),
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
        match &self.state {
            // The call was counted when it was settled.
            State::Closed(_) => self.record(0, Verdict::Bad, now, jitter),
            State::HalfOpen { .. } => Some(self.open(now, jitter)),
            State::Open { .. } => None,
        }
    }

    /// Takes the outcome of so many calls while closed, and opens if that is one failure too many.
    fn record(
        &mut self,
        calls: u32,
        verdict: Verdict,
        now: Instant,
        jitter: f64,
    ) -> Option<Transition> {
        let State::Closed(window) = &mut self.state else {
            return None;
        };
        let is_too_much = window.record(&self.rules, now, calls, verdict);
        is_too_much.then(|| self.open(now, jitter))
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

#[cfg(test)]
mod tests;
