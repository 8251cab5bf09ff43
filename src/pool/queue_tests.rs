use std::sync::Arc;

use proptest::prelude::*;

use super::super::adaptive::{Config as AdaptiveConfig, Sample};
use super::super::gate::Key;
use super::super::spec::Priority;
use super::super::urgency::CallerId;
use super::super::usage::Host;
use super::*;
use crate::error::Service;

/// A queue and its clock. Requests are numbered as they come.
struct World {
    queue: Queue<usize>,
    start: Instant,
    now: Instant,
    places: Vec<Option<Place>>,
    /// The requests with a permit, in the order in which they got it.
    held: Vec<(usize, Holding)>,
    callers: Vec<CallerId>,
}

impl World {
    fn new(config: Config) -> Self {
        let start = Instant::now();
        Self {
            queue: Queue::new(&config, start),
            start,
            now: start,
            places: Vec::new(),
            held: Vec::new(),
            callers: (0..8).map(|_| CallerId::next()).collect(),
        }
    }

    fn ask_at(&mut self, host: &str, caller: Option<usize>, urgency: Urgency) -> usize {
        let priority = match urgency {
            Urgency::Background => Priority::Background,
            _ => Priority::Caller,
        };
        let ask = Ask {
            key: Key {
                service: Service::Http,
                host: Some(Arc::from(host)),
                priority,
            },
            caller: caller.map(|n| self.callers[n]),
            urgency,
        };
        let number = self.places.len();
        let place = self.queue.ask(ask, number, self.now).unwrap();
        self.places.push(Some(place.clone()));
        self.give_out();
        self.queue.stay(&place);
        number
    }

    fn ask(&mut self, caller: Option<usize>, urgency: Urgency) -> usize {
        self.ask_at("a", caller, urgency)
    }

    fn give_out(&mut self) {
        while let Some(Granted { waiter, holding }) = self.queue.grant(self.now) {
            self.held.push((waiter, holding));
        }
    }

    fn has(&self, number: usize) -> bool {
        self.held.iter().any(|(it, _)| *it == number)
    }

    /// Ends the request that got its permit first.
    fn end(&mut self) {
        if !self.held.is_empty() {
            let (_, holding) = self.held.remove(0);
            self.queue.budget.end(holding);
            self.give_out();
        }
    }

    fn begin_answer(&mut self, number: usize) {
        let budget = &mut self.queue.budget;
        if let Some((_, holding)) = self.held.iter_mut().find(|(it, _)| *it == number) {
            budget.begun(holding);
        }
        self.give_out();
    }

