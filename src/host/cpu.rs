//! How busy the CPU is that this process may use: the strictest quota of its control groups if there
//! is one, else the machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::{cgroup, field, number, read};

/// Ticks spent at work, and all ticks, since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    busy: f64,
    all: f64,
}

/// Measures from one call to the next.
#[derive(Debug)]
pub(super) struct Cpu {
    groups: Vec<Group>,
    stat: PathBuf,
    measured_at: Option<Instant>,
    ticks: Option<Ticks>,
}

/// A control group, and the CPU time that it had used when it was last looked at.
#[derive(Debug)]
struct Group {
    files: Files,
    used: Option<Duration>,
}

/// Where quota and usage of a group are.
#[derive(Debug)]
enum Files {
    V2(PathBuf),
    V1 { quota: PathBuf, usage: PathBuf },
}

impl Cpu {
    /// Finds out what limits this process.
    pub(super) fn new(root: &Path) -> Self {
        let v2 = cgroup::unified(root).into_iter().map(Files::V2);
        // The group of the other controller that has the same path: one that differs limits others.
        let mount = root.join(cgroup::MOUNT);
        let v1 = cgroup::of_controller(root, "cpu").into_iter();
        let v1 = v1.filter_map(|quota| {
            let path = quota.strip_prefix(mount.join("cpu")).ok()?;
            let usage = mount.join("cpuacct").join(path);
            Some(Files::V1 { quota, usage })
        });
        let group = |files| Group { files, used: None };
        Self {
            groups: v2.chain(v1).map(group).collect(),
            stat: root.join("proc/stat"),
            measured_at: None,
            ticks: None,
        }
    }

    /// The part that was busy since the last call; `None` for the first, or when it is unknown.
    pub(super) fn busy(&mut self) -> Option<f32> {
        let now = Instant::now();
        let elapsed = self.measured_at.replace(now).map(|last| now - last);
        self.busy_after(elapsed)
    }

    /// The same after `elapsed`; `None` at the first call.
    fn busy_after(&mut self, elapsed: Option<Duration>) -> Option<f32> {
        // Every group is measured each time: a quota can be set or lifted while the process runs.
        let quotas = self.groups.iter_mut();
        let parts: Vec<f32> = quotas
            .filter_map(|group| group.busy_after(elapsed))
            .collect();
        let machine = self.machine();
        let is_bound = self.groups.iter().any(|group| group.used.is_some());
        if is_bound {
            parts.into_iter().reduce(f32::max)
        } else {
            machine
        }
    }

    fn machine(&mut self) -> Option<f32> {
        let now = ticks(&read(&self.stat)?)?;
        let last = self.ticks.replace(now)?;
        let all = now.all - last.all;
        (all > 0.0).then(|| ((now.busy - last.busy) / all).clamp(0.0, 1.0) as f32)
    }
}

impl Group {
    /// The part of the quota that was used; `None` without a quota.
    fn busy_after(&mut self, elapsed: Option<Duration>) -> Option<f32> {
        let measured = self.files.cores().zip(self.files.used());
        let Some((cores, used)) = measured else {
            self.used = None;
            return None;
        };
        let last = self.used.replace(used)?;
        let possible = elapsed?.as_secs_f64() * cores;
        let part = used.saturating_sub(last).as_secs_f64() / possible;
        (possible > 0.0).then(|| part.clamp(0.0, 1.0) as f32)
    }
}

impl Files {
    /// The quota in cores, if there is one.
    fn cores(&self) -> Option<f64> {
        match self {
            Self::V2(group) => {
                let text = read(&group.join("cpu.max"))?;
                let (quota, period) = text.trim().split_once(' ')?;
                cores(quota, period)
            }
            Self::V1 { quota: group, .. } => cores(
                &read(&group.join("cpu.cfs_quota_us"))?,
                &read(&group.join("cpu.cfs_period_us"))?,
            ),
        }
    }

    /// CPU time that the group has used so far.
    fn used(&self) -> Option<Duration> {
        match self {
            Self::V2(group) => {
                let text = read(&group.join("cpu.stat"))?;
                field(&text, "usage_usec").map(Duration::from_micros)
            }
            Self::V1 { usage: group, .. } => {
                number(&group.join("cpuacct.usage")).map(Duration::from_nanos)
            }
        }
    }
}

