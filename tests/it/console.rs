//! `voxpool console`: the real program, a piped conversation, the stand-in as its services.

use std::process::Stdio;
use std::time::Duration;

use offline_openai::{Config, Delays, Server, ServerHandle};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::common::{eventually, free_port, tool, within};
use crate::memory::killed::values;
use crate::program::{signal, voxpool};

async fn stand_in() -> ServerHandle {
    let (_, services) = Server::bind(Config::default())
        .await
        .expect("the stand-in starts");
    services
}

/// Pipes the lines in: exit code, answers, what went wrong.
async fn talk(
    arguments: &[&str],
    base_url: &str,
    directory: &TempDir,
    lines: &str,
) -> (i32, String, String) {
    let variables = [
        ("OPENAI_BASE_URL", base_url),
        ("OPENAI_API_KEY", "any-key-will-do"),
    ];
    let arguments: Vec<&str> = ["console"].iter().chain(arguments).copied().collect();
    let mut program = voxpool(&arguments, &variables, directory)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = program.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).await.expect("it reads");
    drop(input);
    let output = within("the conversation ends", program.wait_with_output())
        .await
        .expect("its output can be read");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().expect("it ends by itself"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piped_conversation_is_answered_line_by_line_without_a_voice() {
    let services = stand_in().await;
    let directory = tempfile::tempdir().expect("a directory");
    let lines = "my name is John\n\nwhat is my name\n";
    let (code, out, err) = talk(&[], &services.base_url(), &directory, lines).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let answers: Vec<&str> = out.lines().collect();
    assert_eq!(answers.len(), 3, "{out}");
    assert!(answers[0].contains("How can I help"), "{out}");
    assert!(answers[1].contains("John"), "{out}");
    assert!(answers[2].contains("John"), "{out}");
    assert!(!out.contains('\x1b'), "no colours in a pipe: {out}");
    let stats = services.stats();
    assert_eq!(stats.endpoints.speech.requests, 0, "no voice was asked for");
    assert!(stats.endpoints.chat.requests >= 2);
    services.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_remembers_by_identity() {
    let services = stand_in().await;
    let directory = tempfile::tempdir().expect("a directory");
    let url = services.base_url();
    let john = ["--identity", "john"];
    let (code, _, err) = talk(&john, &url, &directory, "my name is John\n").await;
    assert_eq!((code, err.as_str()), (0, ""));
    let question = "what is my name\n";
    let (_, out, _) = talk(&john, &url, &directory, question).await;
    assert!(out.contains("John"), "{out}");
    let mary = ["--identity", "mary"];
    let (_, out, _) = talk(&mary, &url, &directory, question).await;
    assert!(!out.contains("John"), "{out}");
    services.stop().await;
}

/// Runs a program in a terminal of its own, which its standard streams are typed into and read from.
const IN_A_TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_a_person_sees_whose_turn_it_is_how_long_it_takes_and_what_it_took() {
    let config = Config {
        delays: Delays {
            llm_first_token: Duration::from_millis(2500),
            ..Delays::default()
        },
        ..Config::default()
    };
    let (_, services) = Server::bind(config).await.expect("the stand-in starts");
    let url = services.base_url();
    let directory = tempfile::tempdir().expect("a directory");
    let mut program = tokio::process::Command::new(tool("venv/bin/python3"))
        .args([
            "-c",
            IN_A_TERMINAL,
            env!("CARGO_BIN_EXE_voxpool"),
            "console",
        ])
        .env_clear()
        .env("OPENAI_BASE_URL", &url)
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let mut keyboard = program.stdin.take().expect("it is piped");
    let mut screen = program.stdout.take().expect("it is piped");
    let mut shown = String::new();
    let mut until = async |what: &str| {
        within(what, async {
            let mut bytes = [0; 1024];
            loop {
                if let Some(at) = shown.find(what) {
                    return shown.drain(..at + what.len()).collect::<String>();
                }
                let n_read = screen.read(&mut bytes).await.expect("it can be read");
                assert!(n_read > 0, "it has ended: {shown}");
                shown += &String::from_utf8_lossy(&bytes[..n_read]);
            }
        })
        .await
    };
    let greeted = until("\x1b[1myou:").await;
    assert!(greeted.contains("How can I help"), "{greeted}");
    keyboard
        .write_all(b"my name is John\n")
        .await
        .expect("read");
    until("… 1 s").await;
    let answered = until("first words ").await;
    assert!(
        answered.contains("\r\x1b[2K"),
        "progress is taken back: {answered}"
    );
    assert!(answered.contains("Nice to meet you, John"), "{answered}");
    until("\x1b[1myou:").await;
    // Ctrl-D, the end of what is typed.
    keyboard.write_all(b"\x04").await.expect("read");
    let status = within("it ends", program.wait())
        .await
        .expect("it can be waited for");
    assert_eq!(status.code(), Some(0));
    services.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_told_in_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let nowhere = format!("http://127.0.0.1:{}/v1", free_port());
    let (code, out, err) = talk(&[], &nowhere, &directory, "hello\n").await;
    assert_eq!(code, 1, "{err}");
    assert!(
        out.contains("How can I help"),
        "the greeting needs no service: {out}"
    );
    assert!(out.contains("I'm sorry"), "{out}");
    assert!(err.contains("service not reachable or failing"), "{err}");
    assert!(err.contains("voxpool check"), "what to do: {err}");
    assert_eq!(err.lines().count(), 1, "once: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_console_says_what_to_set() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = voxpool(&["console"], &[], &directory).output();
    let output = within("it ends", program).await.expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("OPENAI_API_KEY"), "{err}");
    assert!(output.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_ctrl_c_does_not_wait_for_what_is_still_to_be_remembered() {
    let config = Config {
        delays: Delays {
            llm_first_token: Duration::from_secs(5),
            ..Delays::default()
        },
        ..Config::default()
    };
    let (_, services) = Server::bind(config).await.expect("the stand-in starts");
    let url = services.base_url();
    let directory = tempfile::tempdir().expect("a directory");
    let variables = [("OPENAI_BASE_URL", url.as_str())];
    let mut program = voxpool(&["console", "--identity", "john"], &variables, &directory)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = program.stdin.take().expect("it is piped");
    input.write_all(b"my name is John\n").await.expect("read");
    let mut lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
    within("John is answered", async {
        while let Some(line) = lines.next_line().await.expect("it writes") {
            if line.contains("Nice to meet you") {
                return;
            }
        }
        panic!("no answer");
    })
    .await;
    // One alone would wait for the model.
    let status = eventually("it ends", async || {
        let status = program.try_wait().expect("a child can be asked");
        if status.is_none() {
            signal(&program, "INT");
        }
        status
    })
    .await;
    assert_eq!(status.code(), Some(130));
    let left = values(&directory.path().join("voxpool.db")).await;
    assert_eq!(left, Some(Vec::new()));
    services.stop().await;
}
