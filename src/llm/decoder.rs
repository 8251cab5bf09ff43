//! From the bytes of a streamed chat completion to [`LlmEvent`]s. Plain code.
//!
//! Source: livekit-agents 1.7.0 `inference/llm.py`, rules of its stream: tool calls are flushed by
//! any finish reason, usage comes in a last piece without choices.

use std::collections::VecDeque;

use super::LlmEvent;
use super::chunk::{Chunk, Usage};
use super::think::ThinkFilter;
use super::tool_calls::ToolCalls;
use crate::pool::{Decode, Fault, SseDecoder, refusal_in_stream};

/// What ends a stream.
const DONE: &str = "[DONE]";

/// Decodes one answer.
#[derive(Default)]
pub(super) struct ChatDecoder {
    sse: SseDecoder,
    think: ThinkFilter,
    tool_calls: ToolCalls,
    usage: Option<Usage>,
    has_finish_reason: bool,
    is_done: bool,
    is_flushed: bool,
}

impl Decode for ChatDecoder {
    type Item = LlmEvent;

    fn push(&mut self, bytes: &[u8], events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        for event in self.sse.push(bytes).map_err(Fault::malformed)? {
            self.take(&event.data, events)?;
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        if let Some(event) = self.sse.finish().map_err(Fault::malformed)? {
            self.take(&event.data, events)?;
        }
        if !self.is_complete() {
            return Err(Fault::malformed("the stream ended before the answer did"));
        }
        self.flush(events);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.is_done || self.has_finish_reason
    }
}

impl ChatDecoder {
    /// Decodes an answer that is one piece of JSON instead of a stream.
    pub(super) fn whole(json: &[u8]) -> Result<VecDeque<LlmEvent>, Fault> {
        let mut events = VecDeque::new();
        let mut decoder = Self::default();
        decoder.take(&String::from_utf8_lossy(json), &mut events)?;
        decoder.finish(&mut events)?;
        Ok(events)
    }

