//! Settings of the servers that lend the agent tools (`[[mcp]]`).

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::redact::Pii;
use crate::units::seconds;

/// What a server's program inherits of our environment.
///
/// Source: the official TypeScript SDK, `DEFAULT_INHERITED_ENV_VARS`; and the places of certificates
/// and temporary files.
const INHERITED: [&str; 10] = [
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
];

/// One server: a program that we start, or an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// How we call it: in logs, in statistics and before names of tools that are taken.
    pub name: String,
    /// The program of a server that speaks over its standard input and output.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside `PATH`, `HOME` and the like; it inherits nothing else of ours.
    pub env: BTreeMap<String, Pii<String>>,
    /// What its program inherits of ours; set by [`ServerConfig::fill_in`].
    #[serde(skip)]
    pub inherited: BTreeMap<String, String>,
    /// The address of a server that speaks streamable HTTP.
    pub url: String,
    /// Sent to it as `Authorization: Bearer …`; empty for none.
    pub token: Pii<String>,
    /// More headers that are sent to it.
    pub headers: BTreeMap<String, Pii<String>>,
    /// The tools that the agent may use, by the server's own names; empty for all.
    pub allowed_tools: Vec<String>,
    /// How long a call may take.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// How long connecting may take, the start of its program included.
    #[serde(rename = "connect_timeout_seconds", with = "seconds")]
    pub connect_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: String::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            inherited: BTreeMap::new(),
            url: String::new(),
            token: Pii::default(),
            headers: BTreeMap::new(),
            allowed_tools: Vec::new(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(20),
        }
    }
}

impl ServerConfig {
    /// Whether the agent may use the server's tool of this name.
    pub(super) fn allows(&self, tool: &str) -> bool {
        self.allowed_tools.is_empty() || self.allowed_tools.iter().any(|name| name == tool)
    }

    /// Where the server is, without anything secret.
    pub(super) fn place(&self) -> String {
        match Url::parse(&self.url) {
            Ok(url) => format!("at {}", url.authority()),
            Err(_) => format!("started as {}", self.command),
        }
    }

    /// Puts the values of environment variables in the place of `${NAME}` in `env`, `token` and
    /// `headers`, and names the variables that are not set; takes what the program inherits.
    pub fn fill_in(&mut self, variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let inherited = INHERITED.iter();
        let inherited = inherited.filter_map(|name| Some(((*name).to_owned(), variable(name)?)));
        self.inherited = inherited.collect();
        let secrets = self.env.values_mut().chain(self.headers.values_mut());
        let mut missing = Vec::new();
        for secret in secrets.chain([&mut self.token]) {
            match filled_in(secret.expose(), &variable) {
                Ok(value) => *secret = Pii::new(value),
                Err(name) => missing.push(name),
            }
        }
        missing
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(is_name) {
            problems.push("name: must be 1 to 32 letters, digits, _ or -");
        }
        match (self.command.is_empty(), self.url.is_empty()) {
            (true, true) => {
                problems.push("command: missing; set it, or url for a server elsewhere")
            }
            (false, false) => problems.push("url: must not be set beside command"),
            (false, true) => {}
            (true, false) => {
                let url = Url::parse(&self.url).ok();
                if url.is_none_or(|url| !matches!(url.scheme(), "http" | "https")) {
                    problems.push("url: must be a URL like https://host/mcp");
                }
            }
        }
        if self.url.is_empty() && !(self.headers.is_empty() && self.token.expose().is_empty()) {
            problems.push("headers: a program has none; use env");
        }
        let is_header = |(name, value): (&String, &Pii<String>)| {
            HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value.expose()).is_ok()
        };
        if !self.headers.iter().all(is_header) {
            problems.push("headers: hold a name or value that HTTP cannot carry");
        }
        for (timeout, problem) in [
            (self.timeout, "timeout_seconds: must be from 0.1 to 120"),
            (
                self.connect_timeout,
                "connect_timeout_seconds: must be from 0.1 to 120",
            ),
        ] {
            if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(120) {
                problems.push(problem);
            }
        }
        problems.into_iter().map(str::to_owned).collect()
    }
}

/// What is wrong with the servers, one sentence each.
pub fn problems(servers: &[ServerConfig]) -> Vec<String> {
    let of_each = servers.iter().enumerate().flat_map(|(place, server)| {
        let is_taken = servers[..place].iter().any(|it| it.name == server.name);
        let taken = is_taken.then(|| "name: another server has it".to_owned());
        let problems = server.problems().into_iter().chain(taken);
        problems.map(move |problem| format!("mcp[{place}].{problem}"))
    });
    of_each.collect()
}

/// The text with values in it, or the first variable that is not set.
fn filled_in(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, after)) = behind.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&variable(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    Ok(filled + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named_with_its_server() {
        let servers: Vec<ServerConfig> = [
            "name = \"a b\"\ncommand = \"x\"\nurl = \"http://x/mcp\"",
            "name = \"ok\"\nurl = \"file:///x\"\ntimeout_seconds = 0",
            "name = \"ok\"\ncommand = \"x\"\ntoken = \"t\"",
            "name = \"last\"",
        ]
        .map(|text| toml::from_str(text).unwrap())
        .to_vec();
        let problems = problems(&servers);
        let keys: Vec<&str> = problems
            .iter()
            .map(|it| it.split(':').next().unwrap())
            .collect();
        assert_eq!(
            keys,
            [
                "mcp[0].name",
                "mcp[0].url",
                "mcp[1].url",
                "mcp[1].timeout_seconds",
                "mcp[2].headers",
                "mcp[2].name",
                "mcp[3].command",
            ]
        );
    }

    #[test]
    fn variables_stand_for_secrets() {
        let variable = |name: &str| (name == "KEY").then(|| "sk-1".to_owned());
        let mut server = ServerConfig {
            env: BTreeMap::from([("A".to_owned(), Pii::new("x ${KEY} y${".to_owned()))]),
            token: Pii::new("${NONE}".to_owned()),
            ..ServerConfig::default()
        };
        assert_eq!(server.fill_in(variable), ["NONE"]);
        assert_eq!(server.env["A"].expose(), "x sk-1 y${");
        assert!(!format!("{server:?}").contains("sk-1"));
    }
}
