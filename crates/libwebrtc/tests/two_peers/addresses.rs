//! A host with very many addresses, in a network namespace of the test's own (it needs root).

use std::{fs::File, os::fd::AsFd, process::Command};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;

/// A network namespace; it goes with the value.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let namespace = Self(format!("libwebrtc-{}", std::process::id()));
        ip(&["netns", "add", &namespace.0]);
        namespace
    }

    fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.0], arguments].concat());
    }

    /// Moves the calling thread into it.
    fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.0)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Command::new("ip")
            .args(["netns", "del", &self.0])
            .status()
            .ok();
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(status.unwrap().success(), "ip {arguments:?}, as root");
}

/// The host candidates over UDP and over TCP of a connection that this thread makes.
async fn candidates() -> (Vec<String>, usize) {
    let pc = connection();
    let (found, mut candidates) = mpsc::channel(512);
    pc.on_ice_candidate(Some(Box::new(move |candidate| {
        found
            .try_send(candidate.candidate())
            .expect("512 are enough");
    })));
    let (gathered, mut is_gathered) = mpsc::channel(8);
    pc.on_ice_gathering_state_change(Some(Box::new(move |state| {
        if state == IceGatheringState::Complete {
            gathered.try_send(()).ok();
        }
    })));
    pc.create_data_channel("chat", DataChannelInit::default())
        .unwrap();
    let offer = pc.create_offer(OfferOptions::default()).await.unwrap();
    pc.set_local_description(offer).await.unwrap();
    timeout(SOON, is_gathered.recv()).await.unwrap().unwrap();
    let (mut udp, mut n_tcp) = (vec![], 0);
    while let Ok(line) = candidates.try_recv() {
        let parts: Vec<&str> = line.split(' ').collect();
        match parts[2] {
            "udp" => udp.push(parts[4].to_owned()),
            _ => n_tcp += 1,
        }
    }
    (udp, n_tcp)
}

#[test]
fn a_host_with_many_addresses_opens_few_sockets_and_the_best_ones() {
    let namespace = Namespace::new();
    for (link, peer) in [("lan0", "far0"), ("eth7", "far7")] {
        namespace.ip(&["link", "add", link, "type", "veth", "peer", "name", peer]);
        namespace.ip(&["link", "set", link, "up"]);
        namespace.ip(&["link", "set", peer, "up"]);
    }
    for n in 1..=200 {
        namespace.ip(&["addr", "add", &format!("10.9.0.{n}/24"), "dev", "lan0"]);
    }
    for n in 1..=20 {
        let address = format!("2001:db8:9::{n:x}/64");
        namespace.ip(&["addr", "add", &address, "dev", "lan0", "nodad"]);
    }
    namespace.ip(&["addr", "add", "192.168.7.2/24", "dev", "eth7"]);
    namespace.ip(&["addr", "add", "2001:db8:7::2/64", "dev", "eth7", "nodad"]);
    namespace.ip(&["route", "add", "default", "via", "192.168.7.1"]);
    namespace.ip(&["-6", "route", "add", "default", "dev", "eth7"]);

    let (udp, n_tcp) = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            namespace.enter();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(candidates())
        });
        inside.join().unwrap()
    });
    assert_eq!((udp.len(), n_tcp), (16, 4), "{udp:?}");
    assert_eq!(udp[..2], ["192.168.7.2", "2001:db8:7::2"]);
    assert!(udp.iter().any(|address| address.starts_with("2001:db8:9:")));
}