    fn take(&mut self, data: &str, events: &mut VecDeque<LlmEvent>) -> Result<(), Fault> {
        let data = data.trim();
        if self.is_done || data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            self.is_done = true;
            self.flush(events);
            return Ok(());
        }
        // The error's text may quote the answer, so it goes no further.
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|_| Fault::malformed("a piece is not JSON"))?;
        if chunk.error.is_some() {
            let (kind, refusal) = refusal_in_stream(data);
            return Err(Fault {
                kind,
                cause: refusal.into(),
            });
        }
        if chunk.usage.is_some() {
            self.usage = chunk.usage;
        }
        // Only one choice is ever asked for.
        if let Some(choice) = chunk.choices.into_iter().next() {
            for text in [choice.delta.content, choice.delta.refusal]
                .into_iter()
                .flatten()
            {
                let spoken = self.think.push(&text);
                self.say(spoken, events);
            }
            for delta in choice.delta.tool_calls {
                self.tool_calls.push(delta).map_err(Fault::malformed)?;
            }
            if choice
                .finish_reason
                .is_some_and(|reason| !reason.is_empty())
            {
                self.has_finish_reason = true;
                self.flush_answer(events);
            }
        }
        Ok(())
    }

    /// Hands out what was complete only with the end of the answer.
    fn flush_answer(&mut self, events: &mut VecDeque<LlmEvent>) {
        let held = self.think.finish();
        self.say(held, events);
        events.extend(self.tool_calls.take().into_iter().map(LlmEvent::ToolCall));
    }

    /// The same, and the usage, which comes after it.
    fn flush(&mut self, events: &mut VecDeque<LlmEvent>) {
        if std::mem::replace(&mut self.is_flushed, true) {
            return;
        }
        self.flush_answer(events);
        if let Some(usage) = self.usage.take() {
            events.push_back(LlmEvent::Usage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
            });
        }
    }

    fn say(&self, text: String, events: &mut VecDeque<LlmEvent>) {
        if !text.is_empty() {
            events.push_back(LlmEvent::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::ToolCall;
    use crate::error::ErrorKind;

    /// Decodes pieces of a stream; the outcome reads like a script.
    fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut decoder = ChatDecoder::default();
        let mut events = VecDeque::new();
        let mut result = Ok(());
        for chunk in chunks {
            result = result.and_then(|()| decoder.push(chunk, &mut events));
        }
        result = result.and_then(|()| decoder.finish(&mut events));
        let mut script: Vec<String> = Vec::new();
        for event in events {
            match (event, script.last_mut()) {
                (LlmEvent::Text(text), Some(last)) if last.starts_with("text ") => *last += &text,
                (LlmEvent::Text(text), _) => script.push(format!("text {text}")),
                (
                    LlmEvent::ToolCall(ToolCall {
                        id,
                        name,
                        arguments,
                    }),
                    _,
                ) => {
                    script.push(format!("tool {id} {name} {arguments}"));
                }
                (
                    LlmEvent::Usage {
                        prompt_tokens: p,
                        completion_tokens: c,
                    },
                    _,
                ) => {
                    script.push(format!("usage {p} {c}"));
                }
            }
        }
        if let Err(fault) = result {
            script.push(fault.kind.label().to_owned());
        }
        script
    }

    fn check(data: &[&str], expected: &[&str]) {
        let stream: String = data
            .iter()
            .map(|data| format!("data: {data}\n\n"))
            .collect();
        assert_eq!(decode([stream.as_bytes()]), expected, "{stream}");
        let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
        assert_eq!(decode(bytes), expected, "byte by byte: {stream}");
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
        check(
            &[
                r#"{"choices":[{"delta":null}]}"#,
                "{}",
                HELLO,
                r#"{"choices":null}"#,
                STOP,
                DONE,
            ],
            &["text Hel"],
        );
    }

    #[test]
    fn tool_calls_are_flushed_by_either_finish_reason() {
        for reason in ["tool_calls", "stop"] {
            let finish = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
            check(
                &[
                    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}]}}]}"#,
                    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
                    &finish,
                    DONE,
                ],
                &["tool c1 f {}"],
            );
        }
    }

    #[test]
    fn a_missing_done_is_forgiven_after_a_finish_reason() {
        check(&[HELLO, STOP], &["text Hel"]);
        check(&[HELLO, STOP, USAGE], &["text Hel", "usage 7 2"]);
    }

    #[test]
    fn a_missing_finish_reason_is_forgiven_after_done() {
        check(&[HELLO, DONE], &["text Hel"]);
    }

    #[test]
    fn a_stream_cut_short_is_an_error_after_what_came() {
        check(&[HELLO], &["text Hel", "malformed"]);
        check(&[], &["malformed"]);
    }

    #[test]
    fn garbage_is_an_error_after_what_came() {
        check(&[HELLO, r#"{"choices":[{"del"#], &["text Hel", "malformed"]);
        check(&["<html>"], &["malformed"]);
    }

    #[test]
    fn an_error_in_the_stream_is_the_services() {
        check(
            &[HELLO, r#"{"error":{"message":"m","type":"server_error"}}"#],
            &["text Hel", "unavailable"],
        );
        check(
            &[r#"{"error":{"code":"rate_limit_exceeded"}}"#],
            &["rate_limited"],
        );
    }

    #[test]
    fn thoughts_are_not_text() {
        check(
            &[
                r#"{"choices":[{"delta":{"content":"<thi"}}]}"#,
                r#"{"choices":[{"delta":{"content":"nk>hm</think>\n"}}]}"#,
                HELLO,
                STOP,
            ],
            &["text Hel"],
        );
    }

    #[test]
    fn nothing_after_done_counts() {
        check(&[HELLO, DONE, LO, "garbage"], &["text Hel"]);
    }

    #[test]
    fn one_whole_completion_is_an_answer_too() {
        let json = br#"{"choices":[{"message":{"content":"hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
        assert_eq!(ChatDecoder::whole(json).unwrap_or_default().len(), 3);
        assert_eq!(
            ChatDecoder::whole(b"[]").err().unwrap().kind,
            ErrorKind::Malformed
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            decode([&b"data: "[..], &bytes]);
        }

        #[test]
        fn any_json_is_decoded_without_panic_and_alike_however_it_is_cut(
            text in "[a-zé<>/\"]{0,12}",
            index in any::<Option<u64>>(),
            reason in proptest::option::of("stop|length|odd"),
            cut in 0usize..300,
        ) {
            let chunk = serde_json::json!({
                "choices": [{
                    "delta": {"content": text, "tool_calls": [{"index": index, "id": text, "function": {"name": text}}]},
                    "finish_reason": reason,
                }],
            });
            let stream = format!("data: {chunk}\r\n\r\ndata: {chunk}\n\n");
            let (a, b) = stream.as_bytes().split_at(cut.min(stream.len()));
            prop_assert_eq!(decode([stream.as_bytes()]), decode([a, b]));
        }
    }
}
