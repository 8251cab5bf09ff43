//! How busy the CPU is that we may use: the container's quota if there is one, else the machine.
//!
//! Everything is read from `/proc` and `/sys`, which the kernel answers from memory; elsewhere than
//! on Linux nothing is known, and the load is that of the slots.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

const V2_QUOTA: &str = "/sys/fs/cgroup/cpu.max";
const V2_USAGE: &str = "/sys/fs/cgroup/cpu.stat";
const V1_QUOTA: &str = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us";
const V1_PERIOD: &str = "/sys/fs/cgroup/cpu/cpu.cfs_period_us";
const V1_USAGE: &str = "/sys/fs/cgroup/cpuacct/cpuacct.usage";
const MACHINE: &str = "/proc/stat";

/// Time worked and time that could have been worked since some start.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counters {
    busy: f64,
    possible: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// A container with a quota of this many cores.
    CgroupV2(f64),
    /// The same in the older layout.
    CgroupV1(f64),
    Machine,
}

/// Measures from one call to the next.
pub(super) struct Cpu {
    source: Source,
    started: Instant,
    last: Option<Counters>,
}

impl Cpu {
    /// Finds out what limits us.
    pub(super) fn new() -> Self {
        let source = read(V2_QUOTA)
            .and_then(|text| v2_quota(&text))
            .map(Source::CgroupV2)
            .or_else(|| v1_quota(&read(V1_QUOTA)?, &read(V1_PERIOD)?).map(Source::CgroupV1))
            .unwrap_or(Source::Machine);
        Self {
            source,
            started: Instant::now(),
            last: None,
        }
    }

    /// The part that was busy since the last call; `None` for the first, or when nobody knows.
    pub(super) fn busy(&mut self) -> Option<f32> {
        let now = self.counters()?;
        let last = self.last.replace(now)?;
        busy_between(last, now)
    }

    fn counters(&self) -> Option<Counters> {
        let elapsed = self.started.elapsed();
        match self.source {
            Source::CgroupV2(cores) => {
                v2_usage(&read(V2_USAGE)?).map(|used| of(used, elapsed, cores))
            }
            Source::CgroupV1(cores) => {
                let used: u64 = read(V1_USAGE)?.trim().parse().ok()?;
                Some(of(Duration::from_nanos(used), elapsed, cores))
            }
            Source::Machine => machine(&read(MACHINE)?),
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn of(used: Duration, elapsed: Duration, cores: f64) -> Counters {
    Counters {
        busy: used.as_secs_f64(),
        possible: elapsed.as_secs_f64() * cores,
    }
}

fn busy_between(last: Counters, now: Counters) -> Option<f32> {
    let possible = now.possible - last.possible;
    (possible > 0.0).then(|| ((now.busy - last.busy) / possible).clamp(0.0, 1.0) as f32)
}

/// `cpu.max`: quota and period in microseconds, or `max` for none.
///
/// Source: Linux `Documentation/admin-guide/cgroup-v2.rst`, "CPU Interface Files".
fn v2_quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    v1_quota(quota, period)
}

/// Quota and period in microseconds; -1 means none.
///
/// Source: Linux `Documentation/scheduler/sched-bwc.rst`.
fn v1_quota(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// `cpu.stat`: the line `usage_usec N`.
fn v2_usage(text: &str) -> Option<Duration> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok().map(Duration::from_micros)
}

/// `/proc/stat`: the first line is `cpu` and the ticks spent in each state, of which the fourth and
/// fifth are idle and waiting for disks; guest time is in user time already.
///
/// Source: proc_stat(5).
fn machine(text: &str) -> Option<Counters> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    if ticks.len() < 5 {
        return None;
    }
    let possible: f64 = ticks.iter().sum();
    Some(Counters {
        busy: possible - ticks[3] - ticks[4],
        possible,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_in_both_layouts() {
        assert_eq!(v2_quota("150000 100000\n"), Some(1.5));
        assert_eq!(v2_quota("max 100000\n"), None);
        assert_eq!(v1_quota("50000\n", "100000\n"), Some(0.5));
        assert_eq!(v1_quota("-1\n", "100000\n"), None);
        assert_eq!(v2_quota("nonsense"), None);
    }

    #[test]
    fn usage_is_found_among_the_other_lines() {
        let text = "nr_periods 0\nusage_usec 1500000\nuser_usec 1\n";
        assert_eq!(v2_usage(text), Some(Duration::from_millis(1500)));
        assert_eq!(v2_usage("user_usec 1\n"), None);
    }

    #[test]
    fn idle_and_disk_waits_are_not_busy() {
        let counters = machine("cpu  10 0 20 60 5 1 4 0 7 0\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!(
            counters,
            Counters {
                busy: 35.0,
                possible: 100.0
            }
        );
        assert_eq!(machine("intr 1 2 3"), None);
        assert_eq!(machine(""), None);
    }

    #[test]
    fn half_a_quota_used_is_half_busy() {
        let last = of(Duration::from_secs(1), Duration::from_secs(10), 2.0);
        let now = of(Duration::from_secs(2), Duration::from_secs(11), 2.0);
        assert_eq!(busy_between(last, now), Some(0.5));
        assert_eq!(busy_between(now, now), None, "no time has passed");
    }
}
