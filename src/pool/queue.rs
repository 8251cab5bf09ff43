//! The order in which requests get permits. Plain code: time is an argument; `permits.rs` waits.
//!
//! A request needs up to two things at once. A *connection* to its host: over HTTP/1.1 one of its own
//! until its answer has been read, over HTTP/2 a stream on one that is shared. And a permit to *ask*: the
//! adaptive limit says how many requests of a service and host may wait for the beginning of their
//! answer, so that permit is free again as soon as the answer begins. Both are given together or not at
//! all: a request that waits holds nothing.
//!
//! Rules, in this order (`docs/design/pool-queue.md` tells them at length):
//! 1. A caller that has its share waits while another who has less asks for something it needs.
//! 2. The most urgent comes first, then the longest wait. After each [`STEP`] of waiting a request
//!    counts as one class more urgent, so none waits for ever.
//! 3. Speculation leaves a quarter of every limit to the others.
//! 4. A request that cannot have a permit keeps none from those behind it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::budget::{Ask, Budget, Holding};
use super::config::Config;
use super::demand::Demand;
use super::gate::Key;
use super::urgency::Urgency;

/// Requests that may wait; one more is refused, as it would wait beyond every deadline.
const WAITING_MAX: usize = 4096;

/// A wait that makes a request count as one class more urgent.
const STEP: Duration = Duration::from_secs(1);

/// Empty lines that are remembered.
const LINES_MAX: usize = 64;

/// Who is before whom: the moment that a request's urgency and its wait make, then the order of arrival.
type Standing = (Instant, u64);

/// Where a request is in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    key: Key,
    standing: Standing,
}

/// A permit that was given, with whatever waited for it.
pub(super) struct Granted<W> {
    pub(super) waiter: W,
    pub(super) holding: Holding,
}

/// Permits may be short; each change is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Speculation has to wait from now on.
    SpeculationStopped,
    /// It has not to any more; so many had to.
    SpeculationGoesOn { held_back: u64 },
}

/// The queue; `W` stands for what waits.
pub(super) struct Queue<W> {
    pub(super) budget: Budget,
    lines: HashMap<Key, Line<W>>,
    n_waiting: usize,
    n_asked: u64,
    pub(super) demand: Demand,
    pub(super) waits: [Waits; Urgency::ALL.len()],
    pub(super) held_back: u64,
    /// Speculation that had to wait since it stopped.
    episode: Option<u64>,
    news: Option<News>,
}

/// Requests to one host that the same limits hold for.
struct Line<W> {
    certain: BTreeMap<Standing, Waiter<W>>,
    speculation: BTreeMap<Standing, Waiter<W>>,
}

struct Waiter<W> {
    ask: Ask,
    since: Instant,
    /// Whether it did not get its permit at once.
    stays: bool,
    waiter: W,
}

/// Waits that were longer than none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    pub(super) count: u64,
    pub(super) total: Duration,
}

