//! What the machine gives this process: CPU, memory, file descriptors, and how much of each is used.
//!
//! Everything is read from `/proc` and `/sys`; elsewhere than on Linux only the descriptor limit is
//! known, and the load is that of the slots. `cgroup.rs` finds the control groups of the process,
//! whose limits bind it as well as the machine's; `descriptors.rs` knows what calls need.
//!
//! **Invariant:** decides nothing: `worker/` admits calls by what this module measures.

mod cgroup;
mod cpu;
mod descriptors;
mod memory;

use std::fs;
use std::path::{Path, PathBuf};

use self::cpu::Cpu;
use self::memory::Memory;

pub use self::descriptors::{DescriptorLimit, DescriptorNeeds, raise_descriptor_limit};

/// How much is used of something that can run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What is used, by whoever shares the limit.
    pub used: u64,
    /// What there is.
    pub limit: u64,
}

impl Usage {
    /// The part that is used; more than 1 when a limit was lowered below it.
    pub fn ratio(self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }
}

/// One measurement; `None` is unknown or without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The part of the CPU that was busy since the last sample.
    pub cpu: Option<f32>,
    /// Bytes of memory, at the limit that is the closest to being reached.
    pub memory: Option<Usage>,
    /// File descriptors of this process.
    pub descriptors: Option<Usage>,
}

/// Measures the machine as this process may use it.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    cpu: Cpu,
    memory: Memory,
}

impl Default for Host {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Host {
    /// The machine whose `proc` and `sys` are in this directory.
    fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            cpu: Cpu::new(root),
            memory: Memory::new(root),
        }
    }

    /// Measures now. Reads some ten files of the kernel's: not for a thread of the runtime.
    pub fn sample(&mut self) -> Sample {
        Sample {
            cpu: self.cpu.busy(),
            memory: self.memory.usage(),
            descriptors: descriptors::usage(&self.root),
        }
    }
}

/// Reads a small file of the kernel's.
fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Reads a file that holds one number.
fn number(path: &Path) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

/// The number in the line that begins with `key` and a space.
fn field(text: &str, key: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    rest.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a directory with these files, as the root of a machine.
    pub(super) fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_measured() {
        let mut host = Host::default();
        host.sample();
        let sample = host.sample();
        let memory = sample.memory.unwrap();
        assert!(memory.used > 0 && memory.used <= memory.limit, "{memory:?}");
        let descriptors = sample.descriptors.unwrap();
        assert!(descriptors.used > 3 && descriptors.used < descriptors.limit);
    }

    #[test]
    fn a_machine_without_files_is_unknown_and_not_full() {
        let root = machine(&[]);
        let sample = Host::at(root.path()).sample();
        assert_eq!((sample.cpu, sample.memory), (None, None));
    }
}
