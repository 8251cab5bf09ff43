//! Server processes that end with the test, however it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs a command until its standard input is closed, which the system does when this process
/// ends; then it is sent the signal, and its folder is removed if it has one of its own.
const UNTIL_CLOSED: &str = r#"signal=$1; shift; exec 3<&0
"$@" 3<&- & child=$!
(cat <&3 >/dev/null; kill -s "$signal" $child 2>/dev/null) &
exec 3<&-; wait $child
[ -z "$FOLDER" ] || rm -rf "$FOLDER""#;

/// A process that ends with the value, and also when the value is never dropped.
pub struct Guarded(Child);

impl Guarded {
    /// Starts a program; `signal` is how it is told to end. Its output goes to `log`. `folder` is
    /// removed when the program has ended.
    pub fn start(
        program: impl AsRef<OsStr>,
        arguments: &[&OsStr],
        signal: &str,
        log: &Path,
        folder: Option<&Path>,
    ) -> Self {
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("a log file");
        let child = Command::new("sh")
            .args(["-c", UNTIL_CLOSED, "sh", signal])
            .arg(program)
            .args(arguments)
            .env("FOLDER", folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        Self(child.expect("a shell"))
    }

    /// Whether the program has ended.
    pub fn has_ended(&mut self) -> bool {
        let status = self.0.try_wait().expect("a child can be asked");
        status.is_some()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// A program of Debian's packages, which may be outside of `PATH`.
///
/// Panics with what to do when it is missing: a test is never skipped.
pub fn installed(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/bin".into()]);
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    let found = folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|it| it.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run make setup"))
}

/// Whether this process is root, whom Postgres and PgBouncer refuse to run as.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// The beginning of a command that runs as a user who may run servers.
pub fn as_server_user() -> Vec<&'static OsStr> {
    let prefix: &[&str] = match is_root() {
        true => &[
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
        ],
        false => &["env"],
    };
    prefix.iter().map(OsStr::new).collect()
}
