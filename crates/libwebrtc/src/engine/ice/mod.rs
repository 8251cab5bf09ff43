//! Finds the addresses at which this side can be reached.
//!
//! `host` opens a socket on each usable address of this machine. str0m's ICE agent does the
//! checking; nothing here looks into packets that are not meant for it.

mod host;

use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// A socket that packets come and go through.
pub(crate) struct Socket {
    pub(crate) local: SocketAddr,
    pub(crate) udp: UdpSocket,
}

/// Opens the sockets for host candidates. Must be called within a tokio runtime.
pub(crate) fn open_host_sockets() -> Vec<Socket> {
    let mut sockets = vec![];
    for address in host::addresses() {
        match host::bind(address) {
            Ok(socket) => sockets.push(socket),
            Err(error) => log::warn!("no UDP socket on {address}: {error}"),
        }
    }
    sockets
}
