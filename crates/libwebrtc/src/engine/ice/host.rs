//! The addresses of this machine.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use tokio::net::UdpSocket;

use super::HostSocket;

/// Opens a socket on each address that a peer could reach. Must be called within a tokio runtime.
pub(super) fn open_sockets() -> Vec<HostSocket> {
    let mut sockets = vec![];
    for address in addresses() {
        match bind(address) {
            Ok(socket) => sockets.push(socket),
            Err(error) => log::warn!("no UDP socket on {address}: {error}"),
        }
    }
    sockets
}

/// Usable addresses; the loopback address only if there is no other.
fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        log::warn!("the addresses of this machine could not be read: {error}");
        vec![]
    });
    let mut addresses: Vec<IpAddr> = interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(is_usable)
        .collect();
    addresses.dedup();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses
}

fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// Opens a socket on a free port.
fn bind(address: IpAddr) -> io::Result<HostSocket> {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(address, 0))?;
    socket.set_nonblocking(true)?;
    let local = socket.local_addr()?;
    Ok(HostSocket {
        local,
        udp: UdpSocket::from_std(socket)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_link_local_addresses_are_not_offered() {
        for address in ["127.0.0.1", "169.254.1.1", "::1", "fe80::1", "0.0.0.0"] {
            assert!(!is_usable(&address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            assert!(is_usable(&address.parse().unwrap()), "{address}");
        }
    }
}
