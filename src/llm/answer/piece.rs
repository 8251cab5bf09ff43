//! One piece of an answer, read as leniently as it can be.
//!
//! Only what is needed is looked at. Anything else may be missing, null, of another type or new, and
//! nothing of it costs an answer.

use serde_json::{Map, Value};

use super::json::is_empty;

/// Wrappers that gateways put around a piece.
const WRAPPERS: [&str; 5] = ["data", "result", "response", "chunk", "output"];
/// Fields of a message that say nothing a service wants to see again.
const OWN_FIELDS: [&str; 8] = [
    "role",
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "annotations",
    "usage",
];
/// Fields of a tool call that we write ourselves.
const CALL_FIELDS: [&str; 9] = [
    "index",
    "id",
    "type",
    "function",
    "name",
    "arguments",
    "parameters",
    "input",
    "args",
];

/// What a piece holds.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) text: Text,
    pub(super) calls: Vec<CallDelta>,
    pub(super) usage: Option<Usage>,
    /// Why the answer is over, if it is.
    pub(super) finish: Option<String>,
    /// Fields of the service's own.
    pub(super) fields: Map<String, Value>,
}

/// Words for the caller.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Text {
    #[default]
    None,
    /// They follow what was said before.
    Delta(String),
    /// All words of the answer, beside the deltas that had them.
    Message(String),
}

/// A part of a tool call.
#[derive(Debug, Default)]
pub(super) struct CallDelta {
    pub(super) index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    /// Fields of the service's own.
    pub(super) fields: Map<String, Value>,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
}

/// The error that a piece tells of, as text for [`crate::pool::refusal_in_stream`].
pub(super) fn error_in(root: &Value) -> Option<String> {
    let tells = |value: &Value| (!is_empty(value)).then_some(());
    let is_error = |value: &Value| value.as_str() == Some("error");
    if tells(&root["error"]).is_some()
        || tells(&root["errors"]).is_some()
        || is_error(&root["object"])
        || is_error(&root["type"])
    {
        return Some(root.to_string());
    }
    let choices = root["choices"].as_array().into_iter().flatten();
    if let Some(error) = choices.map(|it| &it["error"]).find(|it| !is_empty(it)) {
        return Some(serde_json::json!({ "error": error }).to_string());
    }
    let has_answer = ["choices", "message", "delta", "content", "response"]
        .iter()
        .filter(|key| !(**key == "message" && root["message"].is_string()))
        .any(|key| !is_empty(&root[*key]));
    let has_code = ["code", "status", "status_code", "type", "error_code"]
        .iter()
        .any(|key| !is_empty(&root[*key]));
    let says_why = ["message", "msg", "title"]
        .iter()
        .any(|key| root[*key].is_string());
    let is_refusal = !is_empty(&root["detail"])
        || (has_code || root["success"] == false) && says_why
        || !is_empty(&root["base_resp"]["status_code"]);
    (is_refusal && !has_answer).then(|| root.to_string())
}

impl Piece {
    /// Reads a piece.
    pub(super) fn read(mut root: Value) -> Self {
        let mut piece = Self::default();
        let has_choices = |key: &&&str| root[**key].get("choices").is_some();
        if let Some(wrapper) = WRAPPERS.iter().find(has_choices) {
            root = take(&mut root, wrapper);
        }
        let usages = [
            &root["usage"],
            &root["x_groq"]["usage"],
            &root["usage_metadata"],
        ];
        piece.usage = usages.into_iter().find_map(usage);
        match take(&mut root, "choices") {
            Value::Array(choices) => choices.into_iter().for_each(|it| piece.take_choice(it)),
            choice @ Value::Object(_) => piece.take_choice(choice),
            _ => piece.take_bare(&mut root),
        }
        piece
    }

    /// A piece without choices, as services write that speak a dialect of their own.
    fn take_bare(&mut self, root: &mut Value) {
        let kind = root["type"].as_str().unwrap_or("delta");
        // Other kinds of a dialect repeat what their deltas said.
        if !kind.ends_with("delta") {
            return;
        }
        let keys = ["message", "delta", "content", "response"];
        match keys
            .map(|key| take(root, key))
            .into_iter()
            .find(|it| !is_empty(it))
        {
            Some(Value::Object(message)) => self.take_message(message),
            Some(content) => self.add(text_of(content)),
            None => {}
        }
        if root["done"] == true {
            self.finish = Some("done".to_owned());
        }
    }

