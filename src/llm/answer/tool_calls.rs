//! Tool calls put together from the pieces they are streamed in.
//!
//! Services split, repeat and number them in many ways, so a piece says only what it says: an id, a name
//! or arguments may come early, late, again or never.

use serde_json::{Map, Value};

use super::json::is_empty;
use super::piece::CallDelta;
use crate::excess::Excess;

/// Calls in one answer at most; more is a model gone astray.
pub(crate) const CALLS_MAX: usize = 32;
/// Arguments of one call at most.
pub(crate) const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;

/// Fields of a service's own whose text is streamed.
const JOINED: [&str; 8] = [
    "reasoning",
    "reasoning_content",
    "thinking",
    "thought",
    "text",
    "summary",
    "data",
    "signature",
];

/// The calls of one answer, oldest first.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: Vec<Partial>,
    /// The call that the last piece belonged to.
    last: usize,
}

/// A call as it comes, or as it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    index: Option<u64>,
    id: String,
    pub(super) name: String,
    arguments: String,
    /// The last piece of the arguments: some services repeat all of them at the end.
    last_piece: String,
    pub(super) fields: Map<String, Value>,
}

/// The model writes more calls or longer arguments than anything we offer takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {CALLS_MAX} tool calls or {ARGUMENTS_BYTES_MAX} bytes of arguments")]
pub(super) struct TooManyCalls;

impl TooManyCalls {
    fn counted() -> Self {
        Excess::ToolCalls.count("the tool calls of an answer");
        Self
    }
}

impl ToolCalls {
    /// Takes what one piece of the answer has of calls.
    pub(super) fn push(&mut self, deltas: Vec<CallDelta>) -> Result<(), TooManyCalls> {
        let mut begun: Vec<usize> = Vec::new();
        for delta in deltas {
            let place = match self.place_of(&delta, &begun) {
                Some(place) => place,
                None if self.calls.len() >= CALLS_MAX => return Err(TooManyCalls::counted()),
                None => {
                    self.calls.push(Partial {
                        index: delta.index,
                        ..Partial::default()
                    });
                    self.calls.len() - 1
                }
            };
            if !delta.name.is_empty() {
                begun.push(place);
            }
            self.last = place;
            self.calls[place].take(delta)?;
        }
        Ok(())
    }

    /// The calls, now complete. One without a name is no call.
    pub(super) fn take(&mut self) -> Vec<Partial> {
        let calls = std::mem::take(&mut self.calls).into_iter();
        calls.filter(|call| !call.name.trim().is_empty()).collect()
    }

    /// The call that a piece goes on with; `None` when it begins one. `begun` are the calls that had a name
    /// in the same piece of the answer.
    fn place_of(&self, delta: &CallDelta, begun: &[usize]) -> Option<usize> {
        let by_id = |call: &Partial| !delta.id.is_empty() && call.id == delta.id;
        let by_index = |call: &Partial| delta.index.is_some() && call.index == delta.index;
        let place = self.calls.iter().rposition(by_id);
        let place = match place.or_else(|| self.calls.iter().rposition(by_index)) {
            Some(place) => place,
            None if delta.index.is_none() && !self.calls.is_empty() => self.last,
            // An index that counts pieces: it neither names a call nor begins one.
            None => {
                let last = self.calls.get(self.last)?;
                let says_nothing = delta.id.is_empty() && delta.name.is_empty();
                let goes_on = says_nothing && !last.is_complete();
                return goes_on.then_some(self.last);
            }
        };
        let begins_another = self.calls[place].is_followed_by(delta, begun.contains(&place));
        (!begins_another).then_some(place)
    }
}

impl Partial {
    fn take(&mut self, delta: CallDelta) -> Result<(), TooManyCalls> {
        if self.id.is_empty() {
            self.id = delta.id;
        }
        self.index = self.index.or(delta.index);
        self.take_name(&delta.name);
        for (key, value) in delta.fields {
            merge(&mut self.fields, key, value);
        }
        if self.arguments.len() + delta.arguments.len() > ARGUMENTS_BYTES_MAX {
            return Err(TooManyCalls::counted());
        }
        if !delta.arguments.is_empty() {
            self.arguments += &delta.arguments;
            self.last_piece = delta.arguments;
        }
        Ok(())
    }

