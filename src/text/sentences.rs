//! Sentences out of streamed text.

use super::abbreviations;

/// Characters after which the first piece of a reply may also end at a comma, so that the voice
/// starts early: about 1.5 s of speech, enough to cover the next request.
const FIRST_CLAUSE_CHARS_MIN: usize = 24;

/// Characters a later sentence needs before it is spoken by itself: shorter ones are joined to the
/// next, which saves a request and sounds better.
///
/// Source: livekit-agents 1.8.9, sentence tokenizer, `min_sentence_len`.
const SENTENCE_CHARS_MIN: usize = 20;

/// Characters after which a sentence without an end is cut at a space: half a minute of speech.
const SENTENCE_CHARS_MAX: usize = 400;

/// Bytes within which a bracket is expected to close: what a link says is not cut in two.
const LINK_BYTES_MAX: usize = 120;

/// Characters after which text without marks at the ends of its sentences is cut at a space: of the first
/// piece, and of later ones. Thai and Lao put a space where a sentence or a clause ends, and none between words.
const UNMARKED_CHARS_MIN: [usize; 2] = [24, 60];

/// Marks that end a sentence without a space behind them.
///
/// Source: Unicode 17, `SentenceBreakProperty.txt`, `STerm`: those of living scripts.
const ENDS_WITHOUT_SPACE: [char; 20] = [
    '。', '！', '？', '｡', '‼', '⁇', '⁈', '⁉', '।', '॥', '؟', '۔', '։', '።', '፧', '။', '។', '៕',
    '᠃', '꓿',
];

/// Digits of a number whose full stop may make an ordinal of it, as in "3. Oktober".
const ORDINAL_DIGITS_MAX: usize = 2;

/// Cuts streamed text into sentences. The cuts do not depend on how the stream was chopped up.
#[derive(Default)]
pub struct SentenceSplitter {
    buffer: String,
    n_sentences: usize,
}

impl SentenceSplitter {
    /// Adds a delta and returns the sentences that it completes, trimmed and never empty.
    pub fn push(&mut self, delta: &str) -> Vec<String> {
        self.buffer.push_str(delta);
        let mut sentences = Vec::new();
        while let Some(end) = self.next_end() {
            let rest = self.buffer.split_off(end);
            let sentence = std::mem::replace(&mut self.buffer, rest);
            self.take(&sentence, &mut sentences);
        }
        sentences
    }

    /// The text is complete: returns what is left.
    pub fn finish(&mut self) -> Option<String> {
        let mut last = Vec::new();
        let rest = std::mem::take(&mut self.buffer);
        self.take(&rest, &mut last);
        last.pop()
    }

    fn take(&mut self, sentence: &str, sentences: &mut Vec<String>) {
        let sentence = sentence.trim();
        if !sentence.is_empty() {
            self.n_sentences += 1;
            sentences.push(sentence.to_owned());
        }
    }

    /// The byte after the first sentence of the buffer, when it is sure that it ends there.
    fn next_end(&self) -> Option<usize> {
        let is_first = self.n_sentences == 0;
        let chars_min = if is_first { 1 } else { SENTENCE_CHARS_MIN };
        let mut n_chars = 0;
        let mut last_space = None;
        for (at, c) in self.buffer.char_indices() {
            let after = at + c.len_utf8();
            let is_leading = n_chars == 0 && c.is_whitespace();
            n_chars += usize::from(!is_leading);
            if is_leading {
                continue;
            }
            if c.is_whitespace() {
                last_space = Some(after);
            }
            let is_end = if c == '\n' {
                n_chars > chars_min
            } else if c == ' ' && is_unmarked(&self.buffer[..at]) {
                n_chars > UNMARKED_CHARS_MIN[usize::from(!is_first)]
            } else if self.ends_clause(at, after) {
                is_first && n_chars >= FIRST_CLAUSE_CHARS_MIN
            } else {
                n_chars >= chars_min && self.ends_sentence(at, after)
            };
            if is_end {
                return Some(after);
            }
            if n_chars >= SENTENCE_CHARS_MAX {
                return Some(last_space.unwrap_or(after));
            }
        }
        None
    }

    /// Whether the character at `at`, which ends at `after`, is followed by the end of a sentence.
    /// Closing quotes and brackets belong to the sentence they close.
    fn ends_sentence(&self, at: usize, after: usize) -> bool {
        let before = self.buffer[..after].trim_end_matches(['"', '\'', ')', ']', '”', '’', '*']);
        let Some(mark) = before.chars().next_back() else {
            return false;
        };
        if ENDS_WITHOUT_SPACE.contains(&mark) {
            return before.len() == after;
        }
        if !matches!(mark, '.' | '!' | '?' | '…') || !self.is_followed_by_space(after) {
            return false;
        }
        debug_assert!(before.len() <= at + mark.len_utf8());
        let line = last_line(&self.buffer[..at]);
        let is_inner = || is_inner_stop(before) || self.is_ordinal(before, after);
        (mark != '.' || !is_inner()) && !is_in_link(line) && !is_in_table(line)
    }

