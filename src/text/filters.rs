//! What a voice says of written text: markdown's marks, pictures and addresses left out.
//!
//! Works on whole sentences, so nothing depends on how the text was streamed; what spans sentences
//! (a block of code, a table) is remembered between them. Captions keep the text as it was written.

use serde::{Deserialize, Serialize};

use super::html::without_html;
use super::symbols::{hosts, without_emoji, without_emphasis, without_links, without_references};

/// Something in written text that is not for a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFilter {
    /// The marks of bold, headings, lists, quotes, links and footnotes, HTML's tags; blocks of code
    /// and tables as a whole. Items and headings without a full stop get a pause.
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
        let mut spoken = String::new();
        let mut pause = "";
        for line in sentence.lines() {
            let Some(block) = self.block(line) else {
                continue;
            };
            let line = self.inline(block.text);
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            if !spoken.is_empty() {
                let is_open = spoken.ends_with(char::is_alphanumeric);
                spoken.push_str(if is_open { pause.max(block.pause) } else { "" });
                spoken.push(' ');
            }
            spoken.push_str(&words.join(" "));
            pause = block.pause;
        }
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
    fn block<'a>(&mut self, line: &'a str) -> Option<Line<'a>> {
        let line = line.trim();
        if !self.has(TextFilter::Markdown) {
            return Some(Line::plain(line));
        }
        if let Some(code) = line.strip_prefix("```").or(line.strip_prefix("~~~")) {
            if code.contains("```") {
                return Some(Line::plain(line));
            }
            self.is_in_code = !self.is_in_code;
            return None;
        }
        self.is_in_table = is_table_row(line) || (self.is_in_table && line.contains('|'));
        let is_rule =
            line.len() >= 3 && (line.chars()).all(|c| matches!(c, '-' | '*' | '_' | '=' | ' '));
        if self.is_in_code || self.is_in_table || is_rule || is_link_definition(line) {
            return None;
        }
        Some(Line::new(line))
    }

    fn inline(&self, line: &str) -> String {
        let mut line = line.to_owned();
        if self.has(TextFilter::Markdown) {
            line = without_references(&without_links(&line));
        }
        if self.has(TextFilter::Urls) {
            line = hosts(&line);
        }
        if self.has(TextFilter::Markdown) {
            line = without_emphasis(&without_html(&line));
        }
        if self.has(TextFilter::Emoji) {
            line = without_emoji(&line);
        }
        line
    }
}

/// What is said of a line, and what stands between it and its neighbours to make a voice pause.
struct Line<'a> {
    text: &'a str,
    /// A full stop is more than a comma, also as a `&str`.
    pause: &'static str,
}

/// Marks of items in lists.
const BULLETS: [&str; 8] = ["- ", "* ", "+ ", "• ", "◦ ", "▪ ", "‣ ", "– "];

impl<'a> Line<'a> {
    fn plain(text: &'a str) -> Self {
        Self { text, pause: "" }
    }

    /// Takes the marks of quotes, headings and items off.
    fn new(line: &'a str) -> Self {
        let line = line.trim_start_matches("> ").trim_start();
        let line = line.strip_suffix('\\').unwrap_or(line);
        let bare = line.trim_start_matches('#');
        if bare.len() < line.len() && (bare.is_empty() || bare.starts_with(' ')) {
            return Self {
                text: bare.trim_start().trim_end_matches('#').trim_end(),
                pause: ".",
            };
        }
        if let Some(item) = BULLETS.iter().find_map(|mark| line.strip_prefix(mark)) {
            let item = item.trim_start();
            let task = ["[ ] ", "[x] ", "[X] "];
            let text = task.iter().find_map(|task| item.strip_prefix(task));
            return Self {
                text: text.unwrap_or(item),
                pause: ",",
            };
        }
        let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = number.len() < line.len() && number.starts_with([')', '.']);
        let pause = if is_item { "," } else { "" };
        Self { text: line, pause }
    }
}

fn is_table_row(line: &str) -> bool {
    line.len() > 1 && line.starts_with('|')
}

