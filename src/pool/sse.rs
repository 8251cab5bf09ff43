//! Server-sent events, as they trickle in.
//!
//! Plain code: bytes in, events out. Lines may be cut anywhere, inside a character too.
//!
//! Source: WHATWG HTML, section 9.2 "Server-sent events" (line ends, comments, joined data lines);
//! unlike there, an event at the very end counts without its blank line, as some servers omit it.

/// Longest line and longest event: far above any audio delta, far below what hurts.
const BYTES_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Its `data` lines, joined by line breaks.
    pub(crate) data: String,
}

/// A line or an event is longer than 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than 1 MiB")]
pub(crate) struct SseTooLong;

/// Splits a byte stream into events.
#[derive(Default)]
pub(crate) struct SseDecoder {
    line: Vec<u8>,
    data: Option<String>,
    ends_with_cr: bool,
    is_begun: bool,
}

impl SseDecoder {
    /// Takes the next bytes and returns the events they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, SseTooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if std::mem::take(&mut self.ends_with_cr) && rest.first() == Some(&b'\n') {
            rest = &rest[1..];
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&rest[..end])?;
            events.extend(self.end_line()?);
            let is_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_cr && rest.first() == Some(&b'\n') {
                rest = &rest[1..];
            }
            self.ends_with_cr = is_cr && rest.is_empty() && bytes.last() == Some(&b'\r');
        }
        self.extend_line(rest)?;
        Ok(events)
    }

    /// The event that the end of the stream completes.
    pub(crate) fn finish(&mut self) -> Result<Option<SseEvent>, SseTooLong> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        Ok(self.data.take().map(|data| SseEvent { data }))
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), SseTooLong> {
        if self.line.len() + bytes.len() > BYTES_MAX {
            return Err(SseTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<SseEvent>, SseTooLong> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.is_begun, true) && line.starts_with(b"\xEF\xBB\xBF") {
            line.drain(..3);
        }
        if line.is_empty() {
            return Ok(self.data.take().map(|data| SseEvent { data }));
        }
        let Some(value) = line.strip_prefix(b"data") else {
            return Ok(None);
        };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return Ok(None),
        };
        let value = String::from_utf8_lossy(value);
        match &mut self.data {
            None => self.data = Some(value.into_owned()),
            Some(data) if data.len() + value.len() > BYTES_MAX => return Err(SseTooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, SseTooLong> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(decoder.push(chunk)?);
        }
        events.extend(decoder.finish()?);
        Ok(events.into_iter().map(|event| event.data).collect())
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(decode([text.as_bytes()]).unwrap(), expected, "{text:?}");
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(decode(bytes).unwrap(), expected, "byte by byte: {text:?}");
    }

    #[test]
    fn events_end_at_blank_lines_of_any_kind() {
        check("data: a\n\ndata: b\n\n", &["a", "b"]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
        check("data: a\r\rdata: b\r\r", &["a", "b"]);
    }

    #[test]
    fn only_data_counts() {
        check(
            ": hello\nevent: x\nid: 7\nretry: 9\ndata:a\ndatabase: z\n\n",
            &["a"],
        );
        check("event: ping\n\n\n\n", &[]);
    }

    #[test]
    fn data_lines_are_joined_and_lose_one_space() {
        check("data: a\ndata:  b\ndata\n\n", &["a\n b\n"]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        check("\u{feff}data: a\n\n", &["a"]);
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        check("data: a\n\ndata: [DONE]", &["a", "[DONE]"]);
        check("data: a\n\ndata: [DONE]\n", &["a", "[DONE]"]);
    }

    #[test]
    fn characters_cut_between_chunks_are_whole_again() {
        check("data: grüße 你好 🙂\n\n", &["grüße 你好 🙂"]);
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_collected() {
        let endless = vec![b'x'; BYTES_MAX / 2 + 1];
        assert_eq!(decode([&endless[..], &endless[..]]), Err(SseTooLong));
    }

    #[test]
    fn an_event_without_end_is_refused_and_not_collected() {
        let line = format!("data: {}\n", "x".repeat(BYTES_MAX / 2));
        let event = line.repeat(3);
        assert_eq!(decode([event.as_bytes()]), Err(SseTooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_events(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), any::<u8>(), Just(b'd')],
                0..200,
            ),
            prefix in prop_oneof![Just("data: "), Just("data:{}\r\n\r"), Just("")],
            cut in 0usize..200,
        ) {
            let mut all = prefix.as_bytes().to_vec();
            all.extend(bytes);
            let (a, b) = all.split_at(cut.min(all.len()));
            prop_assert_eq!(decode([&all[..]]), decode([a, b]));
        }

        #[test]
        fn what_was_written_is_read(texts in proptest::collection::vec("[^\r\n]{1,30}", 0..6)) {
            let stream: String = texts.iter().map(|text| format!("data: {text}\n\n")).collect();
            prop_assert_eq!(decode([stream.as_bytes()]).unwrap(), texts);
        }
    }
}
