//! The session's things as protobuf messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use livekit_protocol::agent as pb;
use livekit_protocol::agent::agent_session_event::{FunctionToolsExecuted, OverlappingSpeech};
use livekit_protocol::agent::chat_context::chat_item::Item;
use livekit_protocol::agent::chat_message::{ChatContent, chat_content::Payload};
use livekit_protocol::agent::model_usage;

use crate::chat::{ChatItem, ToolCall, ToolOutput};
use crate::room::{AgentState, Models, Usage, UserState};
use crate::turn::{SessionTime, Timeline};

/// Who runs the models, as far as front ends are told.
const PROVIDER: &str = "openai";

/// Sets an optional timestamp; a macro, as the type has no name here.
macro_rules! set_time {
    ($field:expr, $at:expr) => {{
        let (seconds, nanos) = $crate::room::remote::encode::unix_time($at);
        let time = $field.get_or_insert_default();
        time.seconds = seconds;
        time.nanos = nanos;
    }};
}
pub(super) use set_time;

/// Seconds and nanoseconds since 1970.
pub(super) fn unix_time(at: SystemTime) -> (i64, i32) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    (seconds, since.subsec_nanos().cast_signed())
}

/// One moment on the wall's clock and on the session's.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) now: SystemTime,
    pub(super) at: SessionTime,
}

impl Clocks {
    /// When somebody was heard.
    fn set_spoken(
        self,
        metrics: &mut pb::MetricsReport,
        began: Option<SessionTime>,
        ended: Option<SessionTime>,
    ) {
        let wall = |moment: SessionTime| self.now - self.at.since(moment);
        if let (Some(began), Some(ended)) = (began, ended) {
            set_time!(metrics.started_speaking_at, wall(began));
            set_time!(metrics.stopped_speaking_at, wall(ended));
        }
    }
}

pub(super) fn agent_state(state: AgentState) -> i32 {
    let state = match state {
        AgentState::Initializing => pb::AgentState::AsInitializing,
        AgentState::Listening => pb::AgentState::AsListening,
        AgentState::Thinking => pb::AgentState::AsThinking,
        AgentState::Speaking => pb::AgentState::AsSpeaking,
    };
    state.into()
}

pub(super) fn user_state(state: UserState) -> i32 {
    let state = match state {
        UserState::Speaking => pb::UserState::UsSpeaking,
        UserState::Listening => pb::UserState::UsListening,
        UserState::Away => pb::UserState::UsAway,
    };
    state.into()
}

pub(super) fn usage(usage: &Usage, models: &Models) -> pb::AgentSessionUsage {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let llm = pb::LlmModelUsage {
        provider: PROVIDER.to_owned(),
        model: models.llm.clone(),
        input_tokens: count(usage.llm_input_tokens),
        output_tokens: count(usage.llm_output_tokens),
        ..Default::default()
    };
    let tts = pb::TtsModelUsage {
        provider: PROVIDER.to_owned(),
        model: models.tts.clone(),
        characters_count: count(usage.tts_characters),
        ..Default::default()
    };
    let stt = pb::SttModelUsage {
        provider: PROVIDER.to_owned(),
        model: models.stt.clone(),
        audio_duration: usage.stt_audio.as_secs_f64(),
        ..Default::default()
    };
    let all = [
        model_usage::Usage::Llm(llm),
        model_usage::Usage::Tts(tts),
        model_usage::Usage::Stt(stt),
    ];
    pb::AgentSessionUsage {
        model_usage: all
            .map(|usage| pb::ModelUsage { usage: Some(usage) })
            .to_vec(),
    }
}

pub(super) fn tools_executed(calls: &[ToolCall], outputs: &[ToolOutput]) -> FunctionToolsExecuted {
    FunctionToolsExecuted {
        function_calls: calls.iter().map(function_call).collect(),
        function_call_outputs: calls
            .iter()
            .zip(outputs)
            .map(|(call, output)| function_output(&call.id, &call.name, output))
            .collect(),
    }
}

pub(super) fn overlapping_speech(
    now: SystemTime,
    is_interruption: bool,
    began_ago: Duration,
) -> OverlappingSpeech {
    let mut overlap = OverlappingSpeech {
        is_interruption,
        detection_delay: began_ago.as_secs_f64(),
        ..Default::default()
    };
    set_time!(overlap.detected_at, now);
    set_time!(overlap.overlap_started_at, now - began_ago);
    overlap
}

fn function_call(call: &ToolCall) -> pb::FunctionCall {
    pb::FunctionCall {
        call_id: call.id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
        ..Default::default()
    }
}

fn function_output(call_id: &str, name: &str, output: &ToolOutput) -> pb::FunctionCallOutput {
    pb::FunctionCallOutput {
        call_id: call_id.to_owned(),
        name: name.to_owned(),
        output: output.text.clone(),
        is_error: output.is_error,
        ..Default::default()
    }
}

/// An item under its id; `called` is the name of the tool whose output it is.
pub(super) fn chat_item(
    id: String,
    clocks: Clocks,
    item: &ChatItem,
    timeline: &Timeline,
    called: String,
) -> pb::chat_context::ChatItem {
    let now = clocks.now;
    let item = match item {
        ChatItem::User(text) => {
            let mut message = message(id, now, pb::ChatRole::User, text);
            let mut metrics = pb::MetricsReport {
                transcription_delay: seconds(timeline.transcription_delay()),
                end_of_turn_delay: seconds(timeline.end_of_turn_delay()),
                ..Default::default()
            };
            clocks.set_spoken(&mut metrics, timeline.speech_started, timeline.speech_ended);
            message.metrics = Some(metrics);
            Item::Message(message)
        }
        ChatItem::Agent {
            text,
            is_interrupted,
        } => {
            let mut message = message(id, now, pb::ChatRole::Assistant, text);
            message.interrupted = *is_interrupted;
            let mut metrics = pb::MetricsReport {
                llm_node_ttft: seconds(timeline.llm_ttft()),
                tts_node_ttfb: seconds(timeline.tts_ttfb()),
                e2e_latency: seconds(timeline.e2e_latency()),
                ..Default::default()
            };
            clocks.set_spoken(
                &mut metrics,
                timeline.playout_started,
                timeline.playout_ended,
            );
            message.metrics = Some(metrics);
            Item::Message(message)
        }
        ChatItem::ToolCall(call) => {
            let mut call = function_call(call);
            call.id = id;
            set_time!(call.created_at, now);
            Item::FunctionCall(call)
        }
        ChatItem::ToolOutput { call_id, output } => {
            let mut output = function_output(call_id, &called, output);
            output.id = id;
            set_time!(output.created_at, now);
            Item::FunctionCallOutput(output)
        }
    };
    pb::chat_context::ChatItem { item: Some(item) }
}

fn message(id: String, now: SystemTime, role: pb::ChatRole, text: &str) -> pb::ChatMessage {
    let content = ChatContent {
        payload: Some(Payload::Text(text.to_owned())),
    };
    let mut message = pb::ChatMessage {
        id,
        role: role.into(),
        content: vec![content],
        ..Default::default()
    };
    set_time!(message.created_at, now);
    message
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}
