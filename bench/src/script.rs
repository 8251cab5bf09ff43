//! What the caller says, and what the answer must contain to count as understood.

/// One thing to say.
#[derive(Clone, Debug)]
pub struct Line {
    /// The words.
    pub say: String,
    /// Words of which at least one must be heard in the answer; any answer does when empty.
    pub expect_any: Vec<String>,
}

impl Line {
    fn new(say: &str, expect_any: &[&str]) -> Self {
        Self {
            say: say.to_owned(),
            expect_any: expect_any.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    /// Whether `heard` answers the line. Compares whole words without case.
    pub fn is_answered_by(&self, heard: &str) -> bool {
        let words: Vec<String> = heard
            .split(|c: char| !c.is_alphanumeric() && c != '\'')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        !words.is_empty()
            && (self.expect_any.is_empty()
                || self.expect_any.iter().any(|wanted| words.contains(wanted)))
    }
}

/// The conversation of the demo: every sentence is one that offline recognition understands word
/// for word, and the name given in the second must come back in the third answer.
pub fn demo() -> Vec<Line> {
    vec![
        Line::new("hello there", &[]),
        Line::new(
            "my name is John and I live in London",
            &["john", "jon", "london", "meet"],
        ),
        Line::new("what is my name", &["john", "jon"]),
        Line::new(
            "show me the connection statistics",
            &[
                "connection",
                "connections",
                "open",
                "opened",
                "requests",
                "request",
            ],
        ),
        Line::new(
            "please clean up your connections",
            &[
                "clean",
                "cleaned",
                "connection",
                "connections",
                "closed",
                "done",
            ],
        ),
    ]
}

/// What the same caller asks in the next call: what was said in the first must come back.
pub fn next_call() -> Vec<Line> {
    vec![
        Line::new("what is my name", &["john", "jon"]),
        Line::new("what do you remember about me", &["john", "jon", "london"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_by_whole_words() {
        let line = Line::new("what is my name", &["john"]);
        assert!(line.is_answered_by("your name is John."));
        assert!(!line.is_answered_by("you are johnny"));
        assert!(!line.is_answered_by(""));
    }

    #[test]
    fn any_words_do_where_nothing_is_expected_but_silence_does_not() {
        let line = Line::new("hello there", &[]);
        assert!(line.is_answered_by("oh"));
        assert!(!line.is_answered_by(" ... "));
    }
}
