//! What is written where: answers to standard output, trouble to standard error, and the rest only
//! for somebody who looks at it.
//!
//! Writing blocks, on purpose: the console's conversation is the only one of its process, and who does
//! not read it holds it up.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::chat::{ToolCall, ToolOutput};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
/// To the beginning of the line, and nothing in it.
const CLEAR: &str = "\r\x1b[2K";

/// Characters of a tool's arguments and answer that are shown.
const TOOL_CHARS_MAX: usize = 120;

type Sink = Box<dyn Write + Send>;

/// Writes a conversation.
pub(super) struct Terminal {
    out: Sink,
    err: Sink,
    /// Somebody types and reads: prompts, tools, latencies, colours.
    is_interactive: bool,
    /// Whether the line that is written to has something in it.
    is_in_line: bool,
    /// Whether the line says that the agent is at work.
    is_waiting: bool,
}

impl Terminal {
    /// The standard streams.
    pub(super) fn of_process() -> Self {
        Self {
            out: Box::new(std::io::stdout()),
            err: Box::new(std::io::stderr()),
            is_interactive: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
            is_in_line: false,
            is_waiting: false,
        }
    }

    pub(super) fn is_interactive(&self) -> bool {
        self.is_interactive
    }

    pub(super) fn prompt(&mut self) -> std::io::Result<()> {
        if !self.is_interactive {
            return Ok(());
        }
        self.write(&format!("{BOLD}you:{PLAIN} "))
    }

    /// That the agent is at work, and for how long. The next thing that is written takes its place.
    pub(super) fn waiting(&mut self, time: Duration) -> std::io::Result<()> {
        if !self.is_interactive || self.is_in_line {
            return Ok(());
        }
        let line = match time.as_secs() {
            0 => format!("{DIM}  …{PLAIN}"),
            seconds => format!("{DIM}  … {seconds} s{PLAIN}"),
        };
        self.write(&line)?;
        self.is_waiting = true;
        Ok(())
    }

    pub(super) fn words(&mut self, words: &str) -> std::io::Result<()> {
        self.is_in_line = true;
        self.write(&printable(words))
    }

    pub(super) fn end_of_words(&mut self) -> std::io::Result<()> {
        match std::mem::take(&mut self.is_in_line) {
            true => self.write("\n"),
            false => Ok(()),
        }
    }

    pub(super) fn tool(&mut self, call: &ToolCall, output: &ToolOutput) -> std::io::Result<()> {
        if !self.is_interactive {
            return Ok(());
        }
        let (name, arguments) = (short(&call.name), short(&call.arguments));
        let failed = if output.is_error { " failed:" } else { "" };
        let answer = short(&output.text);
        self.aside(&format!("{name} {arguments} →{failed} {answer}"))
    }

    pub(super) fn latency(&mut self, first_words: Duration, all: Duration) -> std::io::Result<()> {
        if !self.is_interactive {
            return Ok(());
        }
        let (first_words, all) = (first_words.as_millis(), all.as_millis());
        self.aside(&format!("first words {first_words} ms, all {all} ms"))
    }

    pub(super) fn error(&mut self, error: &str) -> std::io::Result<()> {
        self.end_of_words()?;
        self.end_waiting()?;
        let line = match self.is_interactive {
            true => format!("{RED}{}{PLAIN}\n", printable(error)),
            false => format!("voxpool: {}\n", printable(error)),
        };
        self.err.write_all(line.as_bytes())?;
        self.err.flush()
    }

    /// Leaves the cursor at the beginning of a line.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.end_waiting()?;
        self.is_in_line |= self.is_interactive;
        self.end_of_words()
    }

    fn aside(&mut self, text: &str) -> std::io::Result<()> {
        self.end_of_words()?;
        self.write(&format!("{DIM}  {text}{PLAIN}\n"))
    }

    /// Takes back what [`Self::waiting`] wrote.
    fn end_waiting(&mut self) -> std::io::Result<()> {
        match std::mem::take(&mut self.is_waiting) {
            true => self.write(CLEAR),
            false => Ok(()),
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.end_waiting()?;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// A model's words must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

fn short(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = printable(&line.join(" "));
    match line.char_indices().nth(TOOL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn conversation(is_interactive: bool) -> (String, String) {
        let (out, err) = (Written::default(), Written::default());
        let mut terminal = Terminal {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            is_interactive,
            is_in_line: false,
            is_waiting: false,
        };
        let call = ToolCall {
            id: "1".to_owned(),
            name: "recall".to_owned(),
            arguments: "{\"about\":\n\"name\"}".to_owned(),
            ..ToolCall::default()
        };
        let output = ToolOutput {
            text: "x".repeat(500),
            is_error: false,
        };
        terminal.prompt().unwrap();
        terminal.waiting(Duration::ZERO).unwrap();
        terminal.waiting(Duration::from_millis(2_100)).unwrap();
        terminal.words("Let me").unwrap();
        terminal.words(" look.\x1b[2J").unwrap();
        terminal.tool(&call, &output).unwrap();
        terminal.words("It is John.").unwrap();
        terminal.end_of_words().unwrap();
        let (first, all) = (Duration::from_millis(12), Duration::from_millis(345));
        terminal.latency(first, all).unwrap();
        terminal.error("the model fails").unwrap();
        terminal.finish().unwrap();
        (out.text(), err.text())
    }

    #[test]
    fn a_pipe_gets_answers_and_nothing_else() {
        let (out, err) = conversation(false);
        assert_eq!(out, "Let me look.[2JIt is John.\n");
        assert_eq!(err, "voxpool: the model fails\n");
    }

    #[test]
    fn a_person_sees_tools_and_latencies_dim() {
        let (out, err) = conversation(true);
        let lines: Vec<&str> = out.lines().collect();
        let waiting = format!("{DIM}  …{PLAIN}{CLEAR}{DIM}  … 2 s{PLAIN}{CLEAR}Let me look.[2J");
        assert!(lines[0].ends_with(&waiting), "{out}");
        assert!(lines[1].starts_with(DIM), "{out}");
        assert!(lines[1].contains("recall {\"about\": \"name\"} → xxx"));
        assert!(lines[1].chars().count() < 200, "cut short: {out}");
        assert_eq!(lines[2], "It is John.");
        assert!(lines[3].contains("first words 12 ms, all 345 ms"), "{out}");
        assert!(
            err.contains(RED) && err.contains("the model fails"),
            "{err}"
        );
    }
}
