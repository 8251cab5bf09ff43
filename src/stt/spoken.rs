//! What was really said, out of what a model wrote down: without its remarks on noise, and without the
//! prompt that it repeats when it hears nothing. Plain code.

use unicode_segmentation::UnicodeSegmentation;

/// Pairs of marks in which models write sounds, not words: `[BLANK_AUDIO]`, `(music)`, `<|nospeech|>`,
/// `*sighs*`, `♪ la la ♪`.
///
/// Source: whisper.cpp (`[BLANK_AUDIO]`, `[_BEG_]`), Whisper's subtitles (`(music)`, `♪`), SenseVoice (`<|…|>`).
const MARKS: [(char, char); 8] = [
    ('[', ']'),
    ('(', ')'),
    ('{', '}'),
    ('<', '>'),
    ('（', '）'),
    ('【', '】'),
    ('*', '*'),
    ('♪', '♪'),
];

/// The longest remark; what is longer was dictated.
const REMARK_CHARS_MAX: usize = 60;

/// The words of a transcript: trimmed, without remarks; empty if nothing was said.
pub(super) fn spoken(transcript: &str, prompt: &str) -> String {
    let text = without_remarks(transcript);
    let is_said = text.chars().any(char::is_alphanumeric) && !is_echo(&text, prompt);
    if is_said { text } else { String::new() }
}

fn without_remarks(transcript: &str) -> String {
    let mut text = String::new();
    let mut rest = transcript;
    while let Some(at) = rest.find(|c| MARKS.iter().any(|(open, _)| *open == c)) {
        let (before, marked) = rest.split_at(at);
        text.push_str(before);
        let remark = remark_bytes(marked);
        // A mark without its partner is a character like any other.
        let end = remark.unwrap_or_else(|| marked.chars().next().map_or(0, char::len_utf8));
        if remark.is_none() {
            text.push_str(&marked[..end]);
        }
        rest = &marked[end..];
    }
    text.push_str(rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_matches(['♪', '♫']).trim().to_owned()
}

/// The length of the remark that `text` begins with. Digits are never one: models write
/// `(555) 123-4567`.
fn remark_bytes(text: &str) -> Option<usize> {
    let open = text.chars().next()?;
    let (_, close) = MARKS.iter().find(|(mark, _)| *mark == open)?;
    let inner_at = open.len_utf8();
    let length = text[inner_at..].find(*close)?;
    let inner = &text[inner_at..inner_at + length];
    let is_short = inner.chars().count() <= REMARK_CHARS_MAX;
    let has_digits = inner.chars().any(char::is_numeric);
    (is_short && !has_digits).then_some(inner_at + length + close.len_utf8())
}

/// Whether the text is the prompt, once or again and again.
fn is_echo(text: &str, prompt: &str) -> bool {
    let words =
        |text: &str| -> Vec<String> { text.unicode_words().map(str::to_lowercase).collect() };
    let (said, prompt) = (words(text), words(prompt));
    // A prompt of one or two words lists names, which are also said.
    prompt.len() > 2 && !said.is_empty() && said.chunks(prompt.len()).all(|part| part == prompt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn remarks_alone_are_nothing_said() {
        for text in [
            " [BLANK_AUDIO]",
            "[ Silence ]",
            "(music)",
            "(wind blowing) [Music]",
            "♪",
            "♪ la la la ♪",
            "*sighs*",
            "<|nospeech|>",
            "【音乐】",
            "（音楽）",
            "...",
            ".",
            "",
        ] {
            assert_eq!(spoken(text, ""), "", "{text}");
        }
    }

    #[test]
    fn words_beside_remarks_stay() {
        for (text, expected) in [
            ("[BLANK_AUDIO] Hello there.", "Hello there."),
            ("Yes (laughs) please.", "Yes please."),
            (" hello there \n", "hello there"),
            ("call (555) 123-4567", "call (555) 123-4567"),
            ("2 * 3 is six", "2 * 3 is six"),
            ("a < b", "a < b"),
            ("it is [ open", "it is [ open"),
        ] {
            assert_eq!(spoken(text, ""), expected);
        }
    }

    #[test]
    fn the_prompt_is_nothing_said() {
        let prompt = "Umm, let me think like, hmm. Vogel, Weber.";
        assert_eq!(spoken("umm let me think like hmm vogel weber", prompt), "");
        assert_eq!(spoken(&format!("{prompt} {prompt}"), prompt), "");
        let more = format!("{prompt} Good morning.");
        assert_eq!(spoken(&more, prompt), more);
        assert_eq!(spoken("Vogel.", "Vogel"), "Vogel.", "a name is also said");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), prompt in any::<String>()) {
            let words = spoken(&text, &prompt);
            prop_assert!(words.len() <= text.len());
        }
    }
}
