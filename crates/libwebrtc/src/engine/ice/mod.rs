//! The ways for packets in and out, and how own addresses are found.
//!
//! `host` opens a UDP socket on each usable address of this machine; `probe` asks STUN servers how
//! those look from outside; `relay` gets an address on a TURN server; `tcp` connects to a peer that
//! UDP does not reach. The first are read by the connection's driver itself, the others run as
//! small tasks behind bounded queues. `server` reads the URLs of servers, `gather` puts all of it
//! together. str0m's ICE agent does the checking; nothing here decides which path is used.

mod gather;
mod host;
mod probe;
mod relay;
mod server;
mod tcp;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use str0m::net::{Protocol, Transmit};
use tokio::{net::UdpSocket, sync::mpsc};

pub(crate) use gather::Gathering;

/// Packets that may wait between a task and the driver; about a second of one call.
const QUEUE_PACKETS_MAX: usize = 128;

/// How long packets may wait for a socket; those of a busy one are lost.
const WRITABLE_WITHIN: Duration = Duration::from_millis(20);

/// A socket that the driver reads itself.
pub(crate) struct HostSocket {
    pub(crate) local: SocketAddr,
    pub(crate) udp: UdpSocket,
}

/// A packet that a task received.
pub(crate) struct Packet {
    pub(crate) proto: Protocol,
    pub(crate) source: SocketAddr,
    /// The own address that it came to, as the peer knows it.
    pub(crate) destination: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What tasks received, for the driver.
pub(crate) type Incoming = mpsc::Receiver<Packet>;

/// A way out through a task.
#[derive(Clone)]
pub(crate) struct Link {
    proto: Protocol,
    local: SocketAddr,
    /// The only address it reaches; any if there is none.
    peer: Option<SocketAddr>,
    outgoing: mpsc::Sender<(SocketAddr, Vec<u8>)>,
}

/// The same packet again.
pub(crate) fn copy(packet: &Transmit) -> Transmit {
    let Transmit {
        proto,
        source,
        destination,
        contents,
    } = packet;
    let (proto, source, destination) = (*proto, *source, *destination);
    Transmit {
        proto,
        source,
        destination,
        contents: contents.to_vec().into(),
    }
}

/// All ways of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Links {
    hosts: Arc<Vec<Arc<HostSocket>>>,
    tasks: Arc<Vec<Link>>,
    incoming: mpsc::Sender<Packet>,
}

impl Links {
    pub(crate) fn new() -> (Self, Incoming) {
        let (incoming, receiver) = mpsc::channel(QUEUE_PACKETS_MAX);
        let links = Self {
            hosts: Arc::default(),
            tasks: Arc::default(),
            incoming,
        };
        (links, receiver)
    }

    pub(crate) fn hosts(&self) -> &[Arc<HostSocket>] {
        &self.hosts
    }

    fn add_host(&mut self, socket: HostSocket) {
        Arc::make_mut(&mut self.hosts).push(Arc::new(socket));
    }

    fn add(&mut self, link: Link) {
        let tasks = Arc::make_mut(&mut self.tasks);
        tasks.retain(|other| !other.outgoing.is_closed());
        tasks.push(link);
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.hosts = Arc::default();
        self.tasks = Arc::default();
    }

    /// Waits until the sockets can take packets. A new one is not known to until the runtime has heard
    /// so from the system, and a first STUN request that it refuses is sent again 250 ms later.
    pub(crate) async fn until_writable(&self, packets: &[Transmit]) {
        let sends = |host: &&Arc<HostSocket>| packets.iter().any(|it| it.source == host.local);
        for host in self.hosts.iter().filter(sends) {
            let ready = tokio::time::timeout(WRITABLE_WITHIN, host.udp.writable()).await;
            if ready.is_err() {
                log::trace!("{} takes no packets", host.local);
            }
        }
    }

    /// Sends a packet, or loses it, as networks do. Gives it back if there is no way (yet).
    pub(crate) fn send(&self, packet: Transmit) -> Option<Transmit> {
        let Transmit {
            proto,
            source,
            destination,
            ..
        } = packet;
        let host = self.hosts.iter().find(|host| host.local == source);
        if let (Protocol::Udp, Some(host)) = (proto, host) {
            if let Err(error) = host.udp.try_send_to(&packet.contents, destination) {
                log::trace!("a packet to {destination} is lost: {error}");
            }
            return None;
        }
        let fits = |link: &&Link| {
            (link.proto, link.local) == (proto, source)
                && link.peer.is_none_or(|peer| peer == destination)
                && !link.outgoing.is_closed()
        };
        let Some(link) = self.tasks.iter().find(fits) else {
            return Some(packet);
        };
        if link
            .outgoing
            .try_send((destination, packet.contents.into()))
            .is_err()
        {
            log::trace!("a packet to {destination} is lost: the way is busy");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn socket() -> HostSocket {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let local = udp.local_addr().expect("it is bound");
        HostSocket { local, udp }
    }

    #[tokio::test]
    async fn the_first_packet_of_a_new_socket_is_not_lost() {
        let peer = socket().await;
        let new = socket().await;
        let source = new.local;
        let packet = || Transmit {
            proto: Protocol::Udp,
            source,
            destination: peer.local,
            contents: vec![7; 20].into(),
        };
        let packets = [packet(), packet()];
        let (mut links, _incoming) = Links::new();
        links.add_host(new);
        links.until_writable(&packets).await;
        for packet in packets {
            assert!(links.send(packet).is_none());
        }
        let mut buffer = [0; 64];
        for _ in 0..2 {
            let received = peer.udp.recv_from(&mut buffer);
            let received = tokio::time::timeout(Duration::from_secs(5), received).await;
            assert_eq!(received.expect("it arrives").expect("loopback").0, 20);
        }
    }
}
