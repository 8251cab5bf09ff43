//! A door with TLS before a plain server on this machine, so that handshakes cost what they cost.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";

/// Makes a key and a certificate for 127.0.0.1 in `directory`, and returns the certificate's file:
/// what clients have to trust.
///
/// Panics without the `openssl` program.
pub fn make_certificate(directory: &Path) -> PathBuf {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost", "-keyout", KEY])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", CERTIFICATE])
        .current_dir(directory)
        .stderr(Stdio::null())
        .status()
        .expect("openssl cannot be run: install it");
    assert!(made.success(), "openssl could not make a certificate");
    directory.join(CERTIFICATE)
}

/// The door, for as long as the runtime lives.
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl Door {
    /// Opens a door to `server` with the key and certificate in `directory`.
    ///
    /// Panics when they cannot be read, or no port is free.
    pub async fn open(directory: &Path, server: SocketAddr) -> Self {
        let certificate = CertificateDer::from_pem_file(directory.join(CERTIFICATE));
        let certificate = certificate.expect("a certificate was made");
        let key = PrivateKeyDer::from_pem_file(directory.join(KEY)).expect("a key was made");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key belongs to the certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr();
        let address = address.expect("a bound socket has an address");
        let accepted = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass(acceptor.clone(), outside, server));
            }
        });
        Self { address, accepted }
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn pass(
    acceptor: TlsAcceptor,
    outside: TcpStream,
    server: SocketAddr,
) -> std::io::Result<()> {
    outside.set_nodelay(true)?;
    let mut outside = acceptor.accept(outside).await?;
    let mut inside = TcpStream::connect(server).await?;
    inside.set_nodelay(true)?;
    copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}
