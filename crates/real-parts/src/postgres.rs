//! Real Postgres servers: one that all tests share, a database for each; or one of a test's own,
//! to be killed. And PgBouncer in front of one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::process::{Guarded, as_server_user, installed, is_root};
use crate::{eventually, free_port};

/// Of every user, unless a test says otherwise.
pub const PASSWORD: &str = "secret-of-the-tests";

/// The roles that Supabase has, for the whole server.
const ROLES: &str = "
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'secret-of-the-tests';
GRANT anon, authenticated, service_role TO authenticator;";

/// A server; it ends with the value, or with this process.
pub struct Postgres {
    process: Option<Guarded>,
    directory: TempDir,
    port: u16,
    /// Such a server is never dropped: what removes its directory is the end of its process.
    is_shared: bool,
}

/// The server of this test process.
pub async fn shared() -> &'static Postgres {
    static SHARED: OnceCell<Postgres> = OnceCell::const_new();
    SHARED.get_or_init(|| Postgres::start_with("", true)).await
}

impl Postgres {
    /// Starts a server of the test's own.
    pub async fn start() -> Self {
        Self::start_with("", false).await
    }

    /// The same with settings, a line for each.
    pub async fn with(settings: &str) -> Self {
        Self::start_with(settings, false).await
    }

    /// Starts a server that also speaks TLS as `localhost`, and returns the file of the certificate
    /// that clients have to trust.
    pub async fn start_with_tls() -> (Self, PathBuf) {
        // Relative to the data folder, which does not exist yet.
        let settings =
            "ssl = on\nssl_cert_file = '../certificate.pem'\nssl_key_file = '../key.pem'\n";
        let directory = tempfile::tempdir().expect("a temporary directory");
        make_certificate(directory.path());
        let certificate = directory.path().join("certificate.pem");
        let server = Self::start_in(directory, settings, false).await;
        (server, certificate)
    }

    async fn start_with(settings: &str, is_shared: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, settings, is_shared).await
    }

    async fn start_in(directory: TempDir, settings: &str, is_shared: bool) -> Self {
        let mut server = Self {
            process: None,
            directory,
            port: 0,
            is_shared,
        };
        let initialised = {
            let path = server.directory.path().to_owned();
            tokio::task::spawn_blocking(move || initialise(&path)).await
        };
        initialised.expect("initdb does not panic");
        let extra = server.directory.path().join("data/test.conf");
        std::fs::write(extra, settings).expect("a settings file");
        for _ in 0..5 {
            server.port = free_port();
            if server.try_launch().await {
                let mut admin = server.connect("postgres").await.expect("it answers");
                admin.execute(ROLES).await.expect("roles are made");
                return server;
            }
        }
        panic!("postgres exits at once, five times in a row");
    }

    async fn try_launch(&mut self) -> bool {
        let data = self.directory.path().join("data");
        let port = self.port.to_string();
        let mut command = as_server_user();
        let postgres = installed("postgres");
        command.extend([postgres.as_os_str(), OsStr::new("-D"), data.as_os_str()]);
        command.extend([OsStr::new("-p"), OsStr::new(&port)]);
        let log = self.directory.path().join("log");
        self.process = Some(Guarded::start(
            command[0],
            &command[1..],
            "QUIT",
            &log,
            self.is_shared.then(|| self.directory.path()),
        ));
        eventually("postgres answers or exits", async || {
            if self.process.as_mut().is_some_and(Guarded::has_ended) {
                return Some(false);
            }
            self.connect("postgres").await.ok().map(|_| true)
        })
        .await
    }

    /// Ends the server at once, as a crash would: it recovers from its log when it comes back.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the server again, on the same port.
    pub async fn restart(&mut self) {
        assert!(self.try_launch().await, "postgres does not come up again");
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of a database, as its owner.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", PASSWORD, database)
    }

    /// The address of a database as somebody else.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@{}/{database}", self.address())
    }

    /// A connection to a database, as its owner.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn connect(&self, database: &str) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.url(database)).await
    }

    /// Makes an empty database and returns its name.
    pub async fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"))
            .await;
        name
    }

    /// Runs statements as the owner of a database.
    pub async fn execute(&self, database: &str, sql: &str) {
        let mut owner = self.connect(database).await.expect("postgres answers");
        let done = owner.execute(AssertSqlSafe(sql.to_owned())).await;
        done.expect("the statements are right");
    }
}

/// Makes a key, for its owner's eyes, and a certificate of its own.
fn make_certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=localhost", "-keyout", "key.pem"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", "certificate.pem"])
        .current_dir(directory)
        .output();
    let made = made.expect("openssl is missing: run make setup");
    assert!(made.status.success(), "openssl makes no certificate");
}

/// Makes a cluster in `directory/data`.
fn initialise(directory: &Path) {
    let password = directory.join("password");
    std::fs::write(&password, PASSWORD).expect("a password file");
    if is_root() {
        let chown = Command::new("chown")
            .args(["-R", "postgres"])
            .arg(directory)
            .status();
        assert!(chown.is_ok_and(|it| it.success()), "chown fails");
    }
    let data = directory.join("data");
    let mut command = as_server_user();
    let initdb = installed("initdb");
    command.push(initdb.as_os_str());
    let output = Command::new(command[0])
        .args(&command[1..])
        .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256"])
        .args(["--encoding=UTF8", "--locale=C", "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(&data)
        .current_dir("/")
        .output()
        .expect("initdb runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "initdb: {error}");
    let mut settings =
        std::fs::read_to_string(data.join("postgresql.conf")).expect("initdb wrote settings");
    // Durable against a crash of the server, not of the machine: that is all a test can see.
    settings += "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n\
                 full_page_writes = off\nshared_buffers = 16MB\nmax_connections = 200\n\
                 include_if_exists = 'test.conf'\n";
    std::fs::write(data.join("postgresql.conf"), settings).expect("a settings file");
}

/// PgBouncer in its strictest mode: a server connection for the length of a transaction.
pub struct PgBouncer {
    _process: Guarded,
    _directory: TempDir,
    port: u16,
}

impl PgBouncer {
    /// Starts it before a server, with two server connections for everybody.
    pub async fn start(server: &Postgres) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let users = format!("\"postgres\" \"{PASSWORD}\"\n");
        std::fs::write(directory.path().join("users"), users).expect("a file of users");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 2\n",
            server.port,
            directory.path().join("users").display(),
        );
        let path: PathBuf = directory.path().join("pgbouncer.ini");
        std::fs::write(&path, settings).expect("a settings file");
        if is_root() {
            let folder = directory.path();
            let chown = Command::new("chown")
                .args(["-R", "postgres"])
                .arg(folder)
                .status();
            assert!(chown.is_ok_and(|it| it.success()), "chown fails");
        }
        let mut command = as_server_user();
        let pgbouncer = installed("pgbouncer");
        command.extend([pgbouncer.as_os_str(), path.as_os_str()]);
        let log = directory.path().join("log");
        let process = Guarded::start(command[0], &command[1..], "KILL", &log, None);
        eventually("pgbouncer listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        Self {
            _process: process,
            _directory: directory,
            port,
        }
    }

    /// The address of one of the server's databases through it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }
}