    fn advance(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

/// So many connections to a host and as many permits to ask, without a moving limit.
fn few(host_max: usize) -> Config {
    Config {
        connections_max: 100,
        connections_per_host_max: host_max,
        streams_per_connection_max: 3,
        adaptive: AdaptiveConfig {
            enabled: false,
            ..AdaptiveConfig::default()
        },
        ..Config::default()
    }
}

#[test]
fn the_most_urgent_is_first_and_equals_go_by_their_arrival() {
    let mut world = World::new(few(1));
    world.ask(None, Urgency::Turn);
    let asked = [
        Urgency::Background,
        Urgency::Speculation,
        Urgency::LaterSentence,
        Urgency::FirstSentence,
        Urgency::Turn,
        Urgency::Turn,
    ];
    for urgency in asked {
        world.advance(1);
        world.ask(None, urgency);
    }
    let mut order = Vec::new();
    for _ in 0..asked.len() {
        world.end();
        order.push(world.held[0].0);
    }
    assert_eq!(order, [5, 6, 4, 3, 2, 1]);
}

/// As many urgent requests come as there can be, for ever, each of another caller.
#[test]
fn none_waits_for_ever_however_many_more_urgent_ones_come() {
    for (urgency, within_ms) in [
        (Urgency::FirstSentence, 1_100),
        (Urgency::LaterSentence, 2_100),
        (Urgency::Background, 4_100),
    ] {
        let mut world = World::new(few(1));
        world.ask(None, Urgency::Turn);
        let patient = world.ask(Some(0), urgency);
        while !world.has(patient) {
            world.ask(None, Urgency::Turn);
            world.advance(100);
            world.end();
            assert!(world.elapsed() < Duration::from_secs(60), "{urgency:?}");
        }
        let waited = world.elapsed();
        assert!(
            waited <= Duration::from_millis(within_ms + 100),
            "{waited:?}"
        );
        assert!(waited > Duration::from_millis(within_ms - 1_000));
    }
}

#[test]
fn a_caller_with_its_share_waits_for_one_with_less() {
    let mut world = World::new(few(4));
    for _ in 0..30 {
        world.ask(Some(0), Urgency::Turn);
    }
    let other = world.ask(Some(1), Urgency::LaterSentence);
    let second = world.ask(Some(1), Urgency::LaterSentence);
    world.end();
    assert!(
        world.has(other),
        "of four it has none, the first caller three"
    );
    world.end();
    assert!(world.has(second), "its share is two");
    world.end();
    assert!(world.has(4), "now the most urgent of the first caller's");
}

#[test]
fn speculation_leaves_a_quarter_to_the_others_and_says_so_once() {
    let mut world = World::new(few(4));
    for _ in 0..3 {
        world.ask(None, Urgency::Speculation);
    }
    assert_eq!(world.queue.take_news(), None);
    let held = world.ask(None, Urgency::Speculation);
    assert!(!world.has(held));
    assert_eq!(world.queue.take_news(), Some(News::SpeculationStopped));
    world.ask(None, Urgency::Speculation);
    assert_eq!(world.queue.take_news(), None, "said already");
    let urgent = world.ask(None, Urgency::LaterSentence);
    assert!(world.has(urgent));
    world.advance(10);
    for _ in 0..6 {
        world.end();
    }
    world.ask(None, Urgency::Speculation);
    let over = News::SpeculationGoesOn { held_back: 2 };
    assert_eq!(world.queue.take_news(), Some(over));
    assert_eq!(world.queue.held_back, 2);
}

#[test]
fn speculation_whose_turn_has_ended_goes_before_those_that_came_later() {
    let mut world = World::new(few(1));
    world.ask(None, Urgency::Turn);
    let prepared = world.ask(None, Urgency::Speculation);
    world.advance(10);
    let later = world.ask(None, Urgency::Turn);
    let place = world.places[prepared].clone().unwrap();
    let promoted = world.queue.promote(&place, Urgency::Turn, world.now);
    assert!(promoted.is_some());
    world.end();
    assert!(world.has(prepared) && !world.has(later));
}

#[test]
fn an_answer_that_has_begun_needs_its_connection_and_no_permit_to_ask() {
    let mut config = few(10);
    config.adaptive = AdaptiveConfig {
        limit_start: 1,
        limit_min: 1,
        ..AdaptiveConfig::default()
    };
    let mut world = World::new(config);
    let first = world.ask(None, Urgency::Turn);
    let second = world.ask(None, Urgency::Turn);
    assert!(!world.has(second));
    world.begin_answer(first);
    assert!(world.has(second));
    assert_eq!(world.queue.budget.connections, 2);
}

#[test]
fn requests_share_connections_over_http2_and_no_others() {
    let mut world = World::new(few(2));
    let first = world.ask(None, Urgency::Turn);
    let second = world.ask(None, Urgency::Turn);
    assert!(!{
        let third = world.ask(None, Urgency::Turn);
        world.has(third)
    });
    world.queue.budget.answered(&Arc::from("a"), true);
    world.end();
    world.end();
    assert!(!world.has(first) && !world.has(second));
    for _ in 0..9 {
        world.ask(None, Urgency::Turn);
    }
    assert_eq!(world.held.len(), 6, "two connections of three each");
    assert_eq!(world.queue.budget.connections, 2);
}

#[test]
fn a_busy_host_keeps_nothing_from_another() {
    let mut world = World::new(Config {
        connections_max: 3,
        ..few(2)
    });
    for _ in 0..5 {
        world.ask_at("a", None, Urgency::Turn);
    }
    let other = world.ask_at("b", None, Urgency::Background);
    assert!(world.has(other));
    let third = world.ask_at("c", None, Urgency::Turn);
    assert!(!world.has(third), "three in all");
}

#[test]
fn the_queue_is_bounded() {
    let mut world = World::new(few(1));
    for _ in 0..=WAITING_MAX {
        world.ask(None, Urgency::Turn);
    }
    let ask = Ask {
        key: world.held[0].1.key().clone(),
        caller: None,
        urgency: Urgency::Turn,
    };
    assert_eq!(world.queue.ask(ask, 0, world.now), None);
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, Option<u8>, u8),
    Leave(usize),
    Promote(usize),
    Begin(usize),
    End(usize),
    Settle(u8),
    Protocol(u8, bool),
    Advance(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..3, prop::option::of(0u8..8), 0u8..5).prop_map(|(h, c, u)| Step::Ask(h, c, u)),
        2 => any::<usize>().prop_map(Step::Leave),
        2 => any::<usize>().prop_map(Step::Promote),
        4 => any::<usize>().prop_map(Step::Begin),
        5 => any::<usize>().prop_map(Step::End),
        2 => (0u8..3).prop_map(Step::Settle),
        1 => (0u8..3, any::<bool>()).prop_map(|(h, is)| Step::Protocol(h, is)),
        3 => (0u16..3_000).prop_map(Step::Advance),
    ]
}

const HOSTS: [&str; 3] = ["a", "b", "c"];