    fn take_choice(&mut self, mut choice: Value) {
        self.usage = self.usage.or_else(|| usage(&choice["usage"]));
        let reasons = ["finish_reason", "finishReason"].map(|key| match &choice[key] {
            Value::String(reason) if reason != "null" => reason.clone(),
            reason if !is_empty(reason) && !reason.is_string() => reason.to_string(),
            _ => String::new(),
        });
        let reason = reasons.into_iter().find(|reason| !reason.is_empty());
        self.finish = self.finish.take().or(reason);
        let delta = take(&mut choice, "delta");
        let had_calls = !self.calls.is_empty();
        let had_text = self.text != Text::None;
        match delta {
            Value::Object(delta) => self.take_message(delta),
            content if !had_text => self.add(text_of(content)),
            _ => {}
        }
        let has_calls = !self.calls.is_empty();
        let message = take(&mut choice, "message");
        if let Value::Object(message) = message {
            let mut whole = Self::default();
            whole.take_message(message);
            if let (Text::Delta(text), Text::None) = (whole.text, &self.text) {
                self.text = Text::Message(text);
            }
            if !has_calls && !had_calls {
                self.calls = whole.calls;
            }
            self.fields.extend(whole.fields);
        } else if let (Value::String(text), Text::None) = (message, &self.text) {
            self.text = Text::Message(text);
        }
        if self.text == Text::None {
            self.add(text_of(take(&mut choice, "text")));
        }
    }

    fn take_message(&mut self, mut message: Map<String, Value>) {
        let mut take = |key: &str| message.remove(key).unwrap_or_default();
        let has_text = self.text != Text::None;
        let content = take("content");
        let bare = take("text");
        let texts = [content, bare, take("refusal")].map(text_of);
        if !has_text {
            texts.into_iter().for_each(|text| self.add(text));
        }
        let calls = match take("tool_calls") {
            Value::Array(calls) => calls,
            one @ Value::Object(_) if !one["function"].is_null() => vec![one],
            Value::Object(by_index) => by_index.into_iter().map(|(_, call)| call).collect(),
            _ => Vec::new(),
        };
        let calls: Vec<_> = calls.into_iter().filter_map(CallDelta::read).collect();
        let legacy = CallDelta::read(take("function_call"));
        self.calls.extend(calls);
        if self.calls.is_empty() {
            self.calls.extend(legacy);
        }
        message.retain(|key, value| !OWN_FIELDS.contains(&&**key) && !is_empty(value));
        self.fields.extend(message);
    }

    fn add(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        match &mut self.text {
            Text::Delta(before) => before.push_str(&text),
            other => *other = Text::Delta(text),
        }
    }
}

impl CallDelta {
    fn read(call: Value) -> Option<Self> {
        let Value::Object(mut call) = call else {
            return None;
        };
        let mut function = match call.remove("function") {
            Some(Value::Object(function)) => function,
            Some(Value::String(name)) => Map::from_iter([("name".to_owned(), name.into())]),
            _ => Map::new(),
        };
        let mut take = |key: &str| {
            let own = call.get_mut(key).map(Value::take).unwrap_or_default();
            let inner = function.remove(key).unwrap_or_default();
            if inner.is_null() { own } else { inner }
        };
        let name = text_of(take("name"));
        let arguments = ["arguments", "parameters", "input", "args"].map(&mut take);
        let arguments = arguments.into_iter().find(|it| !it.is_null());
        let index = match call.get("index") {
            Some(Value::Number(index)) => index.as_f64().map(|index| index.max(0.0) as u64),
            Some(Value::String(index)) => index.trim().parse().ok(),
            _ => None,
        };
        let id = call.get_mut("id").map(Value::take).unwrap_or_default();
        call.retain(|key, value| !CALL_FIELDS.contains(&&**key) && !is_empty(value));
        Some(Self {
            index,
            id: text_of(id),
            name,
            arguments: match arguments {
                None => String::new(),
                Some(Value::String(text)) => text,
                Some(json) => json.to_string(),
            },
            fields: call,
        })
    }
}

