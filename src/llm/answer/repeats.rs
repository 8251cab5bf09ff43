//! Text that a service sends again: as the whole text so far with each piece, or once more at the end.

/// Fewer characters than this may stand twice in an answer by themselves, as in "ha, haha".
const CHARS_MIN: usize = 8;

/// Finds out what of each piece is new.
#[derive(Default)]
pub(super) struct Repeats {
    text: String,
    pieces: usize,
    is_cumulative: bool,
}

impl Repeats {
    /// What of the next piece was not there before. `is_last` says that the answer ends with it.
    pub(super) fn news(&mut self, piece: &str, is_last: bool) -> String {
        let is_cumulative = self.is_cumulative || self.begins_again(piece);
        let is_whole = is_last
            && self.pieces > 1
            && piece.trim() == self.text.trim()
            && piece.chars().nth(CHARS_MIN).is_some();
        let news = match piece.strip_prefix(self.text.as_str()) {
            _ if is_whole => "",
            Some(rest) if is_cumulative => rest,
            // What had been said was taken back; it cannot be unsaid.
            None if self.is_cumulative => "",
            _ => piece,
        };
        self.is_cumulative = is_cumulative;
        self.pieces += usize::from(!piece.is_empty());
        self.text.push_str(news);
        news.to_owned()
    }

    /// What of a whole message was not there before; a message beside deltas repeats them.
    pub(super) fn news_of_message(&mut self, message: &str) -> String {
        let news = message.strip_prefix(self.text.as_str()).unwrap_or_default();
        self.text.push_str(news);
        news.to_owned()
    }

    /// Whether the second piece holds the first and more: real second pieces go on instead.
    fn begins_again(&self, piece: &str) -> bool {
        if self.pieces != 1 || self.text.trim().is_empty() || piece.len() <= self.text.len() {
            return false;
        }
        let Some(rest) = piece.strip_prefix(self.text.as_str()) else {
            return false;
        };
        let is_long = self.text.chars().nth(CHARS_MIN - 1).is_some();
        // "I" and then "I'm": a name or a sentence does not begin in the middle of a word.
        let is_capital = self.text.starts_with(char::is_uppercase) && !self.text.contains(' ');
        let is_next_word = rest.starts_with(|c: char| !c.is_alphanumeric());
        is_long || is_capital || is_next_word && self.text.chars().nth(1).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&str]) -> String {
        let mut repeats = Repeats::default();
        let last = pieces.len() - 1;
        let news = |(place, piece): (usize, &&str)| repeats.news(piece, place == last);
        pieces.iter().enumerate().map(news).collect()
    }

    #[test]
    fn each_word_is_said_once() {
        for (pieces, expected) in [
            (&["Hi", " there", "."][..], "Hi there."),
            (
                &["Hi", "Hi there", "Hi there. How are you?"],
                "Hi there. How are you?",
            ),
            (&["H", "Hi", "Hi there"], "Hi there"),
            (&["Hi", " there, John", "Hi there, John"], "Hi there, John"),
            (&["ha", "ha", "haha"], "hahahaha"),
            (&["1", "1", "11"], "1111"),
            (&["no", " no", " nobody"], "no no nobody"),
            (&["a", "ab"], "aab"),
            (&["好", "好的"], "好好的"),
            (&["", "Hi", " there"], "Hi there"),
        ] {
            assert_eq!(said(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_message_beside_deltas_adds_what_is_missing() {
        let mut repeats = Repeats::default();
        repeats.news("Hi", false);
        assert_eq!(repeats.news_of_message("Hi there"), " there");
        assert_eq!(repeats.news_of_message("Hi there"), "");
        assert_eq!(repeats.news_of_message("Something else"), "");
        assert_eq!(Repeats::default().news_of_message("Hi"), "Hi");
    }
}
