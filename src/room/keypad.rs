//! The keys that a caller presses on a telephone, gathered to what they mean: a number, a choice.

use std::time::Duration;

use tokio::time::Instant;

/// A pause after which what was pressed is complete.
const PAUSE: Duration = Duration::from_secs(2);

/// Keys that are gathered at most: a card number and its date.
const KEYS_MAX: usize = 32;

/// The key that completes what was pressed at once.
///
/// Source: livekit-agents 1.8.9, `GetDtmfTask`, `dtmf_stop_event`.
const DONE: char = '#';

/// Keys that wait for more.
#[derive(Default)]
pub(super) struct Keypad {
    keys: String,
    complete_at: Option<Instant>,
}

impl Keypad {
    /// A key is pressed; returns what was pressed when that completes it.
    pub(super) fn press(&mut self, now: Instant, key: &str) -> Option<String> {
        let is_key = |c: &char| c.is_ascii_digit() || "*#ABCD".contains(*c);
        let key = key.chars().next().filter(is_key)?;
        if key == DONE {
            return self.complete();
        }
        self.keys.push(key);
        self.complete_at = Some(now + PAUSE);
        (self.keys.len() >= KEYS_MAX).then(|| self.complete())?
    }

    /// When what was pressed is complete without another key.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.complete_at
    }

    /// What was pressed, in words for the model; nothing when nothing was.
    pub(super) fn complete(&mut self) -> Option<String> {
        self.complete_at = None;
        let keys = std::mem::take(&mut self.keys);
        (!keys.is_empty()).then(|| format!("I pressed {keys} on my telephone's keypad."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keypad: &mut Keypad, keys: &str) -> Option<String> {
        let mut last = None;
        for key in keys.chars() {
            assert_eq!(last, None, "complete before {key}");
            last = keypad.press(Instant::now(), &key.to_string());
        }
        last
    }

    #[test]
    fn a_number_is_complete_at_the_hash_key() {
        let mut keypad = Keypad::default();
        let number = press(&mut keypad, "12*4#").unwrap();
        assert!(number.contains(" 12*4 "), "{number}");
        assert_eq!(keypad.deadline(), None);
        assert_eq!(press(&mut keypad, "#"), None, "nothing was pressed");
    }

    #[test]
    fn a_number_is_complete_after_a_pause_or_when_it_is_too_long() {
        let mut keypad = Keypad::default();
        let now = Instant::now();
        assert_eq!(keypad.press(now, "7"), None);
        assert_eq!(keypad.press(now + PAUSE / 2, "x"), None, "no key");
        assert_eq!(keypad.deadline(), Some(now + PAUSE));
        assert!(keypad.complete().unwrap().contains(" 7 "));
        assert!(press(&mut keypad, &"1".repeat(KEYS_MAX)).is_some());
    }
}
