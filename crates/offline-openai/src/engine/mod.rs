//! What hears and speaks: flite and pocketsphinx as processes, or the given answers of fixed mode.
//!
//! Text and sound go through pipes only, so nothing is left on disk. A process belongs to the request
//! it works for and is killed when that request is dropped.

pub(crate) mod flite;
pub(crate) mod pocketsphinx;

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::audio::{SPEECH_RATE_HZ, bytes_of, tone::tone};
use crate::config::Fixed;
use flite::Flite;
use pocketsphinx::Pocketsphinx;

/// Why an engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The program is not installed.
    #[error("{program} is not installed: run `apt-get install {packages}`")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian packages that bring it and what it needs.
        packages: &'static str,
    },
    /// The program could not be started or spoken to.
    #[error("{program} could not be run: {source}")]
    Run {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The program ended without a result.
    #[error("{program} failed ({status}); it needs the packages {packages}")]
    Failed {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The Debian packages that bring it and what it needs.
        packages: &'static str,
    },
    /// The program wrote something else than expected.
    #[error("{program} wrote no sound that can be read")]
    Output {
        /// The program.
        program: &'static str,
    },
    /// The program took too long and was killed.
    #[error("{program} took longer than {limit:?}")]
    Late {
        /// The program.
        program: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// More requests wait for the program than the queue holds.
    #[error("too many requests wait for {program}")]
    Full {
        /// The program.
        program: &'static str,
    },
}

/// Where transcripts and speech come from.
pub(crate) enum Engine {
    /// Real speech through local programs.
    Real {
        recogniser: Pocketsphinx,
        voice: Flite,
    },
    /// The same answer to every request.
    Fixed { fixed: Fixed, speech: Bytes },
}

impl Engine {
    /// The engine of fixed mode; its tone is made once.
    pub(crate) fn fixed(fixed: Fixed) -> Self {
        let duration_ms = fixed.tone.as_millis() as u64;
        let speech = Bytes::from(bytes_of(&tone(fixed.tone_hz, duration_ms, SPEECH_RATE_HZ)));
        Self::Fixed { fixed, speech }
    }

    /// The real engine, tried with one spoken word before it is used.
    ///
    /// # Errors
    /// When a program or the recogniser's model is missing, naming the packages to install.
    pub(crate) async fn real(recognisers: usize) -> Result<Self, EngineError> {
        let voice = Flite::new();
        let spoken = voice
            .speak("hello there", flite::Voice::default(), 1.0)
            .await?;
        let recogniser = Pocketsphinx::new(recognisers);
        recogniser.transcribe(spoken.samples).await?;
        Ok(Self::Real { recogniser, voice })
    }
}

/// Tells a missing program from one that could not be run.
fn start_error(program: &'static str, packages: &'static str, source: io::Error) -> EngineError {
    match source.kind() {
        io::ErrorKind::NotFound => EngineError::Missing { program, packages },
        _ => EngineError::Run { program, source },
    }
}
