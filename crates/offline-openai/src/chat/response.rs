//! A reply in the two shapes of the API: one object, or a stream of events.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::brain::{Call, Reply};
use crate::ids::fresh_id;

/// Characters of a tool call's arguments in one event: few, so that clients must put them together.
const ARGUMENT_PIECE_CHARS: usize = 8;

/// A reply with what surrounds it.
pub(super) struct Completion {
    id: String,
    created: u64,
    model: String,
    reply: Reply,
    usage: Value,
}

impl Completion {
    /// Words stand in for tokens in the usage: the figures are plausible, nothing more.
    pub(super) fn new(model: String, mut reply: Reply, prompt_words: usize) -> Self {
        let reply_words = match &mut reply {
            Reply::Say(text) => text.split_whitespace().count(),
            Reply::Call(calls) => {
                for call in calls.iter_mut() {
                    call.id = fresh_id("call");
                }
                calls.len() * 10
            }
        };
        let usage = json!({
            "prompt_tokens": prompt_words,
            "completion_tokens": reply_words,
            "total_tokens": prompt_words + reply_words,
        });
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            id: fresh_id("chatcmpl"),
            created: since_epoch.as_secs(),
            model,
            reply,
            usage,
        }
    }

    fn finish_reason(&self) -> &'static str {
        match self.reply {
            Reply::Say(_) => "stop",
            Reply::Call(_) => "tool_calls",
        }
    }

    /// The `chat.completion` object.
    pub(super) fn whole(&self) -> Value {
        let message = match &self.reply {
            Reply::Say(text) => json!({ "role": "assistant", "content": text }),
            Reply::Call(calls) => {
                let calls: Vec<Value> = calls.iter().map(whole_call).collect();
                json!({ "role": "assistant", "content": null, "tool_calls": calls })
            }
        };
        let choice = json!({
            "index": 0, "message": message, "logprobs": null,
            "finish_reason": self.finish_reason(),
        });
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created,
            "model": self.model, "choices": [choice], "usage": self.usage,
        })
    }

    /// The `chat.completion.chunk` events, `pause` apart, and `[DONE]`.
    pub(super) fn into_events(self, include_usage: bool, pause: Duration) -> Response {
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({
                "id": self.id, "object": "chat.completion.chunk", "created": self.created,
                "model": self.model, "choices": choices,
            });
            if include_usage {
                chunk["usage"] = usage;
            }
            event(&chunk.to_string())
        };
        let choice = |delta: Value, finish_reason: Value| {
            let choice = json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]);
            chunk(choice, Value::Null)
        };
        let mut events = vec![choice(
            json!({ "role": "assistant", "content": "" }),
            Value::Null,
        )];
        events.extend(
            deltas(&self.reply)
                .into_iter()
                .map(|delta| choice(delta, Value::Null)),
        );
        events.push(choice(json!({}), json!(self.finish_reason())));
        if include_usage {
            events.push(chunk(json!([]), self.usage.clone()));
        }
        events.push(event("[DONE]"));

        // The pause is between pieces of the reply; what frames them comes without.
        let n_pieces = deltas(&self.reply).len();
        let events =
            stream::iter(events.into_iter().enumerate()).then(move |(n, event)| async move {
                if n >= 2 && n <= n_pieces && !pause.is_zero() {
                    sleep(pause).await;
                }
                Ok::<_, std::convert::Infallible>(event)
            });
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, Body::from_stream(events.boxed())).into_response()
    }
}

fn event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

fn whole_call(call: &Call) -> Value {
    let function = json!({ "name": call.name, "arguments": call.arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

/// The reply in small pieces: a word each, or a tool call's name and then its arguments.
fn deltas(reply: &Reply) -> Vec<Value> {
    match reply {
        Reply::Say(text) => {
            let words = text.split_inclusive(' ');
            words.map(|word| json!({ "content": word })).collect()
        }
        Reply::Call(calls) => calls
            .iter()
            .enumerate()
            .flat_map(|(index, call)| call_deltas(index, call))
            .collect(),
    }
}

fn call_deltas(index: usize, call: &Call) -> Vec<Value> {
    let opening = json!({ "tool_calls": [{
        "index": index, "id": call.id, "type": "function",
        "function": { "name": call.name, "arguments": "" },
    }]});
    let characters: Vec<char> = call.arguments.chars().collect();
    let pieces = characters.chunks(ARGUMENT_PIECE_CHARS).map(|piece| {
        let piece: String = piece.iter().collect();
        json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] })
    });
    std::iter::once(opening).chain(pieces).collect()
}
