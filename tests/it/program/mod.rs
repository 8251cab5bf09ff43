//! The real binary: exit codes, mistakes, `check`, the HTTP endpoint, signals.

mod descriptors;
mod port;

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol::CreateAgentDispatchRequest;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::call::caller::Caller;
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::common::redis::Redis;
use crate::common::{free_port, within};

/// The program in an empty directory, with no environment but what the test gives it.
pub(crate) fn voxpool(
    arguments: &[&str],
    variables: &[(&str, &str)],
    directory: &tempfile::TempDir,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxpool"));
    command.args(arguments);
    prepared(command, variables, directory)
}

/// The same with these limits on file descriptors, as `soft:hard`.
fn limited(
    descriptors: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
    directory: &tempfile::TempDir,
) -> Command {
    let mut command = Command::new("/usr/bin/prlimit");
    command
        .arg(format!("--nofile={descriptors}"))
        .arg(env!("CARGO_BIN_EXE_voxpool"))
        .args(arguments);
    prepared(command, variables, directory)
}

fn prepared(
    mut command: Command,
    variables: &[(&str, &str)],
    directory: &tempfile::TempDir,
) -> Command {
    command
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    run_in(arguments, variables, &directory).await
}

pub(crate) async fn run_in(
    arguments: &[&str],
    variables: &[(&str, &str)],
    directory: &tempfile::TempDir,
) -> (i32, String, String) {
    let output: Output = within(
        "voxpool ends",
        voxpool(arguments, variables, directory).output(),
    )
    .await
    .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// An OpenAI-compatible service that knows one key.
async fn openai() -> String {
    let models = |headers: HeaderMap| async move {
        let is_known = headers
            .get("authorization")
            .is_some_and(|key| key == "Bearer key-that-fits");
        if is_known {
            (StatusCode::OK, "{\"object\":\"list\",\"data\":[]}")
        } else {
            (StatusCode::UNAUTHORIZED, "{\"error\":{\"message\":\"no\"}}")
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/models", get(models));
    tokio::spawn(axum::serve(listener, routes).into_future());
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_mistakes_exit_64_and_help_exits_0() {
    assert_eq!(run(&["nonsense"], &[]).await.0, 64);
    assert_eq!(run(&["connect"], &[]).await.0, 64, "--room is missing");
    let (code, out, _) = run(&["--help"], &[]).await;
    assert_eq!(code, 0);
    for command in ["start", "dev", "connect", "console", "check", "forget"] {
        assert!(out.contains(command), "{command} not in {out}");
    }
    assert_eq!(run(&["--version"], &[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_names_every_mistake_at_once_and_exits_64() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("voxpool.toml"),
        "[worker]\nslot_max = 1\n",
    )
    .unwrap();
    std::fs::write(
        directory.path().join(".env"),
        "LIVEKIT_AGENT_NAME=\"two words\"\n",
    )
    .unwrap();
    let variables = [("VOXPOOL__HTTP__PORT", "99999"), ("LIVEKIT_API_KEY", "key")];
    let (code, _, err) = run_in(
        &["start", "--drain-timeout", "soon"],
        &variables,
        &directory,
    )
    .await;
    assert_eq!(code, 64);
    for part in [
        "worker.slot_max (file voxpool.toml): there is no such setting; did you mean worker.slots_max?",
        "worker.agent_name (environment variable LIVEKIT_AGENT_NAME): must be",
        "http.port (environment variable VOXPOOL__HTTP__PORT): must be a whole number",
        "worker.drain_timeout_seconds (flag --drain-timeout): must be a number",
        "livekit.url: missing; set LIVEKIT_URL",
        "livekit.api_secret: missing; set LIVEKIT_API_SECRET",
        "openai.api_key: missing; set OPENAI_API_KEY",
    ] {
        assert!(err.contains(part), "{part}\nnot in\n{err}");
    }
    assert!(!err.contains("livekit.api_key"), "it is set: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dot_env_never_overrides_what_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let dot_env = "LIVEKIT_URL=ws://from-file\nLIVEKIT_AGENT_NAME=from-file\n";
    std::fs::write(directory.path().join(".env"), dot_env).unwrap();
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let variables = [
        ("LIVEKIT_URL", nowhere.as_str()),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9"),
    ];
    let (_, out, _) = run_in(&["check", "--dev"], &variables, &directory).await;
    assert!(out.contains(&nowhere) && out.contains("from-file"), "{out}");
    assert!(!out.contains("ws://from-file"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_shows_the_settings_without_secrets_and_finds_what_is_fine() {
    let server = LiveKit::start().await;
    let openai = openai().await;
    let redis = Redis::start().await;
    let (url, redis_url) = (server.url(), redis.url());
    let variables = [
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_BASE_URL", &openai),
        ("OPENAI_API_KEY", "key-that-fits"),
        ("REDIS_URL", redis_url.expose().as_str()),
    ];
    let (code, out, err) = run(&["check"], &variables).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("slots_max = 100") && out.contains("[redacted]"),
        "{out}"
    );
    assert!(
        !out.contains(API_SECRET) && !out.contains("key-that-fits"),
        "{out}"
    );
    assert!(out.contains("ok      livekit at"), "{out}");
    assert!(out.contains("ok      stt, llm, tts at"), "{out}");
    assert!(out.contains("ok      memory in sqlite"), "{out}");
    assert!(out.contains("ok      redis"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_wrong_with_each_service() {
    let server = LiveKit::start().await;
    let openai = openai().await;
    let redis = Redis::start_with("password").await;
    let (url, redis_url) = (server.url(), redis.url_with("wrong"));
    let variables = [
        ("REDIS_URL", redis_url.expose().as_str()),
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        (
            "LIVEKIT_API_SECRET",
            "wrong-secret-of-at-least-32-characters",
        ),
        ("OPENAI_BASE_URL", &openai),
        ("OPENAI_API_KEY", "wrong"),
        ("VOXPOOL__MEMORY__SQLITE_PATH", "missing/memory.db"),
    ];
    let (code, out, _) = run(&["check"], &variables).await;
    assert_eq!(code, 1);
    let failed: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("FAILED"))
        .collect();
    assert_eq!(failed.len(), 4, "{out}");
    assert!(failed[0].contains("LIVEKIT_API_SECRET"), "{out}");
    assert!(failed[1].contains("OPENAI_API_KEY"), "{out}");
    assert!(failed[3].contains("memory.sqlite_path"), "{out}");
    assert!(failed[2].contains("REDIS_URL"), "{out}");
    assert!(!out.contains(":wrong@"), "{out}");
}

/// Sends a signal to a process that was not waited for yet.
pub(crate) fn signal(process: &Child, name: &str) {
    let pid = process.id().unwrap().to_string();
    let status = std::process::Command::new("kill")
        .args(["-s", name, &pid])
        .status();
    assert!(status.unwrap().success());
}

/// The command line of a worker on a free port.
const START: [&str; 3] = ["start", "--port", "0"];

/// A worker process, its log as it comes, and its HTTP endpoint.
pub(crate) struct Started {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    http: String,
    _directory: tempfile::TempDir,
}

impl Started {
    async fn start(server_url: &str) -> Self {
        let variables = [
            ("LIVEKIT_URL", server_url),
            ("LIVEKIT_API_KEY", API_KEY),
            ("LIVEKIT_API_SECRET", API_SECRET),
            ("LIVEKIT_AGENT_NAME", "front-desk"),
            ("OPENAI_API_KEY", "unused"),
            ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
            ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
        ];
        Self::with(&variables).await
    }

    /// Starts a worker with this environment.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let command = voxpool(&START, variables, &directory);
        Self::launch(command, directory).await
    }

    /// Starts a worker with this environment and these limits on file descriptors, `soft:hard`.
    async fn limited(descriptors: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let command = limited(descriptors, &START, variables, &directory);
        Self::launch(command, directory).await
    }

    async fn launch(mut command: Command, directory: tempfile::TempDir) -> Self {
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut started = Self {
            process,
            log,
            http: String::new(),
            _directory: directory,
        };
        let line = started.logged("\"http\":").await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        started.http = format!("http://{}", line["http"].as_str().unwrap());
        started
    }

    /// Where its HTTP endpoint is.
    fn address(&self) -> SocketAddr {
        self.http["http://".len()..].parse().unwrap()
    }

    /// The next line of the log with this in it.
    pub(crate) async fn logged(&mut self, part: &str) -> String {
        within(&format!("{part} is logged"), async {
            loop {
                let line = self
                    .log
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the process has ended");
                if line.contains(part) {
                    return line;
                }
            }
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("{}{path}", self.http)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Memory of the process that is resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let pid = self.process.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let n_kib = line.unwrap().split_whitespace().nth(1).unwrap();
        n_kib.parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    pub(crate) async fn exit_code(mut self) -> i32 {
        let mut rest = String::new();
        let ended = async {
            self.log.get_mut().read_to_string(&mut rest).await.unwrap();
            self.process.wait().await.unwrap()
        };
        within("the process ends", ended).await.code().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_serves_health_worker_and_metrics_and_drains_on_sigterm() {
    let server = LiveKit::start().await;
    let mut worker = Started::start(&server.url()).await;
    worker.logged("registered").await;

    assert_eq!(worker.get("/").await, (200, "OK".to_owned()));
    let (status, body) = worker.get("/worker").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["worker_type"], "JT_ROOM");
    assert_eq!(body["agent_name"], "front-desk");
    assert_eq!(body["active_jobs"], 0);
    assert_eq!(body["protocol_version"], 1);
    assert!(
        body["sdk_version"].is_string() && body["worker_load"].is_number(),
        "{body}"
    );
    let (_, metrics) = worker.get("/metrics").await;
    assert!(
        metrics.contains("voice_agent_worker_registered 1"),
        "{metrics}"
    );
    // What the 100 slots of a worker need at once, by the pool's arithmetic.
    assert!(
        metrics.contains("lk_agents_active_job_count 0")
            && metrics.contains("voice_agent_http_places_max 408"),
        "{metrics}"
    );

    let (status, pool) = worker.get("/pool").await;
    let pool: serde_json::Value = serde_json::from_str(&pool).unwrap();
    assert_eq!(status, 200);
    assert!(pool["connections"]["opened"].is_number(), "{pool}");
    #[expect(clippy::disallowed_methods, reason = "an operator's client, not ours")]
    let client = reqwest::Client::new();
    let cleanup = client.post(format!("{}/pool/cleanup", worker.http));
    let report = cleanup.send().await.unwrap().text().await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["is_done"], true, "{report}");
    let passed_on = client.get(format!("{}/pool", worker.http));
    let refused = passed_on
        .header("x-forwarded-for", "192.0.2.1")
        .send()
        .await;
    assert_eq!(refused.unwrap().status(), 401);

    worker.signal("TERM");
    assert_eq!(worker.exit_code().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_503_with_the_reason_and_sigint_still_ends_it() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let mut worker = Started::start(&nowhere).await;
    worker.logged("cannot register").await;
    let (status, why) = worker.get("/").await;
    assert_eq!(status, 503);
    assert!(why.contains("cannot be reached"), "{why}");
    worker.signal("INT");
    assert_eq!(worker.exit_code().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_a_start_up_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, err) = run(&["dev", "--port", &port], &[]).await;
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot listen on 127.0.0.1") && err.contains("--port"),
        "{err}"
    );
}

/// A stand-in that speaks a tone.
async fn services() -> offline_openai::ServerHandle {
    let config = offline_openai::Config {
        fixed: Some(offline_openai::Fixed::default()),
        ..offline_openai::Config::default()
    };
    let (_, services) = offline_openai::Server::bind(config).await.unwrap();
    services
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_joins_a_room_that_nobody_dispatched_to() {
    let server = LiveKit::start().await;
    let services = services().await;
    let (url, openai) = (server.url(), services.base_url());
    let variables = [
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_BASE_URL", openai.as_str()),
    ];
    let directory = tempfile::tempdir().unwrap();
    let caller = Caller::join(&url, "direct").await;
    let mut agent = voxpool(&["connect", "--room", "direct"], &variables, &directory)
        .spawn()
        .unwrap();
    caller.hears(20).await;
    let kind = caller.agent().unwrap().kind();
    assert_eq!(kind, livekit::participant::ParticipantKind::Agent);
    caller.room.close().await.unwrap();
    let status = within("connect ends with the call", agent.wait()).await;
    assert!(status.unwrap().success());
    services.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_asked_of_the_worker_itself_comes_and_greets_who_comes_later() {
    let server = LiveKit::start().await;
    let services = services().await;
    let (url, openai) = (server.url(), services.base_url());
    let mut worker = Started::with(&[
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("LIVEKIT_AGENT_NAME", "front-desk"),
        ("OPENAI_BASE_URL", openai.as_str()),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
    ])
    .await;
    worker.logged("registered").await;
    let request = CreateAgentDispatchRequest {
        room: "asked".to_owned(),
        agent_name: "front-desk".to_owned(),
        ..CreateAgentDispatchRequest::default()
    };
    let client = AgentDispatchClient::with_api_key(&worker.http, API_KEY, API_SECRET);
    let dispatch = client.create_dispatch(request).await.unwrap();
    let caller = Caller::join(&url, "asked").await;
    caller.hears(20).await;
    let agent = caller.agent().unwrap();
    assert_eq!(agent.kind(), livekit::participant::ParticipantKind::Agent);
    assert_eq!(agent.attributes()["lk.agent.name"], "front-desk");
    let job = &dispatch.state.unwrap().jobs[0];
    assert_eq!(agent.identity().as_str(), format!("agent-{}", job.id));
    let (_, metrics) = worker.get("/metrics").await;
    assert!(
        metrics.contains("voice_agent_dispatches_total{outcome=\"taken\"} 1"),
        "{metrics}"
    );

    // A deleted room ends the job as it ends any other.
    server.delete_room("asked").await;
    let ended = worker.logged("job ended").await;
    assert!(ended.contains(&job.id), "{ended}");
    worker.signal("TERM");
    assert_eq!(worker.exit_code().await, 0);
    services.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dispatches_are_for_tokens_and_can_be_left_to_the_server() {
    #[expect(clippy::disallowed_methods, reason = "anybody's client, not ours")]
    let client = reqwest::Client::new();
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    for (setting, expected) in [("true", 401), ("false", 404)] {
        let worker = Started::with(&[
            ("LIVEKIT_URL", nowhere.as_str()),
            ("LIVEKIT_API_KEY", API_KEY),
            ("LIVEKIT_API_SECRET", API_SECRET),
            ("OPENAI_API_KEY", "unused"),
            ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
            ("VOXPOOL__HTTP__DISPATCH", setting),
        ])
        .await;
        let path = "/twirp/livekit.AgentDispatchService/CreateDispatch";
        let request = client.post(format!("{}{path}", worker.http));
        let request = request.header("content-type", "application/json");
        let answer = request.body("{}").send().await.unwrap();
        assert_eq!(answer.status(), expected, "{setting}");
    }
}
