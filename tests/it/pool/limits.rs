//! How many requests may be under way.

use std::time::Duration;

use futures::StreamExt;
use voxpool::error::ErrorKind;
use voxpool::llm::Llm;
use voxpool::pool::Config;

use super::stages::{Options, Stages, request};
use super::wire::{Step, Wire, head, said};

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
