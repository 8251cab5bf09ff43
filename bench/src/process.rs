//! What a process uses, as the kernel counts it (Linux).

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks per second in `/proc/PID/stat`: `USER_HZ`, 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// One reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Proportional set size: private memory plus the process's share of what is shared. Bytes.
    pub pss_bytes: u64,
    /// User and system time of all threads.
    pub cpu: Duration,
}

/// Reads the usage of the process `pid`.
///
/// # Errors
/// When there is no such process, or it belongs to somebody else.
pub fn usage(pid: u32) -> Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    };
    let pss_kib = field_after(&read("smaps_rollup")?, "Pss:").context("no Pss in smaps_rollup")?;
    let ticks = cpu_ticks(&read("stat")?).context("unknown format of stat")?;
    Ok(Usage {
        pss_bytes: pss_kib * 1_024,
        cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND),
    })
}

/// Processor time of this thread so far, to the nanosecond; zero where the kernel does not count it.
pub fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or_default())
}

/// Each process of the tree under `pid`, with what it uses. Those that end meanwhile are left out.
///
/// # Errors
/// When processes cannot be listed.
pub fn tree_usage(pid: u32) -> Result<HashMap<u32, Usage>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
        if let Some(parent) = stat.ok().as_deref().and_then(parent) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut tree = HashMap::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        next.extend(children.remove(&pid).unwrap_or_default());
        if let Ok(usage) = usage(pid) {
            tree.insert(pid, usage);
        }
    }
    Ok(tree)
}

fn field_after(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(label))?;
    line[label.len()..].split_whitespace().next()?.parse().ok()
}

/// The fields of proc(5) from the third on. The command name before them may hold spaces and brackets,
/// so counting starts after its last closing one.
fn fields(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// `ppid`, field 4.
fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.nth(1)?.parse().ok()
}

/// `utime` + `stime`, fields 14 and 15.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = fields(stat)?.skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_name_cannot_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(cpu_ticks(stat), Some(200));
        assert_eq!(parent(stat), Some(1));
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.pss_bytes > 100_000);
    }

    #[test]
    fn a_tree_has_its_root_and_the_children_of_it() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let tree = tree_usage(std::process::id()).unwrap();
        assert!(tree.contains_key(&std::process::id()) && tree.contains_key(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
