//! Answers as services write them, cut and mutated.

use super::*;

/// Decodes chunks of an answer; the outcome reads like a script.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    decode_as(Reading::default(), chunks)
}

fn decode_as<'a>(reading: Reading, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = ChatDecoder::new(reading);
    let mut events = VecDeque::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = result.and_then(|()| decoder.push(chunk, &mut events));
    }
    let result = result.and_then(|()| decoder.finish(&mut events));
    let mut script: Vec<String> = Vec::new();
    for event in events {
        match (event, script.last_mut()) {
            (LlmEvent::Text(text), Some(last)) if last.starts_with("text ") => *last += &text,
            (LlmEvent::Text(text), _) => script.push(format!("text {text}")),
            (LlmEvent::ToolCall(call), _) => {
                assert_eq!(call.id.len(), ID_CHARS);
                assert!(call.id.chars().all(|c| c.is_ascii_alphanumeric()));
                script.push(format!("tool {} {}", call.name, call.arguments));
            }
            (
                LlmEvent::Usage {
                    prompt_tokens: p,
                    completion_tokens: c,
                },
                _,
            ) => script.push(format!("usage {p} {c}")),
        }
    }
    if let Err(fault) = result {
        script.push(fault.kind.label().to_owned());
    }
    script
}

fn check_text(stream: &str, expected: &[&str]) {
    assert_eq!(decode([stream.as_bytes()]), expected, "{stream}");
    let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
    assert_eq!(decode(bytes), expected, "byte by byte: {stream}");
}

fn check(data: &[&str], expected: &[&str]) {
    let events = data.iter().map(|data| format!("data: {data}\n\n"));
    check_text(&events.collect::<String>(), expected);
}

const HELLO: &str = r#"{"choices":[{"delta":{"content":"Hel"}}]}"#;
const LO: &str = r#"{"choices":[{"delta":{"content":"lo ü"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;

#[test]
fn text_then_usage() {
    check(
        &[HELLO, LO, STOP, USAGE, DONE],
        &["text Hello ü", "usage 7 2"],
    );
}

