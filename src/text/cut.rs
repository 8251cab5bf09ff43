//! Text that a service made longer than it may be.

/// Cuts `text` after `chars_max` characters; returns whether there was more.
pub fn cut_to_chars(text: &mut String, chars_max: usize) -> bool {
    // A character has at least one byte, so most texts need no count.
    if text.len() <= chars_max {
        return false;
    }
    let Some((end, _)) = text.char_indices().nth(chars_max) else {
        return false;
    };
    text.truncate(end);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_only_beyond_the_bound() {
        for (text, chars_max, expected, is_cut) in [
            ("grüße", 5, "grüße", false),
            ("grüße", 4, "grüß", true),
            ("日本語", 2, "日本", true),
            ("", 0, "", false),
            ("a", 0, "", true),
        ] {
            let mut found = text.to_owned();
            assert_eq!(cut_to_chars(&mut found, chars_max), is_cut, "{text}");
            assert_eq!(found, expected);
        }
    }
}
