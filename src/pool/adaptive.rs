//! How many requests may wait for one host to begin its answer: a limit that falls when the service
//! shows that it has too much to do and grows with its answers. Plain code: time is an argument; the
//! permits themselves are in `queue.rs`.
//!
//! Additive increase, multiplicative decrease, with at most one decrease per round trip as in TCP: a
//! sign of overload from a request that began before the last decrease says nothing about the new
//! limit. Signs are a time-out, a 429, an unavailable service, and answers that begin late: several in
//! a row that took a multiple of what the same operation usually takes, while at least half of the
//! limit was in use (below that the cause cannot be the number of our requests). Operations of one host
//! have very different times, so each is compared with itself. A limit rises above its start only while
//! all of it is wanted: unused, it would say nothing about what the service takes.
//!
//! What the pool or a caller does is no sign. Time is measured from the permit on, so waiting for one
//! does not count. A request that is dropped says nothing. One caller alone (with a question that takes
//! long, say) is late once: the next sign of that kind has to come from another caller.
//!
//! Ours, and not `tower-resilience-adaptive` (0.14): it compares all latencies with one fixed or one
//! learned value for all operations, and it reads the system's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::urgency::CallerId;

/// Answers of an operation before its usual time is known.
const WARM_UP: u32 = 10;
/// The usual time is an average over about so many answers.
const MEMORY: u32 = 50;
/// One slow answer is chance, and so are two.
const SLOW_IN_A_ROW: u32 = 3;

/// A limit that rises stays below this, whatever the service takes: above it the connections of
/// `[pool]` and the machine are the limit.
const RISEN_MAX: usize = 10_000;

/// How many requests may wait for the beginning of their answer (`[pool.adaptive]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is such a limit.
    pub enabled: bool,
    /// Where it starts; 0 for `pool.connections_per_host_max`.
    pub limit_start: usize,
    /// The limit never falls below this.
    pub limit_min: usize,
    /// What is left of the limit after a sign of overload, above 0 and below 1.
    pub decrease_factor: f64,
    /// Answers that take this many times as long as usual are slow.
    pub slow_factor: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            limit_start: 0,
            limit_min: 4,
            decrease_factor: 0.7,
            slow_factor: 2.0,
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub(super) fn problems(&self, ceiling: usize) -> Vec<String> {
        let checks = [
            (
                (1..=ceiling.max(1)).contains(&self.limit_min),
                "limit_min: must be from 1 to pool.connections_per_host_max",
            ),
            (
                self.limit_start <= RISEN_MAX,
                "limit_start: must be at most 10000",
            ),
            (
                self.decrease_factor > 0.0 && self.decrease_factor < 1.0,
                "decrease_factor: must be above 0 and below 1",
            ),
            (
                self.slow_factor > 1.0 && self.slow_factor.is_finite(),
                "slow_factor: must be above 1",
            ),
        ];
        let wrong = checks.into_iter().filter(|(is_valid, _)| !is_valid);
        wrong
            .map(|(_, problem)| format!("pool.adaptive.{problem}"))
            .collect()
    }
}

/// What a request says about the load of its service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    /// Answered; after so long, if that can be compared.
    Answered(Option<Duration>),
    /// The service says that it has too much to do.
    Overload,
    /// No answer in time: a sign of overload, or of a question that takes long.
    Late,
}

/// The moving limit of one host.
#[derive(Debug)]
pub(super) struct Adaptive {
    rules: Config,
    floor: f64,
    start: f64,
    ceiling: f64,
    limit: f64,
    last_decrease: Option<Instant>,
    last_late: Option<CallerId>,
    operations: BTreeMap<&'static str, Usual>,
}

/// What is usual for an operation.
#[derive(Debug, Default)]
struct Usual {
    seconds: f64,
    samples: u32,
    slow_in_a_row: u32,
    last_slow: Option<CallerId>,
}

