//! The hostile participant, a process of its own.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::call::caller::token;
use crate::common::{tool, within};

pub(super) struct Attacker {
    process: Child,
    commands: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
}

impl Attacker {
    /// Joins the room and is quiet.
    pub(super) async fn join(url: &str, room: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/hostile/attacker.py");
        let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/src/audio/recordings/aac.mp4");
        // An attacker has a machine of their own: this one takes only the CPU time that is left.
        let mut process = Command::new("nice")
            .args(["-n", "19"])
            .arg(tool("venv/bin/python3"))
            .args([script, url, &token("attacker", room), recording])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let commands = process.stdin.take();
        let output = process.stdout.take().expect("it is piped");
        let mut attacker = Self {
            process,
            commands,
            events: BufReader::new(output).lines(),
        };
        attacker.until("joined").await;
        attacker
    }

    async fn until(&mut self, event: &str) -> Value {
        within(&format!("the attacker has {event}"), async {
            loop {
                let line = self.events.next_line().await.expect("output can be read");
                let line = line.expect("the attacker runs");
                let line: Value = serde_json::from_str(&line).expect("a line is an event");
                if line["event"] == event {
                    return line;
                }
            }
        })
        .await
    }

    pub(super) async fn attack(&mut self) {
        let commands = self.commands.as_mut().expect("it is piped");
        commands
            .write_all(b"attack\n")
            .await
            .expect("the attacker reads");
        self.until("attacking").await;
    }

    /// Ends it; how much of each kind it sent.
    pub(super) async fn stop(mut self) -> Value {
        drop(self.commands.take());
        let sent = self.until("sent").await;
        self.process.wait().await.expect("it can be waited for");
        sent["counts"].clone()
    }
}
