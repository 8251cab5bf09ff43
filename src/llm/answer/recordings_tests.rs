//! Streams of ten services, cut, broken and retyped at random: no panic, no silence, nothing lost.

use proptest::prelude::*;
use serde_json::json;

use super::*;

macro_rules! recordings {
    ($($name:literal),*) => {
        &[$(
            (
                $name,
                include_str!(concat!("../../../tests/recordings/", $name, ".text")),
                include_str!(concat!("../../../tests/recordings/", $name, ".call")),
            )
        ),*]
    };
}

/// Name, an answer in words and one with a tool call, as the services write them.
const RECORDINGS: &[(&str, &str, &str)] = recordings!(
    "openai",
    "azure",
    "groq",
    "gemini",
    "anthropic",
    "mistral",
    "deepseek",
    "vllm",
    "llamacpp",
    "ollama"
);
const TEXT: &str = "It is 20 °C in Köln.\n\nShall I book a table?";

/// What came of an answer.
#[derive(Debug, PartialEq)]
struct Heard {
    text: String,
    calls: Vec<(String, Value)>,
    failure: Option<ErrorKind>,
}

fn hear<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let mut decoder = ChatDecoder::default();
    let mut events = VecDeque::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = result.and_then(|()| decoder.push(chunk, &mut events));
    }
    let result = result.and_then(|()| decoder.finish(&mut events));
    let mut heard = Heard {
        text: String::new(),
        calls: Vec::new(),
        failure: result.err().map(|fault| fault.kind),
    };
    for event in events {
        match event {
            LlmEvent::Text(text) => heard.text += &text,
            LlmEvent::ToolCall(call) => {
                let arguments = serde_json::from_str(&call.arguments).unwrap_or_default();
                heard.calls.push((call.name, arguments));
            }
            LlmEvent::Usage { .. } => {}
        }
    }
    heard
}

fn words() -> Heard {
    Heard {
        text: TEXT.to_owned(),
        calls: Vec::new(),
        failure: None,
    }
}

fn call() -> Heard {
    Heard {
        text: String::new(),
        calls: vec![("weather".to_owned(), json!({"city": "Köln"}))],
        failure: None,
    }
}

#[test]
fn each_service_is_understood() {
    for (name, text, calling) in RECORDINGS {
        assert_eq!(hear([text.as_bytes()]), words(), "{name}");
        assert_eq!(hear([calling.as_bytes()]), call(), "{name}");
    }
}

/// Fields that an answer is made of; all others may be anything.
const NEEDED: [&str; 10] = [
    "refusal",
    "choices",
    "delta",
    "content",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "index",
    "type",
];

/// Puts something else into each field that is not needed, by turns.
fn retype(value: &mut Value, seed: &mut usize) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match NEEDED.contains(&&**key) {
                    true => retype(value, seed),
                    false if key == "id" || key == "finish_reason" => {}
                    false => {
                        *seed = seed.wrapping_mul(31).wrapping_add(7);
                        let odd = [
                            Value::Null,
                            json!(7.5),
                            json!("x"),
                            json!([1, "x"]),
                            json!({"a": {"b": []}}),
                            json!(true),
                            value.clone(),
                        ];
                        *value = odd[*seed / 3 % odd.len()].clone();
                    }
                }
            }
            if fields.contains_key("choices") {
                fields.insert("new".to_owned(), json!({"x": [1]}));
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(|it| retype(it, seed)),
        _ => {}
    }
}

fn retyped(stream: &str, mut seed: usize) -> String {
    let lines = stream.lines().map(|line| {
        let json = line.strip_prefix("data: ").unwrap_or_default();
        match serde_json::from_str::<Value>(json) {
            Ok(mut piece) => {
                retype(&mut piece, &mut seed);
                format!("data: {piece}")
            }
            Err(_) => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n\n"
}

fn split(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut chunks = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        chunks.push(bytes[from..cut].to_vec());
        from = cut;
    }
    chunks
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_into_packets_makes_no_difference(
        which in 0..RECORDINGS.len(),
        cuts in proptest::collection::vec(0usize..10_000, 0..12),
    ) {
        let (_, text, calling) = RECORDINGS[which];
        for (stream, expected) in [(text, words()), (calling, call())] {
            let chunks = split(stream.as_bytes(), &cuts);
            prop_assert_eq!(hear(chunks.iter().map(Vec::as_slice)), expected);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_loses_nothing_that_came(
        which in 0..RECORDINGS.len(),
        cut in 0usize..10_000,
    ) {
        let text = RECORDINGS[which].1.as_bytes();
        let cut = cut % (text.len() + 1);
        let whole_events = text[..cut].windows(2).rposition(|end| end == b"\n\n" || end == b"\n\r");
        let before = hear([&text[..whole_events.map_or(0, |at| at + 2)]]);
        let heard = hear([&text[..cut]]);
        prop_assert!(TEXT.starts_with(&heard.text), "{:?}", heard);
        prop_assert!(heard.text.len() >= before.text.len(), "{:?} {:?}", heard, before);
        // Words or a failure, never silence.
        prop_assert_eq!(heard.failure.is_some(), heard.text.is_empty(), "{:?}", heard);
    }

    #[test]
    fn fields_that_are_not_needed_may_be_anything(which in 0..RECORDINGS.len(), seed in any::<usize>()) {
        let (name, text, calling) = RECORDINGS[which];
        // An error is the one thing that a field beside an answer can say.
        prop_assert_eq!(hear([retyped(text, seed).as_bytes()]), words(), "{}", name);
        prop_assert_eq!(hear([retyped(calling, seed).as_bytes()]), call(), "{}", name);
    }

    #[test]
    fn broken_bytes_bring_words_a_call_or_a_failure(
        which in 0..RECORDINGS.len(),
        is_call in any::<bool>(),
        broken in proptest::collection::vec((0usize..10_000, any::<u8>()), 1..20),
    ) {
        let (_, text, calling) = RECORDINGS[which];
        let mut bytes = if is_call { calling } else { text }.as_bytes().to_vec();
        for (at, byte) in broken {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let heard = hear([&bytes[..]]);
        let is_silent = heard.text.trim().is_empty() && heard.calls.is_empty();
        prop_assert!(!is_silent || heard.failure.is_some(), "{:?}", heard);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        hear([&b"data: "[..], &bytes]);
        hear([&b"{\"choices\":["[..], &bytes]);
    }
}

/// What a delta costs; run with `--nocapture` to see it.
#[test]
fn a_delta_is_cheap() {
    let stream = RECORDINGS[0].1;
    let n_deltas = stream.matches("data: ").count();
    let rounds = 200;
    let began = tokio::time::Instant::now();
    for _ in 0..rounds {
        assert_eq!(hear([stream.as_bytes()]).failure, None);
    }
    let each = began.elapsed() / u32::try_from(rounds * n_deltas).unwrap();
    println!("{each:?} for each of {n_deltas} deltas");
    // Unoptimised, on a busy machine: far below the 10 ms between two words.
    assert!(each < Duration::from_millis(2), "{each:?}");
}
