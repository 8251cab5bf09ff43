//! The log: one line per event on stderr, for people or for machines.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// One short line to read; colours on a terminal only.
    Compact,
}

/// Settings of the log (`[log]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged: a level, or directives like `info,voxpool::worker=debug`.
    pub filter: String,
    /// How it looks.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: Format::default(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        match EnvFilter::builder().parse(&self.filter) {
            Ok(_) => Vec::new(),
            Err(_) => vec![
                "log.filter: must be a level (error, warn, info, debug, trace) or directives like \
                 info,voxpool=debug"
                    .to_owned(),
            ],
        }
    }
}

/// Starts the log of the process; a second call changes nothing. Panics are logged with their place
/// but without their text, which could hold what a caller said.
pub fn init(config: &Config) {
    let filter = EnvFilter::builder().parse_lossy(without_quiet(&config.filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init(),
        Format::Compact => builder.compact().with_target(false).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Libraries that log what is not theirs to log, unless the filter names them: `rmcp` what tools are
/// asked and answer, `symphonia` a line for each oddity that a participant wrote into a recording.
const QUIET: [&str; 2] = ["rmcp", "symphonia"];

fn without_quiet(filter: &str) -> String {
    let unnamed = QUIET.iter().filter(|library| !filter.contains(**library));
    unnamed.fold(filter.to_owned(), |filter, library| {
        format!("{filter},{library}=off")
    })
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(place, "a bug: the program panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_log_what_participants_write_are_quiet_unless_they_are_named() {
        assert_eq!(without_quiet("info"), "info,rmcp=off,symphonia=off");
        assert_eq!(
            without_quiet("info,symphonia=warn"),
            "info,symphonia=warn,rmcp=off"
        );
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_problem() {
        for (filter, is_valid) in [
            ("info", true),
            ("info,voxpool=debug", true),
            ("a=b=c", false),
        ] {
            let config = Config {
                filter: filter.to_owned(),
                ..Config::default()
            };
            assert_eq!(config.problems().is_empty(), is_valid, "{filter}");
        }
    }
}
