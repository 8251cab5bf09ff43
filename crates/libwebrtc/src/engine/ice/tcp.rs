//! ICE over TCP: this side connects to an address that the peer listens on.
//!
//! Only where UDP does not get through: a TCP path delivers late what was lost, so sound suffers.
//! The connection is opened by the first packet that str0m wants to send that way after UDP
//! had its head start (`State::wants_tcp`).
//!
//! Source: RFC 6544 (candidates), RFC 4571 (two bytes of length before each packet).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Weak,
    time::Duration,
};

use str0m::net::Protocol;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::{Link, Packet, QUEUE_PACKETS_MAX};
use crate::engine::{RUNTIME, connection::Connection};

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// RFC 6544, 4.5: an address that is only connected from has the discard port.
pub(super) fn active_address(local: SocketAddr) -> SocketAddr {
    SocketAddr::new(local.ip(), 9)
}

/// Opens a way from an own (active) address to `peer`.
pub(super) fn open(connection: Weak<Connection>, local: SocketAddr, peer: SocketAddr) -> Link {
    let (outgoing, queue) = mpsc::channel(QUEUE_PACKETS_MAX);
    RUNTIME.spawn(async move {
        if let Err(error) = run(connection, local, peer, queue).await {
            log::debug!("TCP to {peer}: {error}");
        }
    });
    Link {
        proto: Protocol::Tcp,
        local,
        peer: Some(peer),
        outgoing,
    }
}

async fn run(
    connection: Weak<Connection>,
    local: SocketAddr,
    peer: SocketAddr,
    mut queue: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
) -> io::Result<()> {
    let stream = timeout(CONNECT_MAX, connect(local.ip(), peer)).await??;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let Some(incoming) = connection.upgrade().map(|c| c.links().incoming) else {
        return Ok(());
    };
    let read = async move {
        loop {
            let length = reader.read_u16().await?;
            let mut bytes = vec![0; length.into()];
            reader.read_exact(&mut bytes).await?;
            let packet = Packet {
                proto: Protocol::Tcp,
                source: peer,
                destination: local,
                bytes,
            };
            if incoming.send(packet).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((_, bytes)) = queue.recv().await {
            let Ok(length) = u16::try_from(bytes.len()) else {
                continue;
            };
            let mut framed = Vec::with_capacity(bytes.len() + 2);
            framed.extend(length.to_be_bytes());
            framed.extend(bytes);
            writer.write_all(&framed).await?;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}

async fn connect(local: IpAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if local.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind(SocketAddr::new(local, 0))?;
    socket.connect(peer).await
}
