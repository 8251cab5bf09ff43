//! A UDP relay between clients and the server's media port that loses packets when told to.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinSet};

/// Longest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// What passed, and what was lost on purpose.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) forwarded: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// Chance of a packet to be lost, in percent, each way.
    pub(crate) loss_percent: AtomicU32,
    /// State of the generator: losses are the same in every run, given the same traffic.
    random: AtomicU64,
}

impl Traffic {
    fn loses(&self) -> bool {
        // Knuth's MMIX constants.
        let next = |x: u64| {
            x.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
        };
        let update = |x| Some(next(x));
        let state = self
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let dice = next(state.unwrap_or_default()) >> 33;
        let is_lost = dice % 100 < u64::from(self.loss_percent.load(Ordering::Relaxed));
        let counter = if is_lost { &self.lost } else { &self.forwarded };
        counter.fetch_add(1, Ordering::Relaxed);
        is_lost
    }
}

/// Listens at `announced` and passes on to and from `server` until it is dropped.
pub(crate) struct Relay {
    pub(crate) traffic: Arc<Traffic>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start(announced: SocketAddr, server: SocketAddr) -> Self {
        let traffic = Arc::new(Traffic::default());
        let front = Arc::new(UdpSocket::bind(announced).await.unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(run(front, server, traffic.clone()));
        Self {
            traffic,
            _tasks: tasks,
        }
    }
}

/// Each client address gets a socket towards the server, so that the server tells them apart.
async fn run(front: Arc<UdpSocket>, server: SocketAddr, traffic: Arc<Traffic>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, client)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        let back = match backs.entry(client) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                back.connect(server).await.unwrap();
                answers.spawn(answer(front.clone(), back.clone(), client, traffic.clone()));
                new.insert(back)
            }
        };
        if !traffic.loses() {
            // A client that is gone is no matter of the relay.
            back.send(&buffer[..length]).await.ok();
        }
    }
}

async fn answer(
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    client: SocketAddr,
    traffic: Arc<Traffic>,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok(length) = back.recv(&mut buffer).await else {
            continue;
        };
        if !traffic.loses() {
            front.send_to(&buffer[..length], client).await.ok();
        }
    }
}
