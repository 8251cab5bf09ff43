//! How the worker goes.

use std::time::Duration;

use tokio::time::Instant;
use voxpool::worker::{Config, JobOutcome, Stop, WorkerEnd};

use crate::common::jobs::{End, scripted, stubborn};
use crate::common::livekit::LiveKit;
use crate::common::running::{RunningWorker, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_the_running_job_end_and_takes_no_new_one() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let mut worker = RunningWorker::registered(server.server_config(), quick("a"), handler).await;
    server.dispatch("one", "a", "").await;
    let job = jobs.next().await;

    worker.stop(Stop::Drain).await;
    worker.until("it drains", |s| s.is_draining).await;
    server.dispatch("two", "a", "").await;
    server.refused_jobs(1).await;
    assert!(jobs.started().is_none(), "a new job during the drain");
    assert!(job.is_running() && !job.context.shutdown.is_cancelled());

    let id = job.context.id.clone();
    job.end(End::With(JobOutcome::Success));
    assert_eq!(worker.ended().await, WorkerEnd::Drained);
    assert_eq!(
        server.end_of_job(&id).await.0,
        "JS_SUCCESS",
        "told before it left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_job_a_third_cuts_it_off_and_the_server_hears_of_it() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = stubborn();
    let worker = RunningWorker::registered(server.server_config(), quick("a"), handler).await;
    server.dispatch("one", "a", "").await;
    let job = jobs.next().await;
    worker.stop(Stop::Drain).await;
    worker.stop(Stop::Now).await;
    job.asked_to_end().await;
    assert!(job.is_running(), "it has time to save what was said");
    let asked = Instant::now();
    worker.stop(Stop::Now).await;
    assert_eq!(worker.ended().await, WorkerEnd::Stopped);
    let grace = Config::default().termination_grace;
    assert!(asked.elapsed() < grace, "{:?}", asked.elapsed());
    assert_eq!(server.end_of_job(&job.context.id).await.0, "JS_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_ends_the_jobs() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let config = Config {
        drain_timeout: Duration::from_millis(200),
        ..quick("a")
    };
    let worker = RunningWorker::registered(server.server_config(), config, handler).await;
    server.dispatch("one", "a", "").await;
    let job = jobs.next().await;
    worker.stop(Stop::Drain).await;
    job.asked_to_end().await;
    assert_eq!(worker.ended().await, WorkerEnd::Drained);
}
