//! The pieces of an answer, whatever they are wrapped in: server-sent events, a line of JSON each, or one
//! JSON document. Plain code: bytes in, pieces out. Lines may be cut anywhere, inside a character too.
//!
//! A piece is handed out as soon as its JSON is complete: some servers separate their events with one line
//! break instead of two.
//!
//! Source: WHATWG HTML, section 9.2 "Server-sent events" (line ends, comments, joined data lines).

/// Longest line and longest piece: a whole answer fits, and the memory of the process is safe.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Text outside of any piece that is looked at when there is no answer: an error page, for instance.
const STRAY_BYTES_MAX: usize = 2_000;

/// One piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    /// Whether the event was named an error.
    pub(super) is_error: bool,
}

/// Splits an answer.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    ends_with_cr: bool,
    is_begun: bool,
    is_error: bool,
    /// A piece of which more lines must come.
    pending: String,
    /// Whether it came in `data:` lines, so that a blank line ends it.
    is_event: bool,
    balance: Balance,
    stray: String,
    /// Pieces that were too long.
    dropped: u64,
}

impl Lines {
    /// Takes the next bytes and puts the pieces that they complete into `found`.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut Vec<Found>) {
        let mut rest = bytes;
        if std::mem::take(&mut self.ends_with_cr) && rest.first() == Some(&b'\n') {
            rest = &rest[1..];
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&rest[..end]);
            self.end_line(found);
            let is_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_cr {
                self.ends_with_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.extend_line(rest);
    }

    /// The pieces that the end of the answer completes.
    pub(super) fn finish(&mut self, found: &mut Vec<Found>) {
        self.end_line(found);
        self.end_piece(found);
    }

    /// What stood outside of any piece.
    pub(super) fn stray(&self) -> &str {
        &self.stray
    }

    /// Keeps text that is no piece.
    pub(super) fn add_stray(&mut self, text: &str) {
        let room = STRAY_BYTES_MAX.saturating_sub(self.stray.len());
        if room > 0 {
            self.stray.extend(text.chars().take(room).chain([' ']));
        }
    }

    /// How many pieces were dropped for their length since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > BYTES_MAX {
            self.line.clear();
            self.dropped += 1;
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self, found: &mut Vec<Found>) {
        let mut bytes = std::mem::take(&mut self.line);
        if !bytes.is_empty()
            && !std::mem::replace(&mut self.is_begun, true)
            && bytes.starts_with(b"\xEF\xBB\xBF")
        {
            bytes.drain(..3);
        }
        let line = String::from_utf8_lossy(&bytes);
        self.take_line(&line, found);
        bytes.clear();
        self.line = bytes;
    }

    fn take_line(&mut self, line: &str, found: &mut Vec<Found>) {
        if line.trim().is_empty() {
            if self.is_event {
                self.end_piece(found);
            }
            self.is_error = false;
            return;
        }
        if let Some(data) = field(line, "data") {
            let starts_anew = data.starts_with('{') && Balance::of(data).is_complete();
            if starts_anew {
                // The piece before was cut off: it is not to spoil this one.
                self.end_piece(found);
            }
            self.is_event = true;
            self.add(data, found);
        } else if let Some(name) = field(line, "event") {
            self.is_error = name.to_ascii_lowercase().contains("error");
        } else if line.starts_with(':')
            || field(line, "id").is_some()
            || field(line, "retry").is_some()
        {
            // Says nothing.
        } else if !self.pending.is_empty() && !self.is_event {
            self.add(line, found);
        } else if line.trim_start().starts_with(['{', '[', '"']) {
            self.end_piece(found);
            self.is_event = false;
            self.add(line.trim_start(), found);
        } else {
            self.add_stray(line);
        }
    }

    fn add(&mut self, data: &str, found: &mut Vec<Found>) {
        if self.pending.len() + data.len() > BYTES_MAX {
            self.pending.clear();
            self.balance = Balance::default();
            self.dropped += 1;
            return;
        }
        if !self.pending.is_empty() {
            self.pending.push('\n');
        }
        self.pending.push_str(data);
        self.balance.push(data);
        if self.balance.is_complete() {
            self.end_piece(found);
        }
    }

    fn end_piece(&mut self, found: &mut Vec<Found>) {
        self.balance = Balance::default();
        let text = std::mem::take(&mut self.pending);
        if !text.trim().is_empty() {
            let is_error = std::mem::take(&mut self.is_error);
            found.push(Found { text, is_error });
        }
    }
}

