//! Refusals of services, and the questions that follow.

use std::cell::Cell;

use super::*;
use crate::pool::refusal_in_stream;

fn error(message: &str) -> String {
    serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string()
}

/// Asks a service that refuses with `refuses` until it is content; the shape and the number of requests.
fn ask(sent: &[Part], refuses: impl Fn(&Shape) -> Option<String>) -> Option<(Shape, usize)> {
    let sent: Vec<Part> = sent.to_vec();
    let mut search = Search::new(Shape::default(), Parts::default());
    for asks in 1.. {
        let shape = search.asked();
        let Some(said) = refuses(&shape) else {
            return Some((shape, asks));
        };
        // What is left out is not in the request.
        let present = |part: &&Part| shape.with_less(**part).is_some();
        let present = sent.iter().filter(present).copied().collect();
        let (kind, refusal) = refusal_in_stream(&said);
        match search.refused(&refusal, kind, present, false) {
            Next::Ask(_) => {}
            Next::Shorten | Next::GiveUp => return None,
        }
    }
    None
}

fn changes(shape: &Shape) -> Vec<(&'static str, &'static str)> {
    let changes = shape.changes_from(&Shape::default());
    changes
        .into_iter()
        .map(|(part, value)| (part.name(), value))
        .collect()
}

/// Words of services, the part that they name, and how it is asked for next.
const NAMED: &[(&str, Part, &str)] = &[
    (
        "Unknown name \"strict\" at 'tools[0].function'",
        Part::Strict,
        "off",
    ),
    (
        "body.stream_options: Extra inputs are not permitted",
        Part::StreamOptions,
        "off",
    ),
    (
        "Unsupported parameter: 'max_completion_tokens'",
        Part::TokenLimit,
        "max_tokens",
    ),
    (
        "Unsupported value: 'temperature' does not support 0.5",
        Part::Temperature,
        "off",
    ),
    (
        "property 'reasoning_effort' is unsupported",
        Part::ReasoningEffort,
        "off",
    ),
    (
        "'response_format.type' must be text or json_object",
        Part::ResponseFormat,
        "json_object",
    ),
    (
        "Conversation roles must alternate user/assistant/user/assistant/...",
        Part::Turns,
        "alternating",
    ),
    (
        "After the optional system message, conversation roles must alternate",
        Part::Turns,
        "alternating",
    ),
    (
        "Expected last role User or Tool but got: unexpected role 'user' after role 'tool'",
        Part::Turns,
        "alternating",
    ),
    (
        "The first message must be from the user",
        Part::Turns,
        "user_first",
    ),
    ("System role not supported", Part::Instructions, "user"),
    (
        "Role 'system' is not allowed, use 'developer' instead of system message",
        Part::Instructions,
        "developer",
    ),
    (
        "messages.2.content: field required",
        Part::Content,
        "always",
    ),
    (
        "messages.3: property 'reasoning_content' is unsupported",
        Part::ProviderFields,
        "off",
    ),
    (
        "No endpoints found that support the provided 'tool_choice' value",
        Part::ToolChoice,
        "off",
    ),
    (
        "registry/gemma:2b does not support tools",
        Part::Tools,
        "off",
    ),
    (
        "streaming is not supported for this model",
        Part::Stream,
        "off",
    ),
];

#[test]
fn a_refusal_that_names_a_part_costs_one_question() {
    for (said, part, value) in NAMED.iter().copied() {
        let refuses = |shape: &Shape| (shape.value(part) != value).then(|| error(said));
        let found = ask(&Part::ALL, refuses).map(|(shape, asks)| (changes(&shape), asks));
        assert_eq!(found, Some((vec![(part.name(), value)], 2)), "{said}");
    }
}

#[test]
fn a_refusal_that_names_nothing_is_found_by_leaving_out_one_part_at_a_time() {
    for part in Part::ALL {
        let refuses = |shape: &Shape| shape.is_first(part).then(|| error("Bad Request"));
        let (shape, asks) = ask(&Part::ALL, refuses).unwrap_or_default();
        let changed: Vec<_> = changes(&shape).into_iter().map(|(name, _)| name).collect();
        assert_eq!(changed, [part.name()]);
        assert!(asks <= 1 + Part::ALL.len(), "{part:?}: {asks}");
    }
}

#[test]
fn several_causes_that_name_nothing_are_found_too() {
    let causes = [Part::Strict, Part::Content];
    let refuses = |shape: &Shape| {
        let is_refused = causes.iter().any(|part| shape.is_first(*part));
        is_refused.then(|| error("Bad Request"))
    };
    let (shape, asks) = ask(&Part::ALL, refuses).unwrap_or_default();
    assert!(causes.iter().all(|part| !shape.is_first(*part)));
    assert!(asks <= ASKS_MAX, "{asks}");
}

#[test]
fn what_was_not_sent_or_is_set_by_hand_is_never_changed() {
    assert_eq!(
        ask(&[Part::Turns], |_| Some(error("strict is unknown"))),
        None
    );
    let mut search = Search::new(Shape::default(), [Part::Strict].into_iter().collect());
    let (kind, refusal) = refusal_in_stream(&error("strict is unknown"));
    let sent = [Part::Strict].into_iter().collect();
    assert_eq!(search.refused(&refusal, kind, sent, false), Next::GiveUp);
}

#[test]
fn refusals_for_other_reasons_cost_no_question() {
    for said in [
        error("The model `x` does not exist or you have no access: model_not_found"),
        error("Incorrect API key provided"),
        error("You exceeded your current quota"),
        error("The response was filtered due to Azure OpenAI's content management policy"),
        r#"{"error":{"code":429,"message":"temperature of the GPU"}}"#.to_owned(),
        r#"{"error":{"code":503,"message":"overloaded"}}"#.to_owned(),
    ] {
        let asks = Cell::new(0);
        let refuses = |_: &Shape| {
            asks.set(asks.get() + 1);
            Some(said.clone())
        };
        assert_eq!(ask(&Part::ALL, refuses), None, "{said}");
        assert_eq!(asks.get(), 1, "{said}");
    }
}

#[test]
fn a_search_has_an_end_and_is_not_made_again() {
    let asks = Cell::new(0);
    let refuses = |_: &Shape| {
        asks.set(asks.get() + 1);
        Some(error("Bad Request"))
    };
    assert_eq!(ask(&Part::ALL, refuses), None);
    assert!(asks.get() <= ASKS_MAX, "{}", asks.get());
    let mut search = Search::new(Shape::default(), Parts::default());
    let (kind, refusal) = refusal_in_stream(&error("Bad Request"));
    let sent = Part::ALL.into_iter().collect();
    assert_eq!(search.refused(&refusal, kind, sent, true), Next::GiveUp);
}

#[test]
fn a_long_conversation_is_shortened_for_a_while() {
    let mut search = Search::new(Shape::default(), Parts::default());
    let (kind, refusal) = refusal_in_stream(&error("maximum context length is 8192 tokens"));
    let mut next = || search.refused(&refusal, kind, Parts::default(), false);
    assert!((0..SHORTENED_MAX).all(|_| next() == Next::Shorten));
    assert_eq!(next(), Next::GiveUp);
}