impl World {
    fn take(&mut self, step: Step) {
        let one = |of: usize, all: usize| (all > 0).then(|| of % all);
        match step {
            Step::Ask(host, caller, urgency) => {
                let urgency = Urgency::ALL[usize::from(urgency)];
                self.ask_at(HOSTS[usize::from(host)], caller.map(usize::from), urgency);
            }
            Step::Leave(n) => {
                if let Some(n) = one(n, self.places.len())
                    && let Some(place) = self.places[n].take()
                {
                    self.queue.leave(&place);
                }
            }
            Step::Promote(n) => {
                if let Some(n) = one(n, self.places.len())
                    && let Some(place) = &self.places[n]
                    && self.waiting().any(|(standing, ask)| {
                        standing == place.standing && ask.urgency == Urgency::Speculation
                    })
                {
                    self.places[n] = self.queue.promote(place, Urgency::Turn, self.now);
                }
            }
            Step::Begin(n) => {
                if let Some(n) = one(n, self.held.len()) {
                    // Twice is once.
                    self.begin_answer(self.held[n].0);
                    self.begin_answer(self.held[n].0);
                }
            }
            Step::End(n) => {
                if let Some(n) = one(n, self.held.len()) {
                    let (_, holding) = self.held.remove(n);
                    self.queue.budget.end(holding);
                }
            }
            Step::Settle(kind) => {
                let sample = [Sample::Overload, Sample::Late, Sample::Answered(None)];
                let who = self.held.first().map(|(_, it)| it.key().clone());
                if let Some(key) = who {
                    let (sample, now) = (sample[usize::from(kind)], self.now);
                    let budget = &mut self.queue.budget;
                    budget.settle((&key, None), "ask", sample, now, now);
                }
            }
            Step::Protocol(host, is_http2) => {
                let host = Arc::from(HOSTS[usize::from(host)]);
                self.queue.budget.answered(&host, is_http2);
            }
            Step::Advance(ms) => self.advance(u64::from(ms)),
        }
    }

    /// All that wait.
    fn waiting(&self) -> impl Iterator<Item = (Standing, &Ask)> {
        let lines = self.queue.lines.values();
        let all = lines.flat_map(|line| line.certain.iter().chain(&line.speculation));
        all.map(|(standing, waiter)| (*standing, &waiter.ask))
    }

    /// Gives permits out and looks at each whether it was this one's turn.
    fn give_out_and_look(&mut self) -> Result<(), TestCaseError> {
        loop {
            let holds_nothing = |caller: Option<CallerId>, host: &Arc<str>| {
                caller.is_none_or(|caller| {
                    let held = self.held.iter().filter(|(_, it)| it.is_scarce());
                    let mut of_host = held.filter(|(_, it)| it.key().host.as_ref() == Some(host));
                    !of_host.any(|(_, it)| it.caller() == Some(caller))
                })
            };
            let has_nothing = self.waiting().filter(|(_, ask)| {
                let host = ask.key.host.as_ref().unwrap();
                ask.is_urgent() && self.queue.budget.is_free(ask) && holds_nothing(ask.caller, host)
            });
            let first = has_nothing.map(|(standing, _)| standing).min();
            let before: Vec<Standing> = self.waiting().map(|it| it.0).collect();
            let Some(Granted { waiter, holding }) = self.queue.grant(self.now) else {
                return Ok(());
            };
            let waits = |it: &Standing| self.waiting().any(|(standing, _)| standing == *it);
            let granted = before.iter().find(|it| !waits(it)).unwrap();
            if let Some(first) = first {
                prop_assert!(*granted <= first, "one that has nothing was overtaken");
            }
            self.held.push((waiter, holding));
        }
    }

    fn look(&self) -> Result<(), TestCaseError> {
        let budget = &self.queue.budget;
        let rules = &budget.rules;
        prop_assert!(budget.connections <= rules.all_max);
        prop_assert!(budget.background <= rules.all_background);
        let mut connections = 0;
        for host in budget.hosts.values() {
            connections += host.connections(rules.streams_max);
            prop_assert!(host.connections(rules.streams_max) <= rules.host_max);
        }
        prop_assert_eq!(budget.connections, connections);
        let held: usize = budget.hosts.values().map(|it| it.own + it.streams).sum();
        prop_assert_eq!(held, self.held.len(), "none is lost and none counts twice");
        let is_free = self.waiting().any(|(_, ask)| budget.is_free(ask));
        prop_assert!(!is_free, "none waits for nothing");
        prop_assert_eq!(self.waiting().count(), self.queue.n_waiting);
        Ok(())
    }
}

proptest! {
    /// Whatever happens in whatever order.
    #[test]
    fn permits_are_neither_lost_nor_made_and_given_in_their_order(
        has_limit in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let mut config = Config { connections_max: 7, background_max: 2, ..few(4) };
        config.adaptive.enabled = has_limit;
        config.adaptive.limit_start = 3;
        config.adaptive.limit_min = 1;
        let mut world = World::new(config);
        for step in steps {
            world.take(step);
            world.give_out_and_look()?;
            world.look()?;
        }
        // All who wait get theirs in the end, but for speculation where a quarter of all is one.
        while !world.held.is_empty() {
            world.advance(100);
            world.take(Step::End(0));
            world.give_out_and_look()?;
            world.look()?;
        }
        prop_assert_eq!(world.queue.n_waiting, 0);
        let budget = &world.queue.budget;
        prop_assert_eq!((budget.connections, budget.background, budget.n_asking()), (0, 0, 0));
        prop_assert!(budget.hosts.values().all(Host::is_unused));
    }
}
