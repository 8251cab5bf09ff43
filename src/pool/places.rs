//! Places for the calls to one host, as many as its moving limit says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::adaptive::{Adaptive, Sample};

/// The places of one host; waiters are served first come, first served.
pub(super) struct Places {
    free: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    adaptive: Adaptive,
    /// Places there are, counting those that are to go when their calls end.
    made: usize,
    in_use: usize,
}

/// One place; free again when dropped. A stream keeps its place to its end: an answer that is still
/// coming is work for the service like one that has not begun.
pub(super) struct Place {
    places: Arc<Places>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(adaptive: Adaptive) -> Arc<Self> {
        let made = adaptive.limit();
        Arc::new(Self {
            free: Arc::new(Semaphore::new(made)),
            state: Mutex::new(State {
                adaptive,
                made,
                in_use: 0,
            }),
        })
    }

    /// Waits for a place.
    ///
    /// Cancel safety: a dropped wait leaves the queue and takes nothing.
    pub(super) async fn acquire(self: &Arc<Self>) -> Place {
        let permit = Arc::clone(&self.free)
            .acquire_owned()
            .await
            .expect("the pool never closes its semaphores");
        self.lock().in_use += 1;
        Place {
            places: Arc::clone(self),
            permit: Some(permit),
        }
    }

    /// Takes the outcome of a call that began at `began`, and moves the limit.
    pub(super) fn settle(&self, operation: &'static str, sample: Sample, began: Instant) {
        let mut state = self.lock();
        let in_use = state.in_use;
        let now = Instant::now();
        state.adaptive.settle(operation, sample, began, now, in_use);
        let limit = state.adaptive.limit();
        if limit > state.made {
            self.free.add_permits(limit - state.made);
            state.made = limit;
        } else {
            // Places in use go when they are given back; one that was given to a waiter who had
            // just left comes back unseen and goes here, at the next outcome.
            state.made -= self.free.forget_permits(state.made - limit);
        }
    }

    /// The limit of this moment, and how much of it is used.
    pub(super) fn stats(&self) -> (usize, usize) {
        let state = self.lock();
        (state.adaptive.limit(), state.in_use)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.in_use -= 1;
        if state.made > state.adaptive.limit()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            state.made -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::super::adaptive::Config;
    use super::*;

    fn places(ceiling: usize) -> Arc<Places> {
        let rules = Config {
            limit_min: 1,
            decrease_factor: 0.5,
            ..Config::default()
        };
        Places::new(Adaptive::new(rules, ceiling))
    }

    fn take(places: &Arc<Places>) -> Option<Place> {
        places.acquire().now_or_never()
    }

    fn overload(places: &Places) {
        // Each from a call that began after the last decrease.
        places.settle("chat", Sample::Overload, Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_limit_takes_free_places_first_and_used_ones_as_they_come_back() {
        let places = places(8);
        let mut held: Vec<_> = (0..6).map(|_| take(&places).unwrap()).collect();
        overload(&places);
        assert_eq!(places.stats(), (4, 6));
        assert!(take(&places).is_none());
        held.truncate(4);
        assert!(take(&places).is_none(), "4 of 4 are in use");
        held.truncate(3);
        assert!(take(&places).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_higher_limit_lets_waiters_in() {
        let places = places(2);
        overload(&places);
        let held = take(&places).unwrap();
        let mut waiting = Box::pin(places.acquire());
        assert!((&mut waiting).now_or_never().is_none());
        places.settle("chat", Sample::Answered(None), Instant::now());
        assert!((&mut waiting).now_or_never().is_some());
        drop(held);
        assert_eq!(places.stats(), (2, 0));
    }

    proptest! {
        /// Whatever happens in whatever order, no place is lost and none appears.
        #[test]
        fn places_are_never_lost(steps in proptest::collection::vec(0u8..5, 0..200)) {
            let places = places(6);
            let mut held = Vec::new();
            let mut waiting = Vec::new();
            for step in steps {
                match step {
                    0 => held.extend(take(&places)),
                    1 => drop(held.pop()),
                    2 => overload(&places),
                    3 => places.settle("chat", Sample::Answered(None), Instant::now()),
                    _ => {
                        // Begins to wait and gives up a little later.
                        let mut wait = Box::pin({
                            let places = Arc::clone(&places);
                            async move { places.acquire().await }
                        });
                        held.extend((&mut wait).now_or_never());
                        waiting.truncate(2);
                        waiting.push(wait);
                    }
                }
                let (limit, in_use) = places.stats();
                prop_assert!((1..=6).contains(&limit));
                prop_assert!(in_use <= 6);
            }
            drop(waiting);
            drop(held);
            places.settle("chat", Sample::Unknown, Instant::now());
            let (limit, in_use) = places.stats();
            prop_assert_eq!(in_use, 0);
            let all: Vec<_> = std::iter::from_fn(|| take(&places)).collect();
            prop_assert_eq!(all.len(), limit);
        }
    }
}
