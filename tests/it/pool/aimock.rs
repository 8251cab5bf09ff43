//! The providers against aimock, an OpenAI-compatible server that nobody here wrote.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use voxpool::chat::ToolCall;
use voxpool::llm::{Llm, LlmEvent};
use voxpool::tools::{GetConnectionPoolStats, Tool};

use super::stages::{SOON, Stages, request};

/// What it answers: words, a tool call, a transcript and four samples of sound.
const FIXTURES: &str = r#"{"fixtures":[
  {"match":{"endpoint":"transcription"},"response":{"transcription":{"text":"hello there"}}},
  {"match":{"endpoint":"speech"},"response":{"audio":"AAABAAIAAwA=","format":"pcm"}},
  {"match":{"userMessage":"hello"},"response":{"content":"Hi there, wie heißt du? 🙂"}},
  {"match":{"userMessage":"statistics"},
   "response":{"toolCalls":[{"name":"getConnectionPoolStats","arguments":"{}"}]}}
]}"#;

pub(crate) struct Aimock {
    pub(crate) base_url: String,
    _process: Child,
}

impl Aimock {
    pub(super) async fn start() -> Result<Self> {
        Self::with(FIXTURES).await
    }

    /// One that answers as these fixtures say.
    pub(crate) async fn with(fixtures_json: &str) -> Result<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        #[expect(clippy::disallowed_methods, reason = "where the test tools are")]
        let tools =
            std::env::var("VOXPOOL_TOOLS").map_or_else(|_| root.join(".tools"), PathBuf::from);
        let cli = tools.join("node_modules/@copilotkit/aimock/dist/cli.js");
        if !cli.exists() {
            bail!("{} is missing: run make setup", cli.display());
        }
        let fixtures = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("aimock-{}.json", unique_number()));
        std::fs::write(&fixtures, fixtures_json)?;
        let mut process = Command::new("node")
            .arg(cli)
            .args([
                "--port",
                "0",
                "--host",
                "127.0.0.1",
                "--chunk-size",
                "3",
                "--fixtures",
            ])
            .arg(&fixtures)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node is missing: install Node.js 20 or newer")?;
        let stdout = process.stdout.take().context("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, address)) = line.split_once("listening on ") {
                    return Ok(address.trim().to_owned());
                }
            }
            bail!("aimock ended before it listened")
        };
        let base_url = tokio::time::timeout(SOON, listening).await??;
        // Keeps the pipe empty, so that the server never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            base_url,
            _process: process,
        })
    }
}

/// A number for a file name.
fn unique_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[tokio::test]
async fn another_server_understands_us_and_we_understand_it() -> Result<()> {
    let server = Aimock::start().await?;
    let stages = Stages::new(&server.base_url);

    stages.pool.probe(stages.llm.endpoint()).await?;
    assert_eq!(stages.transcribe().await?, "hello there");

    let (text, error) = stages.chat("hello").await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text, "Hi there, wie heißt du? 🙂");

    let (samples, error) = stages.speak("hello").await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(samples, [0, 1, 2, 3]);

    let mut with_tools = request("show me the statistics");
    with_tools.tools = vec![GetConnectionPoolStats(stages.overview()).spec()];
    let events: Vec<_> = stages.llm.chat(with_tools).collect().await;
    let mut events = events.into_iter().map(|event| event.ok());
    let Some(Some(LlmEvent::ToolCall(ToolCall {
        id,
        name,
        arguments,
        ..
    }))) = events.next()
    else {
        bail!("no tool call came");
    };
    assert!(!id.is_empty());
    assert_eq!(
        (name.as_str(), arguments.as_str()),
        ("getConnectionPoolStats", "{}")
    );
    assert!(matches!(events.next(), Some(Some(LlmEvent::Usage { .. }))));
    assert!(events.next().is_none());

    let stats = stages.pool.stats().await;
    assert_eq!(stats.services[0].errors_total(), 0);
    assert_eq!(
        stats.connections.opened, 1,
        "five requests, one after another"
    );
    Ok(())
}