    /// Whether the full stop that ends `before` makes an ordinal of a number, or may do so as long as the
    /// word behind it has not come whole.
    fn is_ordinal(&self, before: &str, after: usize) -> bool {
        let Some(text) = before.strip_suffix('.') else {
            return false;
        };
        let mut words = text.rsplit(char::is_whitespace);
        let number = words.next().unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || number.len() > ORDINAL_DIGITS_MAX {
            return false;
        }
        let previous = words.next().unwrap_or_default().to_lowercase();
        if abbreviations::precedes_ordinal(&previous) {
            return true;
        }
        let next = self.buffer[after..].trim_start();
        let end = next.find(|c: char| !c.is_alphanumeric());
        match (next.chars().next(), end) {
            (Some(first), _) if first.is_lowercase() => true,
            (Some(first), None) if first.is_alphanumeric() => true,
            (None, _) => true,
            (_, end) => abbreviations::is_month(&next[..end.unwrap_or_default()]),
        }
    }

    fn ends_clause(&self, at: usize, after: usize) -> bool {
        matches!(&self.buffer[at..after], "," | ";" | ":" | "—" | "،" | "؛")
            && self.is_followed_by_space(after)
    }

    fn is_followed_by_space(&self, at: usize) -> bool {
        self.buffer[at..]
            .chars()
            .next()
            .is_some_and(char::is_whitespace)
    }
}

fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or(text)
}

