use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use reqwest::header::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{advance, pause, resume, timeout};

use super::super::config::Config;
use super::*;
use crate::error::Service;

const SOON: Duration = Duration::from_secs(30);
const AGE_MAX: Duration = Duration::from_secs(10);

/// A server that takes WebSockets, and leaves them when it is told to.
struct Server {
    sockets: Sockets,
    accepted: Arc<AtomicUsize>,
    leave: watch::Sender<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (leave, leaving) = watch::channel(());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut leaving = leaving.clone();
                leaving.mark_unchanged();
                tokio::spawn(async move {
                    let mut stream = tokio_tungstenite::accept_async(stream).await.unwrap();
                    tokio::select! {
                        _ = leaving.changed() => {}
                        () = async { while stream.next().await.is_some() {} } => {}
                    }
                });
            }
        });
        let pool = ConnectionPool::new(Config::default()).unwrap();
        let endpoint = Endpoint::of(Service::OpenAi, &address, HeaderMap::new());
        let sockets = pool.sockets(SocketPlan {
            endpoint: endpoint.unwrap(),
            path: "/".to_owned(),
            operation: "connect",
            opening: None,
            age_max: AGE_MAX,
        });
        Self {
            sockets,
            accepted,
            leave,
        }
    }

    fn n_idle(&self) -> usize {
        self.sockets.0.pool.idle_sockets()
    }

    /// Prewarms; how many were accepted until then.
    async fn prewarmed(&self) -> usize {
        timeout(SOON, self.sockets.prewarm()).await.unwrap();
        self.accepted.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn prewarming_again_opens_nothing_while_there_are_some() {
    let server = Server::start().await;
    assert_eq!(server.prewarmed().await, 2);
    assert_eq!(server.prewarmed().await, 2);
    assert_eq!(server.n_idle(), 2);
}

#[tokio::test]
async fn what_the_server_left_does_not_count_as_warm() {
    let server = Server::start().await;
    assert_eq!(server.prewarmed().await, 2);
    server.leave.send_replace(());
    let left = async {
        while server.n_idle() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, left).await.unwrap();
    assert_eq!(server.prewarmed().await, 4);
}

#[tokio::test]
async fn what_is_old_does_not_count_as_warm() {
    let server = Server::start().await;
    assert_eq!(server.prewarmed().await, 2);
    pause();
    advance(AGE_MAX).await;
    resume();
    assert_eq!(server.prewarmed().await, 4);
    assert_eq!(server.n_idle(), 2, "the old ones are closed");
}
