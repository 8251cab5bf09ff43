//! How an agent came into its room: the moments from the question, the server's or an app's, to the first
//! sound.
//! Whoever reaches a step says when.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// A step on the way, in the order in which they are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The job is ours.
    Assigned,
    /// The room is joined: signalling, ICE and DTLS are done.
    Joined,
    /// The server has taken the agent's track.
    Published,
    /// Somebody is sent the track.
    Subscribed,
    /// The first sound has left for whoever listens.
    FirstSound,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Assigned,
        Self::Joined,
        Self::Published,
        Self::Subscribed,
        Self::FirstSound,
    ];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Joined => "joined",
            Self::Published => "published",
            Self::Subscribed => "subscribed",
            Self::FirstSound => "first_sound",
        }
    }
}

/// Is told how long the steps took. Must not block.
pub trait ArrivalObserver: Send + Sync {
    /// A step was reached so long after it was asked for.
    fn reached(&self, step: Step, since_asked: Duration);
}

/// One arrival; the parts of the program that it leads through share it. It ends with a line in the
/// log: when the first sound is out, or with the call if there was none.
pub struct Arrival {
    job_id: String,
    asked_at: Instant,
    reached: [OnceLock<Duration>; Step::ALL.len()],
    observer: Option<Arc<dyn ArrivalObserver>>,
}

impl Arrival {
    /// The server asked at this time whether the job would be taken, or an app asked for it.
    pub fn new(
        job_id: String,
        asked_at: Instant,
        observer: Option<Arc<dyn ArrivalObserver>>,
    ) -> Self {
        Self {
            job_id,
            asked_at,
            reached: Default::default(),
            observer,
        }
    }

    /// Takes note of a step; only the first time counts.
    pub fn reach(&self, step: Step, at: Instant) {
        let since = at.saturating_duration_since(self.asked_at);
        if self.reached[step as usize].set(since).is_err() {
            return;
        }
        if let Some(observer) = &self.observer {
            observer.reached(step, since);
        }
        if step == Step::FirstSound {
            self.report();
        }
    }

    fn ms(&self, step: Step) -> Option<u64> {
        let since = self.reached[step as usize].get()?;
        u64::try_from(since.as_millis()).ok()
    }

    fn report(&self) {
        tracing::info!(
            job_id = self.job_id,
            assigned_ms = self.ms(Step::Assigned),
            joined_ms = self.ms(Step::Joined),
            published_ms = self.ms(Step::Published),
            subscribed_ms = self.ms(Step::Subscribed),
            first_sound_ms = self.ms(Step::FirstSound),
            "arrival, since it was asked for"
        );
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.ms(Step::FirstSound).is_none() {
            self.report();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Noted(Mutex<Vec<(Step, u64)>>);

    impl ArrivalObserver for Noted {
        fn reached(&self, step: Step, since_asked: Duration) {
            let ms = u64::try_from(since_asked.as_millis()).unwrap();
            self.0.lock().unwrap().push((step, ms));
        }
    }

    #[test]
    fn a_step_counts_once_and_from_the_servers_question() {
        let noted = Arc::new(Noted::default());
        let asked_at = Instant::now();
        let observer = Arc::clone(&noted) as Arc<dyn ArrivalObserver>;
        let arrival = Arrival::new("AJ_1".to_owned(), asked_at, Some(observer));
        let at = |ms| asked_at + Duration::from_millis(ms);
        arrival.reach(Step::Assigned, at(2));
        arrival.reach(Step::Joined, at(31));
        arrival.reach(Step::Joined, at(900));
        arrival.reach(Step::FirstSound, at(80));
        arrival.reach(Step::FirstSound, at(5_000));
        let expected = [
            (Step::Assigned, 2),
            (Step::Joined, 31),
            (Step::FirstSound, 80),
        ];
        assert_eq!(*noted.0.lock().unwrap(), expected);
        assert_eq!(arrival.ms(Step::Published), None);
    }
}
