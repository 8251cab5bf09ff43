//! What the user typed. What it means is settled in `config`; what is done about it in `app`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flag, Profile};
use crate::memory::UserId;

/// A LiveKit voice-agent worker: every call served by one process on pooled connections.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do; `dev` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings that every command takes.
    #[command(flatten)]
    pub settings: Settings,
}

/// The ways to run the program.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the worker in production: all settings needed, JSON log, drain on the first signal.
    Start {
        /// Port of the HTTP endpoint [default: 8081].
        #[arg(long, value_name = "PORT")]
        port: Option<String>,
        /// How long running jobs may go on after the first signal [default: 3600].
        #[arg(long, value_name = "SECONDS")]
        drain_timeout: Option<String>,
    },
    /// Run the worker on a developer's machine, against a local `livekit-server --dev`.
    Dev {
        /// Port of the HTTP endpoint [default: 8081, or a free one].
        #[arg(long, value_name = "PORT")]
        port: Option<String>,
    },
    /// Join one room at once, without a dispatch.
    Connect {
        /// Name of the room.
        #[arg(long)]
        room: String,
        /// Identity of the agent in the room [default: made up].
        #[arg(long)]
        identity: Option<String>,
    },
    /// Talk to the agent by text in this terminal: no LiveKit server, no voice.
    ///
    /// Reads lines, writes answers; Ctrl-D ends. Piped, it writes the answers only.
    Console {
        /// Who is talking, for the memory.
        #[arg(long, default_value = "console")]
        identity: String,
    },
    /// Delete everything that is remembered of one caller, in the store that the settings name.
    ///
    /// Give the settings that the worker has. Doing it again does no harm. A call of the caller that
    /// is running meanwhile may still save what it hears.
    Forget {
        /// Whose memories.
        #[command(flatten)]
        whose: Whose,
    },
    /// Print the settings, secrets hidden, and try every service.
    Check {
        /// Check what `dev` would use instead of what `start` would.
        #[arg(long)]
        dev: bool,
    },
}

/// Whose memories.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// Identity of the caller in LiveKit's rooms, like sip_+15551234567.
    #[arg(long, value_name = "IDENTITY")]
    identity: Option<String>,
    /// Attribute of the caller, where memory.key_attribute is set, like user.id=42.
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Option<(String, String)>,
}

impl Whose {
    /// The user; `None` for a name under which no store holds anything.
    pub fn user(&self) -> Option<UserId> {
        let of_identity = self.identity.as_deref().and_then(UserId::new);
        let of_attribute = |(name, value): &(String, String)| UserId::of_attribute(name, value);
        of_identity.or_else(|| self.attribute.as_ref().and_then(of_attribute))
    }
}

/// Settings that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Config file [default: voxpool.toml, if there is one].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the LiveKit server.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// API key of the LiveKit project.
    #[arg(long, global = true, value_name = "KEY")]
    api_key: Option<String>,
    /// Secret that belongs to the key; prefer the environment, where other users cannot see it.
    #[arg(long, global = true, value_name = "SECRET", hide = true)]
    api_secret: Option<String>,
    /// Name that dispatches ask for.
    #[arg(long, global = true, value_name = "NAME")]
    agent_name: Option<String>,
    /// Log level or directives, like info,voxpool=debug.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        visible_alias = "log-level"
    )]
    log: Option<String>,
    /// Any setting, like worker.slots_max=20; may be given several times.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl Cli {
    /// The command; `dev` when none was given.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Dev { port: None })
    }

    /// The settings among the flags, those that win last.
    pub fn flags(&self) -> Vec<Flag> {
        let (port, drain_timeout) = match &self.command {
            Some(Command::Start {
                port,
                drain_timeout,
            }) => (port.as_ref(), drain_timeout.as_ref()),
            Some(Command::Dev { port }) => (port.as_ref(), None),
            _ => (None, None),
        };
        let settings = &self.settings;
        let never = "false".to_owned();
        // The console is for the conversation; what goes wrong in it, it says itself.
        let is_console = matches!(self.command, Some(Command::Console { .. }));
        let quiet = is_console.then(|| Flag {
            name: "console",
            key: "log.filter".to_owned(),
            value: "error,voxpool::session=off".to_owned(),
        });
        let any = settings
            .set
            .iter()
            .map(|(key, value)| ("--set", key.as_str(), Some(value)));
        let own = [
            ("--url", "livekit.url", settings.url.as_ref()),
            ("--api-key", "livekit.api_key", settings.api_key.as_ref()),
            (
                "--api-secret",
                "livekit.api_secret",
                settings.api_secret.as_ref(),
            ),
            (
                "--agent-name",
                "worker.agent_name",
                settings.agent_name.as_ref(),
            ),
            ("--log", "log.filter", settings.log.as_ref()),
            ("--port", "http.port", port),
            // Whoever names a port means it.
            ("--port", "http.port_fallback", port.map(|_| &never)),
            (
                "--drain-timeout",
                "worker.drain_timeout_seconds",
                drain_timeout,
            ),
        ];
        let given = any.chain(own).filter_map(|(name, key, value)| {
            Some(Flag {
                name,
                key: key.to_owned(),
                value: value?.clone(),
            })
        });
        quiet.into_iter().chain(given).collect()
    }
}

impl Command {
    /// Which settings may be missing.
    pub fn profile(&self) -> Profile {
        match self {
            Self::Start { .. } | Self::Check { dev: false } => Profile::Production,
            Self::Dev { .. }
            | Self::Connect { .. }
            | Self::Console { .. }
            | Self::Forget { .. }
            | Self::Check { dev: true } => Profile::Development,
        }
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it like worker.slots_max=20".to_owned()),
    }
}

/// Without trimming: a value is a name.
fn attribute(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let parts = parts.map(|(name, value)| (name.to_owned(), value.to_owned()));
    parts.ok_or_else(|| "write it like user.id=42".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_is_dev() {
        let cli = Cli::try_parse_from(["voxpool"]).unwrap();
        assert!(matches!(cli.command(), Command::Dev { port: None }));
        assert_eq!(cli.command().profile(), Profile::Development);
    }

    #[test]
    fn forget_names_one_caller() {
        let user = |line: &[&str]| {
            let line = ["voxpool", "forget"].iter().chain(line);
            match Cli::try_parse_from(line).ok()?.command() {
                Command::Forget { whose } => whose.user(),
                _ => None,
            }
        };
        assert_eq!(user(&["--identity", " alice "]), UserId::new(" alice "));
        let account = UserId::of_attribute("user.id", "a=b");
        assert_eq!(user(&["--attribute", "user.id=a=b"]), account);
        for line in [
            &[][..],
            &["--identity", "a", "--attribute", "user.id=1"],
            &["--attribute", "user.id"],
            &["--identity", " "],
        ] {
            assert_eq!(user(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_flag_of_its_own_wins_over_set() {
        let line = ["voxpool", "start", "--port", "1", "--set", "http.port=2"];
        let flags = Cli::try_parse_from(line).unwrap().flags();
        let port = flags.iter().rfind(|flag| flag.key == "http.port");
        assert_eq!(port.map(|flag| flag.value.as_str()), Some("1"));
    }
}
