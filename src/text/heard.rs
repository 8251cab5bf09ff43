//! How much of a text was heard.

/// The words of `text` that were heard when the part `heard` of `total` was played: whole words
/// only, in proportion of length; a word counts once half of it was played.
///
/// `heard` and `total` are in any one unit.
pub fn heard_prefix(text: &str, heard: f64, total: f64) -> &str {
    if total <= 0.0 || heard >= total {
        return if heard > 0.0 { text } else { "" };
    }
    let n_chars = text.chars().count() as f64;
    let n_heard = heard.max(0.0) / total * n_chars;
    let mut end = 0;
    let mut word_chars = 0_usize;
    let ends = text
        .char_indices()
        .map(|(at, c)| (at, Some(c)))
        .chain(std::iter::once((text.len(), None)));
    for (n_before, (at, c)) in ends.enumerate() {
        if c.is_some_and(|c| !c.is_whitespace()) {
            word_chars += 1;
            continue;
        }
        if word_chars > 0 {
            let middle = n_before as f64 - word_chars as f64 / 2.0;
            if middle > n_heard {
                break;
            }
            end = at;
            word_chars = 0;
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_heard_is_the_beginning(text in any::<String>(), heard in 0.0..2.0_f64) {
            prop_assert!(text.starts_with(heard_prefix(&text, heard, 1.0)));
        }
    }

    #[test]
    fn what_was_heard_ends_with_a_whole_word() {
        let text = "one two three four";
        for (heard, expected) in [
            (0.0, ""),
            (0.05, ""),
            (0.1, "one"),
            (0.3, "one"),
            (0.35, "one two"),
            (0.6, "one two three"),
            (0.95, text),
            (1.0, text),
            (7.0, text),
        ] {
            assert_eq!(heard_prefix(text, heard, 1.0), expected, "{heard}");
        }
        assert_eq!(heard_prefix(text, 0.0, 0.0), "");
    }
}
