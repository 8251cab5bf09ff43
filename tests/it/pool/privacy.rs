//! What callers say, and keys, stay out of logs and errors, whatever a server does.

use voxpool::error::CallError;

use super::stages::Stages;
use super::wire::{Step, Wire, answer, head, piece};
use crate::common::log::Log;

/// What a server repeats and nobody may log.
const PRIVATE: &str = "my-name-is-John";

/// An error with all its causes, as a log would show it.
fn told(error: &CallError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text += &format!(" {inner} {inner:?}");
        cause = inner.source();
    }
    text
}

/// Every answer of these goes wrong in a way of its own, and repeats what the caller said.
fn answers() -> Vec<fn() -> Vec<Step>> {
    vec![
        || {
            let broken = format!("{{{PRIVATE}");
            answer("200 OK", "content-type: application/json\r\n", &broken)
        },
        || answer("500 Oops", "", PRIVATE),
        || {
            answer(
                "400 Bad",
                "",
                &format!(
                    "{{\"error\":{{\"message\":\"{PRIVATE}\",\"code\":\"sk-test-key {PRIVATE}\"}}}}"
                ),
            )
        },
        || answer("404 Gone", "", &format!("<html>{PRIVATE}")),
        || {
            let garbage = format!("data: {{\"choices\": {PRIVATE}\n\n");
            vec![
                head("text/event-stream"),
                piece(garbage.as_bytes()),
                Step::Close,
            ]
        },
        || {
            let error = format!("data: {{\"error\":{{\"message\":\"{PRIVATE}\"}}}}\n\n");
            vec![
                head("text/event-stream"),
                piece(error.as_bytes()),
                Step::Close,
            ]
        },
    ]
}

#[tokio::test]
async fn nothing_private_is_logged_or_told_by_errors() {
    let (log, _guard) = Log::start();
    let mut errors = String::new();
    for script in answers() {
        let wire = Wire::start(move |_| script()).await;
        let stages = Stages::new(&wire.base_url);
        errors += &told(&stages.transcribe().await.unwrap_err());
        errors += &told(&stages.chat(PRIVATE).await.1.unwrap());
        errors += &told(&stages.speak(PRIVATE).await.1.unwrap());
    }
    for text in [&log.text(), &errors] {
        assert!(
            !text.contains(PRIVATE) && !text.contains("sk-test-key"),
            "{text}"
        );
    }
}
