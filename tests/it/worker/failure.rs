//! Jobs that fail, and jobs that the server ends.

use std::time::Duration;

use voxpool::worker::{Config, JobOutcome, Stop, WorkerEnd};

use crate::common::jobs::{End, scripted, stubborn};
use crate::common::livekit::LiveKit;
use crate::common::running::{RunningWorker, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_job_and_leaves_the_others_alone() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let mut worker = RunningWorker::registered(server.server_config(), quick("a"), handler).await;
    server.dispatch("one", "a", "").await;
    let broken = jobs.next().await;
    server.dispatch("two", "a", "").await;
    let sound = jobs.next().await;

    let id = broken.context.id.clone();
    broken.end(End::Panic);
    let (status, error) = server.end_of_job(&id).await;
    assert_eq!(status, "JS_FAILED");
    assert!(error.contains("bug"), "{error}");
    let snapshot = worker.until("one job left", |s| s.active_jobs == 1).await;
    assert_eq!((snapshot.job_panics, snapshot.jobs_failed), (1, 1));

    assert!(sound.is_running());
    let id = sound.context.id.clone();
    sound.end(End::With(JobOutcome::Success));
    assert_eq!(server.end_of_job(&id).await.0, "JS_SUCCESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_tells_the_server_why() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let _worker = RunningWorker::registered(server.server_config(), quick("a"), handler).await;
    server.dispatch("one", "a", "").await;
    let job = jobs.next().await;
    let id = job.context.id.clone();
    job.end(End::With(JobOutcome::Failed(
        "the room could not be joined".to_owned(),
    )));
    let expected = (
        "JS_FAILED".to_owned(),
        "the room could not be joined".to_owned(),
    );
    assert_eq!(server.end_of_job(&id).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_dispatch_ends_the_job() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let mut worker = RunningWorker::registered(server.server_config(), quick("a"), handler).await;
    let dispatch = server.dispatch("one", "a", "").await;
    let job = jobs.next().await;
    server.job("one").await;
    server.delete_dispatch("one", &dispatch.id).await;
    job.asked_to_end().await;
    let snapshot = worker.until("no job left", |s| s.active_jobs == 0).await;
    assert_eq!(snapshot.slots_taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_end_when_it_must_is_cut_off() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = stubborn();
    let config = Config {
        termination_grace: Duration::from_millis(200),
        ..quick("a")
    };
    let mut worker = RunningWorker::registered(server.server_config(), config, handler).await;
    let dispatch = server.dispatch("one", "a", "").await;
    let job = jobs.next().await;
    server.job("one").await;
    server.delete_dispatch("one", &dispatch.id).await;
    job.asked_to_end().await;
    let snapshot = worker.until("no job left", |s| s.active_jobs == 0).await;
    assert_eq!(snapshot.jobs_failed, 1);
    assert!(!job.is_running());
    worker.stop(Stop::Now).await;
    assert_eq!(
        worker.ended().await,
        WorkerEnd::Drained,
        "no job was running"
    );
}