/// The value of a field of an event; with or without a space behind the colon.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.trim_start().strip_prefix(name)?.trim_start();
    Some(value.strip_prefix(':')?.trim_start())
}

/// Whether the brackets of a JSON text are all closed.
#[derive(Clone, Copy, Default)]
struct Balance {
    depth: i32,
    is_in_string: bool,
    is_escaped: bool,
}

impl Balance {
    fn of(text: &str) -> Self {
        let mut balance = Self::default();
        balance.push(text);
        balance
    }

    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            match (self.is_in_string, byte) {
                (true, _) if std::mem::take(&mut self.is_escaped) => {}
                (true, b'\\') => self.is_escaped = true,
                (_, b'"') => self.is_in_string = !self.is_in_string,
                (false, b'{' | b'[') => self.depth += 1,
                (false, b'}' | b']') => self.depth -= 1,
                _ => {}
            }
        }
    }

    fn is_complete(self) -> bool {
        self.depth <= 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk, &mut found);
        }
        lines.finish(&mut found);
        let mark = |it: Found| format!("{}{}", if it.is_error { "! " } else { "" }, it.text);
        found.into_iter().map(mark).collect()
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split([text.as_bytes()]), expected, "{text:?}");
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(split(bytes), expected, "byte by byte: {text:?}");
    }

    #[test]
    fn events_end_at_any_line_break() {
        for end in ["\n\n", "\r\n\r\n", "\r\r", "\n"] {
            check(
                &format!("data: {{1}}{end}data:{{2}}{end}data: [DONE]{end}"),
                &["{1}", "{2}", "[DONE]"],
            );
        }
    }

    #[test]
    fn lines_of_json_and_documents_are_pieces_too() {
        check("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]);
        check("{\n \"a\":\n\n 1\n}", &["{\n \"a\":\n 1\n}"]);
        check("data: {\"a\":\ndata: 1}\n\n", &["{\"a\":\n1}"]);
    }

    #[test]
    fn the_rest_of_an_event_says_nothing_but_its_name() {
        check(
            ": hello\nevent: x\nid: 7\nretry: 9\ndata: {}\n\nevent: ping\n\n",
            &["{}"],
        );
        check(
            "event: error\ndata: {\"m\":1}\n\ndata: {}\n\n",
            &["! {\"m\":1}", "{}"],
        );
        check("\u{feff}data: {}\n\n", &["{}"]);
    }

    #[test]
    fn a_piece_that_is_cut_off_spoils_no_other() {
        check(
            "data: {\"a\":\"x\ndata: {\"b\":2}\n\n",
            &["{\"a\":\"x", "{\"b\":2}"],
        );
        check(
            "data: {\"a\":\n\ndata: {\"b\":2}\n\n",
            &["{\"a\":", "{\"b\":2}"],
        );
    }

    #[test]
    fn characters_cut_between_chunks_are_whole_again() {
        check(
            "data: {\"grüße\": \"你好 🙂\"}\n\n",
            &["{\"grüße\": \"你好 🙂\"}"],
        );
    }

    #[test]
    fn what_is_no_piece_is_kept_in_part() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        lines.push(b"<html>\n<h1>502 Bad Gateway</h1>", &mut found);
        lines.push("\nx".repeat(5_000).as_bytes(), &mut found);
        lines.finish(&mut found);
        assert!(found.is_empty());
        assert!(lines.stray().starts_with("<html> <h1>502 Bad"));
        assert!(lines.stray().len() < 20_000);
    }

    #[test]
    fn a_line_without_end_is_dropped_and_counted() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let endless = vec![b'x'; BYTES_MAX / 2 + 1];
        lines.push(&endless, &mut found);
        lines.push(&endless, &mut found);
        assert!(lines.line.len() <= BYTES_MAX);
        assert_eq!(lines.take_dropped(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_pieces(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'{'), Just(b'}'), Just(b'"'), any::<u8>()],
                0..200,
            ),
            prefix in prop_oneof![Just("data: "), Just("data:{}\r\n\r"), Just("")],
            cut in 0usize..200,
        ) {
            let mut all = prefix.as_bytes().to_vec();
            all.extend(bytes);
            let (a, b) = all.split_at(cut.min(all.len()));
            prop_assert_eq!(split([&all[..]]), split([a, b]));
        }
    }
}
