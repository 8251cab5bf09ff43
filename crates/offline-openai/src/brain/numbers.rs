//! Numbers as words, so that what is said and what is written are the same.

const SMALL: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: &[&str] = &[
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

/// A whole number in words, without hyphens; a million and more is "very many".
pub(super) fn in_words(n: u64) -> String {
    match n {
        0..20 => SMALL[n as usize].to_owned(),
        20..100 => joined(TENS[(n / 10) as usize].to_owned(), n % 10),
        100..1_000 => joined(format!("{} hundred", in_words(n / 100)), n % 100),
        1_000..1_000_000 => joined(format!("{} thousand", in_words(n / 1_000)), n % 1_000),
        _ => "very many".to_owned(),
    }
}

fn joined(start: String, rest: u64) -> String {
    if rest == 0 {
        start
    } else {
        format!("{start} {}", in_words(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        for (n, expected) in [
            (0, "zero"),
            (13, "thirteen"),
            (20, "twenty"),
            (47, "forty seven"),
            (300, "three hundred"),
            (1_912, "one thousand nine hundred twelve"),
            (5_000_000, "very many"),
        ] {
            assert_eq!(in_words(n), expected);
        }
    }
}
