//! Signals to the real binary in the middle of a call: when the agent leaves, and what is remembered.

use std::path::PathBuf;
use std::time::Duration;

use offline_openai::{Config, Delays, Fixed, Server, ServerHandle};
use tempfile::TempDir;

use super::caller::Caller;
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::memory::killed::values;
use crate::program::Started;

/// How long the model thinks: longer than it takes to leave a room.
const THINKING: Duration = Duration::from_secs(2);

/// A call in which the caller has just been answered: what they said is being looked at.
struct Call {
    server: LiveKit,
    services: ServerHandle,
    worker: Started,
    caller: Caller,
    directory: TempDir,
}

impl Call {
    async fn begin(drain_timeout_seconds: &str, thinking: Duration) -> Self {
        let server = LiveKit::start().await;
        let services = Config {
            fixed: Some(Fixed {
                tone: Duration::from_millis(300),
                ..Fixed::default()
            }),
            delays: Delays {
                llm_first_token: thinking,
                ..Delays::default()
            },
            ..Config::default()
        };
        let (_, services) = Server::bind(services).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (url, openai) = (server.url(), services.base_url());
        let file = file(&directory).display().to_string();
        let variables = [
            ("LIVEKIT_URL", url.as_str()),
            ("LIVEKIT_API_KEY", API_KEY),
            ("LIVEKIT_API_SECRET", API_SECRET),
            ("LIVEKIT_AGENT_NAME", "front-desk"),
            ("OPENAI_BASE_URL", openai.as_str()),
            ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
            ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
            (
                "VOXPOOL__WORKER__DRAIN_TIMEOUT_SECONDS",
                drain_timeout_seconds,
            ),
            ("VOXPOOL__MEMORY__SQLITE_PATH", file.as_str()),
        ];
        let mut worker = Started::with(&variables).await;
        worker.logged("registered").await;
        server.dispatch("reception", "front-desk", "").await;
        let caller = Caller::join_as("anna", &url, "reception").await;
        caller.reads(true, "help you").await;
        let call = Self {
            server,
            services,
            worker,
            caller,
            directory,
        };
        call.asks("my name is Anna", "Nice to meet you").await;
        call
    }

    async fn asks(&self, words: &str, answer: &str) {
        self.caller.type_text(words).await;
        self.caller.reads(true, answer).await;
    }

    /// Sends SIGTERM and waits until the log says what it does.
    async fn terminate(&mut self, effect: &str) {
        self.worker.signal("TERM");
        self.worker.logged(effect).await;
    }

    /// The exit code, and what is remembered then.
    async fn end(self) -> (i32, String) {
        let code = self.worker.exit_code().await;
        let values = values(&file(&self.directory)).await;
        self.services.stop().await;
        (code, values.expect("the file can be read").concat())
    }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("memory.db")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_caller_talk_on_and_takes_no_other_until_they_hang_up() {
    let mut call = Call::begin("60", THINKING).await;
    call.terminate("draining").await;
    call.server.dispatch("too-late", "front-desk", "").await;
    call.server.refused_jobs(1).await;
    call.asks("I live in London", "you live in London").await;
    let (_, worker) = call.worker.get("/worker").await;
    let worker: serde_json::Value = serde_json::from_str(&worker).unwrap();
    assert_eq!(worker["draining"], true);
    assert_eq!(worker["active_jobs"], 1);
    // Not `hang_up`: the call is needed for what comes after.
    call.caller.room.close().await.unwrap();
    let (code, remembered) = call.end().await;
    assert_eq!(code, 0);
    for known in ["Anna", "London"] {
        assert!(remembered.contains(known), "{known} not in {remembered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_drain_ends_a_call_whose_last_words_are_remembered() {
    let mut call = Call::begin("0.5", THINKING).await;
    call.terminate("draining").await;
    call.caller.sees_the_agent_leave().await;
    let (code, remembered) = call.end().await;
    assert_eq!(code, 0);
    assert!(remembered.contains("Anna"), "{remembered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_call_whose_last_words_are_remembered() {
    let mut call = Call::begin("60", THINKING).await;
    call.terminate("draining").await;
    call.terminate("stopping").await;
    call.caller.sees_the_agent_leave().await;
    let (code, remembered) = call.end().await;
    assert_eq!(code, 1, "a call was ended before its time");
    assert!(remembered.contains("Anna"), "{remembered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_drain_the_first_signal_does_so_and_a_further_one_waits_for_nothing() {
    let mut call = Call::begin("0", 3 * THINKING).await;
    call.terminate("stopping").await;
    call.caller.sees_the_agent_leave().await;
    call.terminate("jobs are cut off").await;
    let (code, remembered) = call.end().await;
    assert_eq!((code, remembered.as_str()), (1, ""));
}
