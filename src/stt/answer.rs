//! The text of a transcription's answer: JSON of any kind, or plain text. Plain code.

use serde_json::Value;

/// Above this probability of silence, and below this confidence, a segment was made up.
///
/// Source: openai-whisper 20250625, `transcribe.py`, `no_speech_threshold` and `logprob_threshold`.
const NO_SPEECH_PROB_MIN: f64 = 0.6;
const AVG_LOGPROB_MAX: f64 = -1.0;

/// Names under which servers put the text. Source: OpenAI, `text`; the others are compatible servers'.
const TEXT_FIELDS: [&str; 4] = ["text", "transcript", "transcription", "result"];

/// An answer that holds no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoText {
    /// The service says why.
    Refused,
    /// A page, or cut off.
    Unreadable,
}

/// Everything that the model wrote down; segments that are most likely made up are left out.
pub(super) fn text(answer: &[u8]) -> Result<String, NoText> {
    let answer = answer.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(answer);
    if let Ok(value) = serde_json::from_slice::<Value>(answer) {
        return text_of(&value).ok_or(match value.get("error") {
            Some(error) if !error.is_null() => NoText::Refused,
            _ => NoText::Unreadable,
        });
    }
    let plain = std::str::from_utf8(answer).map_err(|_| NoText::Unreadable)?;
    match plain.trim_start().chars().next() {
        // Neither broken JSON nor a page is what somebody said.
        Some('{' | '<') => Err(NoText::Unreadable),
        _ => Ok(plain.trim().to_owned()),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(parts) => joined(parts),
        Value::Object(_) => {
            let segments = value.get("segments").and_then(Value::as_array);
            let kept = segments.and_then(|segments| without_made_up(segments));
            kept.or_else(|| {
                let mut fields = TEXT_FIELDS.iter().filter_map(|name| value.get(name));
                fields.find_map(text_of)
            })
            .or_else(|| segments.and_then(|segments| joined(segments)))
            .or_else(|| is_empty(value).then(String::new))
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// Whether the answer says that there is no text: the field is there and has none.
fn is_empty(value: &Value) -> bool {
    let has_error = value.get("error").is_some_and(|error| !error.is_null());
    value.get("text").is_some_and(Value::is_null) && !has_error
}

fn joined(parts: &[Value]) -> Option<String> {
    let texts: Option<Vec<String>> = parts.iter().map(text_of).collect();
    let texts = texts?.into_iter().filter(|text| !text.is_empty());
    Some(texts.collect::<Vec<_>>().join(" "))
}

/// The text of the segments without the made-up ones; `None` if none is.
fn without_made_up(segments: &[Value]) -> Option<String> {
    let is_made_up = |segment: &&Value| {
        let number = |name: &str| segment.get(name).and_then(Value::as_f64);
        number("no_speech_prob").is_some_and(|p| p > NO_SPEECH_PROB_MIN)
            && number("avg_logprob").is_some_and(|p| p < AVG_LOGPROB_MAX)
    };
    segments.iter().find(is_made_up)?;
    let real = segments.iter().filter(|segment| !is_made_up(segment));
    joined(&real.cloned().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_read_in_every_form() {
        for (answer, expected) in [
            (r#"{"text":" hello there \n"}"#, "hello there"),
            (r#"{"text":"","usage":{"type":"x"}}"#, ""),
            (r#"{"text":null}"#, ""),
            (r#"{"text":7}"#, "7"),
            (
                r#"{"task":"transcribe","duration":"1.2","text":"hello","segments":null}"#,
                "hello",
            ),
            (r#"{"segments":[{"text":" a"},{"text":" b"}]}"#, "a b"),
            (r#"{"text":"new","text":"hello"}"#, "hello"),
            (r#"{"error":null,"text":"hello"}"#, "hello"),
            (r#"{"result":{"text":"hello"}}"#, "hello"),
            ("\"hello\"", "hello"),
            ("hello there\n", "hello there"),
            ("", ""),
        ] {
            assert_eq!(text(answer.as_bytes()).as_deref(), Ok(expected), "{answer}");
        }
    }

    #[test]
    fn an_answer_without_a_text_is_none() {
        for (answer, expected) in [
            (&b"{}"[..], NoText::Unreadable),
            (b"{\"text\":\"cut", NoText::Unreadable),
            (b"<html>busy</html>", NoText::Unreadable),
            (b"\xFF\xFE", NoText::Unreadable),
            (b"{\"error\":{\"message\":\"no\"}}", NoText::Refused),
            (b"{\"error\":\"busy\",\"text\":null}", NoText::Refused),
        ] {
            assert_eq!(text(answer), Err(expected));
        }
    }

    #[test]
    fn segments_that_were_made_up_are_left_out() {
        let segment = |text: &str, no_speech: f64, logprob: f64| serde_json::json!({"text": text, "no_speech_prob": no_speech, "avg_logprob": logprob});
        let made_up = segment(" Thanks for watching!", 0.9, -1.4);
        let real = segment(" Hello.", 0.1, -0.2);
        let unsure = segment(" Quiet.", 0.9, -0.5);
        let answer = |segments: &[&Value]| {
            let all = segments.iter().filter_map(|s| s["text"].as_str());
            let all: String = all.collect();
            let answer = serde_json::json!({"text": all, "segments": segments});
            text(answer.to_string().as_bytes())
        };
        assert_eq!(answer(&[&made_up]).as_deref(), Ok(""));
        assert_eq!(answer(&[&real, &made_up]).as_deref(), Ok("Hello."));
        assert_eq!(answer(&[&unsure]).as_deref(), Ok("Quiet."));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            text(&bytes).ok();
            let json = [&b"{\"text\":"[..], &bytes, b"}"].concat();
            text(&json).ok();
        }
    }
}
