//! Words of any script, as Unicode divides them.

use unicode_segmentation::UnicodeSegmentation;

/// The words of a text, without spaces and marks.
///
/// Source: UAX #29, word boundaries. Scripts that are written without spaces have no words there: each
/// ideograph, and each Thai letter, counts as one.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.unicode_words()
}

/// How many words a text has.
pub fn count_words(text: &str) -> usize {
    words(text).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_every_script() {
        for (text, expected) in [
            ("stop now", 2),
            ("  Well, yes — I'd say so. ", 5),
            ("等一下我想问别的事情", 10),
            ("ちょっと待って", 7),
            ("잠깐만요 잠시만", 2),
            ("मुझे रुकना है", 3),
            ("لحظة من فضلك", 3),
            ("… ?!", 0),
            ("", 0),
        ] {
            assert_eq!(count_words(text), expected, "{text}");
        }
    }
}