/// Quota and period in microseconds; `max` and -1 mean none.
///
/// Source: Linux `Documentation/admin-guide/cgroup-v2.rst`, "CPU Interface Files";
/// `Documentation/scheduler/sched-bwc.rst`.
fn cores(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// `/proc/stat`: the first line is `cpu` and the ticks spent in each state, of which the fourth and
/// fifth are idle and waiting for disks; guest time is in user time already.
///
/// Source: proc_stat(5).
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    if ticks.len() < 5 {
        return None;
    }
    let all: f64 = ticks.iter().sum();
    Some(Ticks {
        busy: all - ticks[3] - ticks[4],
        all,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::machine;
    use super::*;

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn a_quota_is_read_in_both_layouts() {
        assert_eq!(cores("150000", "100000\n"), Some(1.5));
        assert_eq!(cores("max", "100000\n"), None);
        assert_eq!(cores("50000\n", "100000\n"), Some(0.5));
        assert_eq!(cores("-1\n", "100000\n"), None);
        assert_eq!(cores("nonsense", ""), None);
    }

    #[test]
    fn idle_and_disk_waits_are_not_busy() {
        let counted = ticks("cpu  10 0 20 60 5 1 4 0 7 0\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!((counted.busy, counted.all), (35.0, 100.0));
        assert_eq!(ticks("intr 1 2 3"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn the_quota_of_a_systemd_unit_counts() {
        let group = "sys/fs/cgroup/system.slice/voxpool.service";
        let stat = format!("{group}/cpu.stat");
        let root = machine(&[
            ("proc/self/cgroup", "0::/system.slice/voxpool.service\n"),
            ("proc/stat", "cpu 0 0 0 100 0\n"),
            (&format!("{group}/cpu.max"), "50000 100000\n"),
            (&stat, "usage_usec 1000000\n"),
        ]);
        let mut cpu = Cpu::new(root.path());
        assert_eq!(cpu.busy_after(None), None, "the first call");
        fs::write(root.path().join(stat), "usage_usec 1250000\n").unwrap();
        assert_eq!(cpu.busy_after(SECOND), Some(0.5), "0.25 s of 0.5 s");
    }

    #[test]
    fn of_several_quotas_the_fullest_counts() {
        let (unit, slice) = ("sys/fs/cgroup/a.slice/b", "sys/fs/cgroup/a.slice");
        let files = |used| {
            [
                (format!("{unit}/cpu.stat"), used),
                (format!("{slice}/cpu.stat"), 9),
            ]
        };
        let root = machine(&[
            ("proc/self/cgroup", "0::/a.slice/b\n"),
            (&format!("{unit}/cpu.max"), "400000 100000\n"),
            (&format!("{slice}/cpu.max"), "100000 100000\n"),
        ]);
        let write = |files: [(String, u64); 2]| {
            for (file, used) in files {
                fs::write(root.path().join(file), format!("usage_usec {used}\n")).unwrap();
            }
        };
        write(files(0));
        let mut cpu = Cpu::new(root.path());
        cpu.busy_after(None);
        // The unit has used 1 s of its 4; its slice, which others share, 0.75 s of its 1.
        write([
            (format!("{unit}/cpu.stat"), 1_000_000),
            (format!("{slice}/cpu.stat"), 750_009),
        ]);
        assert_eq!(cpu.busy_after(SECOND), Some(0.75));
    }

    #[test]
    fn the_older_layout_is_read_and_a_lifted_quota_leaves_the_machine() {
        let root = machine(&[
            ("proc/self/cgroup", "2:cpuacct:/x\n1:cpu:/x\n"),
            ("proc/stat", "cpu 0 0 0 100 0\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpuacct/x/cpuacct.usage", "0\n"),
        ]);
        let write = |file, text| fs::write(root.path().join(file), text).unwrap();
        let mut cpu = Cpu::new(root.path());
        cpu.busy_after(None);
        write("sys/fs/cgroup/cpuacct/x/cpuacct.usage", "1000000000\n");
        assert_eq!(cpu.busy_after(SECOND), Some(0.5), "1 s of 2 s");
        write("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
        write("proc/stat", "cpu 25 0 0 175 0\n");
        assert_eq!(cpu.busy_after(SECOND), Some(0.25));
    }
}
