//! What the log says about turns and failures: figures and labels, never words.

use std::time::Duration;

use crate::error::CallError;
use crate::turn::Turn;

/// Is told what the figures of a conversation are. Called on the session's loop: must not block.
pub trait TurnObserver: Send + Sync {
    /// A turn is over.
    fn turn_ended(&self, turn: &Turn);
    /// Work that was begun before its turn was over came to its end.
    fn speculation_ended(&self, end: SpeculationEnd);
}

/// What became of work on an answer that was begun at a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeculationEnd {
    /// The reply became the answer.
    Used,
    /// A reply was in the making when the user went on.
    Dropped,
    /// The user went on before their words were known; they are asked for again.
    Unheard,
}

impl SpeculationEnd {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Used, Self::Dropped, Self::Unheard];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Dropped => "dropped",
            Self::Unheard => "unheard",
        }
    }
}

/// One line per turn.
pub(super) fn turn(turn: &Turn) {
    let timeline = &turn.timeline;
    tracing::info!(
        turn = turn.id.0,
        source = turn.source.label(),
        outcome = turn.outcome.label(),
        n_tool_calls = turn.tool_calls.expose().len(),
        transcription_delay_ms = ms(timeline.transcription_delay()),
        end_of_turn_delay_ms = ms(timeline.end_of_turn_delay()),
        llm_ttft_ms = ms(timeline.llm_ttft()),
        first_token_ms = ms(timeline.first_token()),
        tts_ttfb_ms = ms(timeline.tts_ttfb()),
        first_audio_ms = ms(timeline.first_audio()),
        e2e_latency_ms = ms(timeline.e2e_latency()),
        interruption_delay_ms = ms(timeline.interruption_delay),
        permit_wait_ms = ms(timeline.permit_wait),
        "turn"
    );
}

/// A failure that the user notices, once.
pub(super) fn failure(error: &CallError) {
    let (service, operation, kind) = (error.service.label(), error.operation, error.kind.label());
    if error.kind.needs_operator() {
        tracing::error!(service, operation, kind, %error, "a service refuses our calls");
    } else {
        tracing::warn!(service, operation, kind, %error, "a service failed the conversation");
    }
}

fn ms(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
