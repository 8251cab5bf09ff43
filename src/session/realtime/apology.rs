//! What the user hears when a service fails: words of ours with the voice of `[tts]`, and a short
//! sound when that fails, too.

use std::time::Duration;

use futures::{FutureExt, TryStreamExt};

use super::call::{Call, Event};
use super::dialogue::Recorded;
use super::protocol::RATE_HZ;
use super::voice::at_session_rate;
use crate::audio::earcon;
use crate::error::CallError;
use crate::excess::contained;
use crate::session::apology::{Stage, apology};
use crate::session::writing::Source;
use crate::session::{Agent, report};

/// The longest wait for the voice; whoever waits longer is better off with a sound.
const VOICE_WITHIN: Duration = Duration::from_secs(4);

impl Call {
    /// The user hears of it, and the session ends if it must.
    pub(super) fn on_trouble(&mut self, stage: Stage, error: CallError, is_final: bool) {
        report::failure(&error);
        if stage != Stage::Tts {
            self.model.failed(self.place, &error);
        }
        let (agent, cause) = (self.agent.clone(), error.without_cause());
        let ends_with = is_final.then_some(error);
        let making = async move {
            let recorded = spoken(agent, stage, cause, is_final).await;
            Event::Apology {
                recorded,
                ends_with,
            }
        };
        self.apology = Some(making.boxed());
    }
}

/// An apology for this failure.
async fn spoken(agent: Agent, stage: Stage, error: CallError, is_last: bool) -> Recorded {
    let voiced = async {
        let Source::Say(text) = apology(stage, &error, is_last) else {
            return None;
        };
        let frames = agent.tts.speak(text.clone());
        let sound = at_session_rate(frames, agent.tts.sample_rate_hz());
        let samples = sound.try_concat().await.ok()?;
        (!samples.is_empty()).then_some(Recorded { text, samples })
    };
    match tokio::time::timeout(VOICE_WITHIN, contained(voiced)).await {
        Ok(Ok(Some(recorded))) => recorded,
        Ok(Ok(None) | Err(_)) | Err(_) => Recorded {
            text: String::new(),
            samples: earcon::trouble(RATE_HZ).samples,
        },
    }
}
