//! The LiveKit server, and what a customer's backend asks of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::RoomClient;
use livekit_protocol::CreateAgentDispatchRequest;
use tokio::process::{Child, Command};
use voxpool_bench::server::Server;

pub(crate) const API_KEY: &str = "devkey";
pub(crate) const API_SECRET: &str = "secret-of-at-least-32-characters-for-tests";

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on free ports of the loopback address; it ends with the value.
pub(crate) struct LiveKit {
    _process: Child,
    port: u16,
}

impl LiveKit {
    pub(crate) async fn start(log: &Path) -> Result<Self> {
        let ports = [(); 3].map(|()| real_parts::free_port());
        let [port, tcp_port, udp_port] = ports;
        let config = format!(
            "{{port: {port}, bind_addresses: [127.0.0.1], keys: {{{API_KEY}: {API_SECRET}}}, \
             rtc: {{tcp_port: {tcp_port}, udp_port: {udp_port}, node_ip: 127.0.0.1, \
             use_external_ip: false, enable_loopback_candidate: true, \
             interfaces: {{includes: [lo]}}}}, logging: {{level: info}}}}"
        );
        let mut process = logged(&real_parts::tool("bin/livekit-server"), log)?
            .arg("--config-body")
            .arg(config)
            .spawn()
            .context("cannot run livekit-server")?;
        let started = tokio::time::Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            if process.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                bail!("livekit-server did not start: see {}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            _process: process,
            port,
        })
    }

    /// Where to call, and the keys.
    pub(crate) fn server(&self) -> Server {
        Server {
            url: format!("ws://127.0.0.1:{}", self.port),
            api_key: API_KEY.to_owned(),
            api_secret: API_SECRET.to_owned(),
        }
    }

    fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where its dispatch service is.
    pub(crate) fn desk(&self) -> Desk {
        Desk::at(&self.http_url())
    }

    /// Ends a room with everybody in it.
    pub(crate) async fn delete_room(&self, room: &str) -> Result<()> {
        RoomClient::with_api_key(&self.http_url(), API_KEY, API_SECRET)
            .delete_room(room)
            .await
            .context("the room is not deleted")
    }
}

/// A dispatch service, as a customer's backend holds it: LiveKit's, or a worker's own.
pub(crate) struct Desk(AgentDispatchClient);

impl Desk {
    pub(crate) fn at(url: &str) -> Self {
        Self(AgentDispatchClient::with_api_key(url, API_KEY, API_SECRET))
    }

    /// Asks for the agent to be sent to a room.
    pub(crate) async fn dispatch(&self, room: &str, agent_name: &str) -> Result<()> {
        let request = CreateAgentDispatchRequest {
            room: room.to_owned(),
            agent_name: agent_name.to_owned(),
            ..Default::default()
        };
        let dispatched = self.0.create_dispatch(request).await;
        dispatched.context("the dispatch is refused")?;
        Ok(())
    }
}

/// A command whose output goes to a file, and which ends with its value.
pub(crate) fn logged(program: &PathBuf, log: &Path) -> Result<Command> {
    let file = std::fs::File::create(log)
        .with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true);
    Ok(command)
}
