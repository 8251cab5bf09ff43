//! The 10 ms clock of all sound, sent and received.
//!
//! A few threads (at most four, at most one per core) share all tracks: a track costs a list entry
//! rather than a task and a timer, and encoding and decoding happen here, in a number of threads
//! that does not grow with the number of calls. A thread whose list is empty sleeps until it gets
//! work. Late ticks are made up for, unless the machine stood still.

use std::{
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// After a longer stop than this the clock goes on from now.
const CATCH_UP_MAX: Duration = Duration::from_millis(200);

const SHARDS_MAX: usize = 4;

/// Something that produces or consumes 10 ms of sound at a time.
pub(crate) trait Tick: Send + Sync {
    /// Called about every 10 ms, from one thread. Returns false to leave the clock.
    fn tick(&self, now: Instant) -> bool;
}

#[derive(Default)]
struct Shard {
    members: Mutex<Vec<Weak<dyn Tick>>>,
}

struct Clock {
    shards: Vec<(Arc<Shard>, thread::Thread)>,
    next: AtomicUsize,
}

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let shards = (0..cores.min(SHARDS_MAX))
        .map(|index| {
            let shard = Arc::new(Shard::default());
            let worker = shard.clone();
            let handle = thread::Builder::new()
                .name(format!("rtc-audio-{index}"))
                .spawn(move || worker.run())
                .expect("the operating system refused a thread at start-up");
            (shard, handle.thread().clone())
        })
        .collect();
    Clock {
        shards,
        next: AtomicUsize::new(0),
    }
});

/// Ticks `member` until it is dropped or wants no more.
pub(crate) fn join(member: Weak<dyn Tick>) {
    let index = CLOCK.next.fetch_add(1, Ordering::Relaxed) % CLOCK.shards.len();
    let (shard, thread) = &CLOCK.shards[index];
    let mut members = shard.members.lock();
    members.push(member);
    if members.len() == 1 {
        thread.unpark();
    }
}

impl Shard {
    fn run(&self) {
        let mut round: Vec<Weak<dyn Tick>> = vec![];
        let mut done: Vec<Weak<dyn Tick>> = vec![];
        let mut next = Instant::now();
        loop {
            round.clone_from(&self.members.lock());
            let now = Instant::now();
            if round.is_empty() {
                thread::park();
                next = Instant::now();
                continue;
            }
            if now < next {
                thread::park_timeout(next - now);
                continue;
            }
            if now - next > CATCH_UP_MAX {
                next = now;
            }
            next += TICK;
            for member in &round {
                if !member.upgrade().is_some_and(|member| member.tick(now)) {
                    done.push(member.clone());
                }
            }
            if !done.is_empty() {
                self.members
                    .lock()
                    .retain(|m| !done.iter().any(|d| d.ptr_eq(m)));
                done.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Counter {
        ticks: AtomicUsize,
        last: usize,
        told: Mutex<mpsc::SyncSender<usize>>,
    }

    impl Tick for Counter {
        fn tick(&self, _now: Instant) -> bool {
            let count = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
            self.told.lock().try_send(count).ok();
            count < self.last
        }
    }

    #[test]
    fn a_member_ticks_until_it_wants_no_more() {
        let (told, heard) = mpsc::sync_channel(16);
        let counter = Arc::new(Counter {
            ticks: AtomicUsize::new(0),
            last: 3,
            told: Mutex::new(told),
        });
        let member: Arc<dyn Tick> = counter.clone();
        join(Arc::downgrade(&member));
        assert_eq!(heard.recv(), Ok(1));
        assert_eq!(heard.recv(), Ok(2));
        assert_eq!(heard.recv(), Ok(3));
        assert!(heard.recv_timeout(TICK * 5).is_err(), "it left the clock");
    }
}
