//! Takes a reasoning model's thoughts out of its reply: `<think>…</think>` is not for the caller.

/// The tags of the models that write their thoughts into the answer.
const TAGS: [(&str, &str); 5] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
];

/// Filters text that comes in pieces; a tag may be cut anywhere.
#[derive(Default)]
pub(super) struct ThinkFilter {
    /// The end of the text so far, while it may be the beginning of a tag.
    held: String,
    /// The tag that ends the thought.
    closing: Option<&'static str>,
    /// Blank space after a thought belongs to it.
    is_after_thought: bool,
    /// The thoughts of an answer that begins with them, without a tag; they were an answer if none ends
    /// them.
    unopened: Option<String>,
}

impl ThinkFilter {
    /// A filter for a model whose template has written the opening tag, so that only the closing one comes.
    pub(super) fn opened() -> Self {
        Self {
            closing: Some(TAGS[0].1),
            unopened: Some(String::new()),
            ..Self::default()
        }
    }

    /// Takes the next piece and returns what of it, and of what was held back, may be spoken.
    pub(super) fn push(&mut self, piece: &str) -> String {
        if self.held.is_empty() && self.closing.is_none() && !piece.contains(['<', '[']) {
            let mut spoken = String::new();
            self.speak(piece, &mut spoken);
            return spoken;
        }
        let text = std::mem::take(&mut self.held) + piece;
        let mut rest = text.as_str();
        let mut spoken = String::new();
        loop {
            let found = match self.closing {
                Some(closing) => rest.find(closing).map(|at| (at, closing, None)),
                None => first_opening(rest),
            };
            let Some((at, tag, closing)) = found else {
                let held = match self.closing {
                    Some(closing) => tag_begun(rest, closing),
                    None => (TAGS.iter().map(|(open, _)| tag_begun(rest, open)))
                        .max()
                        .unwrap_or_default(),
                };
                let (text, held) = rest.split_at(rest.len() - held);
                self.speak(text, &mut spoken);
                self.held = held.to_owned();
                return spoken;
            };
            self.speak(&rest[..at], &mut spoken);
            rest = &rest[at + tag.len()..];
            self.is_after_thought = self.closing.is_some();
            self.closing = closing;
            if self.is_after_thought {
                self.unopened = None;
            }
        }
    }

    /// What was held back, now that nothing can follow. `is_cut` says that the answer was longer than it may
    /// be: then a thought without end is one.
    pub(super) fn finish(&mut self, is_cut: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let mut spoken = String::new();
        self.speak(&held, &mut spoken);
        match self.unopened.take().filter(|_| !is_cut) {
            Some(text) => {
                self.closing = None;
                text
            }
            None => spoken,
        }
    }

    fn speak(&mut self, text: &str, spoken: &mut String) {
        if self.closing.is_some() {
            if let Some(unopened) = &mut self.unopened {
                unopened.push_str(text);
            }
            return;
        }
        let text = if self.is_after_thought {
            text.trim_start()
        } else {
            text
        };
        if !text.is_empty() {
            self.is_after_thought = false;
            spoken.push_str(text);
        }
    }
}

/// Where the first opening tag stands, and the tag that closes it.
fn first_opening(text: &str) -> Option<(usize, &'static str, Option<&'static str>)> {
    let found = TAGS.iter().filter_map(|(open, close)| {
        let at = text.find(open)?;
        Some((at, *open, Some(*close)))
    });
    found.min_by_key(|(at, ..)| *at)
}

/// How many bytes at the end of `text` are a beginning of `tag`.
fn tag_begun(text: &str, tag: &str) -> usize {
    (1..tag.len())
        .rev()
        .find(|length| text.ends_with(&tag[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut filter = ThinkFilter::default();
        let mut spoken: String = pieces.into_iter().map(|piece| filter.push(piece)).collect();
        spoken += &filter.finish(false);
        spoken
    }

    #[test]
    fn thoughts_are_not_spoken() {
        for (said, spoken) in [
            ("hello", "hello"),
            ("<think>hm</think>\n\nhello", "hello"),
            ("a <think>hm</think> b", "a b"),
            ("<think>never ends", ""),
            ("1 < 2 and <thin", "1 < 2 and <thin"),
            ("<think></think>", ""),
            ("<think>a</think><think>b</think>c", "c"),
            ("</think> alone", "</think> alone"),
            ("<thinking>hm</thinking>hello", "hello"),
            ("[THINK]hm[/THINK]hello [1]", "hello [1]"),
        ] {
            assert_eq!(filter([said]), spoken, "{said:?}");
        }
    }

    #[test]
    fn thoughts_without_an_opening_tag_are_not_spoken_where_they_are_expected() {
        let filter = |pieces: &[&str], is_cut| {
            let mut filter = ThinkFilter::opened();
            let spoken: String = pieces.iter().map(|piece| filter.push(piece)).collect();
            spoken + &filter.finish(is_cut)
        };
        let thoughts = ["The user wants", " a greeting.</thi", "nk>\n\nHi there."];
        assert_eq!(filter(&thoughts, false), "Hi there.");
        assert_eq!(filter(&["Hi", " there."], false), "Hi there.");
        assert_eq!(filter(&["The user wa"], true), "");
        assert_eq!(filter(&["hm</think>a <think>b</think> c"], false), "a c");
    }

    #[test]
    fn text_is_held_back_only_while_it_may_be_a_tag() {
        let mut filter = ThinkFilter::default();
        assert_eq!(filter.push("hello <"), "hello ");
        assert_eq!(filter.push("b> you"), "<b> you");
    }

    proptest! {
        #[test]
        fn where_the_text_is_cut_makes_no_difference(
            parts in proptest::collection::vec(
                prop_oneof![Just("<think>"), Just("</think>"), Just("<"), Just("th"), Just(" "), Just("é")],
                0..8,
            ),
            cut in 0usize..40,
        ) {
            let text = parts.concat();
            let mut cut = cut.min(text.len());
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            let (a, b) = text.split_at(cut);
            prop_assert_eq!(filter([text.as_str()]), filter([a, b]));
        }
    }
}
