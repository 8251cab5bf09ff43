//! A server that sends nonsense: whatever comes, the worker stays and takes the next job.

use futures::{SinkExt, StreamExt};
use livekit_protocol as wire;
use livekit_protocol::server_message::Message as FromServer;
use livekit_protocol::worker_message::Message as FromWorker;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use voxpool::redact::Pii;
use voxpool::worker::ServerConfig;

use crate::common::jobs::scripted;
use crate::common::running::{RunningWorker, quick};
use crate::common::within;

/// The server's end of a worker's connection.
struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    /// Waits for a worker and registers it.
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = within("a worker connects", listener.accept())
            .await
            .unwrap();
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut peer = Self(socket);
        assert!(
            matches!(peer.next().await, FromWorker::Register(_)),
            "registers first"
        );
        let register = wire::RegisterWorkerResponse {
            worker_id: "AW_fake".to_owned(),
            server_info: None,
            endpoint_settings: None,
        };
        peer.send(FromServer::Register(register)).await;
        peer
    }

    async fn send(&mut self, message: FromServer) {
        let bytes = wire::ServerMessage {
            message: Some(message),
        }
        .encode_to_vec();
        self.0.send(Message::binary(bytes)).await.unwrap();
    }

    async fn next(&mut self) -> FromWorker {
        loop {
            let frame = within("the worker says something", self.0.next())
                .await
                .unwrap()
                .unwrap();
            if let Message::Binary(bytes) = frame {
                return wire::WorkerMessage::decode(bytes).unwrap().message.unwrap();
            }
        }
    }

    /// The next message that `pick` wants.
    async fn find<T>(&mut self, pick: impl Fn(FromWorker) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = pick(self.next().await) {
                    return found;
                }
            }
        };
        within("the worker says what is awaited", found).await
    }

    async fn offer(&mut self, job_id: &str) -> wire::AvailabilityResponse {
        let request = wire::AvailabilityRequest {
            job: Some(job(job_id)),
            resuming: false,
        };
        self.send(FromServer::Availability(request)).await;
        self.find(|message| match message {
            FromWorker::Availability(answer) => Some(answer),
            _ => None,
        })
        .await
    }

    async fn status_of(&mut self, job_id: &str) -> wire::UpdateJobStatus {
        self.find(|message| match message {
            FromWorker::UpdateJob(update) if update.job_id == job_id => Some(update),
            _ => None,
        })
        .await
    }
}

fn job(id: &str) -> wire::Job {
    wire::Job {
        id: id.to_owned(),
        room: Some(wire::Room {
            name: "r".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn assignment(id: &str) -> FromServer {
    FromServer::Assignment(wire::JobAssignment {
        job: Some(job(id)),
        url: Some("wss://elsewhere".to_owned()),
        token: "t".to_owned(),
    })
}

async fn listen() -> (TcpListener, ServerConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = ServerConfig {
        url: format!("ws://{}", listener.local_addr().unwrap()),
        api_key: "k".to_owned(),
        api_secret: Pii::new("s".to_owned()),
        ..ServerConfig::default()
    };
    (listener, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_does_not_end_the_worker_nor_the_connection() {
    let (listener, server) = listen().await;
    let (handler, mut jobs) = scripted();
    let _worker = RunningWorker::start(server, quick("a"), handler);
    let mut peer = Peer::accept(&listener).await;

    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..200);
    for _ in 0..300 {
        let garbage = bytes.new_tree(&mut runner).unwrap().current();
        // A frame that happens to be a go-away would be obeyed, as it should be.
        let is_message = wire::ServerMessage::decode(garbage.as_slice())
            .is_ok_and(|message| message.message.is_some());
        if !is_message {
            peer.0.send(Message::binary(garbage)).await.unwrap();
        }
    }
    peer.0
        .send(Message::text("{\"register\":{}}"))
        .await
        .unwrap();
    peer.send(FromServer::Availability(
        wire::AvailabilityRequest::default(),
    ))
    .await;
    peer.send(FromServer::Termination(wire::JobTermination {
        job_id: "AJ_none".to_owned(),
    }))
    .await;
    peer.send(FromServer::Pong(wire::WorkerPong {
        last_timestamp: i64::MAX,
        timestamp: 0,
    }))
    .await;

    assert!(peer.offer("AJ_1").await.available);
    peer.send(assignment("AJ_1")).await;
    let job = jobs.next().await;
    assert_eq!(
        job.context.url, "wss://elsewhere",
        "the assignment's own address wins"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_assignment_starts_nothing_and_the_server_hears_so() {
    let (listener, server) = listen().await;
    let (handler, mut jobs) = scripted();
    let _worker = RunningWorker::start(server, quick("a"), handler);
    let mut peer = Peer::accept(&listener).await;
    peer.send(assignment("AJ_unasked")).await;
    let update = peer.status_of("AJ_unasked").await;
    assert_eq!(update.status(), wire::JobStatus::JsFailed);
    assert!(jobs.started().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_the_server_never_read_is_told_to_the_next_connection() {
    let (listener, server) = listen().await;
    let (handler, mut jobs) = scripted();
    let mut worker = RunningWorker::start(server, quick("a"), handler);
    let mut peer = Peer::accept(&listener).await;
    for id in ["AJ_1", "AJ_2"] {
        assert!(peer.offer(id).await.available);
        peer.send(assignment(id)).await;
    }
    let (first, second) = (jobs.next().await, jobs.next().await);
    drop(peer);
    worker.until("it notices", |s| s.worker_id.is_none()).await;
    let ended = first.context.id.clone();
    drop(first);
    worker.until("one has ended", |s| s.active_jobs == 1).await;

    let mut peer = Peer::accept(&listener).await;
    let migrated = peer
        .find(|message| match message {
            FromWorker::MigrateJob(migrate) => Some(migrate.job_ids),
            _ => None,
        })
        .await;
    assert_eq!(migrated, std::slice::from_ref(&second.context.id));
    assert_eq!(
        peer.status_of(&ended).await.status(),
        wire::JobStatus::JsSuccess
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_left_for_a_new_connection() {
    let (listener, server) = listen().await;
    let (handler, _jobs) = scripted();
    let _worker = RunningWorker::start(server, quick("a"), handler);
    let mut peer = Peer::accept(&listener).await;
    peer.send(FromServer::GoAway(wire::agent_http::GoAway::default()))
        .await;
    Peer::accept(&listener).await;
}
