//! Judging by the words whether the user is done.

/// Says whether a transcript sounds as if more were to come. Called at every pause, in the session's
/// loop: an answer takes microseconds.
pub trait EndOfTurnJudge: Send {
    /// Whether the user will most likely go on.
    fn is_unfinished(&self, transcript: &str) -> bool;
}

/// A handful of rules on English words: a clause without its end, a filler, a number, spelling or
/// an address being dictated, a list that has begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct TranscriptJudge;

/// Words after which an English sentence goes on.
const OPEN_ENDINGS: [&str; 64] = [
    "a", "about", "also", "am", "an", "and", "are", "as", "at", "because", "but", "by", "can",
    "could", "either", "for", "from", "gonna", "has", "have", "he", "how", "i", "i'd", "i'll",
    "i'm", "if", "in", "into", "is", "it's", "let", "like", "maybe", "my", "of", "or", "our",
    "please", "she", "should", "since", "so", "than", "that's", "the", "their", "they", "to",
    "until", "wanna", "want", "was", "we", "were", "when", "where", "whether", "while", "who",
    "will", "with", "would", "your",
];

/// Openings of a question whose last word is one of [`OPEN_ENDINGS`] and still the last.
const QUESTION_OPENINGS: [&str; 8] = [
    "what", "who", "where", "when", "which", "how", "why", "whose",
];

/// Sounds of thinking, and words that are one at the end.
const FILLERS: [&str; 13] = [
    "ah", "ehm", "em", "er", "erm", "hm", "hmm", "mm", "uh", "uhm", "um", "umm", "well",
];

/// Endings of two or three words that announce what comes.
const OPEN_PHRASES: [&str; 13] = [
    "you know",
    "i mean",
    "kind of",
    "sort of",
    "such as",
    "let me think",
    "let me see",
    "let's see",
    "hold on",
    "one moment",
    "one second",
    "first of all",
    "for example",
];

/// Words for digits.
const DIGITS: [&str; 13] = [
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double",
    "triple",
];

/// Digits that a dictated number has at least, such as a phone number's.
const NUMBER_DIGITS_MIN: usize = 7;

impl EndOfTurnJudge for TranscriptJudge {
    fn is_unfinished(&self, transcript: &str) -> bool {
        let text = transcript.trim_end();
        if text.ends_with([',', '-', '…', ':', ';']) || text.ends_with("...") {
            return true;
        }
        let words: Vec<String> = text.split_whitespace().map(bare_word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let Some(last) = words.last() else {
            return false;
        };
        if FILLERS.contains(last) || ends_with_phrase(&words) {
            return true;
        }
        if text.ends_with(['!', '?']) {
            return false;
        }
        is_clause_open(&words, last)
            || is_number_open(&words)
            || is_spelling_open(&words)
            || is_address_open(&words)
    }
}

/// Lower case, without marks around it.
fn bare_word(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric())
        .replace('’', "'")
        .to_lowercase()
}

fn ends_with_phrase(words: &[&str]) -> bool {
    OPEN_PHRASES.iter().any(|phrase| {
        let n_words = phrase.split(' ').count();
        let tail = words.len().checked_sub(n_words).map(|at| &words[at..]);
        tail.is_some_and(|tail| phrase.split(' ').eq(tail.iter().copied()))
    })
}

fn is_clause_open(words: &[&str], last: &str) -> bool {
    let is_question = words
        .first()
        .is_some_and(|first| QUESTION_OPENINGS.contains(first) && words.len() > 1);
    if is_question {
        // "What is it for" and "where are you from" are whole; "what is the" is not.
        return matches!(
            last,
            "a" | "an" | "the" | "my" | "your" | "our" | "their" | "and" | "or"
        );
    }
    match last {
        // "Yes I am", "I think so", "yes please", "I hope they will".
        "am" | "can" | "could" | "do" | "have" | "has" | "is" | "are" | "was" | "were" | "will"
        | "would" | "should" => !is_short_answer(words),
        "so" => !words
            .iter()
            .any(|word| matches!(*word, "think" | "hope" | "guess" | "believe")),
        "please" => words.len() == 1,
        // "I want to" goes on, "if you want" does not.
        "want" => words.first() == Some(&"i") || words.first() == Some(&"we"),
        last => OPEN_ENDINGS.contains(&last),
    }
}

/// "Yes I am", "no they were", "of course you can".
fn is_short_answer(words: &[&str]) -> bool {
    matches!(
        words.first(),
        Some(&("yes" | "no" | "yeah" | "sure" | "of"))
    ) && words.len() <= 4
        && !words.contains(&"my")
        && !words.contains(&"name")
}

/// How many digits a word stands for.
fn n_digits(word: &str) -> Option<usize> {
    let figures = word.chars().filter(char::is_ascii_digit).count();
    if figures > 0
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || "-.()+".contains(c))
    {
        return Some(figures);
    }
    DIGITS.contains(&word).then_some(1)
}

/// A dictated number that is too short to be one: at least three digits, one after the other, fewer
/// than any phone number has. A number by itself ("four", "1984") is an answer.
fn is_number_open(words: &[&str]) -> bool {
    let tail: Vec<usize> = words
        .iter()
        .rev()
        .map_while(|word| n_digits(word))
        .collect();
    let n_digits: usize = tail.iter().sum();
    tail.len() >= 3 && n_digits < NUMBER_DIGITS_MIN || announces(words, "number") && n_digits < 7
}

/// "My phone number is": what follows is a number; nothing of it is there yet, or only a part.
fn announces(words: &[&str], what: &str) -> bool {
    let at = words.iter().rposition(|word| *word == what);
    at.is_some_and(|at| {
        let rest = &words[at + 1..];
        matches!(rest.first(), Some(&("is" | "was")))
            && rest[1..].iter().all(|word| n_digits(word).is_some())
    })
}

/// Letters one by one: fewer than a name has.
fn is_spelling_open(words: &[&str]) -> bool {
    let n_letters = words
        .iter()
        .rev()
        .take_while(|word| word.len() == 1 && word.chars().all(char::is_alphabetic))
        .count();
    (2..4).contains(&n_letters)
}

/// An e-mail address that has its "at" and not its end.
fn is_address_open(words: &[&str]) -> bool {
    let Some(at) = words.iter().rposition(|word| *word == "at") else {
        return matches!(words.last(), Some(&("dot" | "underscore" | "dash")));
    };
    let is_address = words
        .iter()
        .any(|word| matches!(*word, "email" | "mail" | "e-mail"));
    let rest = &words[at + 1..];
    let is_ended = rest.len() >= 3 && rest[rest.len() - 2] == "dot"
        || rest.iter().any(|word| word.contains('.'));
    is_address && !is_ended || matches!(words.last(), Some(&"dot"))
}
