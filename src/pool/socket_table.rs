//! The kernel's table of sockets: which TCP connections there are (Linux; unknown elsewhere).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Local and remote address: one connection.
pub(super) type Key = (SocketAddr, SocketAddr);

/// The established TCP connections of this network namespace; `None` where there is no such table.
///
/// Reads files: not for the async runtime's threads.
pub(super) fn established() -> Option<HashSet<Key>> {
    let v4 = std::fs::read_to_string("/proc/self/net/tcp").ok()?;
    let v6 = std::fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default();
    Some(parse_table(&v4).chain(parse_table(&v6)).collect())
}

/// Reads the kernel's socket table: one line per socket after a heading, with local address, remote
/// address and state in the second to fourth column.
///
/// Source: Linux `Documentation/networking/proc_net_tcp.rst`; state 01 is ESTABLISHED.
fn parse_table(table: &str) -> impl Iterator<Item = Key> {
    table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (columns.next()?, columns.next()?, columns.next()?);
        (state == "01").then_some(())?;
        Some((parse_address(local)?, parse_address(remote)?))
    })
}

/// `0100007F:1F90`: words of the address in the machine's byte order, then the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(8 * index..8 * (index + 1))?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernels_table_shows_a_real_connection_until_it_is_closed() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue; // no such address family on this machine
            };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let key = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            assert!(established().unwrap().contains(&key), "{host} not found");
            drop(stream);
            assert!(!established().unwrap().contains(&key), "{host} still there");
        }
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_panic(table in "(?s).{0,400}") {
            parse_table(&table).for_each(drop);
        }

        #[test]
        fn any_line_of_columns_is_read_without_panic(
            columns in proptest::collection::vec("[0-9A-F:é]{0,40}", 0..6)
        ) {
            parse_table(&format!("heading\n{}", columns.join(" "))).for_each(drop);
        }
    }
}
