//! Whose memories: the key under which a store holds the rows of one user.
//!
//! **Invariant:** two users never share a key. Nothing is trimmed, folded or cut; a name that no store
//! can hold is refused.

use std::fmt;
use std::sync::Arc;

/// Longest identity, and longest value of an attribute; LiveKit's own limit for identities.
///
/// Source: livekit/livekit, `pkg/config/config.go`, `MaxParticipantIdentityLength`.
const NAME_CHARS_MAX: usize = 256;

/// Longest name of an attribute.
pub(super) const ATTRIBUTE_CHARS_MAX: usize = 128;

/// Begins every key that is not simply an identity. An identity that begins like this is escaped.
const RESERVED: &str = "voxpool:";
const IDENTITY: &str = "voxpool:identity:";
const ATTRIBUTE: &str = "voxpool:attribute:";

/// Longest key in a store.
pub(super) const USER_CHARS_MAX: usize =
    ATTRIBUTE.len() + ATTRIBUTE_CHARS_MAX + "=".len() + NAME_CHARS_MAX;

/// A user: a participant's identity, or an attribute that the app vouches for. Either may be a
/// telephone number or an account, so it never reaches a log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The user with this identity; `None` for an identity that no store can hold, or that is blank.
    pub fn new(identity: &str) -> Option<Self> {
        let is_reserved = identity.starts_with(RESERVED);
        let key = || match is_reserved {
            true => format!("{IDENTITY}{identity}").into(),
            false => identity.into(),
        };
        is_name(identity).then(|| Self(key()))
    }

    /// The user whose attribute has this value, a namespace of its own beside the identities; `None`
    /// when no store can hold it, or when the value is blank.
    pub fn of_attribute(name: &str, value: &str) -> Option<Self> {
        let key = || format!("{ATTRIBUTE}{name}={value}").into();
        (is_attribute(name) && is_name(value)).then(|| Self(key()))
    }

    /// A key as a store returned it.
    pub(super) fn stored(key: String) -> Self {
        Self(key.into())
    }

    /// The key, for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Whether an attribute of this name can be part of a key.
pub(super) fn is_attribute(name: &str) -> bool {
    let is_plain = |c: char| c != '=' && !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.chars().all(is_plain) && is_within(name, ATTRIBUTE_CHARS_MAX)
}

fn is_name(text: &str) -> bool {
    // Postgres holds no NUL, and blank is what an app sends that has no name to send.
    !text.trim().is_empty() && !text.contains('\0') && is_within(text, NAME_CHARS_MAX)
}

fn is_within(text: &str, chars_max: usize) -> bool {
    text.chars().nth(chars_max).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identity_is_its_own_key_and_nothing_is_folded() {
        let names = ["alice", " alice ", "Alice", "e\u{301}", "é", "a\nb"];
        for name in names {
            assert_eq!(UserId::new(name).unwrap().expose(), name);
        }
    }

    #[test]
    fn a_name_that_cannot_be_held_is_refused() {
        let longest = "é".repeat(NAME_CHARS_MAX);
        assert!(UserId::new(&longest).is_some());
        for name in ["", "  ", "\n", "a\0b", &format!("{longest}x")] {
            assert_eq!(UserId::new(name), None, "{name:?}");
            assert_eq!(UserId::of_attribute("user.id", name), None, "{name:?}");
        }
        for name in [
            "",
            "a=b",
            "a b",
            "a\0",
            &"x".repeat(ATTRIBUTE_CHARS_MAX + 1),
        ] {
            assert_eq!(UserId::of_attribute(name, "42"), None, "{name:?}");
        }
    }

    #[test]
    fn the_longest_key_is_within_the_limit_of_the_stores() {
        let (name, value) = ("x".repeat(ATTRIBUTE_CHARS_MAX), "é".repeat(NAME_CHARS_MAX));
        let user = UserId::of_attribute(&name, &value).unwrap();
        assert_eq!(user.expose().chars().count(), USER_CHARS_MAX);
        let identity = format!("{RESERVED}{}", "x".repeat(NAME_CHARS_MAX - RESERVED.len()));
        let user = UserId::new(&identity).unwrap();
        assert!(user.expose().chars().count() <= USER_CHARS_MAX);
    }

    /// Names that try to look like keys.
    fn name() -> impl Strategy<Value = String> {
        let part = proptest::sample::select(vec![
            "voxpool:",
            "identity:",
            "attribute:",
            "user.id",
            "uid",
            "=",
            "42",
            " ",
            "a",
        ]);
        proptest::collection::vec(part, 1..7).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn two_users_never_share_a_key(a in name(), b in name()) {
            let users = |text: &str| {
                let (name, value) = text.split_once('=').unwrap_or(("user.id", text));
                [UserId::new(text), UserId::of_attribute(name, value)]
            };
            let ([a_identity, a_attribute], [b_identity, b_attribute]) = (users(&a), users(&b));
            prop_assert!(a_identity.is_none() || a_identity != b_attribute);
            prop_assert!(a_identity.is_none() || (a_identity == b_identity) == (a == b));
            if a_attribute.is_some() && a_attribute == b_attribute {
                let parts = |text: &str| text.split_once('=').map_or_else(
                    || ("user.id".to_owned(), text.to_owned()),
                    |(name, value)| (name.to_owned(), value.to_owned()),
                );
                prop_assert_eq!(parts(&a), parts(&b));
            }
        }
    }
}