impl Adaptive {
    /// Starts at its ceiling.
    pub(super) fn new(rules: Config, ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            floor: rules.limit_min.clamp(1, ceiling) as f64,
            start: ceiling as f64,
            ceiling: ceiling as f64,
            limit: ceiling as f64,
            rules,
            last_decrease: None,
            last_late: None,
            operations: BTreeMap::new(),
        }
    }

    /// Starts here and rises as far as the service takes it.
    pub(super) fn rising(rules: Config, start: usize) -> Self {
        Self {
            ceiling: RISEN_MAX.max(start) as f64,
            ..Self::new(rules, start)
        }
    }

    /// Requests that may wait for their answer.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Takes the outcome of a request that got its permit at `began`; `wanted` are the permits that
    /// are used or waited for.
    pub(super) fn settle(
        &mut self,
        operation: &'static str,
        sample: Sample,
        caller: Option<CallerId>,
        (began, now): (Instant, Instant),
        wanted: usize,
    ) {
        let is_overload = match sample {
            Sample::Overload => true,
            Sample::Late => {
                let last = std::mem::replace(&mut self.last_late, caller);
                caller.is_none() || last != caller
            }
            Sample::Answered(None) => false,
            Sample::Answered(Some(latency)) => {
                let usual = self.operations.entry(operation).or_default();
                let is_slow = usual.is_slow(latency, caller, self.rules.slow_factor);
                is_slow && wanted as f64 >= self.limit / 2.0
            }
        };
        if !is_overload {
            let is_late = sample == Sample::Late;
            let may_rise = self.limit < self.start || wanted as f64 >= self.limit.floor();
            if may_rise && !is_late {
                self.limit = (self.limit + 1.0 / self.limit).min(self.ceiling);
            }
        } else if self.last_decrease.is_none_or(|last| began >= last) {
            self.limit = (self.limit * self.rules.decrease_factor).max(self.floor);
            self.last_decrease = Some(now);
        }
    }
}

