//! The caller's words, written down beside the conversation.

use std::sync::Arc;

use tokio::time::sleep;

use crate::audio::resample::resample;
use crate::audio::{RECOGNISER_RATE_HZ, SPEECH_RATE_HZ};
use crate::engine::{Engine, EngineError};
use crate::faults::FaultKind;
use crate::routes::App;
use crate::stats::Endpoint;

/// Why there are no words, as the service's error object has it.
#[derive(Debug)]
pub(super) struct NoWords {
    pub(super) kind: &'static str,
    pub(super) code: &'static str,
}

impl From<EngineError> for NoWords {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full { .. } => Self {
                kind: "requests",
                code: "rate_limit_exceeded",
            },
            _ => Self {
                kind: "server_error",
                code: "transcription_failed",
            },
        }
    }
}

/// Understands a stretch of sound at 24 kHz. A fault for transcriptions is one for this, too.
pub(super) async fn understand(app: Arc<App>, sound: Vec<i16>) -> Result<String, NoWords> {
    let fault = app.faults.take(Endpoint::Transcriptions);
    if let Some(fault) = fault {
        app.stats.fault_made(Endpoint::Transcriptions);
        match fault.kind {
            FaultKind::EmptyTranscript => return Ok(String::new()),
            FaultKind::Hang | FaultKind::Stall => std::future::pending().await,
            FaultKind::RateLimited | FaultKind::QuotaExceeded => {
                return Err(NoWords {
                    kind: "requests",
                    code: "rate_limit_exceeded",
                });
            }
            _ => {
                return Err(NoWords {
                    kind: "server_error",
                    code: "transcription_failed",
                });
            }
        }
    }
    let text = match &app.engine {
        Engine::Fixed { fixed, .. } => fixed.transcript.clone(),
        Engine::Real { recogniser, .. } => {
            let at_16k = tokio::task::spawn_blocking(move || {
                resample(&sound, SPEECH_RATE_HZ, RECOGNISER_RATE_HZ)
            });
            let samples = at_16k.await.unwrap_or_default();
            recogniser.transcribe(samples).await?
        }
    };
    sleep(app.config.delays.stt).await;
    Ok(text)
}
