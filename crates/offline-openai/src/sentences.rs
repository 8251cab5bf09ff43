//! Cuts text into sentences, so that the first one is spoken while the others wait.

/// A sentence longer than this is cut at a space: 300 characters are about 20 s of speech.
const SENTENCE_CHARS_MAX: usize = 300;

/// The sentences of a text as the voice can say them: plain ASCII, nothing but white space between.
///
/// A sentence without a letter or digit is left out.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let text = speakable(text);
    let mut sentences = Vec::new();
    let mut current = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        current.push_str(word);
        let ends = word
            .trim_end()
            .trim_end_matches(['"', '\'', ')'])
            .ends_with(['.', '!', '?']);
        if ends || word.ends_with('\n') || current.len() > SENTENCE_CHARS_MAX {
            sentences.push(std::mem::take(&mut current));
        }
    }
    sentences.push(current);
    sentences.retain(|sentence| sentence.contains(|c: char| c.is_ascii_alphanumeric()));
    sentences
        .iter()
        .map(|sentence| sentence.trim().to_owned())
        .collect()
}

/// Replaces what flite would read as noise: it knows ASCII only.
fn speakable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{2018}' | '\u{2019}' => '\'',
            '\u{2013}' | '\u{2014}' => ',',
            'à' | 'á' | 'â' | 'ä' | 'ã' | 'å' => 'a',
            'è' | 'é' | 'ê' | 'ë' => 'e',
            'ì' | 'í' | 'î' | 'ï' => 'i',
            'ò' | 'ó' | 'ô' | 'ö' | 'õ' => 'o',
            'ù' | 'ú' | 'û' | 'ü' => 'u',
            'ç' => 'c',
            'ñ' => 'n',
            '\n' => '\n',
            c if c.is_ascii() && !c.is_ascii_control() => c,
            _ => ' ',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_where_a_sentence_ends() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("...", &[]),
            ("Hello", &["Hello"]),
            ("Hello. How are you?", &["Hello.", "How are you?"]),
            (
                "It is 3.5 now! \"Good.\" Yes",
                &["It is 3.5 now!", "\"Good.\"", "Yes"],
            ),
            ("one\ntwo", &["one", "two"]),
            ("It\u{2019}s a caf\u{e9} \u{1f600}", &["It's a cafe"]),
        ];
        for (text, expected) in cases {
            assert_eq!(sentences(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_sentence_without_end_is_cut_at_a_space() {
        let text = "word ".repeat(200);
        let sentences = sentences(&text);
        assert!(
            sentences
                .iter()
                .all(|sentence| sentence.len() <= SENTENCE_CHARS_MAX + 5)
        );
        assert_eq!(sentences.join(" "), text.trim());
    }
}
