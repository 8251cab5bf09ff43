//! Where settings come from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::environment::Environment;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "voxpool.toml";

/// Variable that names the file; the flag wins.
const FILE_VARIABLE: &str = "VOXPOOL_CONFIG";

/// The place where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Variable(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag's name with its dashes.
    pub name: &'static str,
    /// The setting.
    pub key: String,
    /// What was given.
    pub value: String,
}

/// All that was set by somebody.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file and its text, or why it could not be read.
    pub(super) file: Option<(PathBuf, Result<String, String>)>,
    /// The environment.
    pub(super) environment: Environment,
    /// The command line.
    pub(super) flags: Vec<Flag>,
}

impl Sources {
    /// Gathers everything: the file named by the flag or by `VOXPOOL_CONFIG`, else `voxpool.toml`
    /// in the working directory if there is one.
    pub fn new(file: Option<&Path>, environment: Environment, flags: Vec<Flag>) -> Self {
        let named = file.map(Path::to_path_buf).or_else(|| {
            let name = environment
                .get(FILE_VARIABLE)
                .filter(|name| !name.is_empty())?;
            Some(PathBuf::from(name))
        });
        let path = named.or_else(|| {
            let path = PathBuf::from(DEFAULT_FILE);
            path.exists().then_some(path)
        });
        let file = path.map(|path| {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("the file cannot be read: {error}"));
            (path, text)
        });
        Self {
            file,
            environment,
            flags,
        }
    }
}
