//! The worker against a real LiveKit server.

use voxpool::worker::{JobOutcome, Stop, WorkerEnd};

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
    assert_eq!(job.context.url, server.url());
    assert!(!job.context.token.expose().is_empty());
    let id = job.context.id.clone();
    let identity = format!("agent-{id}");
    assert_eq!(server.job("lobby").await, (id.clone(), identity));

    job.end(End::With(JobOutcome::Success));
    assert_eq!(server.end_of_job(&id).await.0, "JS_SUCCESS");
    worker.stop(Stop::Drain).await;
    assert_eq!(worker.ended().await, WorkerEnd::Drained);
}
