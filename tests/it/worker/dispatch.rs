//! How jobs come in.

use std::collections::HashMap;

use voxpool::worker::{Config, JobOutcome, Stop, WorkerEnd};

use crate::common::jobs::{End, scripted};
use crate::common::livekit::LiveKit;
use crate::common::running::{RunningWorker, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatched_job_runs_with_all_that_the_dispatch_said_and_its_end_is_reported() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let worker =
        RunningWorker::registered(server.server_config(), quick("front-desk"), handler).await;

    server.dispatch("lobby", "front-desk", "{\"tier\":1}").await;
    let job = jobs.next().await;
    assert_eq!(job.context.room, "lobby");
    assert_eq!(job.context.agent_name, "front-desk");
    assert_eq!(job.context.metadata.expose(), "{\"tier\":1}");
    assert_eq!(
        job.context.attributes.expose(),
        &HashMap::from([("lang".to_owned(), "en".to_owned())])
    );
    assert_eq!(job.context.url, server.url());
    let id = job.context.id.clone();
    let identity = format!("agent-{id}");
    assert_eq!(server.job("lobby").await, (id.clone(), identity.clone()));
    let claims = livekit_api::access_token::Claims::from_unverified(job.context.token.expose());
    let claims = claims.unwrap();
    assert_eq!((claims.sub, claims.kind.as_str()), (identity, "agent"));
    assert_eq!(claims.attributes["lk.agent.name"], "front-desk");

    job.end(End::With(JobOutcome::Success));
    assert_eq!(server.end_of_job(&id).await.0, "JS_SUCCESS");
    worker.stop(Stop::Drain).await;
    assert_eq!(worker.ended().await, WorkerEnd::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_name_gets_a_job_for_every_new_room() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let _worker = RunningWorker::registered(server.server_config(), quick(""), handler).await;
    server.create_room("automatic").await;
    let job = jobs.next().await;
    assert_eq!(job.context.room, "automatic");
    assert_eq!(job.context.agent_name, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_for_another_name_is_not_ours() {
    let server = LiveKit::start().await;
    let (ours, mut our_jobs) = scripted();
    let (theirs, mut their_jobs) = scripted();
    let _ours = RunningWorker::registered(server.server_config(), quick("ours"), ours).await;
    let _theirs = RunningWorker::registered(server.server_config(), quick("theirs"), theirs).await;
    server.dispatch("room", "theirs", "").await;
    assert_eq!(their_jobs.next().await.context.agent_name, "theirs");
    assert!(our_jobs.started().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_dispatches_fills_the_slots_exactly() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let config = Config {
        slots_max: 3,
        ..quick("few")
    };
    let mut worker = RunningWorker::registered(server.server_config(), config, handler).await;

    let rooms: Vec<String> = (0..10).map(|n| format!("burst-{n}")).collect();
    let dispatches = rooms.iter().map(|room| server.dispatch(room, "few", ""));
    futures::future::join_all(dispatches).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(jobs.next().await);
    }
    server.refused_jobs(7).await;
    assert!(jobs.started().is_none(), "a fourth job");
    let snapshot = worker.until("full", |s| s.active_jobs == 3).await;
    assert_eq!((snapshot.slots_taken, snapshot.load), (3, 1.0));

    held.pop().unwrap().end(End::With(JobOutcome::Success));
    worker.until("room again", |s| s.active_jobs == 2).await;
    server.dispatch_until_taken("later", "few", &mut jobs).await;
}
