//! How many requests may be under way, and how many sockets that makes at the servers.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::task::JoinSet;
use voxpool::error::{CallError, ErrorKind, Service};
use voxpool::llm::Llm;
use voxpool::pool::{AdaptiveConfig, CallSpec, Config, ConnectionPool, Endpoint, Lease, Priority};

use super::counted::{Counted, Seen};
use super::stages::{Options, SOON, Stages, request};
use super::wire::{Step, Wire, head, said};
use crate::common::eventually;

#[tokio::test]
async fn a_stream_keeps_its_place_until_it_is_dropped() {
    let wire = Wire::start(|n| match n {
        0 => vec![head("text/event-stream"), said("hel"), Step::Stall],
        _ => super::wire::transcript("hello"),
    })
    .await;
    let mut options = Options {
        pool: Config {
            connections_max: 1,
            connections_per_host_max: 1,
            ..Config::default()
        },
        ..Options::default()
    };
    options.stt.timeout = Duration::from_millis(200);
    let stages = Stages::with(&wire.base_url, options);
    let mut events = stages.llm.chat(request("hello"));
    events.next().await.unwrap().ok().unwrap();

    let error = stages.transcribe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Saturated, "the only place is taken");
    assert_eq!(wire.requests(), 1);
    assert_eq!(stages.pool.stats().await.permits.in_use, 1);

    drop(events);
    assert_eq!(stages.transcribe().await.unwrap(), "hello");
}

/// The defaults, without what may change the numbers that are counted: the adaptive limit falls when
/// answers become slow, as those do here that are held back, and a retry would hide a failure.
fn plain() -> Config {
    Config {
        retries_max: 0,
        adaptive: AdaptiveConfig {
            enabled: false,
            ..AdaptiveConfig::default()
        },
        ..Config::default()
    }
}

/// Asks each host so many times at once.
fn ask(
    pool: &ConnectionPool,
    hosts: &Counted,
    priority: Priority,
    times: usize,
) -> JoinSet<Result<(), CallError>> {
    let mut calls = JoinSet::new();
    for address in &hosts.addresses {
        let url = format!("http://{address}");
        let endpoint = Endpoint::of(Service::Http, &url, HeaderMap::new()).unwrap();
        let spec = CallSpec {
            priority,
            ..CallSpec::to("ask", &endpoint, SOON)
        };
        for _ in 0..times {
            let (pool, spec, endpoint) = (pool.clone(), spec.clone(), endpoint.clone());
            let once = move |lease: Lease| {
                let request = lease.request(Method::GET, &endpoint, "/");
                async move {
                    let answer = lease.send(request).await?;
                    lease.read(answer, 100).await
                }
            };
            calls.spawn(async move { pool.call(spec, once).await.map(drop) });
        }
    }
    calls
}

/// Waits until so many calls are under way, with a place or waiting for one.
async fn under_way(pool: &ConnectionPool, count: u64) {
    eventually("all have asked", async || {
        (pool.stats().await.services[0].in_flight == count).then_some(())
    })
    .await;
}

async fn all_answered(calls: JoinSet<Result<(), CallError>>, count: usize) {
    let answers = calls.join_all().await;
    assert_eq!(answers.len(), count);
    for answer in answers {
        answer.unwrap();
    }
}

#[test]
fn a_hundred_connections_thirty_for_a_host_and_their_times_are_the_defaults() {
    let config = Config::default();
    assert_eq!(config.connections_max, 100);
    assert_eq!(config.connections_per_host_max, 30);
    assert_eq!(config.idle_timeout, Duration::from_secs(60));
    assert_eq!(config.dns_ttl, Duration::from_secs(300));
}

#[tokio::test]
async fn a_host_has_thirty_sockets_however_many_ask() {
    let host = Counted::start(1).await;
    let pool = ConnectionPool::new(plain()).unwrap();
    let calls = ask(&pool, &host, Priority::Caller, 90);
    under_way(&pool, 90).await;
    for answered in [0, 30, 60] {
        let thirty = |seen: &Seen| (seen.answered, seen.asking) == (answered, 30);
        host.until("the next thirty ask", thirty).await;
        let seen = host.has_accepted_all().await;
        assert_eq!((seen.asking, seen.open), (30, 30), "{seen:?}");
        host.answer(30);
    }
    all_answered(calls, 90).await;
    let seen = host.seen();
    assert_eq!((seen.asking_max, seen.open_max), (30, 30), "{seen:?}");
}

/// There can be more sockets than callers' requests: work in the background comes on top, and a
/// request may open one that is left over (see `pooling.rs`). Those above the limit are not kept.
#[tokio::test]
async fn thirty_sockets_are_kept_to_a_host_that_had_more() {
    let host = Counted::start(1).await;
    let pool = ConnectionPool::new(plain()).unwrap();
    let of_callers = ask(&pool, &host, Priority::Caller, 40);
    let in_background = ask(&pool, &host, Priority::Background, 20);
    under_way(&pool, 60).await;
    host.until("those with a place ask", |seen| seen.asking == 38)
        .await;
    let seen = host.has_accepted_all().await;
    assert_eq!((seen.asking, seen.open), (30 + 8, 30 + 8), "{seen:?}");
    host.answer(60);
    all_answered(of_callers, 40).await;
    all_answered(in_background, 20).await;
    host.until("thirty are kept", |seen| seen.open == 30).await;
}

/// The limit is for requests: a connection that is kept to a host which nobody asks any more does
/// not count, so there are more sockets as soon as other hosts are asked.
#[tokio::test]
async fn all_hosts_together_have_a_hundred_sockets_with_requests() {
    let hosts = Counted::start(4).await;
    let pool = ConnectionPool::new(plain()).unwrap();
    let calls = ask(&pool, &hosts, Priority::Caller, 30);
    under_way(&pool, 120).await;
    hosts
        .until("a hundred ask", |seen| seen.asking == 100)
        .await;
    let seen = hosts.has_accepted_all().await;
    assert_eq!((seen.asking, seen.open), (100, 100), "{seen:?}");

    hosts.answer(20);
    let a_hundred = |seen: &Seen| (seen.answered, seen.asking) == (20, 100);
    hosts.until("a hundred ask again", a_hundred).await;
    hosts.answer(100);
    all_answered(calls, 120).await;
    let seen = hosts.seen();
    assert_eq!(seen.asking_max, 100, "{seen:?}");
    assert!(seen.open_max <= 4 * 30, "{seen:?}");
}

#[tokio::test]
async fn a_socket_that_nobody_uses_is_closed_when_its_time_is_over() {
    let host = Counted::start(1).await;
    let pool = ConnectionPool::new(Config {
        idle_timeout: Duration::from_millis(300),
        ..plain()
    })
    .unwrap();
    let calls = ask(&pool, &host, Priority::Caller, 3);
    host.until("three ask", |seen| seen.asking == 3).await;
    host.answer(3);
    all_answered(calls, 3).await;
    let seen = (host.until("all are closed", |seen| seen.open == 0)).await;
    assert_eq!((seen.open_max, seen.idle.len()), (3, 3), "{seen:?}");
    let is_over = |idle: &Duration| *idle >= Duration::from_millis(300);
    assert!(seen.idle.iter().all(is_over), "{seen:?}");
}
