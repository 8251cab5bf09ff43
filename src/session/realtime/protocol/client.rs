//! What we tell the service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::config::{Config, TurnDetection};
use super::{RATE_HZ, SESSION_EVENT};
use crate::chat::{ChatItem, ToolSpec};

/// An event of ours.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(in super::super) enum ClientEvent {
    #[serde(rename = "session.update")]
    SessionUpdate {
        event_id: &'static str,
        session: Value,
    },
    #[serde(rename = "input_audio_buffer.append")]
    Append { audio: String },
    #[serde(rename = "conversation.item.create")]
    CreateItem { item: Value },
    #[serde(rename = "conversation.item.truncate")]
    Truncate {
        item_id: String,
        content_index: u32,
        audio_end_ms: u64,
    },
    #[serde(rename = "response.create")]
    CreateResponse { response: Value },
    #[serde(rename = "response.cancel")]
    CancelResponse,
}

impl ClientEvent {
    /// The event as it is sent.
    pub(in super::super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("events are plain values")
    }

    /// What the session is like.
    pub(in super::super) fn session(
        config: &Config,
        language: &str,
        instructions: &str,
        tools: &[ToolSpec],
    ) -> Self {
        let mut transcription = json!({"model": config.transcription_model});
        if !language.is_empty() {
            transcription["language"] = json!(language);
        }
        let mut input = json!({
            "format": {"type": "audio/pcm", "rate": RATE_HZ},
            "transcription": transcription,
            "turn_detection": turn_detection(config),
        });
        if !config.noise_reduction.is_empty() {
            input["noise_reduction"] = json!({"type": config.noise_reduction});
        }
        let tools: Vec<_> = tools
            .iter()
            .map(|tool| {
                json!({
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                })
            })
            .collect();
        Self::SessionUpdate {
            event_id: SESSION_EVENT,
            session: json!({
                "type": "realtime",
                "instructions": instructions,
                "output_modalities": ["audio"],
                "tools": tools,
                "audio": {
                    "input": input,
                    "output": {
                        "format": {"type": "audio/pcm", "rate": RATE_HZ},
                        "voice": config.voice,
                    },
                },
            }),
        }
    }

    /// Sound at [`RATE_HZ`].
    pub(in super::super) fn append(samples: &[i16]) -> Self {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        Self::Append {
            audio: STANDARD.encode(bytes),
        }
    }

    /// Something that was said or done.
    pub(in super::super) fn item(item: &ChatItem) -> Self {
        let message = |role: &str, kind: &str, text: &str| {
            json!({
                "type": "message",
                "role": role,
                "content": [{"type": kind, "text": text}],
            })
        };
        let item = match item {
            ChatItem::User(text) => message("user", "input_text", text),
            ChatItem::Agent { text, .. } => message("assistant", "output_text", text),
            ChatItem::ToolCall(call) => json!({
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }),
            ChatItem::ToolOutput { call_id, output } => json!({
                "type": "function_call_output",
                "call_id": call_id,
                "output": output.text,
            }),
        };
        Self::CreateItem { item }
    }

    /// The model is to say something: to this, if there are instructions, else to what was said.
    pub(in super::super) fn respond(instructions: Option<String>, may_use_tools: bool) -> Self {
        let mut response = json!({});
        if let Some(instructions) = instructions {
            response["instructions"] = json!(instructions);
        }
        if !may_use_tools {
            response["tool_choice"] = json!("none");
        }
        Self::CreateResponse { response }
    }
}

fn turn_detection(config: &Config) -> Value {
    match config.turn_detection {
        TurnDetection::SemanticVad => json!({
            "type": "semantic_vad",
            "eagerness": config.eagerness,
            "create_response": true,
            "interrupt_response": true,
        }),
        TurnDetection::ServerVad => json!({
            "type": "server_vad",
            "silence_duration_ms": u64::try_from(config.silence.as_millis()).unwrap_or(u64::MAX),
            "create_response": true,
            "interrupt_response": true,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_what_the_settings_say() {
        let tool = ToolSpec {
            name: "look".to_owned(),
            description: "looks".to_owned(),
            parameters: json!({"type": "object"}),
            is_strict: false,
        };
        let event = ClientEvent::session(&Config::default(), "en", "Be kind.", &[tool]);
        let json: Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(json["type"], "session.update");
        let session = &json["session"];
        assert_eq!(session["type"], "realtime");
        assert_eq!(session["instructions"], "Be kind.");
        assert_eq!(session["tools"][0]["name"], "look");
        let pcm = json!({"type": "audio/pcm", "rate": 24_000});
        assert_eq!(session["audio"]["input"]["format"], pcm);
        assert_eq!(
            session["audio"]["output"],
            json!({"format": pcm, "voice": "marin"})
        );
        assert_eq!(
            session["audio"]["input"]["turn_detection"],
            json!({"type": "semantic_vad", "eagerness": "medium",
                "create_response": true, "interrupt_response": true})
        );
    }
}
