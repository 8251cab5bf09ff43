//! Servers that count the sockets they have at the same time, and answer when they are told to.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stages::SOON;
use super::wire::read_request;

/// Some servers that count together; they stop when this is dropped.
pub(super) struct Counted {
    pub(super) addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    seen: watch::Receiver<Seen>,
    _serving: JoinSet<()>,
}

/// What all of them have seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Sockets that are open, and the most there ever were.
    pub(super) open: usize,
    pub(super) open_max: usize,
    /// Sockets that there ever were.
    pub(super) accepted: usize,
    /// Those of them that wait for an answer.
    pub(super) asking: usize,
    pub(super) asking_max: usize,
    pub(super) answered: usize,
    /// How long each socket that the client closed had been without a request.
    pub(super) idle: Vec<Duration>,
    visitors: usize,
}

struct Shared {
    answers: Semaphore,
    /// Sockets of the test's own, which do not count.
    visitors: Mutex<HashSet<SocketAddr>>,
    seen: watch::Sender<Seen>,
}

impl Counted {
    pub(super) async fn start(n_hosts: usize) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let shared = Arc::new(Shared {
            answers: Semaphore::new(0),
            visitors: Mutex::default(),
            seen: sender,
        });
        let (mut addresses, mut serving) = (Vec::new(), JoinSet::new());
        for _ in 0..n_hosts {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            serving.spawn(Arc::clone(&shared).accept(listener));
        }
        Self {
            addresses,
            shared,
            seen,
            _serving: serving,
        }
    }

    /// Lets so many requests be answered: those that wait, then those that come.
    pub(super) fn answer(&self, count: usize) {
        self.shared.answers.add_permits(count);
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(super) async fn until(&self, what: &str, is_so: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        match tokio::time::timeout(SOON, seen.wait_for(is_so)).await {
            Ok(seen) => seen.unwrap().clone(),
            Err(_) => panic!("{what}: {:?}", self.seen()),
        }
    }

    /// Waits until every socket that was opened before has been accepted: a listener takes them in
    /// their order, so it has when it takes one that is opened now.
    pub(super) async fn has_accepted_all(&self) -> Seen {
        let expected = self.seen().visitors + self.addresses.len();
        for &address in &self.addresses {
            let visitor = TcpSocket::new_v4().unwrap();
            visitor.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let own = visitor.local_addr().unwrap();
            self.shared.visitors.lock().unwrap().insert(own);
            visitor.connect(address).await.unwrap();
        }
        let is_so = |seen: &Seen| seen.visitors == expected;
        self.until("the visitors are let in", is_so).await
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((stream, peer)) = listener.accept().await {
            if self.visitors.lock().unwrap().remove(&peer) {
                self.seen.send_modify(|seen| seen.visitors += 1);
                continue;
            }
            // What the client closed before it opened this one is counted as closed first.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            self.seen.send_modify(|seen| {
                seen.open += 1;
                seen.accepted += 1;
                seen.open_max = seen.open_max.max(seen.open);
            });
            let shared = Arc::clone(&self);
            connections.spawn(async move {
                let idle = shared.serve(stream).await.ok();
                shared.seen.send_modify(|seen| {
                    seen.open -= 1;
                    seen.idle.extend(idle);
                });
            });
        }
    }

    /// Returns when the client has closed: how long after its last answer.
    async fn serve(&self, mut stream: TcpStream) -> io::Result<Duration> {
        let mut last = Instant::now();
        while read_request(&mut stream).await?.is_some() {
            self.seen.send_modify(|seen| {
                seen.asking += 1;
                seen.asking_max = seen.asking_max.max(seen.asking);
            });
            self.answers.acquire().await.unwrap().forget();
            // Before the answer is out: the next request may be here before this task goes on.
            self.seen.send_modify(|seen| {
                seen.asking -= 1;
                seen.answered += 1;
            });
            last = Instant::now();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await?;
        }
        Ok(last.elapsed())
    }
}
