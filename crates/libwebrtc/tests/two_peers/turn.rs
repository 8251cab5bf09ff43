//! The path through a TURN server, a real one: coturn. Both sides may use nothing else.

use std::{
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use libwebrtc::{
    peer_connection::IceCandidateError,
    peer_connection_factory::{IceServer, IceTransportsType},
    prelude::*,
};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{SOON, negotiate};

const USERNAME: &str = "caller";
const PASSWORD: &str = "a password of the tests";
/// Set for a process that trusts the certificate in this folder: what is trusted is read once.
const CERTIFICATES: &str = "VOXPOOL_TEST_TURN_CERTIFICATES";

struct Coturn {
    port: u16,
    tls_port: u16,
    _process: Child,
    _directory: TempDir,
}

impl Coturn {
    async fn start(certificates: Option<&Path>) -> Self {
        for _ in 0..5 {
            if let Some(server) = Self::try_start(certificates).await {
                return server;
            }
        }
        panic!("turnserver exits at once, five times in a row");
    }

    async fn try_start(certificates: Option<&Path>) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let tls = match certificates {
            Some(folder) => format!(
                "cert={0}/certificate.pem\npkey={0}/key.pem\n",
                folder.display()
            ),
            None => "no-tls\n".to_owned(),
        };
        let folder = directory.path().display();
        let settings = format!(
            "listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nlistening-port={port}\n\
             tls-listening-port={tls_port}\nlt-cred-mech\nuser={USERNAME}:{PASSWORD}\n\
             realm=tests\nallow-loopback-peers\nno-cli\nno-dtls\nuserdb={folder}/turndb\n\
             pidfile={folder}/pid\nlog-file={folder}/log\nsimple-log\n{tls}"
        );
        let path = directory.path().join("turnserver.conf");
        std::fs::write(&path, settings).unwrap();
        let mut process = Command::new("turnserver")
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("turnserver is missing: run make setup");
        let deadline = Instant::now() + SOON;
        loop {
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            assert!(Instant::now() < deadline, "turnserver does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        Some(Self {
            port,
            tls_port,
            _process: process,
            _directory: directory,
        })
    }
}

/// A port that is free for UDP as well as for TCP.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A connection that has nothing but the server.
fn relayed(url: &str, password: &str) -> PeerConnection {
    let mut config = RtcConfiguration::default();
    config.ice_transport_type = IceTransportsType::Relay;
    config.ice_servers.push(IceServer {
        urls: vec![url.to_owned()],
        username: USERNAME.to_owned(),
        password: password.to_owned(),
    });
    PeerConnectionFactory::default()
        .create_peer_connection(config)
        .unwrap()
}

/// Sends more messages than it takes until the server's short form (a channel) is used.
async fn talk_through(url: &str) {
    let (a, b) = (relayed(url, PASSWORD), relayed(url, PASSWORD));
    let addresses = Addresses::default();
    addresses.trickle(&a, &b);
    addresses.trickle(&b, &a);
    let (heard, mut messages) = mpsc::channel(256);
    b.on_data_channel(Some(Box::new(move |channel| {
        let heard = heard.clone();
        channel.on_message(Some(Box::new(move |message| {
            heard.try_send(message.data.to_vec()).expect("few messages");
        })));
    })));
    let (opened, mut open) = mpsc::channel(4);
    let channel = a
        .create_data_channel("chat", DataChannelInit::default())
        .unwrap();
    channel.on_state_change(Some(Box::new(move |state| {
        if state == DataChannelState::Open {
            opened.try_send(()).ok();
        }
    })));
    negotiate(&a, &b).await;
    timeout(SOON, open.recv()).await.expect("a path is found");
    for n in 0..100_u8 {
        channel.send(&[n; 1000], true).unwrap();
        let message = timeout(SOON, messages.recv()).await.expect("it arrives");
        assert_eq!(message.unwrap(), [n; 1000]);
    }
    let addresses = addresses.0.lock().unwrap();
    assert!(addresses.len() >= 2, "{addresses:?}");
    let all_relayed = addresses.iter().all(|it| it.contains(" typ relay"));
    assert!(all_relayed, "{addresses:?}");
    a.close();
    b.close();
}

/// The addresses that both sides found.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<Vec<String>>>);

impl Addresses {
    /// Carries candidates from one side to the other as they are found, and keeps them.
    fn trickle(&self, from: &PeerConnection, to: &PeerConnection) {
        let (found, mut candidates) = mpsc::channel(64);
        from.on_ice_candidate(Some(Box::new(move |candidate| {
            found.try_send(candidate).expect("64 candidates are enough");
        })));
        let (to, addresses) = (to.clone(), Arc::clone(&self.0));
        tokio::spawn(async move {
            while let Some(candidate) = candidates.recv().await {
                addresses.lock().unwrap().push(candidate.candidate());
                to.add_ice_candidate(candidate).await.ok();
            }
        });
    }
}

#[tokio::test]
async fn a_path_through_turn_over_udp() {
    let server = Coturn::start(None).await;
    talk_through(&format!("turn:127.0.0.1:{}?transport=udp", server.port)).await;
}

#[tokio::test]
async fn a_path_through_turn_over_tcp() {
    let server = Coturn::start(None).await;
    talk_through(&format!("turn:127.0.0.1:{}?transport=tcp", server.port)).await;
}

#[tokio::test]
async fn a_path_through_turn_over_tls() {
    if let Some(certificates) = std::env::var_os(CERTIFICATES) {
        let server = Coturn::start(Some(&PathBuf::from(certificates))).await;
        talk_through(&format!("turns:localhost:{}", server.tls_port)).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path()).await;
    // Without the certificate there is no path.
    let server = Coturn::start(Some(folder.path())).await;
    let url = format!("turns:localhost:{}", server.tls_port);
    assert_eq!(refusal(&url, PASSWORD).await.error_code, 701);
    // With it there is one.
    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "turn::a_path_through_turn_over_tls"])
        .env(CERTIFICATES, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("certificate.pem"))
        .kill_on_drop(true)
        .output();
    let output = timeout(3 * SOON, trusting).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let server = Coturn::start(None).await;
    let url = format!("turn:127.0.0.1:{}?transport=udp", server.port);
    let error = refusal(&url, "wrong").await;
    assert_eq!(error.url, url);
    assert!(
        error.error_text.contains("password"),
        "{}",
        error.error_text
    );
    assert!(!error.error_text.contains("wrong"), "{}", error.error_text);
}

/// Why a server gives no address.
async fn refusal(url: &str, password: &str) -> IceCandidateError {
    let connection = relayed(url, password);
    let (failed, mut errors) = mpsc::channel(4);
    connection.on_ice_candidate_error(Some(Box::new(move |error| {
        failed.try_send(error).ok();
    })));
    connection.on_ice_candidate(Some(Box::new(|candidate| {
        panic!("an address in spite of all: {}", candidate.candidate());
    })));
    connection
        .create_data_channel("chat", DataChannelInit::default())
        .unwrap();
    let offer = connection
        .create_offer(OfferOptions::default())
        .await
        .unwrap();
    connection.set_local_description(offer).await.unwrap();
    let error = timeout(SOON, errors.recv()).await;
    error.expect("the error is told").unwrap()
}

/// A key and a certificate of its own for `localhost`.
async fn make_certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost", "-keyout", "key.pem"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", "certificate.pem"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status()
        .await
        .expect("openssl is missing: run make setup");
    assert!(made.success(), "openssl makes no certificate");
    // The server may run as another user.
    for name in ["key.pem", "certificate.pem"] {
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(folder.join(name), readable).unwrap();
    }
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
