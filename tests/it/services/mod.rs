//! The real program with chat services as people really use them: `voxpool console`, two turns or more.

mod answers;
mod capabilities;
mod recordings;
mod server;

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use self::server::Service;
use crate::common::within;
use crate::program::voxpool;

/// A conversation: exit code, a line for each answer behind the greeting, what went wrong.
struct Talk {
    code: i32,
    answers: Vec<String>,
    errors: String,
}

/// Types each of `lines` to an agent at `service`.
async fn talk(service: &Service, variables: &[(&str, &str)], lines: &[&str]) -> Talk {
    let directory = tempfile::tempdir().expect("a directory");
    let mut all = vec![
        ("OPENAI_BASE_URL", service.base_url.as_str()),
        ("OPENAI_API_KEY", "any-key-will-do"),
        ("VOXPOOL__POOL__RETRY_DELAY_MAX_MS", "200"),
    ];
    all.extend(variables);
    let mut program = voxpool(&["console"], &all, &directory)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = program.stdin.take().expect("it is piped");
    let typed = lines.join("\n") + "\n";
    input.write_all(typed.as_bytes()).await.expect("it reads");
    drop(input);
    let output = within("the conversation ends", program.wait_with_output())
        .await
        .expect("its output can be read");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let out = text(&output.stdout);
    Talk {
        code: output.status.code().expect("it ends by itself"),
        answers: out.lines().skip(1).map(str::to_owned).collect(),
        errors: text(&output.stderr),
    }
}

/// Two turns, each answered with `expected` and without any trouble.
async fn two_turns(service: &Service, variables: &[(&str, &str)], expected: &str, why: &str) {
    let talk = talk(service, variables, &["hello", "and again"]).await;
    assert_eq!(talk.answers, [expected, expected], "{why}: {}", talk.errors);
    assert_eq!((talk.code, &*talk.errors), (0, ""), "{why}");
}
