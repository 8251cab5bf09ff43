//! A worker under measurement: its processes and what they use.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use offline_openai::ServerHandle;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use voxpool_bench::process::{Usage, tree_usage};

use crate::Arguments;
use crate::livekit::{API_KEY, API_SECRET, Desk, LiveKit, logged};

/// How long a worker may take to register.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END_WITHIN: Duration = Duration::from_secs(20);

const INSTRUCTIONS: &str = "You are a friendly voice assistant on a call.";
const GREETING: &str = "Hello, how can I help you today?";

/// Which worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Voxpool,
    LivekitAgents,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Voxpool => "voxpool",
            Self::LivekitAgents => "livekit-agents",
        }
    }
}

/// A worker that is registered. It ends with the value.
pub(crate) struct Side {
    pub(crate) kind: Kind,
    port: u16,
    process: Child,
    pid: u32,
}

impl Side {
    pub(crate) async fn start(
        arguments: &Arguments,
        kind: Kind,
        log: &str,
        livekit: &LiveKit,
        services: &ServerHandle,
    ) -> Result<Self> {
        let port = real_parts::free_port();
        let log = arguments.output.join(format!("{log}.log"));
        let mut command = match kind {
            Kind::Voxpool => logged(&arguments.voxpool, &log)?,
            Kind::LivekitAgents => logged(&arguments.python, &log)?,
        };
        match kind {
            Kind::Voxpool => voxpool(&mut command, port),
            Kind::LivekitAgents => {
                command.arg(&arguments.agent);
                livekit_agents(&mut command, port);
            }
        }
        let process = command
            .arg("start")
            .env("LIVEKIT_URL", livekit.server().url)
            .env("LIVEKIT_API_KEY", API_KEY)
            .env("LIVEKIT_API_SECRET", API_SECRET)
            .env("LIVEKIT_AGENT_NAME", kind.name())
            .env("OPENAI_BASE_URL", services.base_url())
            .env("OPENAI_API_KEY", "offline")
            .spawn()
            .with_context(|| format!("cannot run {}", kind.name()))?;
        let pid = process.id().context("the worker has just ended")?;
        let mut side = Self {
            kind,
            port,
            process,
            pid,
        };
        side.until_ready()
            .await
            .with_context(|| format!("see {}", log.display()))?;
        Ok(side)
    }

    /// The dispatch service of the worker itself, if it has one.
    pub(crate) fn desk(&self) -> Option<Desk> {
        let url = format!("http://127.0.0.1:{}", self.port);
        (self.kind == Kind::Voxpool).then(|| Desk::at(&url))
    }

    async fn until_ready(&mut self) -> Result<()> {
        let address = format!("http://127.0.0.1:{}/", self.port);
        let started = Instant::now();
        loop {
            let answer = reqwest::get(&address).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("the worker ended with {status}");
            }
            if started.elapsed() > PATIENCE {
                bail!("the worker is not ready after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What its processes use now.
    pub(crate) fn usage(&self) -> Result<HashMap<u32, Usage>> {
        tree_usage(self.pid)
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.pid.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        if tokio::time::timeout(END_WITHIN, self.process.wait())
            .await
            .is_err()
        {
            self.process.kill().await?;
        }
        Ok(())
    }
}

fn voxpool(command: &mut Command, port: u16) {
    command
        .env("VOXPOOL__HTTP__HOST", "127.0.0.1")
        .env("VOXPOOL__HTTP__PORT", port.to_string())
        .env("VOXPOOL__AGENT__INSTRUCTIONS", INSTRUCTIONS)
        .env("VOXPOOL__AGENT__GREETING__TEXT", GREETING)
        // The peer remembers nobody, and refuses nobody under load either.
        .env("VOXPOOL__MEMORY__STORE", "none")
        .env("VOXPOOL__WORKER__LOAD_THRESHOLD", "1")
        // The peer ends a call when its caller hangs up; none of these callers comes back.
        .env("VOXPOOL__SESSION__RETURN_WITHIN_SECONDS", "0");
}

fn livekit_agents(command: &mut Command, port: u16) {
    command
        .env("PEER_PORT", port.to_string())
        .env("PEER_INSTRUCTIONS", INSTRUCTIONS)
        .env("PEER_GREETING", GREETING);
}