    /// A name may come whole, in parts, again with each piece, or longer with each piece.
    fn take_name(&mut self, name: &str) {
        if name.starts_with(&*self.name) {
            name.clone_into(&mut self.name);
        } else if !self.name.starts_with(name) && !self.name.ends_with(name) && !self.is_begun() {
            self.name.push_str(name);
        }
    }

    fn is_begun(&self) -> bool {
        !self.arguments.trim().is_empty()
    }

    /// Whether nothing is missing of the arguments.
    fn is_complete(&self) -> bool {
        object(&self.arguments).is_some()
    }

    /// Whether a piece that seems to go on with this call begins another one. `is_same_piece` says that this
    /// call had its name in the same piece of the answer.
    fn is_followed_by(&self, delta: &CallDelta, is_same_piece: bool) -> bool {
        let has_new_id = !delta.id.is_empty() && !self.id.is_empty() && delta.id != self.id;
        if delta.name.is_empty() || self.name.is_empty() {
            // An id alone begins a call whose name comes later, unless each piece has an id of its own.
            return has_new_id
                && delta.name.is_empty()
                && delta.arguments.is_empty()
                && self.is_complete();
        }
        let has_new_index = delta.index.is_some() && delta.index != self.index;
        let is_begun_again = is_same_piece || has_new_id || has_new_index || self.is_complete();
        let has_other_arguments =
            !delta.arguments.is_empty() && delta.arguments != self.arguments();
        is_begun_again
            && (delta.name != self.name
                || self.is_complete() && (has_new_id || has_other_arguments))
    }

    /// The arguments: what was joined, or, where a service repeats itself, the last object that is whole.
    pub(super) fn arguments(&self) -> String {
        let joined = self.arguments.trim();
        if let Some(object) = object(joined) {
            return object;
        }
        let values = serde_json::Deserializer::from_str(joined.trim_start_matches("null"));
        let values = values.into_iter::<Value>().map_while(Result::ok);
        let is_empty = |object: &Value| object.as_object().is_none_or(Map::is_empty);
        let last = values
            .filter(Value::is_object)
            .reduce(|last, next| if is_empty(&next) { last } else { next });
        let again = object(&self.last_piece).filter(|object| object != "{}");
        match (again, last) {
            (Some(object), _) => object,
            (None, Some(last)) => last.to_string(),
            (None, None) => joined.to_owned(),
        }
    }
}

/// The text, if it is one JSON object, or a string that holds one.
fn object(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.starts_with(['{', '"']) {
        return None;
    }
    match serde_json::from_str(text).ok()? {
        Value::Object(_) => Some(text.to_owned()),
        Value::String(inner) if inner.trim_start().starts_with('{') => object(&inner),
        _ => None,
    }
}

/// Adds a field that comes in pieces: texts are joined, lists grow, objects are one.
pub(super) fn merge(fields: &mut Map<String, Value>, key: String, value: Value) {
    match (fields.get_mut(&key), value) {
        (Some(Value::String(text)), Value::String(more)) if JOINED.contains(&&*key) => {
            text.push_str(&more);
        }
        (Some(Value::Array(entries)), Value::Array(more)) => {
            more.into_iter().for_each(|entry| add_entry(entries, entry));
        }
        (Some(Value::Object(object)), Value::Object(more)) => {
            for (key, value) in more {
                merge(object, key, value);
            }
        }
        (_, value) => {
            fields.insert(key, value);
        }
    }
}

/// Adds an entry to a list, or to the entry with the same index, whose texts it continues.
fn add_entry(entries: &mut Vec<Value>, mut entry: Value) {
    let is_same = |last: &Value| {
        !last["index"].is_null() && last["index"] == entry["index"] && last["type"] == entry["type"]
    };
    let last = entries.last_mut().filter(|last| is_same(last));
    let (Some(Value::Object(last)), Value::Object(more)) = (last, &mut entry) else {
        entries.push(entry);
        return;
    };
    for (key, value) in std::mem::take(more) {
        match (&*key, last.get_mut(&key)) {
            (key, Some(Value::String(before))) if JOINED.contains(&key) => {
                before.push_str(value.as_str().unwrap_or_default());
            }
            _ if is_empty(&value) => {}
            _ => {
                last.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
#[path = "tool_calls_tests.rs"]
mod tests;
