//! Speaks one sentence with flite, as a process that writes a WAV to its standard output.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{EngineError, start_error};
use crate::audio::wav::{self, Sound};

const PROGRAM: &str = "flite";
const PACKAGES: &str = "flite";
/// flite speaks about fifty times faster than real time; a sentence that takes this long has hung.
const DEADLINE: Duration = Duration::from_secs(15);
/// Sentences spoken at once: enough to keep two cores busy.
const CONCURRENCY: usize = 4;

/// One of the voices built into flite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Voice {
    /// A woman; the voice that pocketsphinx understands best.
    #[default]
    Slt,
    /// A man.
    Rms,
    /// A Scottish man.
    Awb,
    /// A man, of an older and buzzier kind.
    Kal,
}

/// OpenAI's voice names and flite's own, and the voice each is spoken with here.
///
/// Only the voices that OpenAI made deep are men: slt is the one that is understood best, and a
/// conversation that comes through is worth more here than a voice that fits.
/// Source: OpenAI API reference, "Create speech", parameter `voice`.
const VOICES: &[(&str, Voice)] = &[
    ("alloy", Voice::Slt),
    ("ash", Voice::Slt),
    ("ballad", Voice::Slt),
    ("cedar", Voice::Rms),
    ("coral", Voice::Slt),
    ("echo", Voice::Rms),
    ("fable", Voice::Awb),
    ("marin", Voice::Slt),
    ("nova", Voice::Slt),
    ("onyx", Voice::Rms),
    ("sage", Voice::Slt),
    ("shimmer", Voice::Slt),
    ("verse", Voice::Slt),
    ("slt", Voice::Slt),
    ("rms", Voice::Rms),
    ("awb", Voice::Awb),
    ("kal", Voice::Kal),
];

impl Voice {
    /// The voice for a name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        VOICES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, voice)| *voice)
    }

    /// Every name that [`Voice::named`] knows.
    pub(crate) fn names() -> Vec<&'static str> {
        VOICES.iter().map(|(name, _)| *name).collect()
    }

    fn flite_name(self) -> &'static str {
        match self {
            Self::Slt => "slt",
            Self::Rms => "rms",
            Self::Awb => "awb",
            Self::Kal => "kal16",
        }
    }
}

/// Runs flite, a few processes at a time.
pub(crate) struct Flite {
    permits: Semaphore,
}

impl Flite {
    pub(crate) fn new() -> Self {
        Self {
            permits: Semaphore::new(CONCURRENCY),
        }
    }

    /// Speaks `sentence` at `speed` times the usual pace.
    ///
    /// Shape: mono at the voice's own rate, 16 kHz for all of today's.
    ///
    /// # Cancel safety
    /// The process is killed when the future is dropped.
    pub(crate) async fn speak(
        &self,
        sentence: &str,
        voice: Voice,
        speed: f64,
    ) -> Result<Sound, EngineError> {
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let stretch = format!("duration_stretch={:.3}", 1.0 / speed);
        let child = Command::new(PROGRAM)
            .args([
                "-voice",
                voice.flite_name(),
                "--setf",
                &stretch,
                "-t",
                sentence,
            ])
            .args(["-o", "/dev/stdout"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| start_error(PROGRAM, PACKAGES, source))?;
        let output = timeout(DEADLINE, child.wait_with_output())
            .await
            .map_err(|_| EngineError::Late {
                program: PROGRAM,
                limit: DEADLINE,
            })?
            .map_err(|source| EngineError::Run {
                program: PROGRAM,
                source,
            })?;
        let status = output.status;
        if !status.success() {
            return Err(EngineError::Failed {
                program: PROGRAM,
                status,
                packages: PACKAGES,
            });
        }
        wav::read(&output.stdout).map_err(|_| EngineError::Output { program: PROGRAM })
    }
}
