//! An address on a TURN server, over UDP, TCP or TLS, and the traffic through it.
//!
//! The protocol itself is `turn-client-proto`'s. A permission is asked for with the first packet to
//! a peer, which waits for it; over UDP a channel with the twentieth, which saves 32 bytes
//! per packet from there on. The task ends with the connection, or when the server goes away.
//!
//! Over TCP and TLS a channel's messages are padded to four bytes (RFC 8656, section 12.5), which
//! `turn-client-proto` 0.7.3 neither does nor expects: there are no channels there.
//!
//! Source: RFC 8656 (TURN), RFC 7350 (its transports).

use std::{
    collections::HashMap,
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use rustls_platform_verifier::BuilderVerifierExt;
use str0m::net::Protocol;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName},
};
use turn_client_proto::{
    api::{Transmit, TurnClientApi, TurnConfig, TurnEvent, TurnPeerData, TurnPollRet, TurnRecvRet},
    stun::{Instant as StunInstant, types::TransportType},
    tcp::TurnClientTcp,
    types::TurnCredentials,
    udp::TurnClientUdp,
};

use super::{
    Link, Packet, QUEUE_PACKETS_MAX,
    server::{Kind, Server, Via},
};
use crate::engine::connection::Connection;

/// RFC 8656 and STUN know 7 tries in 40 s; nobody waits that long for a call.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How often to see whether the connection still exists.
const LOOK_MAX: Duration = Duration::from_secs(5);

const PACKETS_BEFORE_CHANNEL: u32 = 20;

/// Packets that may wait for permissions.
const WAITING_PACKETS_MAX: usize = 16;

const NO_ADDRESS: &str = "the TURN server gave no address: check the username and the password";

/// STUN's code for "the server was not reached".
const NOT_REACHED: i32 = 701;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The connection to the server.
enum Wire {
    Udp(UdpSocket),
    Stream(ReadHalf<Box<dyn Stream>>, WriteHalf<Box<dyn Stream>>),
}

/// Opens a relay and carries its traffic.
pub(super) async fn run(connection: Weak<Connection>, server: Server) {
    let Kind::Turn {
        via,
        username,
        password,
    } = &server.kind
    else {
        return;
    };
    let config = TurnConfig::new(TurnCredentials::new(username, password));
    let opened = timeout(OPEN_MAX, open(&server, *via))
        .await
        .unwrap_or_else(|late| Err(late.into()));
    let ended = match opened {
        Ok((wire, local, remote)) => match via {
            Via::Udp => {
                let client = TurnClientUdp::allocate(local, remote, config);
                Relay::new(connection.clone(), wire, client, local, remote)
                    .carry()
                    .await
            }
            Via::Tcp | Via::Tls => {
                let client = TurnClientTcp::allocate(local, remote, config);
                Relay::new(connection.clone(), wire, client, local, remote)
                    .carry()
                    .await
            }
        },
        Err(error) => Err(error),
    };
    if let (Err(error), Some(connection)) = (ended, connection.upgrade()) {
        connection.server_failed(server.error(NOT_REACHED, error));
    }
}

async fn open(server: &Server, via: Via) -> io::Result<(Wire, SocketAddr, SocketAddr)> {
    let remote = server.look_up().await?;
    let any: IpAddr = if remote.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    if via == Via::Udp {
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(remote).await?;
        let local = socket.local_addr()?;
        return Ok((Wire::Udp(socket), local, remote));
    }
    let stream = TcpStream::connect(remote).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let stream: Box<dyn Stream> = match via {
        Via::Tls => Box::new(encrypt(server, stream).await?),
        Via::Udp | Via::Tcp => Box::new(stream),
    };
    let (reader, writer) = tokio::io::split(stream);
    Ok((Wire::Stream(reader, writer), local, remote))
}

async fn encrypt(server: &Server, stream: TcpStream) -> io::Result<impl Stream + use<>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(io::Error::other)?
        .with_no_client_auth();
    let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

struct Relay<C> {
    connection: Weak<Connection>,
    wire: Wire,
    client: C,
    local: SocketAddr,
    remote: SocketAddr,
    /// Our address on the server.
    relayed: Option<SocketAddr>,
    incoming: Option<mpsc::Sender<Packet>>,
    outgoing: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    /// Kept until there is an address to offer.
    queue: Option<mpsc::Sender<(SocketAddr, Vec<u8>)>>,
    sent: HashMap<SocketAddr, u32>,
    /// Packets that wait for a permission.
    waiting: Vec<(SocketAddr, Vec<u8>)>,
    started: Instant,
    /// Whether the server ever said anything.
    has_answered: bool,
}

impl<C: TurnClientApi> Relay<C> {
    fn new(
        connection: Weak<Connection>,
        wire: Wire,
        client: C,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        let (queue, outgoing) = mpsc::channel(QUEUE_PACKETS_MAX);
        let incoming = connection
            .upgrade()
            .map(|connection| connection.links().incoming);
        let (sent, started) = (HashMap::new(), Instant::now());
        let queue = Some(queue);
        let relayed = None;
        Self {
            connection,
            wire,
            client,
            local,
            remote,
            relayed,
            incoming,
            outgoing,
            queue,
            sent,
            waiting: vec![],
            started,
            has_answered: false,
        }
    }

    fn now(&self) -> StunInstant {
        StunInstant::from_std(self.started)
    }

