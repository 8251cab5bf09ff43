//! Connections are shared and reused: counted by the server, not by us.

use std::sync::Arc;
use std::time::Duration;

use offline_openai::{Config, Delays, Fixed, Server, ServerHandle};
use tokio::task::JoinSet;
use voxpool::stt::Stt;

use super::stages::{Stages, utterance};

async fn stand_in() -> ServerHandle {
    let config = Config {
        fixed: Some(Fixed {
            reply: Some(REPLY.to_owned()),
            tone: Duration::from_millis(100),
            ..Fixed::default()
        }),
        delays: Delays {
            stt: Duration::from_millis(5),
            llm_first_token: Duration::from_millis(5),
            llm_token: Duration::from_millis(1),
            tts_first_byte: Duration::from_millis(5),
        },
        ..Config::default()
    };
    Server::bind(config).await.unwrap().1
}

/// What the stand-in answers to everything.
const REPLY: &str = "Hello. How can I help you?";

/// Conversations that run side by side.
const AT_ONCE: usize = 8;

/// One conversation's share of the 200 calls, of all three kinds.
async fn converse(stages: Arc<Stages>) {
    for turn in 0..200 / AT_ONCE {
        match turn % 3 {
            0 => assert_eq!(stages.transcribe().await.unwrap(), "hello there"),
            1 => {
                let (text, error) = stages.chat("hello").await;
                assert!(error.is_none(), "{error:?}");
                assert_eq!(text, REPLY);
            }
            _ => {
                let (samples, error) = stages.speak("hello").await;
                assert!(error.is_none(), "{error:?}");
                assert_eq!(samples.len(), 2400);
            }
        }
    }
}

/// All conversations, to their end.
async fn two_hundred_calls(stages: &Arc<Stages>) {
    let mut conversations = JoinSet::new();
    for _ in 0..AT_ONCE {
        conversations.spawn(converse(stages.clone()));
    }
    conversations.join_all().await;
}

/// hyper opens a connection for a request that is faster than the one on its way back: as many as
/// twenty here, without a remedy. (On a busy machine one or two are later than anybody waits.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_share_as_many_connections_as_run_at_once() {
    let server = stand_in().await;
    let stages = Arc::new(Stages::new(&server.base_url()));
    two_hundred_calls(&stages).await;
    let cold = server.stats().connections.accepted;
    assert!(
        cold <= AT_ONCE as u64 + 2,
        "{cold} connections for {AT_ONCE} conversations"
    );
    two_hundred_calls(&stages).await;
    let seen = server.stats();
    assert_eq!(seen.total.requests, 400);
    let in_all = seen.connections.accepted;
    assert!(
        in_all <= AT_ONCE as u64 + 2,
        "{in_all} connections after {cold}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_count_of_connections_and_requests_is_the_servers() {
    let server = stand_in().await;
    let stages = Arc::new(Stages::new(&server.base_url()));
    two_hundred_calls(&stages).await;
    let seen = server.stats();
    let stats = stages.pool.stats().await;
    assert_eq!(stats.connections.opened, seen.connections.accepted);
    let service = &stats.services[0];
    assert_eq!(service.connections.opened, seen.connections.api);
    assert_eq!(service.connections.opened + stats.connections.reused, 200);
    if let Some(open) = stats.connections.open {
        assert_eq!(open, seen.connections.open);
    }
    assert_eq!(
        (service.requests, service.errors_total(), service.in_flight),
        (200, 0, 0)
    );
    assert!(service.latency.p95_ms.is_some());
}

#[tokio::test]
async fn a_warmed_pool_opens_nothing_for_its_first_call() {
    let server = stand_in().await;
    let stages = Stages::new(&server.base_url());
    let endpoints = [stages.stt.endpoint().clone(), stages.llm.endpoint().clone()];
    stages.pool.prewarm(&endpoints).await;
    let opened = server.stats().connections.accepted;
    assert!(opened >= 1);
    stages.transcribe().await.unwrap();
    assert_eq!(server.stats().connections.accepted, opened);

    stages.pool.prewarm(&endpoints).await;
    assert_eq!(
        server.stats().endpoints.models.requests,
        2,
        "it was warm already"
    );
}

#[tokio::test]
async fn each_host_is_warmed_whatever_another_has_answered() {
    let (first, second) = (stand_in().await, stand_in().await);
    let mut options = super::stages::Options::default();
    options.stt.base_url = second.base_url();
    let stages = Stages::with(&first.base_url(), options);
    stages.chat("hello").await;
    let endpoints = [stages.stt.endpoint().clone(), stages.llm.endpoint().clone()];
    stages.pool.prewarm(&endpoints).await;
    let asked = |server: &ServerHandle| server.stats().endpoints.models.requests;
    assert_eq!((asked(&first), asked(&second)), (0, 2));

    let opened = second.stats().connections.accepted;
    stages.transcribe().await.unwrap();
    assert_eq!(second.stats().connections.accepted, opened);
    stages.pool.prewarm(&endpoints).await;
    assert_eq!((asked(&first), asked(&second)), (0, 2), "both are warm");
}

#[tokio::test]
async fn stages_with_their_own_server_use_it() {
    let (first, second) = (stand_in().await, stand_in().await);
    let mut options = super::stages::Options::default();
    options.stt.base_url = second.base_url();
    let stages = Stages::with(&first.base_url(), options);
    stages.stt.transcribe(utterance()).await.unwrap();
    stages.chat("hello").await;
    assert_eq!(first.stats().endpoints.chat.requests, 1);
    assert_eq!(second.stats().endpoints.transcriptions.requests, 1);
    assert_eq!(
        first.stats().total.requests + second.stats().total.requests,
        2
    );
}

#[tokio::test]
async fn the_address_may_be_written_with_or_without_its_version() {
    let server = stand_in().await;
    let bare = server.base_url().trim_end_matches("/v1").to_owned();
    for base_url in [
        bare.clone(),
        format!("{bare}/"),
        format!("{bare}/v1"),
        format!("{bare}/v1/"),
    ] {
        let stages = Stages::new(&base_url);
        assert_eq!(
            stages.transcribe().await.unwrap(),
            "hello there",
            "{base_url}"
        );
    }
}

#[tokio::test]
async fn async_openais_client_goes_through_the_pool_too() {
    let server = stand_in().await;
    let stages = Stages::new(&server.base_url());
    let client = stages
        .pool
        .openai(stages.llm.endpoint(), Duration::from_secs(5));
    assert!(!client.models().list().await.unwrap().data.is_empty());
    let stats = stages.pool.stats().await;
    assert_eq!(stats.services[0].operations["openai"].requests, 1);
    assert_eq!(
        stats.permits.in_use, 0,
        "the answer was read, its place is free"
    );
}
