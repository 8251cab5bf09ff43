//! The program itself, when a client cannot be made: it goes on without, says so in its statistics,
//! and makes it when that is possible.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::common::livekit::{API_KEY, API_SECRET};
use crate::common::{eventually, free_port};
use crate::program::voxpool;

async fn pool(http: &str) -> Option<Value> {
    let answer = reqwest::get(format!("{http}/pool")).await.ok()?;
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_is_done_without_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certificates.pem");
    let (port, nowhere) = (free_port().to_string(), free_port());
    let livekit = format!("ws://127.0.0.1:{nowhere}");
    let variables = [
        ("LIVEKIT_URL", livekit.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_API_KEY", "unused"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__MEMORY__SQLITE_PATH", "missing/memory.db"),
        ("VOXPOOL__POOL__HEALTH_INTERVAL_SECONDS", "1"),
        ("VOXPOOL__POOL__CLEANUP_INTERVAL_MIN_SECONDS", "0"),
        ("SSL_CERT_FILE", certificates.to_str().unwrap()),
    ];
    let mut worker = voxpool(&["start", "--port", &port], &variables, &directory)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let http = format!("http://127.0.0.1:{port}");
    let stats = eventually("the program answers", async || pool(&http).await).await;
    let why = stats["missing"]["sqlite"].as_str().unwrap_or_default();
    assert!(why.contains("its folder is not there"), "{stats}");
    assert_eq!(stats["http_client"]["has_certificates"], false, "{stats}");
    assert_eq!(stats["http_client"]["is_shared"], true, "{stats}");

    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-subj", "/CN=localhost", "-keyout", "key.pem"])
        .args(["-out", "certificates.pem"])
        .current_dir(directory.path())
        .output();
    assert!(made.unwrap().status.success());
    #[expect(clippy::disallowed_methods, reason = "an operator's client, not ours")]
    let client = reqwest::Client::new();
    eventually("the next client finds them", async || {
        let cleanup = client.post(format!("{http}/pool/cleanup"));
        cleanup.timeout(Duration::from_secs(5)).send().await.ok()?;
        (pool(&http).await?["http_client"]["has_certificates"] == true).then_some(())
    })
    .await;

    std::fs::create_dir(directory.path().join("missing")).unwrap();
    eventually("the file is opened, and nobody has asked", async || {
        pool(&http).await?["missing"]["sqlite"]
            .is_null()
            .then_some(())
    })
    .await;
    worker.kill().await.unwrap();
}
