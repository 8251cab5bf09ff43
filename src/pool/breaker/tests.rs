use proptest::prelude::*;

use super::*;
use BreakerState::{Closed, HalfOpen, Open};
use Verdict::{Bad, Busy, Good, Unknown};

fn rules() -> Config {
    Config {
        window: Duration::from_secs(30),
        calls_min: 10,
        failure_ratio: 0.5,
        failures_in_a_row: 5,
        open: Duration::from_secs(5),
        open_max: Duration::from_secs(60),
        probes: 2,
        enabled: true,
    }
}

/// A breaker and its clock.
struct Script {
    breaker: Breaker,
    now: Instant,
}

impl Script {
    fn new() -> Self {
        Self {
            breaker: Breaker::new(rules()),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }

    fn admit(&mut self) -> Option<Ticket> {
        let admitted = self.breaker.admit(self.now);
        admitted.ok().map(|(ticket, _)| ticket)
    }

    fn settle(&mut self, ticket: Ticket, verdict: Verdict) -> Option<Transition> {
        self.breaker.settle(ticket, verdict, self.now, 0.0)
    }

    /// A call from begin to end at one moment.
    fn call(&mut self, verdict: Verdict) -> Option<Transition> {
        let ticket = self.admit().expect("the call is admitted");
        self.settle(ticket, verdict)
    }

    fn fail(&mut self, times: u32) -> &mut Self {
        for _ in 0..times {
            self.call(Bad);
        }
        self
    }

    fn state(&self) -> BreakerState {
        self.breaker.state(self.now)
    }

    fn wait(&self) -> Option<Duration> {
        self.breaker.refusal(self.now)
    }
}

#[test]
fn failures_in_a_row_open_it_and_it_says_for_how_long() {
    let mut script = Script::new();
    script.fail(4);
    assert_eq!(script.state(), Closed);
    let opened = script.call(Bad);
    let for_ = Duration::from_secs(5);
    assert_eq!(opened, Some(Transition::Opened { for_ }));
    assert_eq!((script.state(), script.wait()), (Open, Some(for_)));
    script.pass(2.0);
    assert_eq!(script.wait(), Some(Duration::from_secs(3)));
    assert!(script.admit().is_none());
}

#[test]
fn a_success_between_them_means_they_are_not_in_a_row() {
    let mut script = Script::new();
    script.fail(4).call(Good);
    script.fail(4);
    assert_eq!(script.state(), Closed, "8 of 9 failed, and 9 are too few");
}

#[test]
fn half_of_enough_calls_open_it() {
    let mut script = Script::new();
    for _ in 0..4 {
        script.call(Bad);
        script.call(Good);
    }
    script.call(Good);
    assert_eq!(script.state(), Closed);
    script.call(Bad);
    assert_eq!(script.state(), Open, "5 of 10");
}

#[test]
fn a_busy_service_is_left_alone_only_if_it_takes_nothing() {
    let mut script = Script::new();
    for _ in 0..100 {
        for _ in 0..4 {
            script.call(Busy);
        }
        script.call(Good);
    }
    assert_eq!(script.state(), Closed);
    for _ in 0..5 {
        script.call(Busy);
    }
    assert_eq!(script.state(), Open);
    script.pass(5.0).call(Busy);
    assert_eq!(script.wait(), Some(Duration::from_secs(10)));
}

#[test]
fn old_outcomes_do_not_count() {
    let mut script = Script::new();
    script.fail(4).pass(30.0);
    script.fail(4);
    assert_eq!(script.state(), Closed, "not in a row any more");
    let mut script = Script::new();
    for _ in 0..4 {
        script.call(Bad);
        script.call(Good);
    }
    script.pass(31.0).fail(1).call(Good);
    script.call(Bad);
    assert_eq!(script.state(), Closed, "2 of 3 within the window");
}

#[test]
fn calls_that_say_nothing_change_nothing() {
    let mut script = Script::new();
    for _ in 0..100 {
        script.call(Unknown);
    }
    script.fail(4).call(Unknown);
    assert_eq!(script.state(), Closed);
    script.call(Bad);
    assert_eq!(script.state(), Open);
}

#[test]
fn so_many_probes_pass_and_their_success_closes_it() {
    let mut script = Script::new();
    script.fail(5).pass(5.0);
    assert_eq!(script.state(), HalfOpen);
    let (first, second) = (script.admit().unwrap(), script.admit().unwrap());
    assert!(script.admit().is_none(), "a third probe");
    assert_eq!(script.settle(first, Good), None);
    assert!(script.admit().is_none(), "one success and one under way");
    assert_eq!(script.settle(second, Good), Some(Transition::Closed));
    assert_eq!((script.state(), script.wait()), (Closed, None));
}

#[test]
fn a_dropped_probe_gives_its_place_back() {
    let mut script = Script::new();
    script.fail(5).pass(5.0);
    for _ in 0..100 {
        let probes = [script.admit().unwrap(), script.admit().unwrap()];
        assert!(script.admit().is_none());
        for probe in probes {
            assert_eq!(script.settle(probe, Unknown), None);
        }
    }
    script.call(Good);
    assert_eq!(script.call(Good), Some(Transition::Closed));
}

#[test]
fn each_failed_probe_doubles_the_wait_up_to_the_longest() {
    let mut script = Script::new();
    script.fail(5);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let wait = script.wait().unwrap();
        waits.push(wait.as_secs());
        script.pass(wait.as_secs_f64()).call(Bad);
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    assert_eq!(script.breaker.opened(), 7);
}

#[test]
fn one_that_opens_again_at_once_waits_longer_and_a_well_one_starts_over() {
    let mut script = Script::new();
    let recover = |script: &mut Script| {
        let wait = script.wait().unwrap().as_secs_f64();
        script.pass(wait).call(Good);
        script.call(Good);
        wait
    };
    script.fail(5);
    assert_eq!(recover(&mut script), 5.0);
    script.pass(1.0).fail(5);
    assert_eq!(recover(&mut script), 10.0);
    script.pass(30.0).fail(5);
    assert_eq!(recover(&mut script), 5.0);
}

#[test]
fn what_began_before_a_change_says_nothing_after_it() {
    let mut script = Script::new();
    let slow = [script.admit().unwrap(), script.admit().unwrap()];
    script.fail(5).pass(5.0);
    let probe = script.admit().unwrap();
    assert_eq!(script.settle(slow[0], Bad), None, "no probe of ours failed");
    assert_eq!(script.settle(slow[1], Good), None, "nor did one succeed");
    assert_eq!(script.state(), HalfOpen);
    script.settle(probe, Good);
    assert_eq!(script.call(Good), Some(Transition::Closed));
}

#[test]
fn answers_that_break_off_count_although_they_began_well() {
    let mut script = Script::new();
    script.call(Good);
    for _ in 0..9 {
        assert_eq!(script.state(), Closed);
        let ticket = script.admit().unwrap();
        script.settle(ticket, Good);
        script.breaker.broke_off(ticket, script.now, 0.0);
    }
    assert_eq!(script.state(), Open, "9 of 10");
    script.pass(5.0);
    let probe = script.admit().unwrap();
    script.settle(probe, Good);
    assert_eq!(script.state(), HalfOpen);
    script.breaker.broke_off(probe, script.now, 0.0);
    assert_eq!(script.state(), Open);
}

#[test]
fn jitter_only_makes_it_longer() {
    let mut script = Script::new();
    script.fail(4);
    let ticket = script.admit().unwrap();
    let opened = script.breaker.settle(ticket, Bad, script.now, 1.0);
    let for_ = Duration::from_secs(6);
    assert_eq!(opened, Some(Transition::Opened { for_ }));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Begin,
    End(usize, Verdict),
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![Just(Good), Just(Bad), Just(Busy), Just(Unknown)];
    prop_oneof![
        (0u32..20_000).prop_map(Step::Wait),
        Just(Step::Begin),
        Just(Step::Begin),
        (0usize..8, verdict).prop_map(|(which, verdict)| Step::End(which, verdict)),
    ]
}

proptest! {
    /// However calls overlap, fail and vanish: probes are bounded, and once all calls have ended
    /// and its time is over, the breaker can always be closed again.
    #[test]
    fn no_order_of_events_locks_it(steps in proptest::collection::vec(step(), 0..200)) {
        let mut script = Script::new();
        let mut under_way: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(ms) => {
                    script.pass(f64::from(ms) / 1000.0);
                }
                Step::Begin => under_way.extend(script.admit()),
                Step::End(which, verdict) if which < under_way.len() => {
                    let ticket = under_way.remove(which);
                    script.settle(ticket, verdict);
                }
                Step::End(..) => {}
            }
            if let State::HalfOpen { probing, succeeded } = script.breaker.state {
                prop_assert!(probing + succeeded <= 2);
                let of_this_epoch = under_way.iter().filter(|it| it.epoch == script.breaker.epoch);
                prop_assert_eq!(probing as usize, of_this_epoch.count());
            }
        }
        for ticket in under_way {
            script.settle(ticket, Unknown);
        }
        script.pass(61.0);
        for _ in 0..2 {
            script.call(Good);
        }
        prop_assert_eq!(script.state(), Closed);
    }
}
