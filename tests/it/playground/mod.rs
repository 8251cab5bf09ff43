//! The playground: what is served to whom, and the page itself in a real browser.

use std::path::Path;
use std::time::Duration;

use offline_openai::{Server, ServerHandle};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::common::{free_port, tool, within};
use crate::program::voxpool;

/// The browser's conversation; it takes half a minute on an idle machine.
const SCRIPT_WITHIN: Duration = Duration::from_secs(180);

const CLIENT: &str = "node_modules/livekit-client/dist/livekit-client.esm.mjs";

/// `voxpool dev` or `start` with its HTTP endpoint.
struct Program {
    _process: Child,
    http: String,
    _directory: TempDir,
}

impl Program {
    async fn start(command: &str, livekit: &str, more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut variables = vec![
            ("LIVEKIT_URL", livekit),
            ("LIVEKIT_API_KEY", API_KEY),
            ("LIVEKIT_API_SECRET", API_SECRET),
            ("OPENAI_API_KEY", "unused"),
            ("VOXPOOL__LOG__FORMAT", "json"),
            ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
        ];
        variables.extend_from_slice(more);
        let mut process = voxpool(&[command, "--port", "0"], &variables, &directory)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let http = within("the program tells its port", async {
            loop {
                let line = log.next_line().await.unwrap().expect("the program runs");
                let line: Value = serde_json::from_str(&line).unwrap();
                if let Some(address) = line["http"].as_str() {
                    let (_, port) = address.rsplit_once(':').unwrap();
                    return format!("http://127.0.0.1:{port}");
                }
            }
        })
        .await;
        // A log that nobody reads would stop the program.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self {
            _process: process,
            http,
            _directory: directory,
        }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.http)).await.unwrap()
    }

    /// Asks for a token as a page of this origin would, with one header different.
    async fn ask_token(&self, identity: &str, header: (&str, &str)) -> reqwest::Response {
        #[expect(clippy::disallowed_methods, reason = "a browser's client, not ours")]
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/playground/token", self.http));
        let request = request.json(&json!({ "identity": identity }));
        request.header(header.0, header.1).send().await.unwrap()
    }
}

fn nowhere() -> String {
    format!("ws://127.0.0.1:{}", free_port())
}

