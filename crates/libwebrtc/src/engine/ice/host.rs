//! The addresses of this machine that a peer is offered.
//!
//! Each address is a socket of its own, because str0m must know at which address a packet came,
//! and tokio's socket on the unspecified address does not tell. So a connection has a bound on
//! them, and the addresses that are likely to work come first.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::UdpSocket;

use super::HostSocket;

/// The sockets of one connection. More addresses than this make no path better: each costs a
/// descriptor, and checks against each of the peer's.
const SOCKETS_MAX: usize = 16;

/// Names of interfaces that lead to containers and virtual machines of this host alone.
const BRIDGES: [&str; 9] = [
    "docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "lxc", "podman",
];

/// Opens a socket on each address that a peer is offered. Must be called within a tokio runtime.
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

fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        log::warn!("the addresses of this machine could not be read: {error}");
        vec![]
    });
    let found: Vec<(String, IpAddr)> = interfaces
        .into_iter()
        .map(|interface| (interface.name.clone(), interface.ip()))
        .collect();
    choose(&found, &default_addresses())
}

/// The addresses to offer, the likeliest first: those that the default routes use, then one of each
/// interface and family in turn, and bridges to containers last. The loopback address only if there
/// is no other.
fn choose(found: &[(String, IpAddr)], default: &[IpAddr]) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    // How many addresses of an interface and a family came before.
    let mut before: HashMap<(&str, bool), usize> = HashMap::new();
    let mut ranked = vec![];
    for (name, address) in found {
        if !is_usable(address) || !seen.insert(*address) {
            continue;
        }
        let nth = before.entry((name, address.is_ipv4())).or_default();
        let is_default = default.contains(address);
        ranked.push(((Reverse(is_default), is_bridge(name), *nth), *address));
        *nth += 1;
    }
    // A stable sort: what is equally likely stays in the order of the interfaces.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(SOCKETS_MAX);
    if ranked.is_empty() {
        return vec![Ipv4Addr::LOCALHOST.into()];
    }
    ranked.into_iter().map(|(_, address)| address).collect()
}

fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

fn is_bridge(name: &str) -> bool {
    BRIDGES.iter().any(|prefix| name.starts_with(prefix))
}

/// The addresses that this machine uses towards the internet, one of each family at most. The
/// sockets send nothing: connecting one only looks up the route.
fn default_addresses() -> Vec<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849), which only a default route leads to.
    let far = [
        IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ];
    far.into_iter()
        .filter_map(|far| source_to(far).ok())
        .collect()
}

fn source_to(far: IpAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr = match far {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((unspecified, 0))?;
    socket.connect((far, 9))?;
    Ok(socket.local_addr()?.ip())
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

    fn found(list: &[(&str, &str)]) -> Vec<(String, IpAddr)> {
        let read = |(name, address): &(&str, &str)| ((*name).to_owned(), address.parse().unwrap());
        list.iter().map(read).collect()
    }

    fn chosen(list: &[(&str, &str)], default: &[&str]) -> Vec<String> {
        let default: Vec<IpAddr> = default.iter().map(|it| it.parse().unwrap()).collect();
        let chosen = choose(&found(list), &default);
        chosen.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn loopback_and_link_local_addresses_are_not_offered() {
        for address in ["127.0.0.1", "169.254.1.1", "::1", "fe80::1", "0.0.0.0"] {
            assert!(!is_usable(&address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            assert!(is_usable(&address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn loopback_is_offered_if_there_is_nothing_else() {
        let list = [("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "fe80::1")];
        assert_eq!(chosen(&list, &[]), ["127.0.0.1"]);
    }

    #[test]
    fn default_routes_come_first_and_bridges_last() {
        let list = [
            ("docker0", "172.17.0.1"),
            ("eth0", "10.0.0.1"),
            ("eth0", "10.0.0.2"),
            ("eth1", "192.168.1.9"),
            ("eth1", "2001:db8::9"),
            ("eth1", "192.168.1.9"),
        ];
        assert_eq!(
            chosen(&list, &["192.168.1.9", "2001:db8::9"]),
            [
                "192.168.1.9",
                "2001:db8::9",
                "10.0.0.1",
                "10.0.0.2",
                "172.17.0.1"
            ]
        );
    }

    #[test]
    fn an_interface_with_many_addresses_leaves_room_for_the_others() {
        let many: Vec<String> = (1..=200).map(|n| format!("10.9.0.{n}")).collect();
        let mut list: Vec<(&str, &str)> = many.iter().map(|it| ("dummy0", it.as_str())).collect();
        list.push(("eth0", "192.168.1.9"));
        list.push(("eth0", "2001:db8::9"));
        list.push(("docker0", "172.17.0.1"));
        let chosen = chosen(&list, &["192.168.1.9"]);
        assert_eq!(chosen.len(), SOCKETS_MAX);
        assert_eq!(chosen[..3], ["192.168.1.9", "10.9.0.1", "2001:db8::9"]);
    }
}