impl Usual {
    /// Takes a latency; returns whether it is one slow answer too many.
    fn is_slow(&mut self, latency: Duration, caller: Option<CallerId>, slow_factor: f64) -> bool {
        let seconds = latency.as_secs_f64();
        let is_slow = self.samples >= WARM_UP && seconds > slow_factor * self.seconds;
        if !is_slow {
            self.slow_in_a_row = 0;
            self.last_slow = None;
        } else if caller.is_none() || std::mem::replace(&mut self.last_slow, caller) != caller {
            self.slow_in_a_row += 1;
        }
        self.samples = (self.samples + 1).min(MEMORY);
        // What stays slow becomes usual with time: only a change is a sign.
        self.seconds += (seconds - self.seconds) / f64::from(self.samples);
        if self.slow_in_a_row < SLOW_IN_A_ROW {
            return false;
        }
        self.slow_in_a_row = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A limit and its clock; every call takes as long as it says.
    struct Script {
        adaptive: Adaptive,
        now: Instant,
    }

    impl Script {
        fn new() -> Self {
            Self {
                adaptive: Adaptive::new(Config::default(), 30),
                now: Instant::now(),
            }
        }

        fn settle(&mut self, operation: &'static str, sample: Sample, ms: u64, in_use: usize) {
            let began = self.now;
            self.now += Duration::from_millis(ms);
            let times = (began, self.now);
            self.adaptive.settle(operation, sample, None, times, in_use);
        }

        fn late(&mut self, caller: CallerId) -> usize {
            let times = (self.now, self.now + Duration::from_millis(10));
            self.now = times.1;
            let caller = Some(caller);
            self.adaptive.settle("chat", Sample::Late, caller, times, 1);
            self.adaptive.limit()
        }

        fn answer(&mut self, operation: &'static str, ms: u64, in_use: usize) -> usize {
            let latency = Duration::from_millis(ms);
            self.settle(operation, Sample::Answered(Some(latency)), ms, in_use);
            self.adaptive.limit()
        }

        fn overload(&mut self) -> usize {
            self.settle("chat", Sample::Overload, 10, 30);
            self.adaptive.limit()
        }
    }

    #[test]
    fn overload_takes_a_share_of_the_limit_down_to_the_floor() {
        let mut script = Script::new();
        assert_eq!(script.adaptive.limit(), 30);
        let limits: Vec<usize> = (0..7).map(|_| script.overload()).collect();
        assert_eq!(limits, [21, 14, 10, 7, 5, 4, 4]);
    }

    #[test]
    fn calls_that_fail_together_count_once() {
        let mut script = Script::new();
        let began = script.now;
        for _ in 0..30 {
            script.now += Duration::from_millis(1);
            let (times, sample) = ((began, script.now), Sample::Overload);
            script.adaptive.settle("chat", sample, None, times, 30);
        }
        assert_eq!(script.adaptive.limit(), 21);
    }

    #[test]
    fn answers_bring_it_back_to_the_ceiling_and_no_further() {
        let mut script = Script::new();
        while script.overload() > 4 {}
        for _ in 0..5 {
            script.answer("chat", 10, 4);
        }
        assert_eq!(script.adaptive.limit(), 5, "one more after a round");
        for _ in 0..1000 {
            script.answer("chat", 10, 4);
        }
        assert_eq!(script.adaptive.limit(), 30);
    }

    #[test]
    fn answers_that_became_slow_under_load_lower_it() {
        let mut script = Script::new();
        for _ in 0..20 {
            script.answer("chat", 100, 25);
        }
        assert_eq!(script.answer("chat", 500, 25), 30, "one is chance");
        assert_eq!(script.answer("chat", 500, 25), 30, "two are");
        assert_eq!(script.answer("chat", 500, 25), 21);
    }

    #[test]
    fn slow_answers_with_little_under_way_are_not_our_doing() {
        let mut script = Script::new();
        for _ in 0..20 {
            script.answer("chat", 100, 3);
        }
        for _ in 0..20 {
            assert_eq!(script.answer("chat", 900, 3), 30);
        }
    }

    #[test]
    fn an_operation_is_compared_with_itself() {
        let mut script = Script::new();
        for _ in 0..50 {
            script.answer("transcribe", 20, 30);
            assert_eq!(script.answer("chat", 900, 30), 30);
        }
    }

    #[test]
    fn what_stays_slow_becomes_usual() {
        let mut script = Script::new();
        for _ in 0..50 {
            script.answer("chat", 100, 30);
        }
        for _ in 0..200 {
            script.answer("chat", 500, 30);
        }
        let settled = script.adaptive.limit();
        for _ in 0..1000 {
            script.answer("chat", 500, 30);
        }
        assert!(settled < script.adaptive.limit(), "{settled} and no more");
    }

    #[test]
    fn it_rises_above_its_start_while_all_of_it_is_wanted() {
        let mut script = Script::new();
        script.adaptive = Adaptive::rising(Config::default(), 8);
        for _ in 0..100 {
            script.answer("chat", 100, 7);
        }
        assert_eq!(script.adaptive.limit(), 8, "7 of 8 were enough");
        for _ in 0..100 {
            script.answer("chat", 100, 40);
        }
        let risen = script.adaptive.limit();
        assert!(risen >= 14, "{risen}");
        for _ in 0..3 {
            script.answer("chat", 500, 40);
        }
        assert!(
            script.adaptive.limit() < risen,
            "as far as the service takes it"
        );
    }

    #[test]
    fn one_caller_alone_is_late_once() {
        let mut script = Script::new();
        let (ann, bob) = (CallerId::next(), CallerId::next());
        for _ in 0..30 {
            assert_eq!(script.late(ann), 21);
        }
        assert_eq!(script.late(bob), 14);
    }

    #[test]
    fn slow_answers_of_one_caller_are_one_slow_answer() {
        let mut script = Script::new();
        for _ in 0..20 {
            script.answer("chat", 100, 25);
        }
        let caller = Some(CallerId::next());
        let slow = Sample::Answered(Some(Duration::from_millis(500)));
        for _ in 0..10 {
            let times = (script.now, script.now + Duration::from_millis(500));
            script.now = times.1;
            script.adaptive.settle("chat", slow, caller, times, 25);
        }
        assert_eq!(script.adaptive.limit(), 30);
    }

    proptest! {
        #[test]
        fn it_stays_between_floor_and_ceiling(
            floor in 1usize..50,
            ceiling in 1usize..50,
            calls in proptest::collection::vec((0u8..3, 0u64..5_000, 0usize..60), 0..300),
        ) {
            let rules = Config { limit_min: floor, ..Config::default() };
            let mut script = Script::new();
            script.adaptive = Adaptive::new(rules, ceiling);
            for (kind, ms, in_use) in calls {
                let sample = match kind {
                    0 => Sample::Answered(Some(Duration::from_millis(ms))),
                    1 => Sample::Overload,
                    _ => Sample::Late,
                };
                script.settle("chat", sample, ms, in_use);
                let limit = script.adaptive.limit();
                prop_assert!(limit >= floor.min(ceiling) && limit <= ceiling, "{limit}");
            }
        }
    }
}
