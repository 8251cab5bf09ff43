//! JSON as services write it: keys that stand twice, `NaN`, half of a character, a comma too many.
//!
//! Valid JSON is read once. Only text that is not valid is repaired and read again.

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// All values in `text`, which may stand one behind the other; empty when there is none.
pub(super) fn read(text: &str) -> Vec<Value> {
    if let Some(value) = one(text) {
        return vec![value];
    }
    let repaired = repaired(text);
    let several = serde_json::Deserializer::from_str(&repaired).into_iter::<Lenient>();
    let several = several.map_while(Result::ok).map(|value| value.0);
    // Words that are no JSON have become null.
    several.filter(|value| !value.is_null()).collect()
}

fn one(text: &str) -> Option<Value> {
    let value: Lenient = serde_json::from_str(text).ok()?;
    Some(value.0)
}

/// A value in which a key that stands twice loses nothing: what is empty replaces nothing, and two
/// objects are one.
struct Lenient(Value);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Lenient)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Lenient(entry)) = entries.next_element()? {
            array.push(entry);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Lenient(value))) = fields.next_entry::<String, Lenient>()? {
            put(&mut object, key, value);
        }
        Ok(Value::Object(object))
    }
}

fn put(object: &mut Map<String, Value>, key: String, value: Value) {
    let Some(before) = object.get_mut(&key) else {
        object.insert(key, value);
        return;
    };
    match (before, value) {
        (Value::Object(before), Value::Object(more)) => {
            for (key, value) in more {
                put(before, key, value);
            }
        }
        (before, value) if !is_empty(&value) => *before = value,
        _ => {}
    }
}

/// Whether a value says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

/// Text that is read as JSON if anything can be: unknown words are null, broken characters are replaced.
fn repaired(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => copy_string(&mut chars, &mut out),
            ',' => {
                let rest = text[at + 1..].trim_start();
                if !rest.starts_with(['}', ']']) {
                    out.push(',');
                }
            }
            c if is_of_word(c) => {
                let mut end = at + c.len_utf8();
                while let Some((next, c)) = chars.next_if(|(_, c)| is_of_word(*c)) {
                    end = next + c.len_utf8();
                }
                out.push_str(word(&text[at..end]));
            }
            c => out.push(c),
        }
    }
    out
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.')
}

fn word(word: &str) -> &str {
    match word {
        "true" | "True" => "true",
        "false" | "False" => "false",
        number if serde_json::from_str::<Number>(number).is_ok() => number,
        _ => "null",
    }
}

/// Copies a string behind its opening quote, up to its closing one.
fn copy_string(chars: &mut Peekable<CharIndices<'_>>, out: &mut String) {
    out.push('"');
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => break,
            '\\' => copy_escape(chars, out),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Copies an escape behind its backslash. Half of a surrogate pair, which a service leaves when it cuts
/// an emoji in two, becomes the replacement character.
fn copy_escape(chars: &mut Peekable<CharIndices<'_>>, out: &mut String) {
    match chars.next().map(|(_, c)| c) {
        Some(c @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => out.extend(['\\', c]),
        Some('u') => match unit(chars) {
            Some(high @ 0xd800..0xdc00) => {
                let mut ahead = chars.clone();
                let is_escape = ahead.next().is_some_and(|(_, c)| c == '\\')
                    && ahead.next().is_some_and(|(_, c)| c == 'u');
                match unit(&mut ahead).filter(|_| is_escape) {
                    Some(low @ 0xdc00..0xe000) => {
                        *chars = ahead;
                        out.push_str(&format!("\\u{high:04x}\\u{low:04x}"));
                    }
                    _ => out.push(char::REPLACEMENT_CHARACTER),
                }
            }
            Some(0xdc00..0xe000) | None => out.push(char::REPLACEMENT_CHARACTER),
            Some(unit) => out.push_str(&format!("\\u{unit:04x}")),
        },
        Some(c) if c < ' ' => {}
        Some(c) => out.push(c),
        None => {}
    }
}

/// Four hexadecimal digits.
fn unit(chars: &mut Peekable<CharIndices<'_>>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        let (_, digit) = chars.next_if(|(_, c)| c.is_ascii_hexdigit())?;
        unit = unit * 16 + digit.to_digit(16)?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_service_writes_is_read() {
        for (text, expected) in [
            (r#"{"a":1}"#, json!({"a": 1})),
            (r#"{"a":"x","a":null}"#, json!({"a": "x"})),
            (r#"{"a":"x","a":"y"}"#, json!({"a": "y"})),
            (
                r#"{"d":{"role":"r"},"d":{"c":"x"}}"#,
                json!({"d": {"role": "r", "c": "x"}}),
            ),
            (
                r#"{"p":NaN,"q":-Infinity,"r":[1,]}"#,
                json!({"p": null, "q": null, "r": [1]}),
            ),
            (
                r#"{"a":True,"b":None,"c":1e999,}"#,
                json!({"a": true, "b": null, "c": null}),
            ),
            ("{\"a\":\"one\ttwo\"}", json!({"a": "one\ttwo"})),
            (r#"{"a":"x\ud83d"}"#, json!({"a": "x\u{fffd}"})),
            (
                r#"{"a":"\ude00x","b":NaN}"#,
                json!({"a": "\u{fffd}x", "b": null}),
            ),
            (
                r#"{"a":"\ud83d\ude00","b":NaN}"#,
                json!({"a": "😀", "b": null}),
            ),
            (r#"{"a":"it\'s"}"#, json!({"a": "it's"})),
        ] {
            assert_eq!(read(text), [expected], "{text}");
        }
    }

    #[test]
    fn values_may_stand_one_behind_the_other() {
        assert_eq!(read("{\"a\":1}{\"b\":2}\n{\"c\":3}").len(), 3);
        assert_eq!(read("{\"a\":1}{\"b\":"), [json!({"a": 1})]);
        assert!(read("no JSON").is_empty());
    }
}
