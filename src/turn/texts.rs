//! Typed texts that wait to be answered, together.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of a typed text, and of all that are answered together: four pages. More is no turn of a
/// conversation.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;

/// How long texts wait for each other while the answer to an earlier one is being made and not heard.
/// Each answer is a request to the model, which the next text stops.
pub(crate) const TEXTS_APART: Duration = Duration::from_secs(1);

/// Texts that wait. They are answered as one turn, each on lines of its own.
#[derive(Default)]
pub(crate) struct WaitingTexts {
    texts: VecDeque<String>,
    n_bytes: usize,
}

impl WaitingTexts {
    /// Adds a text. Returns how many of the oldest had to leave for it.
    pub(crate) fn push(&mut self, text: String) -> usize {
        self.n_bytes += text.len() + 1;
        self.texts.push_back(text);
        let n_before = self.texts.len();
        // Each has a line break behind it, the last one has not.
        while self.n_bytes > TEXT_BYTES_MAX + 1 && self.texts.len() > 1 {
            let oldest = self.texts.pop_front();
            self.n_bytes -= oldest.map_or(0, |text| text.len() + 1);
        }
        n_before - self.texts.len()
    }

    /// Takes all of them as one text.
    pub(crate) fn take(&mut self) -> Option<String> {
        self.n_bytes = 0;
        let texts = Vec::from(std::mem::take(&mut self.texts));
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_as_one_and_the_oldest_leave_whole() {
        let mut texts = WaitingTexts::default();
        assert_eq!(texts.take(), None);
        assert_eq!(
            texts.push("one".to_owned()) + texts.push("two".to_owned()),
            0
        );
        assert_eq!(texts.take().unwrap(), "one\ntwo");
        let dropped: usize = (0..1_000).map(|n| texts.push(format!("{n:08}"))).sum();
        let taken = texts.take().unwrap();
        assert!((8_000..=TEXT_BYTES_MAX).contains(&taken.len()));
        assert_eq!(taken.lines().count() + dropped, 1_000);
        assert!(taken.starts_with("0000") && taken.ends_with("00000999"));
        assert!(texts.is_empty());
        assert_eq!(texts.push("x".repeat(TEXT_BYTES_MAX)), 0);
        assert_eq!(texts.push("y".repeat(TEXT_BYTES_MAX)), 1);
        assert_eq!(texts.take().unwrap(), "y".repeat(TEXT_BYTES_MAX));
    }
}