impl<W> Queue<W> {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            budget: Budget::new(config),
            lines: HashMap::new(),
            n_waiting: 0,
            n_asked: 0,
            demand: Demand::new(now),
            waits: Default::default(),
            held_back: 0,
            episode: None,
            news: None,
        }
    }

    /// Puts a request into the queue; `None` when the queue is full.
    pub(super) fn ask(&mut self, ask: Ask, waiter: W, now: Instant) -> Option<Place> {
        if self.n_waiting >= WAITING_MAX {
            return None;
        }
        self.n_asked += 1;
        self.budget.remember(&ask.key);
        let waiter = Waiter {
            ask,
            since: now,
            stays: false,
            waiter,
        };
        Some(self.insert(waiter, self.n_asked, now))
    }

    /// What was speculation is of use now: it keeps the wait that it has behind it.
    pub(super) fn promote(
        &mut self,
        place: &Place,
        urgency: Urgency,
        now: Instant,
    ) -> Option<Place> {
        let mut waiter = self.remove(&place.key, place.standing)?;
        waiter.ask.urgency = urgency;
        Some(self.insert(waiter, place.standing.1, now))
    }

    /// Takes a request out that waits no longer.
    pub(super) fn leave(&mut self, place: &Place) {
        drop(self.remove(&place.key, place.standing));
    }

    /// Takes note of a request that did not get its permit at once.
    pub(super) fn stay(&mut self, place: &Place) {
        let Some(line) = self.lines.get_mut(&place.key) else {
            return;
        };
        if let Some(waiter) = line.certain.get_mut(&place.standing) {
            waiter.stays = true;
            return;
        }
        let Some(waiter) = line.speculation.get_mut(&place.standing) else {
            return;
        };
        waiter.stays = true;
        self.held_back += 1;
        match &mut self.episode {
            Some(held_back) => *held_back += 1,
            None => {
                self.episode = Some(1);
                self.news = Some(News::SpeculationStopped);
            }
        }
    }

    pub(super) fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// The next permit, if there is one for any that waits. To be asked until there is none.
    pub(super) fn grant(&mut self, now: Instant) -> Option<Granted<W>> {
        let (key, standing) = self.next()?;
        let waiter = self.remove(&key, standing)?;
        let waited = now.saturating_duration_since(waiter.since);
        let urgency = waiter.ask.urgency;
        if waiter.stays {
            let waits = &mut self.waits[urgency as usize];
            waits.count += 1;
            waits.total += waited;
        } else if urgency == Urgency::Speculation
            && let Some(held_back) = self.episode.take()
        {
            self.news = Some(News::SpeculationGoesOn { held_back });
        }
        Some(Granted {
            holding: self.budget.hold(waiter.ask),
            waiter: waiter.waiter,
        })
    }

    pub(super) fn n_waiting(&self) -> usize {
        self.n_waiting
    }

    /// Whose permit is next.
    fn next(&self) -> Option<(Key, Standing)> {
        let (mut found, mut spare, mut passed_over) = (None, None, None);
        let first = |of: &mut Option<(Standing, Key)>, standing: Standing, key: &Key| {
            if of.as_ref().is_none_or(|(first, _)| standing < *first) {
                *of = Some((standing, key.clone()));
            }
        };
        for (key, line) in &self.lines {
            for waiting in [&line.certain, &line.speculation] {
                // The limits are the same for all of these.
                let is_free = |(_, it): (&Standing, &Waiter<W>)| self.budget.is_free(&it.ask);
                if !waiting.first_key_value().is_some_and(is_free) {
                    continue;
                }
                for (standing, waiter) in waiting {
                    if self.budget.has_its_share(&waiter.ask) {
                        first(&mut passed_over, *standing, key);
                    } else if waiter.ask.is_urgent() {
                        first(&mut found, *standing, key);
                        break;
                    } else {
                        first(&mut spare, *standing, key);
                        break;
                    }
                }
            }
        }
        // A permit that a caller needs goes to no work that may be for nothing.
        let is_needed = |(spare, _): &(Standing, Key)| {
            (passed_over.as_ref()).is_none_or(|(passed_over, _)| spare < passed_over)
        };
        let spare = spare.filter(is_needed);
        let next = [found, spare].into_iter().flatten().min_by_key(|it| it.0);
        next.or(passed_over).map(|(standing, key)| (key, standing))
    }

    fn insert(&mut self, waiter: Waiter<W>, number: u64, now: Instant) -> Place {
        let Waiter { ask, since, .. } = &waiter;
        let standing = (*since + STEP * ask.urgency as u32, number);
        let key = ask.key.clone();
        self.budget.count_waiting(ask, true);
        self.demand.saw(self.budget.wanted(&key), now);
        if self.lines.len() >= LINES_MAX {
            self.lines.retain(|_, line| !line.is_empty());
        }
        let line = self.lines.entry(key.clone()).or_default();
        match ask.urgency {
            Urgency::Speculation => line.speculation.insert(standing, waiter),
            _ => line.certain.insert(standing, waiter),
        };
        self.n_waiting += 1;
        Place { key, standing }
    }

    fn remove(&mut self, key: &Key, standing: Standing) -> Option<Waiter<W>> {
        let line = self.lines.get_mut(key)?;
        let certain = line.certain.remove(&standing);
        let waiter = certain.or_else(|| line.speculation.remove(&standing))?;
        self.n_waiting -= 1;
        self.budget.count_waiting(&waiter.ask, false);
        Some(waiter)
    }
}

impl<W> Line<W> {
    fn is_empty(&self) -> bool {
        self.certain.is_empty() && self.speculation.is_empty()
    }
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self {
            certain: BTreeMap::new(),
            speculation: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
