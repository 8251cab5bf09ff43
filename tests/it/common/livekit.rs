//! A real LiveKit server of the test's own, and what a customer's backend would ask of it.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use livekit_api::services::ServiceError;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livekit_protocol::{AgentDispatch, CreateAgentDispatchRequest};
use tempfile::TempDir;
use voxpool::redact::Pii;
use voxpool::worker::ServerConfig;

use super::jobs::{Jobs, RunningJob};
use super::{eventually, free_port, tool};

pub(crate) const API_KEY: &str = "devkey";
pub(crate) const API_SECRET: &str = "secret-of-at-least-32-characters-for-tests";

/// A server process; it ends with the value.
pub(crate) struct LiveKit {
    process: Option<Child>,
    directory: TempDir,
    port: u16,
}

impl LiveKit {
    /// Starts a server on free ports and waits until it answers. A port that somebody else took
    /// in between makes the server exit; then others are tried.
    pub(crate) async fn start() -> Self {
        for _ in 0..5 {
            let mut server = Self::prepare();
            if server.try_launch().await {
                return server;
            }
        }
        panic!("livekit-server exits at once, five times in a row");
    }

    fn prepare() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let config = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nkeys:\n  {API_KEY}: {API_SECRET}\n\
             rtc:\n  tcp_port: {}\n  udp_port: {}\n  node_ip: 127.0.0.1\n  use_external_ip: false\n\
             \x20 enable_loopback_candidate: true\n  interfaces:\n    includes: [lo]\n\
             logging:\n  level: info\n  json: true\n",
            free_port(),
            free_port(),
        );
        std::fs::write(directory.path().join("livekit.yaml"), config).expect("a config file");
        Self {
            process: None,
            directory,
            port,
        }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("livekit.log")
    }

    /// Starts the process again after [`LiveKit::kill`], on the same ports.
    pub(crate) async fn restart(&mut self) {
        assert!(
            self.try_launch().await,
            "livekit-server does not come up again"
        );
    }

    async fn try_launch(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let child = Command::new(tool("bin/livekit-server"))
            .arg("--config")
            .arg(self.directory.path().join("livekit.yaml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("livekit-server starts");
        self.process = Some(child);
        let port = self.port;
        eventually("livekit-server answers or exits", async || {
            let process = self.process.as_mut().expect("started above");
            if process.try_wait().expect("a child can be asked").is_some() {
                return Some(false);
            }
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
                .map(|_| true)
        })
        .await
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Its address for a worker.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// How a worker reaches it.
    pub(crate) fn server_config(&self) -> ServerConfig {
        ServerConfig {
            url: self.url(),
            api_key: API_KEY.to_owned(),
            api_secret: Pii::new(API_SECRET.to_owned()),
            ..ServerConfig::default()
        }
    }

    fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// LiveKit's own client of the dispatch service.
    pub(crate) fn dispatches(&self) -> AgentDispatchClient {
        AgentDispatchClient::with_api_key(&self.http_url(), API_KEY, API_SECRET)
    }

    /// Creates a room; automatic dispatch happens now.
    pub(crate) async fn create_room(&self, room: &str) {
        RoomClient::with_api_key(&self.http_url(), API_KEY, API_SECRET)
            .create_room(room, CreateRoomOptions::default())
            .await
            .expect("a room is created");
    }

    /// Deletes a room; everybody in it is sent away.
    pub(crate) async fn delete_room(&self, room: &str) {
        RoomClient::with_api_key(&self.http_url(), API_KEY, API_SECRET)
            .delete_room(room)
            .await
            .expect("a room is deleted");
    }

    /// Sends one participant away, as an operator would.
    pub(crate) async fn remove_participant(&self, room: &str, identity: &str) {
        RoomClient::with_api_key(&self.http_url(), API_KEY, API_SECRET)
            .remove_participant(room, identity)
            .await
            .expect("a participant is removed");
    }

    /// Sends the agent `agent_name` into a room, which is made if need be.
    pub(crate) async fn dispatch(
        &self,
        room: &str,
        agent_name: &str,
        metadata: &str,
    ) -> AgentDispatch {
        self.dispatches()
            .create_dispatch(CreateAgentDispatchRequest {
                room: room.to_owned(),
                agent_name: agent_name.to_owned(),
                metadata: metadata.to_owned(),
                attributes: HashMap::from([("lang".to_owned(), "en".to_owned())]),
                ..Default::default()
            })
            .await
            .expect("a dispatch is created")
    }

    /// Takes a dispatch back; its jobs are terminated.
    pub(crate) async fn delete_dispatch(&self, room: &str, dispatch_id: &str) {
        let dispatches = self.dispatches();
        let answer = dispatches.delete_dispatch(dispatch_id, room).await;
        is_deleted(answer, dispatch_id);
    }

    /// Waits until the server lists a job in the room: its id and participant identity.
    pub(crate) async fn job(&self, room: &str) -> (String, String) {
        eventually("the server lists a job", async || {
            let dispatches = self.dispatches().list_dispatch(room).await.ok()?;
            let mut jobs = dispatches
                .into_iter()
                .filter_map(|d| d.state)
                .flat_map(|s| s.jobs);
            let job = jobs.next()?;
            Some((job.id, job.state?.participant_identity))
        })
        .await
    }

    /// Whether the server's log names something.
    pub(crate) fn has_noted(&self, what: &str) -> bool {
        let log = std::fs::read_to_string(self.log_path());
        log.expect("the server writes a log").contains(what)
    }

    /// Waits until the server's log says that the job ended, and with which status and error: the
    /// only place where it tells.
    pub(crate) async fn end_of_job(&self, job_id: &str) -> (String, String) {
        eventually(
            &format!("the server notes the end of {job_id}"),
            async || {
                let log = std::fs::read_to_string(self.log_path()).ok()?;
                log.lines()
                    .filter(|line| line.contains("job ended") && line.contains(job_id))
                    .find_map(|line| {
                        let line: serde_json::Value = serde_json::from_str(line).ok()?;
                        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                        Some((text("status"), text("error")))
                    })
            },
        )
        .await
    }
}

/// Judges what the server answers when a dispatch is taken back whose job still runs: the dispatch, or
/// that it could not write it. It notes the end of the job in the very value that it writes, and fails
/// when that grows meanwhile; the dispatch is deleted all the same.
///
/// Source: livekit-server 1.13.5, `pkg/rtc/room.go`, `DeleteAgentDispatch`.
pub(crate) fn is_deleted(answer: Result<AgentDispatch, ServiceError>, dispatch_id: &str) {
    match answer {
        Ok(dispatch) => assert_eq!(dispatch.id, dispatch_id),
        Err(error) if error.to_string().contains("size mismatch") => {}
        Err(error) => panic!("a dispatch is not deleted: {error}"),
    }
}

impl LiveKit {
    /// Waits until the server has noted that so many jobs found no worker.
    pub(crate) async fn refused_jobs(&self, count: usize) {
        eventually("the server notes refused jobs", async || {
            let log = std::fs::read_to_string(self.log_path()).ok()?;
            let refused = log.lines().filter(|line| {
                line.contains("failed to send job request")
                    || line.contains("not dispatching agent job since no worker is available")
            });
            (refused.count() >= count).then_some(())
        })
        .await;
    }

    /// Dispatches until a job comes: a server that has just started, or a worker that has just got
    /// room, takes a moment until they know of each other.
    pub(crate) async fn dispatch_until_taken(
        &self,
        room: &str,
        agent_name: &str,
        jobs: &mut Jobs,
    ) -> RunningJob {
        let mut tries = 0;
        eventually("a job starts", async || {
            tries += 1;
            self.dispatch(&format!("{room}-{tries}"), agent_name, "")
                .await;
            tokio::time::timeout(Duration::from_secs(2), jobs.next())
                .await
                .ok()
        })
        .await
    }
}

impl Drop for LiveKit {
    fn drop(&mut self) {
        self.kill();
    }
}
