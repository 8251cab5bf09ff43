//! How much memory is used, at the limit that is the closest to being reached: one of the control
//! groups of the process, or the machine.

use std::path::{Path, PathBuf};

use super::{Usage, cgroup, field, number, read};

/// Finds the limits once and reads them each time.
#[derive(Debug)]
pub(super) struct Memory {
    v2: Vec<PathBuf>,
    v1: Vec<PathBuf>,
    meminfo: PathBuf,
}

impl Memory {
    /// Finds out what limits this process.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            v2: cgroup::unified(root),
            v1: cgroup::of_controller(root, "memory"),
            meminfo: root.join("proc/meminfo"),
        }
    }

    /// The limit of which the greatest part is used.
    pub(super) fn usage(&self) -> Option<Usage> {
        let machine = read(&self.meminfo).and_then(|text| machine(&text));
        let v2 = self.v2.iter().filter_map(|group| v2(group));
        let v1 = self.v1.iter().filter_map(|group| v1(group));
        // Without a limit the older layout says 2^63 less a page.
        let is_limit = |it: &Usage| machine.is_none_or(|machine| it.limit < machine.limit);
        let groups = v2.chain(v1).filter(is_limit);
        let usages = groups.chain(machine);
        usages.max_by(|one, other| one.ratio().total_cmp(&other.ratio()))
    }
}

/// The machine: what is available includes caches that can be given up.
///
/// Source: proc_meminfo(5), `MemAvailable`.
fn machine(text: &str) -> Option<Usage> {
    let bytes = |key| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let (limit, available) = (bytes("MemTotal:")?, bytes("MemAvailable:")?);
    Some(Usage {
        used: limit.saturating_sub(available),
        limit,
    })
}

/// A group in the unified hierarchy. Above `memory.high` it is slowed down until it is of no use.
fn v2(group: &Path) -> Option<Usage> {
    let limits = ["memory.max", "memory.high"];
    let limits = limits.iter().filter_map(|file| number(&group.join(file)));
    Some(Usage {
        used: in_use(group, "memory.current", "inactive_file")?,
        limit: limits.min()?,
    })
}

/// A group in the older layout.
fn v1(group: &Path) -> Option<Usage> {
    Some(Usage {
        used: in_use(group, "memory.usage_in_bytes", "total_inactive_file")?,
        limit: number(&group.join("memory.limit_in_bytes"))?,
    })
}

/// Bytes in use without the files that were read once: these are given up before anything is killed.
fn in_use(group: &Path, usage: &str, cache: &str) -> Option<u64> {
    let used = number(&group.join(usage))?;
    let stat = read(&group.join("memory.stat")).unwrap_or_default();
    Some(used.saturating_sub(field(&stat, cache).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       4000 kB\nMemFree:  1 kB\nMemAvailable:   3000 kB\n",
    );

    fn usage(files: &[(&str, &str)]) -> Option<(u64, u64)> {
        let root = machine(files);
        let usage = Memory::new(root.path()).usage()?;
        Some((usage.used, usage.limit))
    }

    #[test]
    fn without_groups_the_machine_counts() {
        assert_eq!(usage(&[MEMINFO]), Some((1000 * 1024, 4000 * 1024)));
        assert_eq!(usage(&[]), None);
        assert_eq!(usage(&[("proc/meminfo", "MemTotal: many\n")]), None);
    }

    #[test]
    fn the_limit_of_any_group_above_counts() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/system.slice/voxpool.service\n"),
            (
                "sys/fs/cgroup/system.slice/voxpool.service/memory.max",
                "max\n",
            ),
            (
                "sys/fs/cgroup/system.slice/voxpool.service/memory.current",
                "5\n",
            ),
            ("sys/fs/cgroup/system.slice/memory.max", "2000000\n"),
            ("sys/fs/cgroup/system.slice/memory.high", "1000000\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "900000\n"),
            (
                "sys/fs/cgroup/system.slice/memory.stat",
                "anon 1\ninactive_file 100000\n",
            ),
        ];
        assert_eq!(usage(&files), Some((800_000, 1_000_000)));
    }

    #[test]
    fn the_older_layout_counts_and_no_limit_is_none() {
        let files = |limit| {
            [
                MEMINFO,
                ("proc/self/cgroup", "4:memory:/kubepods/pod1\n0::/\n"),
                (
                    "sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes",
                    limit,
                ),
                (
                    "sys/fs/cgroup/memory/kubepods/pod1/memory.usage_in_bytes",
                    "700000\n",
                ),
                (
                    "sys/fs/cgroup/memory/kubepods/pod1/memory.stat",
                    "total_inactive_file 200000\n",
                ),
            ]
        };
        assert_eq!(usage(&files("1000000\n")), Some((500_000, 1_000_000)));
        let unlimited = usage(&files("9223372036854771712\n"));
        assert_eq!(unlimited, Some((1000 * 1024, 4000 * 1024)));
    }

    #[test]
    fn a_full_machine_counts_more_than_a_half_empty_group() {
        let files = [
            ("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 40 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "2000000\n"),
            ("sys/fs/cgroup/memory.current", "1000000\n"),
        ];
        assert_eq!(usage(&files), Some((3960 * 1024, 4000 * 1024)));
    }
}
