//! What a voice says of written text: markdown's marks, pictures and addresses left out.
//!
//! Works on whole sentences, so nothing depends on how the text was streamed; what spans sentences
//! (a block of code, a table) is remembered between them. Captions keep the text as it was written.

use serde::{Deserialize, Serialize};

use super::symbols::{hosts, without_emoji, without_emphasis, without_links};

/// Something in written text that is not for a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFilter {
    /// The marks of bold, headings, lists, quotes and links; blocks of code and tables as a whole.
    Markdown,
    /// Pictures.
    Emoji,
    /// Web addresses: only the host is said.
    Urls,
}

impl TextFilter {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Markdown, Self::Emoji, Self::Urls];
}

/// Filters the sentences of one reply, in order.
pub struct SpeechFilter {
    filters: Vec<TextFilter>,
    is_in_code: bool,
    is_in_table: bool,
}

impl SpeechFilter {
    /// A filter at the beginning of a reply.
    pub fn new(filters: &[TextFilter]) -> Self {
        Self {
            filters: filters.to_vec(),
            is_in_code: false,
            is_in_table: false,
        }
    }

    /// What is said of the next sentence; empty when there is nothing to say.
    pub fn speakable(&mut self, sentence: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        for line in sentence.lines() {
            let Some(line) = self.block(line) else {
                continue;
            };
            let line = self.inline(line);
            words.extend(line.split_whitespace().map(str::to_owned));
        }
        let spoken = words.join(" ");
        if spoken.chars().any(char::is_alphanumeric) {
            spoken
        } else {
            String::new()
        }
    }

    fn has(&self, filter: TextFilter) -> bool {
        self.filters.contains(&filter)
    }

    /// The line without what makes it a heading, an item or a quote; nothing of code and tables.
    fn block<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let line = line.trim();
        if !self.has(TextFilter::Markdown) {
            return Some(line);
        }
        if let Some(code) = line.strip_prefix("```").or(line.strip_prefix("~~~")) {
            if code.contains("```") {
                return Some(line);
            }
            self.is_in_code = !self.is_in_code;
            return None;
        }
        self.is_in_table = is_table_row(line) || (self.is_in_table && line.contains('|'));
        let is_rule = line.len() >= 3 && line.chars().all(|c| matches!(c, '-' | '*' | '_' | ' '));
        if self.is_in_code || self.is_in_table || is_rule {
            return None;
        }
        Some(without_item_mark(without_heading_mark(line)))
    }

    fn inline(&self, line: &str) -> String {
        let mut line = line.to_owned();
        if self.has(TextFilter::Markdown) {
            line = without_links(&line);
        }
        if self.has(TextFilter::Urls) {
            line = hosts(&line);
        }
        if self.has(TextFilter::Markdown) {
            line = without_emphasis(&line);
        }
        if self.has(TextFilter::Emoji) {
            line = without_emoji(&line);
        }
        line
    }
}

fn is_table_row(line: &str) -> bool {
    line.len() > 1 && line.starts_with('|')
}

fn without_heading_mark(line: &str) -> &str {
    let line = line.trim_start_matches("> ").trim_start();
    let bare = line.trim_start_matches('#');
    let is_heading = bare.len() < line.len() && (bare.is_empty() || bare.starts_with(' '));
    if is_heading { bare.trim_start() } else { line }
}

fn without_item_mark(line: &str) -> &str {
    let Some(item) = ["- ", "* ", "+ ", "• "]
        .iter()
        .find_map(|bullet| line.strip_prefix(bullet))
    else {
        return line;
    };
    let item = item.trim_start();
    ["[ ] ", "[x] ", "[X] "]
        .iter()
        .find_map(|task| item.strip_prefix(task))
        .unwrap_or(item)
}

#[cfg(test)]
mod tests {
    use super::super::SentenceSplitter;
    use super::*;
    use proptest::prelude::*;

    fn speakable(text: &str) -> String {
        SpeechFilter::new(&TextFilter::ALL).speakable(text)
    }

