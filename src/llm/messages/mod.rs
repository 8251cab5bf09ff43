//! The conversation as chat messages.
//!
//! Services are strict about tools: every call must be answered right after the message that made it, and
//! nothing may be answered that was not asked. A conversation in which people interrupt keeps to that
//! only if this module sees to it. What further rules a service has is in its [`Shape`].

mod turns;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::compatibility::{Part, Parts, Shape};
use crate::chat::{ChatContext, ChatItem, ToolCall, ToolSpec, wire_name};

/// Read by the model where a call was never answered.
const UNANSWERED: &str = "no answer: the conversation went on before the tool was done";
/// Characters of the ids that every service takes, see `answer/mod.rs`.
const ID_CHARS: usize = 9;

/// One message.
enum Message<'a> {
    Instructions(String),
    User(String),
    Assistant {
        text: String,
        calls: Vec<(String, &'a ToolCall)>,
    },
    Tool {
        id: String,
        output: &'a str,
    },
}

/// The messages of a conversation, instructions first, in the shape that a service takes. Parts of the
/// request that they use are added to `sent`.
pub(super) fn messages(
    context: &ChatContext,
    shape: &Shape,
    origin: &str,
    sent: &mut Parts,
) -> Vec<Value> {
    let mut messages = plain(context);
    turns::arrange(&mut messages, shape, sent);
    let writer = Writer { shape, origin };
    let written = messages.iter().map(|it| writer.message(it, sent));
    written.collect()
}

/// The tools as a request lists them; `None` without any.
pub(super) fn tools(specs: &[ToolSpec], shape: &Shape, sent: &mut Parts) -> Option<Vec<Value>> {
    if specs.is_empty() || !shape.is_first(Part::Tools) {
        return None;
    }
    sent.add(Part::Tools);
    let tool = |spec: &ToolSpec| {
        let mut function = json!({
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.parameters,
        });
        if spec.is_strict && shape.is_first(Part::Strict) {
            sent.add(Part::Strict);
            function["strict"] = true.into();
        }
        json!({"type": "function", "function": function})
    };
    Some(specs.iter().map(tool).collect())
}

/// Whether the history of a conversation has tool calls.
pub(super) fn has_calls(context: &ChatContext) -> bool {
    let is_call = |item: &ChatItem| matches!(item, ChatItem::ToolCall(_));
    context.items.iter().any(is_call)
}

/// Drops the oldest quarter of the exchanges, at least one; `false` when only the last one is left. A call and
/// its output are of one exchange, so they go together.
pub(super) fn shorten(context: &mut ChatContext) -> bool {
    let is_user = |place: &usize| matches!(context.items[*place], ChatItem::User(_));
    let begins = |place: &usize| is_user(place) && (*place == 0 || !is_user(&(place - 1)));
    let begins: Vec<usize> = (0..context.items.len()).filter(begins).collect();
    // What stands before the first words of the user, as a greeting, goes with their exchange.
    let n_dropped = begins.len().div_ceil(4);
    let Some(start) = begins.get(n_dropped) else {
        return false;
    };
    context.items.drain(..start);
    true
}

/// The messages without regard to what a service takes.
fn plain(context: &ChatContext) -> Vec<Message<'_>> {
    let outputs = outputs(&context.items);
    let mut ids = Ids::default();
    let mut messages = Vec::with_capacity(context.items.len() + 1);
    if !context.instructions.is_empty() {
        messages.push(Message::Instructions(context.instructions.clone()));
    }
    let mut items = context.items.iter().enumerate().peekable();
    while let Some((place, item)) = items.next() {
        let (text, mut calls) = match item {
            ChatItem::User(text) => {
                messages.push(Message::User(text.clone()));
                continue;
            }
            ChatItem::ToolOutput { .. } => continue, // follows its call
            ChatItem::Agent { text, .. } => (text.clone(), Vec::new()),
            ChatItem::ToolCall(call) => (String::new(), vec![(place, call)]),
        };
        while let Some((place, ChatItem::ToolCall(call))) =
            items.next_if(|(_, item)| matches!(item, ChatItem::ToolCall(_)))
        {
            calls.push((place, call));
        }
        if text.is_empty() && calls.is_empty() {
            continue; // interrupted before a word was heard
        }
        let answers: Vec<_> = calls.iter().map(|(place, _)| outputs[*place]).collect();
        let calls: Vec<_> = calls
            .into_iter()
            .map(|(_, call)| (ids.of(&call.id), call))
            .collect();
        let outputs = calls
            .iter()
            .zip(answers)
            .map(|((id, _), output)| Message::Tool {
                id: id.clone(),
                output: output.unwrap_or(UNANSWERED),
            });
        let outputs: Vec<_> = outputs.collect();
        messages.push(Message::Assistant { text, calls });
        messages.extend(outputs);
    }
    messages
}

