//! Identities that only look unique: many callers get the same one.

use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

/// Identities that starter templates and guides give to every caller.
///
/// Sources: livekit-examples/realtime-playground 9c091a4 and gemini-playground b685105,
/// `web/src/app/api/token/route.ts` (`human`); livekit-examples/token-server-node,
/// `src/main.ts` (`demo-user`); LiveKit's guide to token endpoints (`quickstart-identity`,
/// `quickstart-username`).
const CONSTANT: &[&str] = &[
    "human",
    "demo-user",
    "quickstart-identity",
    "quickstart-username",
];

/// Identities that starter templates draw: a prefix, so many characters, and of which.
///
/// Sources, each with the number of values:
/// - `voice_assistant_user_`, 10,000: livekit-examples/agent-starter-react f59a6b1,
///   `app/api/token/route.ts`; agent-starter-embed ded6e3f and voice-assistant-frontend 3f214ee,
///   `app/api/connection-details/route.ts`; livekit/components-js aac048a, `tokenCore.ts` of its
///   storybook. Forks of them draw five digits.
/// - `user-`, 9,000: livekit-examples/voice-assistant-swift, `AppViewModel.swift`, and
///   voice-assistant-flutter, `app_ctrl.dart`, also in the first versions of agent-starter-swift and
///   agent-starter-flutter.
/// - `test-identity-`, 100,000: livekit/components-js aac048a, `examples/nextjs/lib/helper.ts`,
///   which cuts a fraction off after five characters.
///
/// Not here, because they draw from more than a million: livekit/agents-playground ee0b50c (`user-`
/// and eight hexadecimal digits), livekit-examples/meet 6da2b8e (the participant's name and four
/// letters or digits).
const DRAWN: &[(&str, RangeInclusive<usize>, &str)] = &[
    ("voice_assistant_user_", 1..=5, "0123456789"),
    ("user-", 4..=4, "0123456789"),
    ("test-identity-", 1..=5, "0123456789."),
];

/// Names of a caller who withholds the number: those of the standards, those that carriers use, and
/// "anonymous", "restricted", "blocked", "unknown" and "unavailable" as keys of a telephone.
///
/// Source: RFC 3323, section 4.1.1.3 (`anonymous`); RFC 7315 and carriers' practice for the others.
const WITHHELD: &[&str] = &[
    "",
    "anonymous",
    "blocked",
    "private",
    "restricted",
    "unavailable",
    "unknown",
    "withheld",
    "266696687",
    "7378742833",
    "2562533",
    "8656696",
    "86282452253",
];

/// Before a caller's number in the identities of LiveKit's SIP service.
///
/// Source: livekit/protocol, `sip/sip.go`, `EvaluateDispatchRule`.
const SIP: &str = "sip_";

/// Whether a starter template gives this identity to many callers.
pub(super) fn is_of_starter_template(identity: &str) -> bool {
    let is_drawn = |(prefix, lengths, digits): &(&str, RangeInclusive<usize>, &str)| {
        let drawn = identity.strip_prefix(prefix);
        drawn
            .is_some_and(|it| lengths.contains(&it.len()) && it.chars().all(|c| digits.contains(c)))
    };
    CONSTANT.contains(&identity) || DRAWN.iter().any(is_drawn)
}

/// Whether the identity is that of every telephone that withholds its number.
pub(super) fn is_withheld_identity(identity: &str) -> bool {
    let number = identity.strip_prefix(SIP);
    number.is_some_and(|number| is_withheld(number) || is_withheld_hash(number))
}

/// Whether this is no number but what stands for one that is withheld.
pub(super) fn is_withheld(number: &str) -> bool {
    let number = number.strip_prefix('+').unwrap_or(number);
    WITHHELD.iter().any(|it| number.eq_ignore_ascii_case(it))
}

/// The same where the dispatch rule hides numbers: the identity is the start of a hash.
///
/// Source: livekit/protocol, `sip/sip.go`, `HidePhoneNumber`.
fn is_withheld_hash(hash: &str) -> bool {
    let is_hash_of = |number: &str| {
        let digest = Sha256::digest(number.as_bytes());
        let start = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        start.collect::<String>() == hash
    };
    let capitalised = |name: &str| {
        let mut letters = name.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    hash.len() == 16
        && WITHHELD.iter().any(|name| {
            let plus = format!("+{name}");
            [name, &*capitalised(name), &*plus]
                .into_iter()
                .any(is_hash_of)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starter_templates_draw_is_known() {
        for identity in [
            "voice_assistant_user_0",
            "voice_assistant_user_9999",
            "voice_assistant_user_99999",
            "user-1000",
            "user-9999",
            "test-identity-12345",
            "test-identity-345.6",
            "human",
            "quickstart-identity",
        ] {
            assert!(is_of_starter_template(identity), "{identity}");
        }
    }

    #[test]
    fn what_an_app_draws_from_many_values_is_not_of_them() {
        for identity in [
            "voice_assistant_user_",
            "voice_assistant_user_123456",
            "voice_assistant_user_8d1e2f0a",
            "my_voice_assistant_user_1",
            "user-42",
            "user-12345",
            "user-3f9a",
            "user-12345678",
            "user_1234",
            "alice__x7k2",
            "Human",
            "humans",
        ] {
            assert!(!is_of_starter_template(identity), "{identity}");
        }
    }

    #[test]
    fn withheld_numbers_are_known() {
        for identity in [
            "sip_",
            "sip_anonymous",
            "sip_Anonymous",
            "sip_RESTRICTED",
            "sip_+266696687",
            "sip_266696687",
            // The SHA-256 of "anonymous" and of the empty text begin like this.
            "sip_2f183a4e64493af3",
            "sip_e3b0c44298fc1c14",
        ] {
            assert!(is_withheld_identity(identity), "{identity}");
        }
        for identity in [
            "anonymous",
            "sip_+15551234567",
            "sip_c15a31c71649a522",
            "sip_anonymous2",
        ] {
            assert!(!is_withheld_identity(identity), "{identity}");
        }
    }
}