    /// What is said of a text that arrives in pieces.
    fn spoken(text: &str, chars_each: usize) -> String {
        let mut splitter = SentenceSplitter::default();
        let mut filter = SpeechFilter::new(&TextFilter::ALL);
        let chars: Vec<char> = text.chars().collect();
        let mut sentences: Vec<String> = chars
            .chunks(chars_each)
            .flat_map(|chunk| splitter.push(&chunk.iter().collect::<String>()))
            .collect();
        sentences.extend(splitter.finish());
        let said = sentences.iter().map(|sentence| filter.speakable(sentence));
        let said: Vec<String> = said.filter(|said| !said.is_empty()).collect();
        said.join(" ")
    }

    #[test]
    fn marks_pictures_and_addresses_are_not_spoken() {
        for (text, spoken) in [
            ("**Bold** and *soft* `code`", "Bold and soft code"),
            ("# Title\n- one\n* two", "Title one two"),
            ("## Two\n> a quote\n+ [x] done", "Two a quote done"),
            ("#1 choice", "#1 choice"),
            (
                "see [the page](https://a.example/x?y=1) now",
                "see the page now",
            ),
            ("a [b] [c](d) e", "a [b] c e"),
            ("[wiki](https://w.example/a_(b)) here", "wiki here"),
            ("![a cat](cat.png) [not a link]", "a cat [not a link]"),
            ("Great 🎉👍🏽 job ❤️!", "Great job !"),
            ("Hi🎉there 👨‍👩‍👧 1️⃣", "Hi there 1"),
            ("3 * 4 is snake_case __x__", "3 * 4 is snake_case x"),
            (
                "2*3*4 and 2**8 are ~~not~~ ~100",
                "2*3*4 and 2**8 are not ~100",
            ),
            (r"a \*star\* stays", "a *star* stays"),
            ("```rust\nlet\n```", ""),
            ("```let x```", "let x"),
            ("***", ""),
            ("---\nafter", "after"),
            ("🙂", ""),
            (
                "Go to https://www.example.com/a/b?c=d_e_f#g, or www.test.example.",
                "Go to example.com, or test.example.",
            ),
            (
                "(http://u:p@localhost:80/x) <https://b.example>",
                "(localhost) b.example",
            ),
            ("https:// is a scheme", "https:// is a scheme"),
            ("mail me: a_b@c.example", "mail me: a_b@c.example"),
        ] {
            assert_eq!(speakable(text), spoken, "{text}");
        }
    }

    #[test]
    fn code_and_tables_are_left_out_across_sentences() {
        let text = "Here it is, as you asked me:\n```python\nprint('one. Two. Three.')\nx = 1\n```\n\
                    That was the code of it. Now a table:\n| Name | Price of it |\n|---|---|\n\
                    | Tea. Green | 3 |\nThat is all there is to say.";
        for chars_each in [1, 2, 5, 1000] {
            assert_eq!(
                spoken(text, chars_each),
                "Here it is, as you asked me: That was the code of it. Now a table: That is all \
                 there is to say.",
                "{chars_each} at a time"
            );
        }
    }

    #[test]
    fn filters_can_be_switched_off() {
        let text = "**Hi** 🎉 https://a.example/b";
        assert_eq!(SpeechFilter::new(&[]).speakable(text), text);
        let mut emoji = SpeechFilter::new(&[TextFilter::Emoji]);
        assert_eq!(emoji.speakable(text), "**Hi** https://a.example/b");
    }

    proptest! {
        #[test]
        fn plain_text_is_said_as_it_is(text in "[a-zA-Zéß0-9あ][a-zA-Z0-9éßあ .,!?'()%&/]{0,200}") {
            prop_assume!(!text.contains("www."));
            let words: Vec<&str> = text.split_whitespace().collect();
            prop_assert_eq!(speakable(&text), words.join(" "));
        }

        #[test]
        fn any_text_can_be_filtered(text in any::<String>()) {
            speakable(&text);
        }

        #[test]
        fn marks_cut_in_two_change_nothing(
            text in "([a-z]{1,6}|\\*\\*|\\*|_|`|```|~~|\\[|\\]|\\(|\\)|https://|www\\.|🎉|\\||# |- |\n| |\\. ){0,60}",
            chars_each in 1_usize..20,
        ) {
            prop_assert_eq!(spoken(&text, chars_each), spoken(&text, 10_000));
        }
    }
}