/// `[label]: https://…`: where a label leads.
fn is_link_definition(line: &str) -> bool {
    let label = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "));
    label.is_some_and(|(label, address)| !label.contains(']') && address.contains("://"))
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
            ("# Title\n- one\n* two", "Title. one, two"),
            ("## Two ##\n> a quote\n+ [x] done", "Two. a quote, done"),
            ("Title\n=====\ntext", "Title text"),
            (
                "You need:\n- **milk**\n- eggs!\n  - two\nThanks",
                "You need: milk, eggs! two, Thanks",
            ),
            ("1. Milk\n2) Eggs\n3. Bread", "1. Milk, 2) Eggs, 3. Bread"),
            ("a soft\nline\\\nbreak", "a soft line break"),
            ("#1 choice", "#1 choice"),
            (
                "see [the page](https://a.example/x?y=1) now",
                "see the page now",
            ),
            ("a [b] [c](d) e", "a [b] c e"),
            ("[wiki](https://w.example/a_(b)) here", "wiki here"),
            ("![a cat](cat.png) [not a link]", "a cat [not a link]"),
            ("Great 🎉👍🏽 job ❤️!", "Great job!"),
            ("Hi🎉there 👨‍👩‍👧 1️⃣", "Hi there 1"),
            ("Sunny ☀️, hot 🌶️🇪🇸 and ok👌🏿.", "Sunny, hot and ok."),
            ("Settings → Privacy ⇒ ‼️ ℹ️", "Settings Privacy"),
            ("***Both** of* them, **_all_**", "Both of them, all"),
            ("It is $5.00* or **€3.50**.", "It is $5.00 or €3.50."),
            (r"costs \$5, C:\new and 50\%", r"costs $5, C:\new and 50%"),
            (
                "So it is.[1][2] See [^3] and [12] 【4†source】.",
                "So it is. See and .",
            ),
            ("[the page][ref] and [one][]", "the page and one"),
            ("[ref]: https://a.example/x \"A\"", ""),
            (
                "one<br>two <b>three</b> a&nbsp;b &lt;5 &amp; so",
                "one two three a b <5 & so",
            ),
            (
                "a < b and c > d, List<String>",
                "a < b and c > d, List<String>",
            ),
            ("5 * 3 * 2 = 30, a*b*c", "5 * 3 * 2 = 30, abc"),
            ("`my_var` in __init__.py", "my_var in init.py"),
            (
                "see https://en.wikipedia.org/wiki/A_(b) (or http://a.example/c).",
                "see en.wikipedia.org (or a.example).",
            ),
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
    fn answers_as_models_write_them_are_said_as_people_would() {
        let recipe = "Sure! Here's a **quick** pancake recipe 🥞:\n\n### Ingredients\n\n- 1 cup \
                      flour\n- 1½ cups milk\n- 2 eggs\n\n### Steps\n\n1. **Mix** everything in a large \
                      bowl.\n2. Cook at 5 p.m. on *medium* heat.\n\nEnjoy! 😋👩‍🍳";
        let hotels = "I found **two** hotels:\n\n| Hotel | Price |\n|:---|---:|\n| Ritz. It is grand. \
                      Yes | $450 |\n| Inn | $80 |\n\n**Tip:** book at \
                      [Booking](https://www.booking.example/a?b=c_d) or \
                      https://inn.example/rooms/2. The total is 3 * 80 = 240.";
        let expected = [
            (
                recipe,
                "Sure! Here's a quick pancake recipe: Ingredients. 1 cup flour 1½ cups milk, 2 eggs \
                 Steps. 1. Mix everything in a large bowl. 2. Cook at 5 p.m. on medium heat. Enjoy!",
            ),
            (
                hotels,
                "I found two hotels: Tip: book at Booking or inn.example. The total is 3 * 80 = 240.",
            ),
        ];
        for (text, said) in expected {
            for chars_each in [1, 2, 3, 7, 10_000] {
                assert_eq!(spoken(text, chars_each), said, "{chars_each} at a time");
            }
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