/// Whether the line that ends here is a row of a table: it is one piece, whatever stands in its cells.
fn is_in_table(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

/// Whether `line` ends within the label of what may become a link.
fn is_in_link(line: &str) -> bool {
    match (line.rfind('['), line.rfind(']')) {
        (Some(open), Some(close)) => close < open && line.len() - open <= LINK_BYTES_MAX,
        (Some(open), None) => line.len() - open <= LINK_BYTES_MAX,
        (None, _) => false,
    }
}

/// Whether the full stop that ends `text` is part of a word: an abbreviation, an initial, the
/// number of a list item.
fn is_inner_stop(text: &str) -> bool {
    let Some(text) = text.strip_suffix('.') else {
        return false;
    };
    let line = last_line(text).trim_start().trim_start_matches('*');
    let word = text
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or(text)
        .trim_start_matches(['(', '[', '"', '\'', '“', '‘', '*']);
    let is_list_number = !line.is_empty() && line.chars().all(|c| c.is_ascii_digit());
    let mut letters = word.chars();
    let is_cased = |c: char| c.is_uppercase() || c.is_lowercase();
    let is_initial =
        letters.next().is_some_and(is_cased) && letters.next().is_none() && word != "I";
    is_list_number || is_initial || abbreviations::is_abbreviation(&word.to_lowercase())
}

/// Whether the text ends in a script whose sentences end at a space.
fn is_unmarked(text: &str) -> bool {
    let last = text.chars().next_back();
    last.is_some_and(|last| matches!(last, '\u{0E01}'..='\u{0EDF}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split_in(text: &str, chars_each: usize) -> Vec<String> {
        let mut splitter = SentenceSplitter::default();
        let chars: Vec<char> = text.chars().collect();
        let mut sentences: Vec<String> = chars
            .chunks(chars_each)
            .flat_map(|chunk| splitter.push(&chunk.iter().collect::<String>()))
            .collect();
        sentences.extend(splitter.finish());
        sentences
    }

    /// However the text arrives, the sentences are these.
    fn check(text: &str, expected: &[&str]) {
        for chars_each in [1, 3, 7, 1000] {
            assert_eq!(
                split_in(text, chars_each),
                expected,
                "{chars_each} at a time"
            );
        }
    }

    #[test]
    fn the_first_sentence_is_spoken_however_short_and_later_ones_are_joined() {
        check(
            "Hi! Yes. No. It is a lovely day in the park. Bye.",
            &["Hi!", "Yes. No. It is a lovely day in the park.", "Bye."],
        );
    }

    #[test]
    fn a_long_first_sentence_starts_at_a_comma() {
        check(
            "When you arrive at the station, take the second exit, then turn left, please.",
            &[
                "When you arrive at the station,",
                "take the second exit, then turn left, please.",
            ],
        );
        check("Well, John, that is fine.", &["Well, John, that is fine."]);
    }

    #[test]
    fn decimals_addresses_and_abbreviations_are_not_cut() {
        check(
            "It costs 3.50 at example.com today. Dr. Smith (e.g. J. Smith) vs. Mrs. Jones came.",
            &[
                "It costs 3.50 at example.com today.",
                "Dr. Smith (e.g. J. Smith) vs. Mrs. Jones came.",
            ],
        );
    }

    #[test]
    fn list_numbers_stay_with_their_items() {
        check(
            "1. Open the door of the house.\n2. Close the door of the house.",
            &[
                "1. Open the door of the house.",
                "2. Close the door of the house.",
            ],
        );
    }

    #[test]
    fn quotes_belong_to_the_sentence_they_close() {
        check(
            "He said \"go home.\" Then he left the building.",
            &["He said \"go home.\"", "Then he left the building."],
        );
    }

    #[test]
    fn sentences_without_spaces_between_are_cut_too() {
        check(
            "こんにちは。今日は良い天気ですね、散歩に行きませんか、一緒に？はい。",
            &[
                "こんにちは。",
                "今日は良い天気ですね、散歩に行きませんか、一緒に？",
                "はい。",
            ],
        );
    }

    #[test]
    fn sentences_end_in_every_script() {
        check("नमस्ते। मैं यहाँ हूँ।", &["नमस्ते।", "मैं यहाँ हूँ।"]);
        check("كيف حالك؟ نعم.", &["كيف حالك؟", "نعم."]);
        check(
            "آپ کیسے ہیں؟ میں ٹھیک ہوں۔",
            &["آپ کیسے ہیں؟", "میں ٹھیک ہوں۔"],
        );
        check("Բարեւ։ Ինչպե՞ս եք։", &["Բարեւ։", "Ինչպե՞ս եք։"]);
        check("မင်္ဂလာပါ။ နေကောင်းလား။", &["မင်္ဂလာပါ။", "နေကောင်းလား။"]);
        check("ሰላም። እንዴት ነህ፧", &["ሰላም።", "እንዴት ነህ፧"]);
    }

    #[test]
    fn a_space_ends_what_has_no_marks() {
        let first = "สวัสดีครับ ยินดีต้อนรับสู่ร้านของเรา";
        let text = format!("{first} วันนี้คุณต้องการสั่งอะไร บอกผมได้เลยครับ");
        let sentences = split_in(&text, 3);
        assert_eq!(sentences[0], first);
        assert_eq!(sentences.len(), 2, "{sentences:?}");
    }

    #[test]
    fn dates_and_abbreviations_of_other_languages_are_not_cut() {
        for text in [
            "Wir treffen uns am 3. Oktober um neun Uhr, z. B. bei Frau Dr. Vogel.",
            "Das ist d. h. im 2. Stock bzw. ca. drei Meter weiter, Nr. 7, Hr. Weber.",
            "El Sr. García y la Sra. López llegan aprox. a las nueve.",
            "M. Dupont et Mme. Durand arrivent le 1. juin, env. à midi.",
            "Vi ses den 24. december hos hr. Jensen, f.eks. klokken fem.",
            "Это т. е. ул. Ленина, д. 5, у проф. Иванова.",
            "Il sig. Rossi e la dott.ssa Bianchi sono qui.",
        ] {
            // Whole, but for the comma at which a long first sentence may begin.
            let sentences = split_in(text, 5);
            let is_whole = sentences.iter().rev().skip(1).all(|it| it.ends_with(','));
            assert!(is_whole && sentences.len() <= 2, "{sentences:?}");
        }
    }

    #[test]
    fn a_number_ends_an_english_sentence() {
        check(
            "The answer is 42. Now we go on with something else.",
            &["The answer is 42.", "Now we go on with something else."],
        );
        check("It is 3. october is near.", &["It is 3. october is near."]);
    }

    #[test]
    fn a_sentence_that_never_ends_is_cut_at_a_space() {
        let text = "word ".repeat(200);
        let sentences = split_in(&text, 5);
        assert!(sentences.len() >= 2);
        assert!(sentences.iter().all(|s| s.len() <= SENTENCE_CHARS_MAX));
        assert!(sentences.iter().all(|s| s.ends_with("word")));
    }

    #[test]
    fn the_first_sentence_comes_out_with_the_space_behind_it() {
        let mut splitter = SentenceSplitter::default();
        assert!(splitter.push("Hello").is_empty());
        assert!(splitter.push(".").is_empty());
        assert_eq!(splitter.push(" How"), ["Hello."]);
    }

    proptest! {
        #[test]
        fn no_text_is_lost_and_chopping_changes_nothing(
            text in "[a-zA-Z0-9.,!?*\"'() \n。é।؟กข]{0,600}",
            chars_each in 1_usize..50,
        ) {
            let bare = |s: &str| s.split_whitespace().collect::<String>();
            let sentences = split_in(&text, chars_each);
            prop_assert_eq!(bare(&sentences.concat()), bare(&text));
            prop_assert_eq!(sentences, split_in(&text, 10_000));
        }
    }

    #[test]
    fn a_link_is_not_cut_in_its_label_and_a_bracket_that_never_closes_does_no_harm() {
        check(
            "See [the guide. It is long.](https://a.example/x) for more of it. Bye now, friend.",
            &[
                "See [the guide. It is long.](https://a.example/x) for more of it.",
                "Bye now, friend.",
            ],
        );
        let text = format!(
            "An open [ bracket {}. The end of it all.",
            "word ".repeat(30)
        );
        assert_eq!(split_in(&text, 7).len(), 2);
    }
}
