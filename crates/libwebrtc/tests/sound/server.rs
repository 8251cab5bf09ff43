//! A LiveKit server of our own on loopback, and the tools that the tests need.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use livekit_api::access_token::{AccessToken, VideoGrants};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

const KEY: &str = "devkey";
const SECRET: &str = "secret-of-the-sound-tests-0123456789";

/// Where the server's media port really is; what it announces is one address further.
const REAL: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// What clients are told: there a relay listens, and clients have no other way to the server.
pub(crate) const ANNOUNCED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) media: SocketAddr,
    pub(crate) announced: SocketAddr,
    directory: TempDir,
    _process: Child,
}

impl Server {
    /// Starts a server whose media must pass through a relay at `announced`.
    pub(crate) async fn start() -> Self {
        let (port, media_port) = (free_tcp_port(), free_udp_port());
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("server.yaml");
        // As ICE lite the server only answers where it is asked: it cannot go around the relay.
        let text = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nkeys:\n  {KEY}: {SECRET}\n\
             logging:\n  level: warn\nrtc:\n  udp_port: {media_port}\n  tcp_port: 0\n\
             \x20 node_ip: {ANNOUNCED}\n  use_external_ip: false\n  use_ice_lite: true\n\
             \x20 enable_loopback_candidate: true\n  interfaces:\n    includes: [lo]\n"
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(directory.path().join("server.log")).unwrap();
        let mut process = Command::new(tool("bin/livekit-server"))
            .arg("--config")
            .arg(&config)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        while TcpStream::connect((REAL, port)).await.is_err() {
            if let Some(status) = process.try_wait().unwrap() {
                let log = std::fs::read_to_string(directory.path().join("server.log"));
                panic!(
                    "livekit-server ended with {status}: {}",
                    log.unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            url: format!("ws://127.0.0.1:{port}"),
            media: (REAL, media_port).into(),
            announced: (ANNOUNCED, media_port).into(),
            directory,
            _process: process,
        }
    }

    pub(crate) fn token(&self, identity: &str) -> String {
        let grants = VideoGrants {
            room_join: true,
            room: "sound".into(),
            ..VideoGrants::default()
        };
        let token = AccessToken::with_api_key(KEY, SECRET).with_identity(identity);
        token.with_grants(grants).to_jwt().unwrap()
    }

    /// A place for files, gone with the server.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Path of a tool that `make setup` installs.
pub(crate) fn tool(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tells tests where tools are")]
    let tools = std::env::var("VOXPOOL_TOOLS").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"),
        PathBuf::from,
    );
    let path = tools.join(name);
    assert!(
        path.exists(),
        "{} is missing: run make setup",
        path.display()
    );
    path
}

/// A command whose output the test reads and whose input it holds.
pub(crate) fn piped(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn free_tcp_port() -> u16 {
    TcpListener::bind((REAL, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A UDP port that is free on both addresses.
fn free_udp_port() -> u16 {
    loop {
        let port = UdpSocket::bind((REAL, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        if UdpSocket::bind((ANNOUNCED, port)).is_ok() {
            return port;
        }
    }
}
