//! The order of roles, for services whose chat template takes only some.

use super::super::compatibility::{Part, Parts, Shape};
use super::Message;

/// Stands for the user's first words, where the agent greets.
const BEGIN: &str = "(the call begins)";
/// Asks for more, where the agent spoke last.
const GO_ON: &str = "(please go on)";
/// Stands for what the agent would have said about a tool's output.
const UNSAID: &str = "…";

/// Brings messages into the order that a service takes.
pub(super) fn arrange(messages: &mut Vec<Message<'_>>, shape: &Shape, sent: &mut Parts) {
    let is_free = shape.is_first(Part::Turns);
    let has_instructions = matches!(messages.first(), Some(Message::Instructions(_)));
    if has_instructions && shape.value(Part::Instructions) == "user" {
        instruct_as_user(messages);
    }
    if !begins_with_user(messages) || !alternates(messages) {
        sent.add(Part::Turns);
    }
    if is_free {
        return;
    }
    if !begins_with_user(messages) {
        let place = messages.len().min(usize::from(has_system(messages)));
        messages.insert(place, Message::User(BEGIN.to_owned()));
    }
    if shape.value(Part::Turns) == "alternating" {
        *messages = alternated(std::mem::take(messages));
    }
}

/// The instructions as words of the user, together with the first ones.
fn instruct_as_user(messages: &mut Vec<Message<'_>>) {
    let Some(Message::Instructions(text)) = messages.first_mut() else {
        return;
    };
    let mut text = std::mem::take(text);
    messages.remove(0);
    if let Some(Message::User(first)) = messages.first() {
        text = format!("{text}\n\n{first}");
        messages.remove(0);
    }
    messages.insert(0, Message::User(text));
}

fn has_system(messages: &[Message<'_>]) -> bool {
    matches!(messages.first(), Some(Message::Instructions(_)))
}

fn begins_with_user(messages: &[Message<'_>]) -> bool {
    let first = messages.get(usize::from(has_system(messages)));
    matches!(first, None | Some(Message::User(_)))
}

/// Whether user and assistant alternate, tool calls and their outputs left out.
fn alternates(messages: &[Message<'_>]) -> bool {
    let roles = messages.iter().filter_map(|message| match message {
        Message::User(_) => Some(true),
        Message::Assistant { calls, .. } if calls.is_empty() => Some(false),
        _ => None,
    });
    let roles: Vec<bool> = roles.collect();
    roles.windows(2).all(|pair| pair[0] != pair[1]) && roles.last() != Some(&false)
}

fn alternated<'a>(messages: Vec<Message<'a>>) -> Vec<Message<'a>> {
    let mut out: Vec<Message<'a>> = Vec::with_capacity(messages.len() + 2);
    for message in messages {
        match (out.last_mut(), message) {
            (Some(Message::User(before)), Message::User(text)) => {
                before.push_str("\n\n");
                before.push_str(&text);
            }
            (
                Some(Message::Assistant {
                    text: before,
                    calls,
                }),
                Message::Assistant { text, calls: more },
            ) if calls.is_empty() => {
                let gap = if text.is_empty() { "" } else { " " };
                *before = format!("{before}{gap}{text}");
                *calls = more;
            }
            (Some(Message::Tool { .. }), user @ Message::User(_)) => {
                let text = UNSAID.to_owned();
                let calls = Vec::new();
                out.extend([Message::Assistant { text, calls }, user]);
            }
            (_, message) => out.push(message),
        }
    }
    if let Some(Message::Assistant { calls, .. }) = out.last()
        && calls.is_empty()
    {
        out.push(Message::User(GO_ON.to_owned()));
    }
    out
}
