//! What a session was told to be like.
//!
//! Kept as the JSON that `session.updated` shows. An update is merged into it after every key was
//! found to be known, as the real service refuses what it does not know.

use serde_json::{Value, json};

use super::detection::Rules;
use super::event::Refusal;
use crate::audio::SPEECH_RATE_HZ;
use crate::engine::flite::Voice;
use crate::ids::fresh_id;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Hears and answers.
    Realtime,
    /// Writes down.
    Transcription,
}

/// See the module.
pub(super) struct Settings {
    pub(super) kind: Kind,
    session: Value,
}

/// Keys that may be set of a session that answers.
const REALTIME_KEYS: &[&str] = &[
    "audio",
    "include",
    "instructions",
    "max_output_tokens",
    "model",
    "output_modalities",
    "prompt",
    "tool_choice",
    "tools",
    "tracing",
    "truncation",
    "type",
];
/// Keys of one that writes down.
const TRANSCRIPTION_KEYS: &[&str] = &["audio", "include", "type"];
const INPUT_KEYS: &[&str] = &[
    "format",
    "noise_reduction",
    "transcription",
    "turn_detection",
];
const OUTPUT_KEYS: &[&str] = &["format", "speed", "voice"];
const DETECTION_KEYS: &[&str] = &[
    "create_response",
    "eagerness",
    "idle_timeout_ms",
    "interrupt_response",
    "prefix_padding_ms",
    "silence_duration_ms",
    "threshold",
    "type",
];

impl Settings {
    /// A session as it is before its first update.
    pub(super) fn new(kind: Kind, model: Option<&str>) -> Self {
        let format = json!({"type": "audio/pcm", "rate": SPEECH_RATE_HZ});
        let detection = json!({
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
        });
        let mut session = json!({
            "id": fresh_id("sess"),
            "include": null,
            "audio": {"input": {
                "format": format,
                "transcription": null,
                "noise_reduction": null,
                "turn_detection": detection,
            }},
        });
        match kind {
            Kind::Transcription => {
                session["type"] = json!("transcription");
                session["object"] = json!("realtime.transcription_session");
            }
            Kind::Realtime => {
                session["type"] = json!("realtime");
                session["object"] = json!("realtime.session");
                session["model"] = json!(model);
                session["output_modalities"] = json!(["audio"]);
                session["instructions"] = json!("You are a helpful voice assistant.");
                session["tools"] = json!([]);
                session["tool_choice"] = json!("auto");
                session["max_output_tokens"] = json!("inf");
                session["audio"]["output"] =
                    json!({"format": format, "voice": "alloy", "speed": 1.0});
                let detection = &mut session["audio"]["input"]["turn_detection"];
                detection["create_response"] = json!(true);
                detection["interrupt_response"] = json!(true);
                detection["idle_timeout_ms"] = Value::Null;
            }
        }
        Self { kind, session }
    }

    /// The session as events show it.
    pub(super) fn shown(&self) -> &Value {
        &self.session
    }

    /// Takes `update`. `has_spoken` says whether the session has made sound.
    pub(super) fn update(&mut self, update: &Value, has_spoken: bool) -> Result<(), Refusal> {
        if update["type"] != self.session["type"] {
            let wanted = &self.session["type"];
            let message = format!("Passing a session.type other than {wanted} is not possible.");
            return Err(Refusal::new("invalid_value", message).of("session.type"));
        }
        self.check(update)?;
        let voice = &update["audio"]["output"]["voice"];
        if let Some(voice) = voice.as_str() {
            if Voice::named(voice).is_none() {
                let message = format!("Invalid value: '{voice}'.");
                return Err(Refusal::new("invalid_value", message).of("session.audio.output.voice"));
            }
            if has_spoken && self.session["audio"]["output"]["voice"] != voice {
                let message = "Cannot update a conversation's voice if assistant audio is present.";
                return Err(Refusal::new("cannot_update_voice", message));
            }
        }
        merge(&mut self.session, update);
        Ok(())
    }