#[tokio::test(flavor = "multi_thread")]
async fn start_has_no_playground() {
    let program = Program::start("start", &nowhere(), &[]).await;
    for path in [
        "/playground",
        "/playground/main.js",
        "/playground/turns/guest-1/0",
    ] {
        assert_eq!(
            program.get(path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let answer = program.ask_token("guest-0001", ("x-none", "")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_livekits_client_the_page_says_what_to_run() {
    let program = Program::start("dev", &nowhere(), &[]).await;
    let answer = program.get("/playground").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = answer.text().await.unwrap();
    assert!(text.contains("make playground"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_strict_and_tokens_are_for_this_machines_own_pages() {
    let client = tool(CLIENT).display().to_string();
    let more = [
        ("VOXPOOL__PLAYGROUND__LIVEKIT_CLIENT", client.as_str()),
        ("LIVEKIT_AGENT_NAME", "front-desk"),
    ];
    let livekit = nowhere();
    let program = Program::start("dev", &livekit, &more).await;
    let page = program.get("/playground").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(
        policy.contains(&livekit) && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(!page.text().await.unwrap().contains(API_SECRET));
    let script = program.get("/playground/main.js").await;
    assert_eq!(
        script.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );

    let own = program.ask_token("guest-0001", ("sec-fetch-site", "same-origin"));
    let own: Value = own.await.json().await.unwrap();
    assert_eq!(own["url"], livekit);
    let room = own["room"].as_str().unwrap();
    let verifier = livekit_api::access_token::TokenVerifier::with_api_key(API_KEY, API_SECRET);
    let claims = verifier.verify(own["token"].as_str().unwrap()).unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.video.room.as_str()),
        ("guest-0001", room)
    );
    assert_eq!(
        claims.room_config.unwrap().agents[0].agent_name,
        "front-desk"
    );
    let another = program.ask_token("guest-0001", ("x-none", "")).await;
    let another: Value = another.json().await.unwrap();
    assert_ne!(another["room"], own["room"], "each time a fresh room");

    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("x-forwarded-for", "192.0.2.1"),
        ("host", "evil.example"),
    ] {
        let answer = program.ask_token("guest-0001", foreign).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{foreign:?}");
    }
    for identity in ["short", "with space 1", &"x".repeat(65)] {
        let answer = program.ask_token(identity, ("x-none", "")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{identity}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_beside_the_first_takes_a_free_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let livekit = nowhere();
    let variables = [
        ("LIVEKIT_URL", livekit.as_str()),
        ("VOXPOOL__HTTP__PORT", port.as_str()),
    ];
    let mut process = voxpool(&["dev"], &variables, &directory).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let line = within("the page's address is logged", async {
        loop {
            let line = log.next_line().await.unwrap().expect("the program runs");
            if line.contains("/playground") {
                return line;
            }
        }
    })
    .await;
    assert!(!line.contains(&format!(":{port}/")), "{line}");
}

async fn stand_in() -> ServerHandle {
    let (_, services) = Server::bind(offline_openai::Config::default())
        .await
        .expect("the stand-in starts");
    services
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_in_a_browser_is_seen_heard_and_measured() {
    let server = LiveKit::start().await;
    let services = stand_in().await;
    let (livekit, openai) = (server.url(), services.base_url());
    let client = tool(CLIENT).display().to_string();
    let more = [
        ("VOXPOOL__PLAYGROUND__LIVEKIT_CLIENT", client.as_str()),
        ("OPENAI_BASE_URL", openai.as_str()),
    ];
    let program = Program::start("dev", &livekit, &more).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = Command::new("node")
        .arg(root.join("tests/it/playground/page.mjs"))
        .arg(format!("{}/playground", program.http))
        .arg(&openai)
        .arg(tool("node_modules"))
        .arg(root.join("target/playground"))
        .kill_on_drop(true)
        .output();
    let script = tokio::time::timeout(SCRIPT_WITHIN, script).await;
    let output = script.expect("the script ends").expect("node is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    eprintln!("{out}");

    let page = program.get("/metrics").await.text().await.unwrap();
    is_valid(&page);
    let value = |row: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(row));
        let value = line.unwrap_or_else(|| panic!("{row} not in\n{page}"));
        value.trim().parse::<f64>().unwrap()
    };
    // Two spoken turns, one of them with LiveKit's client alone, and a typed one.
    assert!(value("voice_agent_turn_transcription_delay_seconds_count") >= 2.0);
    assert!(value("voice_agent_turn_e2e_latency_seconds_count") >= 3.0);
    assert!(value("voice_agent_turn_end_of_turn_delay_seconds_sum") >= 1.0);
    let spoken = "voice_agent_turns_total{outcome=\"finished\",source=\"speech\"}";
    assert!(value(spoken) >= 2.0);
    assert!(value("voice_agent_speculations_total{outcome=\"used\"}") >= 1.0);
    services.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_loaded_anew_goes_on_with_its_call() {
    let server = LiveKit::start().await;
    let services = stand_in().await;
    let (livekit, openai) = (server.url(), services.base_url());
    let client = tool(CLIENT).display().to_string();
    let more = [
        ("VOXPOOL__PLAYGROUND__LIVEKIT_CLIENT", client.as_str()),
        ("OPENAI_BASE_URL", openai.as_str()),
        // A browser on a busy machine is slow.
        ("VOXPOOL__SESSION__RETURN_WITHIN_SECONDS", "60"),
    ];
    let program = Program::start("dev", &livekit, &more).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = Command::new("node")
        .arg(root.join("tests/it/playground/reload.mjs"))
        .arg(format!("{}/playground", program.http))
        .arg(tool("node_modules"))
        .kill_on_drop(true)
        .output();
    let script = tokio::time::timeout(SCRIPT_WITHIN, script).await;
    let output = script.expect("the script ends").expect("node is there");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    services.stop().await;
}

/// Reads the page with the strict parser of Prometheus' official Python client.
fn is_valid(page: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metrics");
    std::fs::write(&file, page).unwrap();
    let parse = "import sys; from prometheus_client.openmetrics import parser; \
                 print(sum(1 for _ in parser.text_fd_to_metric_families(open(sys.argv[1]))))";
    let output = std::process::Command::new(tool("venv/bin/python3"))
        .args(["-c", parse])
        .arg(&file)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{page}");
}
