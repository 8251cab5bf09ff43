//! The judge of transcripts on a table of cases, as a speech-to-text service writes them: with and
//! without marks, with and without capitals.

use super::*;

/// The user will go on.
const UNFINISHED: [&str; 52] = [
    "my name is",
    "My name is",
    "I like tea and",
    "Well,",
    "so um...",
    "to the.",
    "I would like to",
    "I'd like to book a",
    "Can you tell me the",
    "I want to",
    "I was wondering if",
    "I need a table for",
    "the reason is that",
    "because",
    "Yes, because",
    "I think that the",
    "We are going to",
    "it depends on whether",
    "I can come on Monday or",
    "please call me at",
    "my phone number is",
    "My phone number is 0 1 7",
    "it's five five five",
    "zero one seven six",
    "My number is four four two",
    "the order number is 4 7",
    "5 5 5 2",
    "that's s m i",
    "It's spelled j o",
    "my email is john at",
    "My email is john at example",
    "my email is john dot",
    "my e-mail address is anna at example dot",
    "um",
    "Uh",
    "hmm",
    "Let me think",
    "Hold on.",
    "One second.",
    "let's see",
    "I need milk, eggs,",
    "First of all",
    "there are several things, such as",
    "I mean",
    "it was, you know",
    "I live in",
    "I am from",
    "and then I",
    "The problem is…",
    "what I want is",
    "I'm looking for a flight from London to",
    "could you also",
];

/// The user is done.
const FINISHED: [&str; 60] = [
    "hello there",
    "Hello.",
    "my name is john",
    "what is it for?",
    "Stop!",
    "what is my name",
    "Yes.",
    "no",
    "Yes I am",
    "no they were not",
    "Yes, you can.",
    "of course you can",
    "I think so",
    "I hope so.",
    "yes please",
    "thank you and goodbye",
    "Where are you from?",
    "where are you from",
    "What are you looking for",
    "How old are you?",
    "who is it",
    "what time is it",
    "I live in London.",
    "four",
    "Forty two",
    "in 1984",
    "at seven",
    "a table for two",
    "My phone number is 555 0123 456.",
    "it's 0 1 7 6 1 2 3 4 5",
    "zero one seven six five five five",
    "my email is john at example dot com",
    "My email is john@example.com.",
    "It's spelled s m i t h",
    "I like green tea",
    "show me the connection statistics",
    "please clean up your connections",
    "what do you remember about me",
    "remember that i like green tea",
    "nice to meet you john",
    "Can you help me?",
    "I need help.",
    "That's all.",
    "that is it",
    "tell me a joke",
    "Tell me more about it.",
    "I don't know",
    "never mind",
    "go ahead",
    "cancel it",
    "tomorrow at five",
    "The second one, please.",
    "I want a coffee",
    "that's what I want",
    "if you want",
    "good morning",
    "let's go",
    "I already told you",
    "you are welcome",
    "see you",
];

#[test]
fn the_judge_of_transcripts_is_measured_on_a_table_of_cases() {
    let judge = TranscriptJudge;
    let missed: Vec<&str> = UNFINISHED
        .into_iter()
        .filter(|text| !judge.is_unfinished(text))
        .collect();
    let held_up: Vec<&str> = FINISHED
        .into_iter()
        .filter(|text| judge.is_unfinished(text))
        .collect();
    let n_found = (UNFINISHED.len() - missed.len()) as f64;
    let recall = n_found / UNFINISHED.len() as f64;
    let precision = n_found / (n_found + held_up.len() as f64);
    let report = format!(
        "precision {precision:.2}, recall {recall:.2}\nmissed: {missed:?}\nheld up: {held_up:?}"
    );
    // A user held up for nothing waits for seconds; one who is cut off goes on and is understood.
    // When this was written: 1.00 and 0.96.
    assert!(precision >= 0.98 && recall >= 0.95, "{report}");
}

#[test]
fn nothing_is_not_unfinished() {
    for text in ["", " ", "?", "…?"] {
        assert!(!TranscriptJudge.is_unfinished(text), "{text}");
    }
}