#[test]
fn null_deltas_and_odd_pieces_are_passed_over() {
    let null = r#"{"choices":[{"delta":null}]}"#;
    check(
        &[null, "{}", HELLO, r#"{"choices":null}"#, STOP, DONE],
        &["text Hel"],
    );
}

#[test]
fn tool_calls_are_complete_with_the_end_of_the_answer_whatever_the_finish_reason() {
    for reason in ["tool_calls", "stop", "function_call"] {
        let begin = format!(
            r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":0,"id":"c1","function":{{"name":"f","arguments":""}}}}]}},"finish_reason":"{reason}"}}]}}"#
        );
        let end =
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#;
        check(&[&begin, end, DONE], &["tool f {}"]);
        check(&[&begin, end], &["tool f {}"]);
    }
}

#[test]
fn an_answer_ends_with_done_a_finish_reason_or_its_body() {
    check(&[HELLO, STOP], &["text Hel"]);
    check(&[HELLO, STOP, USAGE], &["text Hel", "usage 7 2"]);
    check(&[HELLO, DONE], &["text Hel"]);
    check(&[HELLO], &["text Hel"]);
}

#[test]
fn a_finish_reason_cuts_nothing_and_done_does() {
    check(&[HELLO, STOP, LO], &["text Hello ü"]);
    check(&[HELLO, DONE, LO, "garbage"], &["text Hel"]);
}

#[test]
fn pieces_that_cannot_be_read_are_skipped_and_counted() {
    let reading = Reading::default();
    let stream =
        format!("data: {{\"choices\":[{{\"del\n\ndata: {HELLO}\n\ndata: ?\n\ndata: {LO}\n\n");
    let script = decode_as(reading.clone(), [stream.as_bytes()]);
    assert_eq!(script, ["text Hello ü"]);
    assert_eq!(reading.unreadable.load(Ordering::Relaxed), 2);
}

#[test]
fn an_answer_without_a_word_is_a_failure_of_its_own_kind() {
    let blank = r#"{"choices":[{"delta":{"content":" \n\u200b"}}]}"#;
    let dots = r#"{"choices":[{"delta":{"content":"..."}}]}"#;
    let thought = r#"{"choices":[{"delta":{"content":"<think>hm</think>\n"}}]}"#;
    let hidden = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
    for pieces in [
        &[][..],
        &[STOP, DONE],
        &[DONE],
        &[blank, STOP],
        &[dots, STOP],
        &[thought, STOP, USAGE],
        &[hidden, STOP, DONE],
    ] {
        check(pieces, &["empty"]);
    }
}

#[test]
fn what_is_no_completion_is_malformed_unless_it_says_more() {
    check_text("<html>\nnot here</html>", &["malformed"]);
    check_text("Too Many Requests: rate limit", &["rate_limited"]);
    check_text("OK", &["malformed"]);
    check(&["{\"choices\":[{\"del"], &["malformed"]);
}

#[test]
fn errors_in_a_stream_are_what_they_say() {
    let server = r#"{"error":{"message":"m","type":"server_error"}}"#;
    check(&[HELLO, server], &["text Hel", "unavailable"]);
    check(
        &[r#"{"error":{"code":"rate_limit_exceeded"}}"#],
        &["rate_limited"],
    );
    check_text(
        "event: error\ndata: {\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"code\":400}}\n\n",
        &["rejected"],
    );
    check_text("event: error\ndata: rate limit\n\n", &["rate_limited"]);
    check_text("{\"detail\":\"invalid role\"}", &["rejected"]);
}

#[test]
fn thoughts_are_not_text() {
    let thoughts = [
        r#"{"choices":[{"delta":{"content":"<thi"}}]}"#,
        r#"{"choices":[{"delta":{"content":"nk>hm</think>\n"}}]}"#,
    ];
    check(&[thoughts[0], thoughts[1], HELLO, STOP], &["text Hel"]);
}

#[test]
fn any_wrapping_is_an_answer() {
    let whole = r#"{"choices":[{"message":{"content":"hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    check_text(whole, &["text hi", "tool f {}", "tool g {}"]);
    let pretty: Value = serde_json::from_str(whole).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    check_text(&pretty, &["text hi", "tool f {}", "tool g {}"]);
    check_text(&format!("{HELLO}\n{LO}\n"), &["text Hello ü"]);
    check_text(&format!("[{HELLO},{LO}]"), &["text Hello ü"]);
    check_text(&format!("{HELLO}{LO}"), &["text Hello ü"]);
    check_text(
        &format!("data:{HELLO}\ndata:{LO}\ndata:{DONE}"),
        &["text Hello ü"],
    );
    let quoted = Value::from(HELLO).to_string();
    check(&[&quoted, LO], &["text Hello ü"]);
}

#[test]
fn a_name_that_a_service_could_refuse_never_comes_out() {
    let long = "x".repeat(100);
    for (name, expected) in [
        ("recall", "recall"),
        ("functions.recall", "recall"),
        ("recall<|channel|>commentary", "recall"),
        (" recall", "recall"),
        ("multi_tool_use.parallel", "multi_tool_use_parallel"),
        ("größe", "gr__e"),
        (&long, &long[..64]),
    ] {
        let reading = Reading {
            tools: Arc::new(["recall".to_owned()]),
            ..Reading::default()
        };
        let piece = serde_json::json!({"choices": [{"delta": {"tool_calls": [
            {"index": 0, "id": "a", "function": {"name": name, "arguments": "{}"}},
        ]}}]});
        let script = decode_as(reading, [format!("data: {piece}\n\n").as_bytes()]);
        assert_eq!(script, [format!("tool {expected} {{}}")]);
    }
}

#[test]
fn what_a_provider_wants_back_comes_with_its_call() {
    let mut decoder = ChatDecoder::new(Reading {
        origin: "host model".into(),
        ..Reading::default()
    });
    let mut events = VecDeque::new();
    for piece in [
        r#"{"choices":[{"delta":{"reasoning_content":"h"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"m","tool_calls":[{"id":"a","function":{"name":"f"},"extra_content":{"s":"abc"}},{"id":"b","function":{"name":"g"}}]}}]}"#,
    ] {
        let event = format!("data: {piece}\n\n");
        assert!(decoder.push(event.as_bytes(), &mut events).is_ok());
    }
    assert!(decoder.finish(&mut events).is_ok());
    let providers: Vec<_> = events
        .iter()
        .map(|event| match event {
            LlmEvent::ToolCall(call) => call.provider.clone(),
            _ => None,
        })
        .collect();
    let first = providers[0].as_ref().unwrap();
    assert_eq!(first.origin, "host model");
    assert_eq!(
        Value::from(first.call.clone()),
        serde_json::json!({"extra_content": {"s": "abc"}})
    );
    assert_eq!(
        Value::from(first.message.clone()),
        serde_json::json!({"reasoning_content": "hm"})
    );
    assert!(providers[1].is_none());
}