    fn check(&self, update: &Value) -> Result<(), Refusal> {
        let (keys, sides): (_, &[&str]) = match self.kind {
            Kind::Realtime => (REALTIME_KEYS, &["input", "output"]),
            Kind::Transcription => (TRANSCRIPTION_KEYS, &["input"]),
        };
        known(update, "", keys)?;
        known(update, "audio", sides)?;
        known(update, "audio.input", INPUT_KEYS)?;
        known(update, "audio.input.turn_detection", DETECTION_KEYS)?;
        known(update, "audio.output", OUTPUT_KEYS)?;
        for side in ["input", "output"] {
            let format = &update["audio"][side]["format"];
            let is_ours = format["type"] == "audio/pcm" && format["rate"] == SPEECH_RATE_HZ;
            if !format.is_null() && !is_ours {
                let message = "The stand-in takes and makes audio/pcm at a rate of 24000 only.";
                let param = format!("session.audio.{side}.format");
                return Err(Refusal::new("invalid_value", message).of(param));
            }
        }
        let kind = &update["audio"]["input"]["turn_detection"]["type"];
        if let Some(kind) = kind.as_str()
            && !["server_vad", "semantic_vad"].contains(&kind)
        {
            let message = format!("Invalid value: '{kind}'.");
            let param = "session.audio.input.turn_detection.type";
            return Err(Refusal::new("invalid_value", message).of(param));
        }
        Ok(())
    }

    /// How turns are found; `None` leaves that to the client.
    pub(super) fn rules(&self) -> Option<Rules> {
        Rules::of(&self.session["audio"]["input"]["turn_detection"])
    }

    /// Whether the caller's words are told.
    pub(super) fn transcribes(&self) -> bool {
        !self.session["audio"]["input"]["transcription"].is_null()
    }

    /// What an answer is made with, `overrides` being those of its request.
    pub(super) fn for_response(&self, overrides: &Value) -> Value {
        let mut asked = json!({});
        for key in ["instructions", "output_modalities", "tools", "tool_choice"] {
            asked[key] = match &overrides[key] {
                Value::Null => self.session[key].clone(),
                given => given.clone(),
            };
        }
        asked["voice"] = match &overrides["audio"]["output"]["voice"] {
            Value::Null => self.session["audio"]["output"]["voice"].clone(),
            given => given.clone(),
        };
        asked
    }
}

/// Refuses a key below `path` that is not among `keys`.
fn known(update: &Value, path: &str, keys: &[&str]) -> Result<(), Refusal> {
    let mut value = update;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        value = &value[part];
    }
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for key in object.keys() {
        if !keys.contains(&key.as_str()) {
            let param = match path {
                "" => format!("session.{key}"),
                path => format!("session.{path}.{key}"),
            };
            let message = format!("Unknown parameter: '{param}'.");
            return Err(Refusal::new("unknown_parameter", message).of(param));
        }
    }
    Ok(())
}

/// Lays `update` over `value`, key by key; `null` is a value too. A turn detection is taken whole.
fn merge(value: &mut Value, update: &Value) {
    let (Some(object), Some(updates)) = (value.as_object_mut(), update.as_object()) else {
        value.clone_from(update);
        return;
    };
    for (key, update) in updates {
        match object.get_mut(key) {
            Some(value) if key != "turn_detection" => merge(value, update),
            _ => {
                object.insert(key.clone(), update.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut settings = Settings::new(Kind::Realtime, Some("gpt-realtime"));
        let update = json!({"type": "realtime", "instructions": "Be kind.",
            "audio": {"input": {"turn_detection": null}, "output": {"voice": "marin"}}});
        settings.update(&update, false).unwrap();
        let shown = settings.shown();
        assert_eq!(shown["instructions"], "Be kind.");
        assert_eq!(shown["audio"]["output"]["voice"], "marin");
        assert_eq!(shown["audio"]["output"]["speed"], 1.0);
        assert!(settings.rules().is_none());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let mut settings = Settings::new(Kind::Realtime, Some("gpt-realtime"));
        for (update, param) in [
            (json!({"modalities": ["text"]}), "session.modalities"),
            (
                json!({"audio": {"input": {"turn_detection": {"type": "server_vad", "x": 1}}}}),
                "session.audio.input.turn_detection.x",
            ),
            (
                json!({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}),
                "session.audio.input.format",
            ),
            (
                json!({"audio": {"output": {"voice": "nobody"}}}),
                "session.audio.output.voice",
            ),
        ] {
            let mut update = update;
            update["type"] = json!("realtime");
            let refusal = settings.update(&update, false).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(param));
        }
        let mut settings = Settings::new(Kind::Transcription, None);
        let update = json!({"type": "transcription", "instructions": "x"});
        assert!(settings.update(&update, false).is_err());
        assert!(
            settings
                .update(&json!({"type": "realtime"}), false)
                .is_err()
        );
    }
}