/// The output of each call, by the place of the call. Ids may repeat: an output belongs to the latest round
/// of calls that has its id, and there to the first call without one.
fn outputs(items: &[ChatItem]) -> Vec<Option<&str>> {
    let mut outputs = vec![None; items.len()];
    for (place, item) in items.iter().enumerate() {
        let ChatItem::ToolOutput { call_id, output } = item else {
            continue;
        };
        let is_open = |at: &usize| {
            let is_it = matches!(&items[*at], ChatItem::ToolCall(call) if call.id == *call_id);
            is_it && outputs[*at].is_none()
        };
        let Some(last) = (0..place).rev().find(is_open) else {
            continue;
        };
        let is_of_round = |at: &usize| matches!(items[*at], ChatItem::ToolCall(_));
        let round = (0..=last).rev().take_while(is_of_round);
        let first = round.filter(is_open).last().unwrap_or(last);
        outputs[first] = Some(output.text.as_str());
    }
    outputs
}

/// Ids of calls as every service takes them: nine letters or digits, each of them once.
#[derive(Default)]
struct Ids {
    used: HashSet<String>,
}

impl Ids {
    fn of(&mut self, id: &str) -> String {
        let is_taken =
            |id: &str| id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mut ours = id.to_owned();
        // Of another service, or of a program: the same in each request.
        let mut number = 0;
        while !is_taken(&ours) || self.used.contains(&ours) {
            ours = format!("call{:05}", self.used.len() + number);
            number += 1;
        }
        self.used.insert(ours.clone());
        ours
    }
}

struct Writer<'a> {
    shape: &'a Shape,
    origin: &'a str,
}

impl Writer<'_> {
    fn message(&self, message: &Message<'_>, sent: &mut Parts) -> Value {
        match message {
            Message::Instructions(text) => {
                sent.add(Part::Instructions);
                json!({"role": self.shape.value(Part::Instructions), "content": text})
            }
            Message::User(text) => json!({"role": "user", "content": text}),
            Message::Tool { id, output } => {
                json!({"role": "tool", "tool_call_id": id, "content": output})
            }
            Message::Assistant { text, calls } => self.assistant(text, calls, sent),
        }
    }

    fn assistant(&self, text: &str, calls: &[(String, &ToolCall)], sent: &mut Parts) -> Value {
        let mut message = Map::new();
        let calls: Vec<Value> = calls
            .iter()
            .map(|(id, call)| self.tool_call(id, call, &mut message, sent))
            .collect();
        message.insert("role".to_owned(), "assistant".into());
        if text.is_empty() {
            sent.add(Part::Content);
        }
        if !text.is_empty() || !self.shape.is_first(Part::Content) {
            message.insert("content".to_owned(), text.into());
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), calls.into());
        }
        message.into()
    }

    fn tool_call(
        &self,
        id: &str,
        call: &ToolCall,
        message: &mut Map<String, Value>,
        sent: &mut Parts,
    ) -> Value {
        // Servers parse the arguments they are shown; what the model wrote may not be JSON.
        let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
        let arguments = if is_object { &call.arguments } else { "{}" };
        let mut json = Map::new();
        let fields = call
            .provider
            .as_deref()
            .filter(|it| it.origin == self.origin);
        if let Some(fields) = fields {
            sent.add(Part::ProviderFields);
            if self.shape.is_first(Part::ProviderFields) {
                json = fields.call.clone();
                message.extend(fields.message.clone());
            }
        }
        json.insert("id".to_owned(), id.into());
        json.insert("type".to_owned(), "function".into());
        let function = json!({"name": wire_name(&call.name), "arguments": arguments});
        json.insert("function".to_owned(), function);
        json.into()
    }
}

#[cfg(test)]
mod tests;
