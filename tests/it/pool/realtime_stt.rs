//! Transcription while the user speaks, against aimock's Realtime server.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;
use voxpool::audio::AudioFrame;
use voxpool::error::ErrorKind;
use voxpool::stt::Mode;
use voxpool::stt::{Hearing, Stt};

use super::aimock::Aimock;
use super::stages::{Options, SOON, Stages, utterance};

const FIXTURES: &str = r#"{"fixtures":[
  {"match":{"endpoint":"realtime-transcription"},
   "response":{"transcription":{"text":"hello there"}}}
]}"#;

fn options() -> Options {
    let mut options = Options::default();
    options.stt.mode = Mode::Realtime;
    options
}

/// The transcriber, and the pool for its figures.
fn transcriber(base_url: &str, options: Options) -> (Arc<dyn Stt>, voxpool::pool::ConnectionPool) {
    let stages = Stages::with(base_url, options);
    (stages.stt.in_mode(), stages.pool)
}

/// 100 ms of a user's sound.
fn sound() -> AudioFrame {
    AudioFrame {
        samples: vec![1000; 1600],
        sample_rate_hz: 16_000,
    }
}

fn listen(stt: &dyn Stt) -> Result<Box<dyn Hearing>> {
    let hearing = stt.listen().context("it listens")?;
    for _ in 0..5 {
        hearing.hear(&sound());
    }
    Ok(hearing)
}

#[tokio::test]
async fn words_come_while_the_user_speaks_and_the_next_utterance_takes_the_same_connection()
-> Result<()> {
    let server = Aimock::with(FIXTURES).await?;
    let (stt, pool) = transcriber(&server.base_url, options());

    let mut hearing = listen(&*stt)?;
    let said = timeout(SOON, hearing.transcribe(utterance())).await??;
    assert_eq!(said, "hello there");
    let mut shown = Vec::new();
    while shown.last().is_none_or(|words| words != "hello there") {
        shown.push(timeout(SOON, poll_fn(|context| hearing.poll_words(context))).await?);
    }
    assert!(shown.len() > 2, "they come in pieces: {shown:?}");
    assert!(
        shown.iter().all(|words| "hello there".starts_with(words)),
        "{shown:?}"
    );

    // The user goes on: the utterance is both parts.
    hearing.hear(&sound());
    let said = timeout(SOON, hearing.transcribe(utterance())).await??;
    assert_eq!(said, "hello there hello there");
    // Nothing new was said.
    let said = timeout(SOON, hearing.transcribe(utterance())).await??;
    assert_eq!(said, "hello there hello there");
    // Something that is not asked for is forgotten, and the connection serves the next.
    hearing.hear(&sound());
    drop(hearing);

    for n in 2..4 {
        let hearing = listen_when_free(&*stt, &pool).await?;
        let said = timeout(SOON, hearing.transcribe(utterance())).await??;
        assert_eq!(said, "hello there", "utterance {n}");
    }
    let stats = pool.stats().await;
    assert_eq!(stats.connections.opened, 1, "{:?}", stats.connections);
    assert_eq!(stats.connections.reused, 2, "{:?}", stats.connections);
    assert_eq!(stats.services[0].errors_total(), 0);
    Ok(())
}

/// The connection of the utterance before is given back a moment after it is over.
async fn listen_when_free(
    stt: &dyn Stt,
    pool: &voxpool::pool::ConnectionPool,
) -> Result<Box<dyn Hearing>> {
    let free = async {
        while pool.idle_sockets() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, free)
        .await
        .context("a connection comes back")?;
    listen(stt)
}

#[tokio::test]
async fn connections_are_opened_ahead_and_replaced_when_they_are_old() -> Result<()> {
    let server = Aimock::with(FIXTURES).await?;
    let mut options = options();
    options.stt.socket_age_max = Duration::from_secs(600);
    let (stt, pool) = transcriber(&server.base_url, options);
    stt.prewarm().await;
    assert_eq!(pool.stats().await.connections.opened, 2);
    stt.prewarm().await;
    assert_eq!(pool.stats().await.connections.opened, 2, "there are some");
    let said = stt.transcribe(utterance()).await?;
    assert_eq!(said, "hello there");
    assert_eq!(
        pool.stats().await.connections.opened,
        2,
        "a kept one is used"
    );

    pool.cleanup().await;
    assert_eq!(pool.idle_sockets(), 0, "a cleanup closes what nobody uses");

    let mut options = self::options();
    options.stt.socket_age_max = Duration::from_nanos(1);
    let (stt, pool) = transcriber(&server.base_url, options);
    for _ in 0..2 {
        assert_eq!(stt.transcribe(utterance()).await?, "hello there");
    }
    assert_eq!(
        pool.stats().await.connections.opened,
        2,
        "an old one is not used again"
    );
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_lost_is_replaced_without_anybody_noticing() -> Result<()> {
    let server = Aimock::with(
        r#"{"fixtures":[
          {"match":{"endpoint":"realtime-transcription","sequenceIndex":0},
           "response":{"transcription":{"text":"lost words"}},"truncateAfterChunks":1},
          {"match":{"endpoint":"realtime-transcription"},
           "response":{"transcription":{"text":"hello there"}}}
        ]}"#,
    )
    .await?;
    let (stt, pool) = transcriber(&server.base_url, options());
    let hearing = listen(&*stt)?;
    let said = timeout(SOON, hearing.transcribe(utterance())).await??;
    assert_eq!(said, "hello there");
    let stats = pool.stats().await;
    assert_eq!(stats.connections.opened, 2);
    assert_eq!(stats.services[0].errors_total(), 0);
    assert_eq!(stats.services[0].retries, 0, "within the same try");
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_an_error_that_says_what_to_do() -> Result<()> {
    let server = Aimock::with(
        r#"{"fixtures":[{"match":{"endpoint":"realtime-transcription"},
            "response":{"error":{"message":"no","type":"invalid_request_error"},"status":400}}]}"#,
    )
    .await?;
    let (stt, _) = transcriber(&server.base_url, options());
    let error = listen(&*stt)?.transcribe(utterance()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);

    let mut options = options();
    options.stt.model = "no-such-model".to_owned();
    let (stt, _) = transcriber(&server.base_url, options);
    let error = stt.transcribe(utterance()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");

    let (stt, _) = transcriber("http://127.0.0.1:9", self::options());
    let error = stt.transcribe(utterance()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    Ok(())
}
