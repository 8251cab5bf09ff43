//! Takes a reasoning model's thoughts out of its reply: `<think>…</think>` is not for the caller.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Filters text that comes in pieces; a tag may be cut anywhere.
#[derive(Default)]
pub(super) struct ThinkFilter {
    /// The end of the text so far, while it may be the beginning of a tag.
    held: String,
    is_thinking: bool,
    /// Blank space after a thought belongs to it.
    is_after_thought: bool,
}

impl ThinkFilter {
    /// Takes the next piece and returns what of it, and of what was held back, may be spoken.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let text = std::mem::take(&mut self.held) + piece;
        let mut rest = text.as_str();
        let mut spoken = String::new();
        loop {
            let tag = if self.is_thinking { CLOSE } else { OPEN };
            let Some(at) = rest.find(tag) else {
                let (text, held) = rest.split_at(rest.len() - tag_begun(rest, tag));
                self.speak(text, &mut spoken);
                self.held = held.to_owned();
                return spoken;
            };
            self.speak(&rest[..at], &mut spoken);
            rest = &rest[at + tag.len()..];
            self.is_after_thought = self.is_thinking;
            self.is_thinking = !self.is_thinking;
        }
    }

    /// What was held back, now that nothing can follow.
    pub(super) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let mut spoken = String::new();
        self.speak(&held, &mut spoken);
        spoken
    }

    fn speak(&mut self, text: &str, spoken: &mut String) {
        if self.is_thinking {
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
        spoken += &filter.finish();
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
        ] {
            assert_eq!(filter([said]), spoken, "{said:?}");
        }
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
