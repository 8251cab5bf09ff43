//! A server that goes away and comes back, or never was there.

use voxpool::redact::Pii;
use voxpool::worker::{JobOutcome, ServerConfig, Stop, WorkerEnd};

use crate::common::free_port;
use crate::common::jobs::{End, scripted};
use crate::common::livekit::LiveKit;
use crate::common::running::{RunningWorker, quick};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_server_crashed_the_worker_registers_again_and_its_job_goes_on() {
    let mut server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let mut worker = RunningWorker::registered(server.server_config(), quick("a"), handler).await;
    server.dispatch("before", "a", "").await;
    let old = jobs.next().await;

    server.kill();
    let snapshot = worker.until("it notices", |s| s.worker_id.is_none()).await;
    assert!(
        snapshot
            .unhealthy_because()
            .unwrap()
            .starts_with("not registered with LiveKit")
    );
    assert_eq!(snapshot.active_jobs, 1);
    server.restart().await;
    worker
        .until("it is registered again", |s| s.worker_id.is_some())
        .await;
    assert!(old.is_running() && !old.context.shutdown.is_cancelled());

    server.dispatch_until_taken("after", "a", &mut jobs).await;
    old.end(End::With(JobOutcome::Success));
    let snapshot = worker
        .until("the old job has ended", |s| s.jobs_succeeded > 0)
        .await;
    assert_eq!(snapshot.reconnects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_named_and_tried_again_until_it_works() {
    let server = LiveKit::start().await;
    let (handler, _jobs) = scripted();
    let wrong = ServerConfig {
        api_secret: Pii::new("another-secret-of-at-least-32-characters".to_owned()),
        ..server.server_config()
    };
    let mut worker = RunningWorker::start(wrong, quick("a"), handler);
    let snapshot = worker.until("it is refused", |s| s.trouble.is_some()).await;
    let why = snapshot.unhealthy_because().unwrap();
    assert!(why.contains("LIVEKIT_API_SECRET"), "{why}");
    worker.stop(Stop::Drain).await;
    assert_eq!(
        worker.ended().await,
        WorkerEnd::Drained,
        "it goes although it never registered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_waited_for() {
    let (handler, _jobs) = scripted();
    let nowhere = ServerConfig {
        url: format!("ws://127.0.0.1:{}", free_port()),
        api_key: "k".to_owned(),
        api_secret: Pii::new("s".to_owned()),
        ..ServerConfig::default()
    };
    let mut worker = RunningWorker::start(nowhere, quick("a"), handler);
    let snapshot = worker
        .until("it cannot connect", |s| s.trouble.is_some())
        .await;
    let why = snapshot.unhealthy_because().unwrap();
    assert!(
        why.contains("cannot be reached") && why.contains("LIVEKIT_URL"),
        "{why}"
    );
}
