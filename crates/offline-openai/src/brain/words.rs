//! Reads a transcript as words, forgiving what a recogniser does to them.

/// Short forms, and the words they stand for. "I'll" is nearly always a misheard "I" here.
const SHORT_FORMS: &[(&str, &str)] = &[
    ("i'm", "i am"),
    ("i'll", "i"),
    ("i've", "i have"),
    ("i'd", "i would"),
    ("what's", "what is"),
    ("who's", "who is"),
    ("where's", "where is"),
    ("how's", "how is"),
    ("name's", "name is"),
    ("it's", "it is"),
    ("that's", "that is"),
    ("you're", "you are"),
    ("don't", "do not"),
    ("doesn't", "does not"),
    ("can't", "can not"),
    ("cannot", "can not"),
    ("okay", "ok"),
    ("alright", "all right"),
    ("goodbye", "good bye"),
    ("bye-bye", "good bye"),
    ("favourite", "favorite"),
];

/// The words of a text: lower case, without punctuation, short forms written out.
pub(super) fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('\u{2019}', "'");
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '-')
        .map(|word| word.trim_matches(['\'', '-']))
        .filter(|word| !word.is_empty())
        .flat_map(|word| {
            let long = SHORT_FORMS.iter().find(|(short, _)| *short == word);
            long.map_or(word, |(_, long)| *long)
                .split(' ')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Whether the words of `phrase` occur in `words` in this order, each perhaps misheard. Other words may
/// stand between them.
pub(super) fn has(words: &[String], phrase: &str) -> bool {
    let mut rest = words.iter();
    phrase
        .split(' ')
        .all(|wanted| rest.any(|word| sounds_like(word, wanted)))
}

/// Whether any of the phrases occurs.
pub(super) fn has_any(words: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| has(words, phrase))
}

/// The words after the first place where `phrase` occurs without a gap.
pub(super) fn after<'a>(words: &'a [String], phrase: &str) -> Option<&'a [String]> {
    let wanted: Vec<&str> = phrase.split(' ').collect();
    let matches = |window: &[String]| window.iter().zip(&wanted).all(|(a, b)| sounds_like(a, b));
    let at = words.windows(wanted.len()).position(matches)?;
    Some(&words[at + wanted.len()..])
}

/// Whether a heard word may be the wanted one: the longer the word, the more letters may differ.
///
/// Short words are told apart exactly; one letter makes another word of them.
pub(super) fn sounds_like(heard: &str, wanted: &str) -> bool {
    let errors_max = match wanted.chars().count() {
        0..5 => 0,
        5..9 => 1,
        _ => 2,
    };
    heard == wanted || (errors_max > 0 && distance(heard, wanted) <= errors_max)
}

/// Letters to insert, remove or change to make one word of the other (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_and_written_out() {
        assert_eq!(words("What's my name?"), ["what", "is", "my", "name"]);
        assert_eq!(
            words("I'm JOHN - goodbye!"),
            ["i", "am", "john", "good", "bye"]
        );
        assert!(words(" ,. ").is_empty());
    }

    #[test]
    fn long_words_may_be_misheard_and_short_ones_not() {
        for (heard, wanted, expected) in [
            ("connection", "connections", true),
            ("statistic", "statistics", true),
            ("hallo", "hello", true),
            ("shop", "stop", false),
            ("the", "two", false),
            ("collections", "connections", true),
        ] {
            assert_eq!(sounds_like(heard, wanted), expected, "{heard} for {wanted}");
        }
    }

    #[test]
    fn a_phrase_keeps_its_order() {
        let said = words("could you clean up all of your connections please");
        assert!(has(&said, "clean connections"));
        assert!(!has(&said, "connections clean"));
        assert_eq!(after(&said, "clean up").map(<[String]>::len), Some(5));
    }
}
