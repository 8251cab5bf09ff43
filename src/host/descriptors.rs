//! File descriptors: the limit of the process, how many are open, how many calls need.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Usage;

/// The limit is raised to this at most: some container runtimes allow a thousand million, and a
/// program that a call starts may close each of them.
const RAISED_MAX: u64 = 1 << 20;

/// Descriptors of the process itself: the runtime, the log, databases, MCP servers, files that are
/// open for a moment.
const PROCESS: u64 = 64;

/// Descriptors of a call: two peer connections with a UDP socket for each of IPv4 and IPv6, the
/// signalling connection, two WebSockets to speech services, and one to spare.
const CALL: u64 = 8;

/// The limit on file descriptors after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// How many may be open; `None` is without limit.
    pub limit: Option<u64>,
    /// The limit before, if it was raised.
    pub raised_from: Option<u64>,
}

impl DescriptorLimit {
    /// Logs how many there are, and whether they are enough for every slot.
    pub fn report(self, needs: DescriptorNeeds, slots_max: usize) {
        let Self { limit, raised_from } = self;
        match needs.fit(slots_max, limit) {
            Ok(sum) => tracing::info!(limit, raised_from, sum, "file descriptors"),
            Err(advice) => tracing::warn!(
                limit,
                raised_from,
                advice,
                "file descriptors do not suffice for all slots: calls beyond them are refused"
            ),
        }
    }
}

/// Raises the soft limit of the process to its hard limit: the soft one is 1024 by default, for the
/// sake of programs that use `select`, and calls need more.
pub fn raise_descriptor_limit() -> DescriptorLimit {
    let before = getrlimit(Resource::Nofile);
    if let Some(raised) = raised(before.current, before.maximum) {
        let wanted = Rlimit {
            current: Some(raised),
            maximum: before.maximum,
        };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            return DescriptorLimit {
                limit: Some(raised),
                raised_from: before.current,
            };
        }
    }
    DescriptorLimit {
        limit: before.current,
        raised_from: None,
    }
}

/// The soft limit to set, if it is more than the one there is.
fn raised(soft: Option<u64>, hard: Option<u64>) -> Option<u64> {
    let raised = hard.unwrap_or(RAISED_MAX).min(RAISED_MAX);
    (soft? < raised).then_some(raised)
}

/// What is open of what may be; `None` when either is unknown.
pub(super) fn usage(root: &Path) -> Option<Usage> {
    Some(Usage {
        used: open(root)?,
        limit: getrlimit(Resource::Nofile).current?,
    })
}

/// How many are open.
fn open(root: &Path) -> Option<u64> {
    let directory = root.join("proc/self/fd");
    // Since Linux 6.2 the directory's size is their number; before, it is 0 and they are counted.
    //
    // Source: proc_pid_fd(5).
    let size = fs::metadata(&directory).ok()?.len();
    if size > 0 && root == Path::new("/") {
        return Some(size);
    }
    u64::try_from(fs::read_dir(directory).ok()?.count()).ok()
}

/// How many descriptors the process and its calls need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorNeeds {
    /// Those of the process, whatever the number of calls.
    pub process: u64,
    /// Those of each call.
    pub call: u64,
}

impl Default for DescriptorNeeds {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl DescriptorNeeds {
    /// The needs of a process whose HTTP port and whose pool have this many connections at most.
    pub fn new(port_connections_max: usize, pool_connections_max: usize) -> Self {
        let connections = port_connections_max.saturating_add(pool_connections_max);
        Self {
            process: PROCESS.saturating_add(connections as u64),
            call: CALL,
        }
    }

    /// The needs with this many calls.
    pub fn with_calls(&self, n_calls: u64) -> u64 {
        self.process
            .saturating_add(n_calls.saturating_mul(self.call))
    }

    /// How many calls fit into this limit.
    pub fn calls_that_fit(&self, limit: u64) -> u64 {
        limit.saturating_sub(self.process) / self.call
    }

    /// The arithmetic of `slots_max` calls under this limit.
    ///
    /// # Errors
    /// The arithmetic and what to do, when they do not fit.
    pub fn fit(&self, slots_max: usize, limit: Option<u64>) -> Result<String, String> {
        let (process, call) = (self.process, self.call);
        let all = self.with_calls(slots_max as u64);
        let sum = format!("{process} + {slots_max} × {call} = {all}");
        let Some(limit) = limit else {
            return Ok(format!("{sum} are needed, and there is no limit"));
        };
        if all <= limit {
            return Ok(format!("{sum} are needed, and the limit is {limit}"));
        }
        let n_calls = self.calls_that_fit(limit);
        Err(format!(
            "worker.slots_max = {slots_max} needs {sum}, and the limit is {limit}: {n_calls} calls fit; raise the \
             hard limit (LimitNOFILE= of systemd, --ulimit nofile= of Docker, ulimit -Hn) or lower \
             worker.slots_max"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::machine;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one_and_never_lowered() {
        assert_eq!(raised(Some(1024), Some(4096)), Some(4096));
        assert_eq!(raised(Some(4096), Some(4096)), None);
        assert_eq!(raised(Some(1024), None), Some(RAISED_MAX));
        assert_eq!(raised(Some(1024), Some(1 << 30)), Some(RAISED_MAX));
        assert_eq!(raised(Some(RAISED_MAX + 1), Some(1 << 30)), None);
        assert_eq!(raised(None, None), None);
    }

    #[test]
    fn descriptors_are_counted_where_the_directory_has_no_size() {
        let root = machine(&[("proc/self/fd/0", ""), ("proc/self/fd/1", "")]);
        assert_eq!(open(root.path()), Some(2));
        assert_eq!(open(Path::new("/nowhere")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_opened_file_is_one_descriptor_more() {
        // Other tests of this process open and close files meanwhile: only many are told from theirs.
        let before = open(Path::new("/")).unwrap();
        let files: Vec<_> = (0..300)
            .map(|_| fs::File::open("/proc/self/stat").unwrap())
            .collect();
        let with = open(Path::new("/")).unwrap();
        assert!(
            with.abs_diff(before + 300) < 150,
            "{before} and then {with}"
        );
        drop(files);
    }

    #[test]
    fn the_arithmetic_is_shown_and_advises() {
        let needs = DescriptorNeeds::new(256, 100);
        assert_eq!(needs.calls_that_fit(1024), 75);
        assert_eq!(needs.calls_that_fit(10), 0);
        assert!(needs.fit(75, Some(1024)).is_ok());
        let advice = needs.fit(76, Some(1024)).unwrap_err();
        assert!(advice.contains("420 + 76 × 8 = 1028") && advice.contains("75 calls fit"));
        assert!(needs.fit(10_000, None).is_ok());
    }
}
