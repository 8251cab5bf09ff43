//! What the user hears when the service fails: words of ours with the voice of `[tts]`, and a short
//! sound when that fails, too.

use std::time::Duration;

use futures::StreamExt;

use super::dialogue::Recorded;
use super::protocol::RATE_HZ;
use crate::audio::earcon;
use crate::audio::resample::Resampler;
use crate::error::CallError;
use crate::session::Agent;
use crate::session::apology::{Stage, apology};
use crate::session::writing::Source;

/// The longest wait for the voice; whoever waits longer is better off with a sound.
const VOICE_WITHIN: Duration = Duration::from_secs(4);

/// An apology for this failure.
pub(super) async fn spoken(agent: Agent, error: CallError, is_last: bool) -> Recorded {
    let voiced = async {
        let Source::Say(text) = apology(Stage::Llm, &error, is_last) else {
            return None;
        };
        let mut frames = agent.tts.speak(text.clone());
        let mut resampler = Resampler::new(agent.tts.sample_rate_hz(), RATE_HZ);
        let mut samples = Vec::new();
        while let Some(frame) = frames.next().await {
            samples.extend(resampler.push(&frame.ok()?.samples));
        }
        samples.extend(resampler.flush());
        (!samples.is_empty()).then_some(Recorded { text, samples })
    };
    match tokio::time::timeout(VOICE_WITHIN, voiced).await {
        Ok(Some(recorded)) => recorded,
        Ok(None) | Err(_) => Recorded {
            text: String::new(),
            samples: earcon::trouble(RATE_HZ).samples,
        },
    }
}
