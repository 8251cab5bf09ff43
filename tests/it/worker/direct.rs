//! Jobs asked of the worker itself, with LiveKit's own client: at once, under the same slots, and passed
//! on to the server where the worker cannot take them.

use std::collections::HashMap;
use std::time::Duration;

use livekit_api::access_token::{AccessToken, Claims, VideoGrants};
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::{ServiceError, TwirpError};
use livekit_protocol::{AgentDispatch, CreateAgentDispatchRequest, JobStatus};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use voxpool::dispatch::DispatchService;
use voxpool::pool::{Config as PoolConfig, ConnectionPool};
use voxpool::telemetry::{DispatchFigures, Metrics};
use voxpool::worker::{Config, Declined, DispatchRequest, JobOutcome, Stop, WorkerEnd, Workers};

use crate::common::jobs::{End, Jobs, RunningJob, scripted};
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit, is_deleted};
use crate::common::running::{RunningWorker, quick};
use crate::common::{eventually, within};

/// A worker's own dispatch service on a free port; it ends with the value.
struct Desk {
    url: String,
    client: AgentDispatchClient,
    metrics: Metrics,
    _serving: AbortOnDropHandle<()>,
}

impl Desk {
    async fn of(worker: &RunningWorker, server: &LiveKit) -> Self {
        let pool = ConnectionPool::new(PoolConfig::default()).expect("a pool");
        let figures = DispatchFigures::default();
        let mut metrics = Metrics::default();
        metrics.register(Box::new(figures.clone()));
        let (livekit, dispatcher) = (server.server_config(), worker.dispatcher.clone());
        let service = DispatchService::new(livekit, dispatcher, &pool, figures);
        let routes = service.expect("a usable address").routes();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = async move { axum::serve(listener, routes).await.expect("it serves") };
        Self {
            client: AgentDispatchClient::with_api_key(&url, API_KEY, API_SECRET),
            url,
            metrics,
            _serving: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }

    /// Dispatches until a job comes: the server takes a moment until it knows a new worker.
    async fn create_until_taken(
        &self,
        room: &str,
        agent_name: &str,
        jobs: &mut Jobs,
    ) -> (AgentDispatch, RunningJob) {
        let mut tries = 0;
        eventually("a job starts", async || {
            tries += 1;
            let request = request(&format!("{room}-{tries}"), agent_name);
            let dispatch = self.client.create_dispatch(request).await;
            let job = tokio::time::timeout(Duration::from_secs(2), jobs.next()).await;
            Some((dispatch.expect("it is passed on"), job.ok()?))
        })
        .await
    }

    /// Taken, passed on, refused.
    fn counts(&self) -> [u64; 3] {
        let page = self.metrics.render();
        ["taken", "passed_on", "refused"].map(|outcome| {
            let row = format!("voice_agent_dispatches_total{{outcome=\"{outcome}\"}} ");
            let mut values = page.lines().filter_map(|line| line.strip_prefix(&row));
            values.next().expect("a row").parse().expect("a count")
        })
    }
}

fn request(room: &str, agent_name: &str) -> CreateAgentDispatchRequest {
    CreateAgentDispatchRequest {
        room: room.to_owned(),
        agent_name: agent_name.to_owned(),
        metadata: "{\"tier\":1}".to_owned(),
        attributes: HashMap::from([("lang".to_owned(), "en".to_owned())]),
        ..Default::default()
    }
}

/// The code and the text of an error.
fn refused<T: std::fmt::Debug>(answer: Result<T, ServiceError>) -> (String, String) {
    match answer.expect_err("no refusal") {
        ServiceError::Twirp(TwirpError::Twirp(error)) => (error.code, error.msg),
        other => panic!("another error: {other}"),
    }
}

fn job_of(dispatch: &AgentDispatch) -> &livekit_protocol::Job {
    let state = dispatch.state.as_ref().expect("a state");
    state.jobs.first().expect("a job")
}

/// A token of a backend that may do everything in one room.
fn admin_of(room: &str) -> String {
    let grants = VideoGrants {
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    };
    let token = AccessToken::with_api_key(API_KEY, API_SECRET).with_grants(grants);
    token.to_jwt().expect("a token")
}

/// Asks as libraries do that speak JSON; the status and the answer.
async fn ask_in_json(url: &str, token: &str, body: String) -> (u16, Value) {
    #[expect(clippy::disallowed_methods, reason = "an app's client, not ours")]
    let request = reqwest::Client::new().post(url).bearer_auth(token);
    let request = request.header("content-type", "application/json");
    let answer = request.body(body).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a whole answer");
    (status, serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_asked_of_the_worker_starts_its_job_and_can_be_listed_and_taken_back() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let mut worker =
        RunningWorker::registered(server.server_config(), quick("front-desk"), handler).await;
    let desk = Desk::of(&worker, &server).await;

    let dispatch = desk.client.create_dispatch(request("lobby", "front-desk"));
    let dispatch = dispatch.await.expect("the worker takes it");
    assert!(dispatch.id.starts_with("AD_"), "{}", dispatch.id);
    assert_eq!(
        (dispatch.room.as_str(), dispatch.agent_name.as_str()),
        ("lobby", "front-desk")
    );
    let job = jobs.next().await;
    assert_eq!(job.context.room, "lobby");
    assert_eq!(job.context.url, server.url());
    assert_eq!(job.context.agent_name, "front-desk");
    assert_eq!(job.context.metadata.expose(), "{\"tier\":1}");
    assert_eq!(job.context.attributes.expose()["lang"], "en");
    let claims = Claims::from_unverified(job.context.token.expose()).unwrap();
    let identity = format!("agent-{}", job.context.id);
    assert_eq!(
        (claims.sub, claims.kind.as_str()),
        (identity.clone(), "agent")
    );
    assert_eq!(claims.video.room, "lobby");

    let described = job_of(&dispatch);
    assert_eq!(described.id, job.context.id);
    let state = described.state.as_ref().expect("a state");
    assert_eq!(state.status(), JobStatus::JsRunning);
    assert_eq!(state.participant_identity, identity);
    let worker_id = worker.snapshots.borrow().worker_id.clone();
    assert_eq!(Some(&state.worker_id), worker_id.as_ref());

    let listed = desk.client.list_dispatch("lobby").await.expect("a list");
    assert_eq!(listed, std::slice::from_ref(&dispatch));
    let elsewhere = desk.client.list_dispatch("another").await;
    assert_eq!(elsewhere.expect("a list"), []);

    let deleted = desk.client.delete_dispatch(&dispatch.id, "lobby").await;
    assert_eq!(deleted.expect("it is ours"), dispatch);
    job.asked_to_end().await;
    let snapshot = worker
        .until("the job has ended", |s| s.jobs_succeeded == 1)
        .await;
    assert_eq!((snapshot.active_jobs, snapshot.slots_taken), (0, 0));
    let listed = desk.client.list_dispatch("lobby").await.expect("a list");
    assert_eq!(listed, []);
    let again = desk.client.delete_dispatch(&dispatch.id, "lobby").await;
    assert_eq!(refused(again).0, "not_found");
    assert_eq!(desk.counts(), [1, 0, 0]);

    // What follows on the same connection proves that the server has read all that came before.
    server.dispatch("after", "front-desk", "").await;
    let after = jobs.next().await;
    let after_id = after.context.id.clone();
    after.end(End::With(JobOutcome::Success));
    server.end_of_job(&after_id).await;
    assert!(
        !server.has_noted(&described.id),
        "the server heard of our job"
    );
    worker.stop(Stop::Drain).await;
    assert_eq!(worker.ended().await, WorkerEnd::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_cannot_take_is_passed_on_to_one_that_can() {
    let server = LiveKit::start().await;
    let (full, mut full_jobs) = scripted();
    let (free, mut free_jobs) = scripted();
    let config = Config {
        slots_max: 1,
        ..quick("desk")
    };
    let mut full = RunningWorker::registered(server.server_config(), config, full).await;
    let desk = Desk::of(&full, &server).await;
    let dispatch = desk.client.create_dispatch(request("first", "desk"));
    let first = dispatch.await.expect("there is a slot");
    let held = full_jobs.next().await;
    full.until("full", |s| s.load >= 1.0).await;

    // Full: the server finds the other worker, and knows the dispatch.
    let _free = RunningWorker::registered(server.server_config(), quick("desk"), free).await;
    let (second, job) = desk
        .create_until_taken("second", "desk", &mut free_jobs)
        .await;
    let room = second.room.clone();
    assert_eq!(job.context.room, room);
    assert_eq!(job.context.metadata.expose(), "{\"tier\":1}");
    assert_eq!(job.context.attributes.expose()["lang"], "en");
    let (job_id, _) = server.job(&room).await;
    assert_eq!(job_id, job.context.id);

    // Another's name: the same.
    let (other, mut other_jobs) = scripted();
    let _other = RunningWorker::registered(server.server_config(), quick("other"), other).await;
    let (_, others) = desk
        .create_until_taken("third", "other", &mut other_jobs)
        .await;
    assert_eq!(others.context.agent_name, "other");
    let [taken, passed_on, refused] = desk.counts();
    assert_eq!((taken, refused), (1, 0));
    assert!(passed_on >= 2, "{passed_on}");

    // What the server has can be asked for and taken back here, too.
    let listed = desk.client.list_dispatch(&room).await.expect("a list");
    let listed = listed.iter().find(|it| it.id == second.id);
    assert_eq!(job_of(listed.expect("the server has it")).id, job_id);
    let listed = desk.client.list_dispatch("first").await.expect("a list");
    assert_eq!(listed, std::slice::from_ref(&first), "there is no room yet");
    let answer = desk.client.delete_dispatch(&second.id, &room).await;
    is_deleted(answer, &second.id);
    job.asked_to_end().await;
    let listed = desk.client.list_dispatch(&room).await.expect("a list");
    assert!(listed.iter().all(|it| it.id != second.id), "{listed:?}");
    assert!(held.is_running(), "{first:?} is another's");

    // A worker that leaves takes no more either.
    full.stop(Stop::Drain).await;
    full.until("draining", |s| s.is_draining).await;
    let dispatch = desk.client.create_dispatch(request("fourth", "desk"));
    let fourth = dispatch.await.expect("the server takes it");
    let job = free_jobs.next().await;
    let job_id = job.context.id.clone();
    assert_eq!(job.context.room, "fourth");
    job.end(End::With(JobOutcome::Success));
    server.end_of_job(&job_id).await;
    let deleted = desk.client.delete_dispatch(&fourth.id, "fourth").await;
    assert_eq!(deleted.expect("the server has it").id, fourth.id);
    held.end(End::With(JobOutcome::Success));
    assert_eq!(full.ended().await, WorkerEnd::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_of_the_room_are_heard() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let worker = RunningWorker::registered(server.server_config(), quick("desk"), handler).await;
    let desk = Desk::of(&worker, &server).await;
    let client = AgentDispatchClient::with_api_key(&desk.url, API_KEY, "a secret that was guessed");
    let (code, text) = refused(client.create_dispatch(request("r", "desk")).await);
    assert_eq!(code, "unauthenticated");
    assert!(text.contains("LIVEKIT_API_KEY"), "{text}");
    assert!(!text.contains(API_SECRET), "{text}");

    let token = |room_admin: bool, room: &str| {
        let grants = VideoGrants {
            room_admin,
            room_join: true,
            room: room.to_owned(),
            ..VideoGrants::default()
        };
        let token = AccessToken::with_api_key(API_KEY, API_SECRET);
        let token = token.with_identity("caller").with_grants(grants);
        token.to_jwt().expect("a token")
    };
    for (token, whose) in [
        (token(false, "r"), "a caller's token"),
        (token(true, "another"), "another room's"),
    ] {
        let client = AgentDispatchClient::with_token(&desk.url, &token);
        let (code, text) = refused(client.create_dispatch(request("r", "desk")).await);
        assert_eq!(code, "permission_denied", "{whose}");
        assert!(text.contains("roomAdmin"), "{text}");
        assert_eq!(refused(client.list_dispatch("r").await).0, code);
        assert_eq!(refused(client.delete_dispatch("AD_1", "r").await).0, code);
    }
    let (code, text) = refused(desk.client.create_dispatch(request("", "desk")).await);
    assert_eq!(code, "invalid_argument");
    assert!(text.contains("room"), "{text}");
    assert!(jobs.started().is_none());
    assert_eq!(desk.counts(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_that_speak_json_are_understood() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let worker = RunningWorker::registered(server.server_config(), quick("desk"), handler).await;
    let desk = Desk::of(&worker, &server).await;
    let token = admin_of("r");
    let ask = async |method: &str, body: String| {
        let url = format!("{}/twirp/livekit.AgentDispatchService/{method}", desk.url);
        ask_in_json(&url, &token, body).await
    };
    let body = json!({"agentName": "desk", "room": "r", "metadata": "m", "restartPolicy": 1});
    let (status, dispatch) = ask("CreateDispatch", body.to_string()).await;
    assert_eq!(status, 200);
    let job = jobs.next().await;
    assert_eq!(job.context.metadata.expose(), "m");
    assert_eq!(dispatch["agentName"], "desk");
    assert_eq!(dispatch["state"]["jobs"][0]["id"], job.context.id.as_str());
    let (_, listed) = ask("ListDispatch", json!({"room": "r"}).to_string()).await;
    assert_eq!(listed["agentDispatches"], json!([dispatch]));
    let body = json!({"dispatchId": dispatch["id"], "room": "r"}).to_string();
    assert_eq!(ask("DeleteDispatch", body).await, (200, dispatch));
    job.asked_to_end().await;

    let (status, error) = ask(
        "CreateDispatch",
        "{\"room\": 7, \"x\": \"secret\"}".to_owned(),
    )
    .await;
    assert_eq!((status, &error["code"]), (400, &json!("malformed")));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_refusals_are_told_and_are_no_sign_of_trouble() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let config = Config {
        slots_max: 1,
        ..quick("desk")
    };
    let worker = RunningWorker::registered(server.server_config(), config, handler).await;
    let desk = Desk::of(&worker, &server).await;
    let dispatch = desk.client.create_dispatch(request("r", "desk")).await;
    dispatch.expect("there is a slot");
    let _held = jobs.next().await;

    // More than open a circuit breaker.
    let rooms = (0..8).map(|n| format!("gone-{n}"));
    let deletes = rooms.map(|room| desk.client.delete_dispatch("AD_gone", room));
    for deleted in futures::future::join_all(deletes).await {
        let (code, text) = refused(deleted);
        assert_eq!(code, "unavailable");
        assert!(text.starts_with("LiveKit's server: "), "{text}");
    }
    let mut wrong = request("wrong", "desk");
    wrong.deployment = "under_score".to_owned();
    let (code, text) = refused(desk.client.create_dispatch(wrong).await);
    assert_eq!(code, "invalid_argument");
    assert!(
        text.contains("no agent of this name and deployment")
            && text.contains("reserved character"),
        "{text}"
    );
    let passed_on = desk.client.create_dispatch(request("last", "desk")).await;
    assert!(!passed_on.expect("it is passed on").id.is_empty());
    assert_eq!(desk.counts(), [1, 1, 1]);

    let mut longer = request("longer", "desk");
    longer.metadata = "x".repeat(300_000);
    let (code, text) = refused(desk.client.create_dispatch(longer).await);
    assert_eq!(code, "invalid_argument");
    assert!(text.contains("262144 bytes"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_one_process_share_their_slots_also_for_dispatches_of_their_own() {
    let server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let config = Config {
        slots_max: 2,
        ..quick("first")
    };
    let names = ["first", "second"].map(str::to_owned);
    let workers = Workers::new(server.server_config(), config, &names, handler);
    let dispatcher = workers.dispatcher();
    let mut snapshots = workers.snapshots();
    let running = tokio::spawn(workers.run(futures::stream::pending()));
    let registered = snapshots.wait_for(|snapshot| snapshot.worker_id.is_some());
    within("both are registered", registered)
        .await
        .expect("they run");
    let ask = async |agent_name: &str, deployment: &str| {
        let request = DispatchRequest {
            agent_name: agent_name.to_owned(),
            deployment: deployment.to_owned(),
            room: "r".to_owned(),
            ..DispatchRequest::default()
        };
        dispatcher.create(request).await
    };
    assert_eq!(ask("third", "").await, Err(Declined::NoSuchAgent));
    assert_eq!(ask("second", "staging").await, Err(Declined::NoSuchAgent));
    let second = ask("second", "").await.expect("a slot is free");
    let held = jobs.next().await;
    assert_eq!(held.context.agent_name, "second");
    let first = ask("first", "").await.expect("a slot is free");
    let job = jobs.next().await;
    assert_eq!(job.context.agent_name, "first");
    assert!(matches!(ask("first", "").await, Err(Declined::Refused(_))));
    assert!(matches!(ask("second", "").await, Err(Declined::Refused(_))));
    assert_eq!(dispatcher.list("r").await, [first.clone(), second.clone()]);
    assert_eq!(dispatcher.delete("elsewhere", &second.id).await, None);
    assert_eq!(dispatcher.delete("r", &second.id).await, Some(second));
    held.asked_to_end().await;

    // A bug in a job costs that job.
    job.end(End::Panic);
    let free = snapshots.wait_for(|snapshot| snapshot.slots_taken == 0);
    let snapshot = within("both have ended", free)
        .await
        .expect("they run")
        .clone();
    assert_eq!((snapshot.job_panics, snapshot.jobs_succeeded), (1, 1));
    assert!(!server.has_noted(&first.job_id));
    running.abort();
    assert!(running.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(ask("first", "").await, Err(Declined::NotRegistered));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_there_is_an_answer_and_no_job() {
    let mut server = LiveKit::start().await;
    let (handler, mut jobs) = scripted();
    let mut worker =
        RunningWorker::registered(server.server_config(), quick("desk"), handler).await;
    let desk = Desk::of(&worker, &server).await;
    server.kill();
    worker
        .until("the server is missed", |s| s.worker_id.is_none())
        .await;
    let (code, text) = refused(desk.client.create_dispatch(request("r", "desk")).await);
    assert_eq!(code, "unavailable");
    assert!(text.contains("not registered"), "{text}");
    assert_eq!(desk.counts(), [0, 0, 1]);
    assert!(jobs.started().is_none());

    server.restart().await;
    worker.until("registered", |s| s.worker_id.is_some()).await;
    let dispatch = desk.client.create_dispatch(request("r", "desk"));
    dispatch.await.expect("the worker takes it");
    assert_eq!(jobs.next().await.context.room, "r");
}
