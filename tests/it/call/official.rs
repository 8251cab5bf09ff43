//! A call by a participant that is none of ours: LiveKit's official Python SDK.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use voxpool::audio::AudioFrame;

use super::House;
use super::caller::token;
use crate::common::{tool, within};

pub(super) struct OfficialCaller {
    _process: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
    /// The values of `lk.agent.state`, in order.
    states: Vec<String>,
    /// How often the voice was heard.
    pub(super) n_heard: usize,
    /// Session events that nobody waited for when they came.
    pub(super) passed_over: Vec<Value>,
}

impl OfficialCaller {
    pub(super) fn start(url: &str, room: &str) -> Self {
        Self::start_with(url, room, &[])
    }

    /// Also gives the script these arguments.
    pub(super) fn start_with(url: &str, room: &str, more: &[&str]) -> Self {
        Self::start_as(url, room, "caller", more)
    }

    pub(super) fn start_as(url: &str, room: &str, identity: &str, more: &[&str]) -> Self {
        Self::start_by(url, &token(identity, room), more)
    }

    /// One who joins by this token.
    pub(super) fn start_by(url: &str, token: &str, more: &[&str]) -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/call/official_caller.py"
        );
        let mut process = Command::new(tool("venv/bin/python3"))
            .args([script, url, token])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let commands = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        Self {
            _process: process,
            commands,
            events: BufReader::new(output).lines(),
            states: Vec::new(),
            n_heard: 0,
            passed_over: Vec::new(),
        }
    }

    pub(super) async fn command(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.commands
            .write_all(line.as_bytes())
            .await
            .expect("the caller reads");
    }

    /// Waits for an event that is as described; those before it are passed over.
    pub(super) async fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        within(what, async {
            loop {
                let line = self.events.next_line().await.expect("output can be read");
                let line = line.unwrap_or_else(|| panic!("{what}: the caller has ended"));
                let event: Value = serde_json::from_str(&line).expect("a line is an event");
                if let Some(state) = event["value"].as_str() {
                    self.states.push(state.to_owned());
                }
                self.n_heard += usize::from(event["event"] == "voice");
                if is_so(&event) {
                    return event;
                }
                if event["event"] == "told" {
                    self.passed_over.push(event);
                }
            }
        })
        .await
    }

    /// Leaves the room and waits until that is done.
    pub(super) async fn hang_up(mut self) {
        drop(self.commands);
        within("the caller leaves", async {
            while let Ok(Some(_)) = self.events.next_line().await {}
        })
        .await;
    }

    pub(super) async fn reads(&mut self, is_agent: bool, words: &str) {
        let what = format!("a final line with '{words}'");
        self.until(&what, |event| {
            event["event"] == "line"
                && event["final"] == true
                && (event["speaker"] != "caller") == is_agent
                && event["text"]
                    .as_str()
                    .is_some_and(|text| text.contains(words))
        })
        .await;
    }

    pub(super) async fn hears(&mut self) {
        self.until("the agent is heard", |event| event["event"] == "voice")
            .await;
    }
}

/// The sound as the script reads it.
pub(super) fn pcm_file(sound: &AudioFrame) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let pcm: Vec<u8> = sound.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::write(file.path(), pcm).expect("a temporary file can be written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_is_greeted_understood_and_answered() {
    let house = House::open(None, "Hello, how can I help you?").await;
    let hello = house.speech("hello there").await;
    let recording = pcm_file(&hello);

    let mut caller = OfficialCaller::start(&house.server.url(), "official");
    caller.hears().await;
    caller.reads(true, "how can I help").await;
    caller
        .command(&format!("say {}", recording.path().display()))
        .await;
    caller.reads(false, "hello there").await;
    caller.hears().await;
    caller.command("type my name is John").await;
    caller.reads(true, "Nice to meet you").await;
    caller.command("call getConnectionPoolStats").await;
    let answer = caller.until("an answer", |event| event["event"] == "answer");
    let answer = answer.await["text"].to_string();
    assert!(answer.contains("connection"), "{answer}");
    for state in ["listening", "thinking", "speaking"] {
        let states = &caller.states;
        assert!(states.iter().any(|seen| seen == state), "{states:?}");
    }
    caller.hang_up().await;
    house.close().await;
}
