//! How often a call takes what a participant sends to be answered or decoded.

use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::intake::InputKind;

/// Texts, completed keys and requests a second in the long run: faster than a person types, slow enough
/// that one caller cannot use up what all calls share of a model.
const MESSAGES_PER_SECOND: f64 = 5.0;

/// Messages at once: a page that is opened asks for all that it shows.
const MESSAGES_BURST: u32 = 10;

/// Recordings a second in the long run: one is sent for a microphone that is switched on.
const RECORDINGS_PER_SECOND: f64 = 0.1;

/// Recordings at once: those of a few participants of whom any may become the user.
const RECORDINGS_BURST: u32 = 4;

/// The rates of one call. Plain code; time is an argument.
pub(super) struct Rates {
    messages: TokenBucket,
    recordings: TokenBucket,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            messages: TokenBucket::new(MESSAGES_PER_SECOND, MESSAGES_BURST, now),
            recordings: TokenBucket::new(RECORDINGS_PER_SECOND, RECORDINGS_BURST, now),
        }
    }

    /// Whether one more input of this kind is taken now; `Err`: the bound that it exceeds.
    pub(super) fn admit(&mut self, now: Instant, kind: InputKind) -> Result<(), &'static str> {
        let (bucket, why) = match kind {
            InputKind::Recording => (&mut self.recordings, "more than one in ten seconds"),
            _ => (&mut self.messages, "more than five a second"),
        };
        bucket.try_take(now).then_some(()).ok_or(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keys_and_requests_share_one_rate_and_recordings_have_their_own() {
        let now = Instant::now();
        let mut rates = Rates::new(now);
        let kinds = [InputKind::Text, InputKind::Keys, InputKind::Request];
        let n_taken = (kinds.iter().cycle().take(30))
            .filter(|kind| rates.admit(now, **kind).is_ok())
            .count();
        assert_eq!(n_taken, 10);
        let n_taken = (0..30).filter(|_| rates.admit(now, InputKind::Recording).is_ok());
        assert_eq!(n_taken.count(), 4);
    }
}