/// Takes a field out of what may be no object at all.
fn take(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
}

/// The words of content in any form; thoughts are not among them.
fn text_of(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(true) => "true".to_owned(),
        Value::Bool(false) => "false".to_owned(),
        Value::Array(parts) => parts.into_iter().map(text_of).collect(),
        Value::Object(part) if is_thought(&part) => String::new(),
        Value::Object(mut part) => ["text", "content", "refusal", "value", "parts"]
            .iter()
            .filter_map(|key| part.remove(*key))
            .map(text_of)
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        Value::Null => String::new(),
    }
}

fn is_thought(part: &Map<String, Value>) -> bool {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_text = [
        "",
        "text",
        "output_text",
        "text_delta",
        "refusal",
        "input_text",
    ]
    .contains(&kind);
    !is_text || part.get("thought") == Some(&Value::Bool(true))
}

fn usage(usage: &Value) -> Option<Usage> {
    let tokens = |keys: [&str; 3]| {
        let found = keys.iter().find_map(|key| match &usage[*key] {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        });
        // Saturates: a count below zero or beyond all bounds is none that we sum up.
        found.map(|count: f64| count as u32)
    };
    let prompt = tokens(["prompt_tokens", "input_tokens", "promptTokenCount"]);
    let completion = tokens(["completion_tokens", "output_tokens", "candidatesTokenCount"]);
    (prompt.is_some() || completion.is_some()).then(|| Usage {
        prompt_tokens: prompt.unwrap_or_default(),
        completion_tokens: completion.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(piece: &Value) -> String {
        match Piece::read(piece.clone()).text {
            Text::None => String::new(),
            Text::Delta(text) => text,
            Text::Message(text) => format!("= {text}"),
        }
    }

    fn delta(delta: Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta}]})
    }

    #[test]
    fn anything_may_be_missing_null_or_odd() {
        for piece in [
            json!({}),
            json!({"choices": null, "usage": null, "error": null}),
            json!({"choices": [null, 3, "x", []]}),
            json!({"choices": [{"delta": null, "finish_reason": null}]}),
            json!({"choices": [{"delta": {"content": null, "tool_calls": null}}]}),
            json!({"choices": [{"delta": {"tool_calls": [null, 3, "x"]}}]}),
            json!({"id": 1, "object": [], "created": "x", "model": null, "choices": []}),
            json!({"usage": "x", "x_groq": 3}),
        ] {
            let read = Piece::read(piece.clone());
            assert_eq!((read.text, read.calls.len()), (Text::None, 0), "{piece}");
            assert_eq!(error_in(&piece), None, "{piece}");
        }
    }

    #[test]
    fn words_are_found_in_any_form() {
        for piece in [
            delta(json!({"content": "Hi"})),
            delta(json!({"content": [{"type": "text", "text": "Hi"}]})),
            delta(json!({"content": ["H", "i"]})),
            delta(json!({"content": {"type": "text", "text": "Hi"}})),
            delta(json!({"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "reasoning", "text": "hm"},
                {"thought": true, "text": "hm"},
                {"type": "text", "text": "Hi"},
            ]})),
            delta(json!({"content": null, "refusal": "Hi"})),
            delta(json!({"content": "Hi", "reasoning_content": "hm", "thinking": "hm"})),
            delta(json!("Hi")),
            json!({"choices": {"index": "0", "delta": {"content": "Hi"}}}),
            json!({"choices": [{"message": {"content": "no"}, "delta": {"content": "Hi"}}]}),
            json!({"choices": [{"text": "Hi"}]}),
            json!({"choices": [{"delta": {}}, {"index": 1, "delta": {"content": "Hi"}}]}),
            json!({"choices": [{"delta": {"content": "Hi"}}, {"delta": {"content": "no"}}]}),
            json!({"data": {"choices": [{"delta": {"content": "Hi"}}]}}),
            json!({"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": false}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}),
            json!({"type": "response.output_text.delta", "delta": "Hi"}),
        ] {
            assert_eq!(said(&piece), "Hi", "{piece}");
        }
        assert_eq!(said(&delta(json!({"content": 6}))), "6");
        let message = json!({"choices": [{"message": {"content": "Hi"}, "delta": {}}]});
        assert_eq!(said(&message), "= Hi");
        let done = json!({"type": "response.output_text.done", "text": "Hi"});
        assert_eq!(said(&done), "");
    }

    #[test]
    fn calls_are_found_in_any_form() {
        for call in [
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\":1}"}}),
            json!({"index": "0", "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}),
            json!({"index": 0.0, "id": "a", "name": "f", "input": {"x": 1}}),
            json!({"index": 0, "id": "a", "function": {"name": "f", "parameters": {"x": 1}}}),
        ] {
            let calls = json!([call]);
            let read = Piece::read(delta(json!({ "tool_calls": calls }))).calls;
            let one = &read[0];
            let found = (one.index, &*one.id, &*one.name, &*one.arguments);
            assert_eq!(found, (Some(0), "a", "f", "{\"x\":1}"), "{call}");
            let whole = json!({"choices": [{"message": {"tool_calls": calls}}]});
            assert_eq!(Piece::read(whole).calls.len(), 1, "{call}");
        }
        let legacy = delta(json!({"function_call": {"name": "f", "arguments": "{}"}}));
        assert_eq!(Piece::read(legacy).calls[0].name, "f");
    }

    #[test]
    fn what_a_provider_wants_back_is_kept() {
        let read = Piece::read(delta(json!({
            "role": "assistant", "content": null, "reasoning_content": "hm",
            "tool_calls": [{"index": 0, "id": "a", "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "abc"}}}],
        })));
        assert_eq!(json!(read.fields), json!({"reasoning_content": "hm"}));
        assert_eq!(
            json!(read.calls[0].fields),
            json!({"extra_content": {"google": {"thought_signature": "abc"}}})
        );
    }

    #[test]
    fn usage_is_found_wherever_it_is() {
        let expected = Usage {
            prompt_tokens: 7,
            completion_tokens: 2,
        };
        for piece in [
            json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}),
            json!({"usage": {"prompt_tokens": "7", "completion_tokens": 2.0, "x": []}}),
            json!({"usage": {"input_tokens": 7, "output_tokens": 2}}),
            json!({"x_groq": {"usage": {"prompt_tokens": 7, "completion_tokens": 2}}}),
            json!({"choices": [{"usage": {"prompt_tokens": 7, "completion_tokens": 2}}]}),
        ] {
            assert_eq!(Piece::read(piece.clone()).usage, Some(expected), "{piece}");
        }
        let odd = json!({"usage": {"prompt_tokens": -3, "completion_tokens": 1e30}});
        let odd = Piece::read(odd).usage.unwrap();
        assert_eq!((odd.prompt_tokens, odd.completion_tokens), (0, u32::MAX));
    }

    #[test]
    fn errors_are_told_from_answers() {
        for piece in [
            json!({"error": {"message": "m"}}),
            json!({"error": "m"}),
            json!({"errors": ["m"]}),
            json!({"detail": "m"}),
            json!({"object": "error", "message": "m"}),
            json!({"type": "error", "error": {"type": "overloaded_error"}}),
            json!({"code": 400, "message": "m"}),
            json!({"success": false, "msg": "m"}),
            json!({"choices": [{"error": {"code": 502}, "finish_reason": "error"}]}),
            json!({"base_resp": {"status_code": 1008, "status_msg": "m"}}),
        ] {
            assert!(error_in(&piece).is_some(), "{piece}");
        }
        for piece in [
            json!({"error": null}),
            json!({"error": ""}),
            json!({"error": {}}),
            json!({"error": {"code": 0, "message": ""}, "choices": []}),
            json!({"base_resp": {"status_code": 0, "status_msg": ""}}),
            json!({"code": 0, "message": "ok"}),
            json!({"type": "ping"}),
            json!({"type": "message_start", "message": {"role": "assistant"}}),
            delta(json!({"content": "Hi"})),
        ] {
            assert_eq!(error_in(&piece), None, "{piece}");
        }
    }
}