    /// Runs until the connection or the server is gone. An error means that no address was had.
    async fn carry(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            self.flush().await?;
            while let Some(event) = self.client.poll_event() {
                self.on_event(event).await?;
            }
            let wait = match self.client.poll(self.now()) {
                TurnPollRet::WaitUntil(at) => {
                    let at = at.to_std(self.started);
                    at.saturating_duration_since(Instant::now()).min(LOOK_MAX)
                }
                TurnPollRet::Closed => return self.ended("the TURN server closed"),
                TurnPollRet::AllocateTcpSocket { .. } | TurnPollRet::TcpClose { .. } => {
                    Duration::ZERO // only for relays over TCP, which are not asked for
                }
            };
            if self.relayed.is_none() && self.started.elapsed() > OPEN_MAX {
                return self.ended(match self.has_answered {
                    // Some servers answer a wrong password by asking for it, again and again.
                    true => NO_ADDRESS,
                    false => "the TURN server did not answer",
                });
            }
            self.flush().await?;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Some((peer, bytes)) = self.outgoing.recv() => self.send(peer, bytes).await?,
                read = read(&mut self.wire, &mut buffer) => match read? {
                    0 => return self.ended("the TURN server hung up"),
                    bytes => self.received(&buffer[..bytes]),
                },
            }
            let closed = self
                .connection
                .upgrade()
                .is_none_or(|c| c.check_open().is_err());
            if closed {
                self.client.delete(self.now()).ok();
                return self.flush().await;
            }
        }
    }

    fn ended(&self, why: &str) -> io::Result<()> {
        if self.relayed.is_some() {
            log::warn!("the relay at {} is lost: {why}", self.remote);
            return Ok(());
        }
        Err(io::Error::other(why.to_owned()))
    }

    async fn on_event(&mut self, event: TurnEvent) -> io::Result<()> {
        match event {
            TurnEvent::AllocationCreated(_, relayed) => {
                let Some(outgoing) = self.queue.take() else {
                    return Ok(());
                };
                self.relayed = Some(relayed);
                let link = Link {
                    proto: Protocol::Udp,
                    local: relayed,
                    peer: None,
                    outgoing,
                };
                if let Some(connection) = self.connection.upgrade() {
                    connection.relay_opened(link, self.local);
                }
            }
            TurnEvent::AllocationCreateFailed(_) => {
                return Err(io::Error::other(NO_ADDRESS));
            }
            TurnEvent::PermissionCreated(_, peer) => {
                let (ready, waiting) = mem::take(&mut self.waiting)
                    .into_iter()
                    .partition(|(to, _)| to.ip() == peer);
                self.waiting = waiting;
                let ready: Vec<_> = ready;
                for (to, bytes) in ready {
                    self.send(to, bytes).await?;
                }
            }
            TurnEvent::PermissionCreateFailed(_, peer) => {
                self.waiting.retain(|(to, _)| to.ip() != peer);
                log::debug!("the TURN server does not relay to {peer}");
            }
            _ => {}
        }
        Ok(())
    }

    async fn send(&mut self, peer: SocketAddr, bytes: Vec<u8>) -> io::Result<()> {
        let now = self.now();
        if !self.client.have_permission(TransportType::Udp, peer.ip()) {
            // An error means that the permission was asked for already.
            self.client
                .create_permission(TransportType::Udp, peer.ip(), now)
                .ok();
            if self.waiting.len() < WAITING_PACKETS_MAX {
                self.waiting.push((peer, bytes));
            }
            return Ok(());
        }
        let count = self.sent.entry(peer).or_default();
        *count += 1;
        if *count == PACKETS_BEFORE_CHANNEL && matches!(self.wire, Wire::Udp(_)) {
            self.client.bind_channel(TransportType::Udp, peer, now).ok();
        }
        match self.client.send_to(TransportType::Udp, peer, bytes, now) {
            Ok(Some(packet)) => write(&mut self.wire, &packet.build().data).await,
            Ok(None) => Ok(()),
            Err(error) => {
                log::trace!("a packet to {peer} is lost: {error}");
                Ok(())
            }
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        self.has_answered = true;
        let transport = self.client.transport();
        let transmit = Transmit::new(bytes, transport, self.remote, self.local);
        let now = self.now();
        if let TurnRecvRet::PeerData(data) = self.client.recv(transmit, now) {
            let (peer, bytes) = (data.peer, data.data().to_vec());
            self.deliver(peer, bytes);
        }
        while let Some(data) = self.client.poll_recv(now) {
            let TurnPeerData { peer, .. } = data;
            self.deliver(peer, data.data().to_vec());
        }
    }

    fn deliver(&self, source: SocketAddr, bytes: Vec<u8>) {
        let (Some(destination), Some(incoming)) = (self.relayed, &self.incoming) else {
            return;
        };
        let packet = Packet {
            proto: Protocol::Udp,
            source,
            destination,
            bytes,
        };
        if incoming.try_send(packet).is_err() {
            log::trace!("a packet from {source} is lost: the driver is busy");
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(packet) = self.client.poll_transmit(self.now()) {
            write(&mut self.wire, &packet.data).await?;
        }
        Ok(())
    }
}

async fn read(wire: &mut Wire, buffer: &mut [u8]) -> io::Result<usize> {
    match wire {
        Wire::Udp(socket) => socket.recv(buffer).await,
        Wire::Stream(reader, _) => reader.read(buffer).await,
    }
}

async fn write(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    match wire {
        Wire::Udp(socket) => socket.send(bytes).await.map(drop),
        Wire::Stream(_, writer) => {
            writer.write_all(bytes).await?;
            writer.flush().await
        }
    }
}
