//! The program itself: its help, its ready line, its end.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offline-openai"));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn help_says_that_it_is_not_an_ai() {
    let output = program().arg("--help").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("stand-in") && text.contains("not an AI"),
        "{text}"
    );
}

#[tokio::test]
async fn it_says_when_it_is_ready_and_stops_on_sigterm() {
    let mut child = program().args(["--fixed", "--port", "0"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    assert!(
        line.starts_with("ready: http://127.0.0.1:") && line.contains("not an AI"),
        "{line}"
    );
    let url = line.split(' ').nth(1).unwrap();
    assert!(
        reqwest::get(format!("{url}/models"))
            .await
            .unwrap()
            .status()
            .is_success()
    );
    // The shell's own kill: a separate program of that name is not installed everywhere.
    let kill = format!("kill {}", child.id().unwrap());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(child.wait().await.unwrap().success());
    assert_eq!(lines.next_line().await.unwrap(), None, "more than one line");
}

#[tokio::test]
async fn without_speech_programs_it_names_the_packages() {
    let output = program()
        .args(["--port", "0"])
        .env("PATH", "/nowhere")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("apt-get install flite") && text.contains("--fixed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = program()
        .args(["--fixed", "--port", &port])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&port), "{text}");
}
