//! A real Redis of the test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use redis::{Commands, Connection};
use tempfile::TempDir;
use voxpool::redact::Pii;

use super::{eventually, free_port};

/// A server process; it ends with the value.
pub(crate) struct Redis {
    process: Option<Child>,
    directory: TempDir,
    port: u16,
    password: &'static str,
    /// With TLS, the port of that.
    tls_port: Option<u16>,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a server that asks for this password, if it is not empty. A port that somebody else
    /// took in between makes the server exit; then others are tried.
    pub(crate) async fn start_with(password: &'static str) -> Self {
        for _ in 0..5 {
            let mut server = Self {
                process: None,
                directory: tempfile::tempdir().expect("a temporary directory"),
                port: free_port(),
                password,
                tls_port: None,
            };
            if server.try_launch().await {
                return server;
            }
        }
        panic!("redis-server exits at once, five times in a row");
    }

    /// Starts a server that also speaks TLS, with a certificate of its own making.
    pub(crate) async fn start_with_tls() -> Self {
        for _ in 0..5 {
            let mut server = Self {
                process: None,
                directory: tempfile::tempdir().expect("a temporary directory"),
                port: free_port(),
                password: "",
                tls_port: Some(free_port()),
            };
            server.make_certificate();
            if server.try_launch().await {
                return server;
            }
        }
        panic!("redis-server exits at once, five times in a row");
    }

    fn make_certificate(&self) {
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args(["-subj", "/CN=localhost", "-keyout", "key.pem"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-out", "certificate.pem"])
            .current_dir(self.directory.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl is there").success());
    }

    /// The file of the certificate that clients have to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Its address for TLS.
    pub(crate) fn tls_url(&self) -> String {
        let port = self.tls_port.expect("started with TLS");
        format!("rediss://localhost:{port}")
    }

    /// Starts the process again after [`Redis::kill`], on the same port and empty.
    pub(crate) async fn restart(&mut self) {
        assert!(
            self.try_launch().await,
            "redis-server does not come up again"
        );
    }

    async fn try_launch(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if !self.password.is_empty() {
            command.args(["--requirepass", self.password]);
        }
        if let Some(tls_port) = self.tls_port {
            command
                .args(["--tls-port", &tls_port.to_string()])
                .arg("--tls-cert-file")
                .arg(self.certificate())
                .arg("--tls-key-file")
                .arg(self.directory.path().join("key.pem"))
                .arg("--tls-ca-cert-file")
                .arg(self.certificate())
                .args(["--tls-auth-clients", "no"]);
        }
        let child = command
            .spawn()
            .expect("redis-server is missing: run make setup");
        self.process = Some(child);
        eventually("redis-server answers or exits", async || {
            let process = self.process.as_mut().expect("started above");
            if process.try_wait().expect("a child can be asked").is_some() {
                return Some(false);
            }
            let mut client = self.try_client()?;
            client.ping::<String>().ok().map(|_| true)
        })
        .await
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Lets the process hang: the system still accepts connections for it, and nobody answers.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// Lets a process that hangs go on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the server runs");
        let sent = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Its address with this password.
    pub(crate) fn url_with(&self, password: &str) -> Pii<String> {
        let user = if password.is_empty() {
            String::new()
        } else {
            format!(":{password}@")
        };
        Pii::new(format!("redis://{user}127.0.0.1:{}/0", self.port))
    }

    /// Its address.
    pub(crate) fn url(&self) -> Pii<String> {
        self.url_with(self.password)
    }

    /// A connection of the test's own, to look and to meddle. It blocks; the answers come at once.
    pub(crate) fn client(&self) -> Connection {
        self.try_client().expect("redis-server answers")
    }

    fn try_client(&self) -> Option<Connection> {
        let client = redis::Client::open(self.url().expose().as_str()).ok()?;
        client.get_connection().ok()
    }

    /// Every key there is.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.client().keys("*").expect("keys are listed")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
