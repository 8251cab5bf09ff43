//! Patterns of identities, as `*` and `?` have them in file names.

use regex_lite::Regex;

/// Longest pattern, in characters; no identity is longer.
pub(super) const CHARS_MAX: usize = 256;

/// A pattern that an identity matches as a whole: `*` stands for any text, `?` for one character.
///
/// Matching takes time that is at most proportional to pattern times identity, whatever they are.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// A pattern; `None` when it is empty or too long.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.is_empty() || text.chars().count() > CHARS_MAX {
            return None;
        }
        let mut expression = "(?s)^".to_owned();
        for c in text.chars() {
            match c {
                '*' => expression += ".*",
                '?' => expression += ".",
                c => expression += &regex_lite::escape(c.encode_utf8(&mut [0; 4])),
            }
        }
        expression += "$";
        Regex::new(&expression).ok().map(Self)
    }

    pub(super) fn matches(&self, identity: &str) -> bool {
        self.0.is_match(identity)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant};

    use super::*;

    fn matches(pattern: &str, identity: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(identity)
    }

    #[test]
    fn a_pattern_matches_the_whole_identity() {
        for (pattern, identity, expected) in [
            ("*", "alice", true),
            ("*", "a\nb", true),
            ("alice", "alice", true),
            ("alice", "alice2", false),
            ("alice", "Alice", false),
            ("alice", "alice\n", false),
            ("customer-*", "customer-", true),
            ("customer-*", "my customer-1", false),
            ("*@example.com", "a@example.com", true),
            ("*@example.com", "a@exampleXcom", false),
            ("user-????", "user-12é4", true),
            ("user-????", "user-123", false),
            ("a+(b)[c]{1}^$|\\", "a+(b)[c]{1}^$|\\", true),
        ] {
            assert_eq!(
                matches(pattern, identity),
                expected,
                "{pattern} {identity:?}"
            );
        }
    }

    #[test]
    fn no_pattern_is_expensive() {
        let pattern = Pattern::new(&"*a".repeat(CHARS_MAX / 2)).unwrap();
        let began = Instant::now();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(255))));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn a_pattern_has_a_length() {
        assert!(Pattern::new("").is_none());
        assert!(Pattern::new(&"é".repeat(CHARS_MAX)).is_some());
        assert!(Pattern::new(&"é".repeat(CHARS_MAX + 1)).is_none());
    }
}
