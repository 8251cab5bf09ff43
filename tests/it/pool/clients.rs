//! The pool's clients for others than the stages, and what it costs to have none.

use std::time::Duration;

use offline_openai::{Config as ServerConfig, Fixed, Server};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use voxpool::error::{ErrorKind, Service};
use voxpool::pool::{Config, ConnectionPool, Endpoint, PARALLEL_TIMEOUT, parallel_ai_calls};

use super::stages::{Options, Stages};
use super::wire::{Wire, answer};

/// A pool with short pauses, and an endpoint of a service that is not OpenAI's.
fn other_service(base_url: &str) -> (ConnectionPool, Endpoint) {
    let pool = ConnectionPool::new(Options::default().pool).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("apikey", HeaderValue::from_static("sb-key"));
    (
        pool,
        Endpoint::of(Service::Supabase, base_url, headers).unwrap(),
    )
}

#[tokio::test]
async fn another_service_is_called_with_its_headers_and_counted_apart() {
    let wire = Wire::start(|_| answer("200 OK", "", "[1]")).await;
    let (pool, endpoint) = other_service(&wire.base_url);
    let client = pool.http(&endpoint, Duration::from_secs(5));
    let body = client
        .send("rows.get", Method::GET, "/rows", |request| {
            request.query(&[("id", "eq.1")])
        })
        .await
        .unwrap();
    assert_eq!(&body[..], b"[1]");
    let head = wire.head(0);
    assert!(head.starts_with("GET /v1/rows?id=eq.1 "), "{head}");
    assert!(head.contains("apikey: sb-key"), "{head}");
    let stats = pool.stats().await;
    assert_eq!(stats.services.len(), 1);
    let service = &stats.services[0];
    assert_eq!(service.service, Service::Supabase);
    assert_eq!(service.operations["rows.get"].requests, 1);
    assert_eq!(service.hosts[0].host.as_deref(), Some(&**endpoint.host()));
}

#[tokio::test]
async fn only_what_is_idempotent_is_sent_twice() {
    for (method, tries) in [(Method::PUT, 4), (Method::POST, 1)] {
        let wire = Wire::start(|_| answer("503 Busy", "", "{}")).await;
        let (pool, endpoint) = other_service(&wire.base_url);
        let client = pool.http(&endpoint, Duration::from_secs(5));
        let result = client
            .send("rows.save", method, "/rows", |request| request)
            .await;
        assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(wire.requests(), tries);
    }
}

#[tokio::test]
async fn a_probe_asks_what_the_endpoint_says() {
    let wire = Wire::start(|_| answer("200 OK", "", "{}")).await;
    let (pool, endpoint) = other_service(&wire.base_url);
    pool.probe(&endpoint.health_path("/alive")).await.unwrap();
    assert!(wire.head(0).starts_with("GET /v1/alive "));
}

#[tokio::test]
async fn without_the_pool_every_request_has_a_connection_of_its_own() {
    let config = ServerConfig {
        fixed: Some(Fixed::default()),
        ..ServerConfig::default()
    };
    let (_, server) = Server::bind(config).await.unwrap();
    let connections = async |enabled| {
        let options = Options {
            pool: Config {
                enabled,
                ..Config::default()
            },
            ..Options::default()
        };
        let stages = Stages::with(&server.base_url(), options);
        let before = server.stats().connections.accepted;
        stages.pool.prewarm(&[stages.stt.endpoint().clone()]).await;
        for _ in 0..10 {
            stages.transcribe().await.unwrap();
        }
        server.stats().connections.accepted - before
    };
    assert_eq!(connections(false).await, 10);
    assert!(connections(true).await <= 2);
}

#[tokio::test]
async fn parallel_calls_share_the_pool_and_keep_their_order() {
    let wire = Wire::start(|_| super::wire::transcript("hello")).await;
    let stages = Stages::new(&wire.base_url);
    let calls = (0..50).map(|_| stages.transcribe());
    let results = parallel_ai_calls(calls, PARALLEL_TIMEOUT).await;
    assert_eq!(results.len(), 50);
    assert!(
        results
            .into_iter()
            .all(|it| it.is_ok_and(|text| text == "hello"))
    );
    assert!(wire.accepted() <= 30, "one host has 30 places");
}
