//! Who is remembered, and under which key: decided once, when a participant becomes the user.
//!
//! `shared` knows identities that many callers have, `pattern` compares identities with what the
//! configuration lists.

mod config;
mod pattern;
mod shared;

pub use self::config::Config;

use self::pattern::Pattern;
use super::user::UserId;
use crate::participant::{Participant, ParticipantKind};

/// The attribute in which LiveKit's SIP service puts the caller's number.
///
/// Source: livekit/protocol, `livekit/attrs.go`, `AttrSIPPhoneNumber`.
const PHONE_NUMBER: &str = "sip.phoneNumber";

/// Why nothing is saved and nothing is recalled of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unremembered {
    /// `memory.kinds` does not list the participant's kind.
    Kind,
    /// The key would be an attribute that the participant can write itself.
    OwnAttributes,
    /// No store can hold the identity or the attribute: it is blank, too long, or has a NUL.
    Unstorable,
    /// A starter template gives this identity to many callers.
    StarterTemplate,
    /// A telephone that withholds its number.
    WithheldNumber,
    /// `memory.identities` excludes the identity.
    Excluded,
    /// The identity came back in the same call under another key.
    Changed,
}

impl Unremembered {
    /// Every reason, in the order of their counts.
    pub const ALL: [Self; 7] = [
        Self::Kind,
        Self::OwnAttributes,
        Self::Unstorable,
        Self::StarterTemplate,
        Self::WithheldNumber,
        Self::Excluded,
        Self::Changed,
    ];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::OwnAttributes => "own_attributes",
            Self::Unstorable => "unstorable",
            Self::StarterTemplate => "starter_template",
            Self::WithheldNumber => "withheld_number",
            Self::Excluded => "excluded",
            Self::Changed => "changed",
        }
    }

    /// The reason in the log: what an operator can change.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Kind => "memory.kinds does not list the kind of this participant",
            Self::OwnAttributes => {
                "the participant can write its own attributes, so memory.key_attribute proves \
                 nothing: do not grant canUpdateOwnMetadata"
            }
            Self::Unstorable => "the identity or the attribute is blank, too long, or has a NUL",
            Self::StarterTemplate => {
                "a starter template gives this identity to many callers: let the app choose one \
                 for each account, or set memory.identities.starter_templates"
            }
            Self::WithheldNumber => "the caller withholds the telephone number",
            Self::Excluded => "memory.identities excludes this identity",
            Self::Changed => {
                "the same identity came back with another value of memory.key_attribute"
            }
        }
    }
}

/// The rules, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct Identities {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    keeps_starter_templates: bool,
    kinds: Vec<ParticipantKind>,
    key_attribute: Option<String>,
}

impl Default for Identities {
    fn default() -> Self {
        Self::new(&super::Config::default())
    }
}

impl Identities {
    pub(super) fn new(config: &super::Config) -> Self {
        let patterns = |texts: &[String]| texts.iter().filter_map(|it| Pattern::new(it)).collect();
        let key_attribute = Some(&config.key_attribute).filter(|it| !it.is_empty());
        Self {
            include: patterns(&config.identities.include),
            exclude: patterns(&config.identities.exclude),
            keeps_starter_templates: config.identities.starter_templates,
            kinds: config.kinds.clone(),
            key_attribute: key_attribute.cloned(),
        }
    }

    /// Whose memories those of this participant are.
    pub(super) fn user(&self, participant: &Participant) -> Result<UserId, Unremembered> {
        if !self.kinds.contains(&participant.kind) {
            return Err(Unremembered::Kind);
        }
        match self.attribute(participant) {
            Some((name, value)) => of_attribute(name, value, participant),
            None => self.of_identity(participant.identity.expose()),
        }
    }

    /// The attribute that stands for the participant instead of the identity, if there is one.
    fn attribute<'a>(&'a self, participant: &'a Participant) -> Option<(&'a str, &'a str)> {
        let name = self.key_attribute.as_deref()?;
        let value = participant.attributes.expose().get(name)?;
        // The protocol deletes an attribute by setting it to nothing.
        (!value.is_empty()).then_some((name, value.as_str()))
    }

    fn of_identity(&self, identity: &str) -> Result<UserId, Unremembered> {
        let user = UserId::new(identity).ok_or(Unremembered::Unstorable)?;
        if !self.keeps_starter_templates && shared::is_of_starter_template(identity) {
            return Err(Unremembered::StarterTemplate);
        }
        if shared::is_withheld_identity(identity) {
            return Err(Unremembered::WithheldNumber);
        }
        let is_one = |patterns: &[Pattern]| patterns.iter().any(|it| it.matches(identity));
        if is_one(&self.exclude) || !is_one(&self.include) {
            return Err(Unremembered::Excluded);
        }
        Ok(user)
    }
}

fn of_attribute(
    name: &str,
    value: &str,
    participant: &Participant,
) -> Result<UserId, Unremembered> {
    if participant.writes_attributes {
        return Err(Unremembered::OwnAttributes);
    }
    if name == PHONE_NUMBER && shared::is_withheld(value) {
        return Err(Unremembered::WithheldNumber);
    }
    UserId::of_attribute(name, value).ok_or(Unremembered::Unstorable)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::memory::Config;
    use crate::redact::Pii;

    fn participant(identity: &str, attributes: &[(&str, &str)]) -> Participant {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Participant {
            attributes: Pii::new(attributes.iter().map(owned).collect::<HashMap<_, _>>()),
            ..Participant::new(identity)
        }
    }

    fn identities(change: impl FnOnce(&mut Config)) -> Identities {
        let mut config = Config::default();
        change(&mut config);
        Identities::new(&config)
    }

    /// The key, or why there is none.
    fn key(identities: &Identities, participant: &Participant) -> String {
        match identities.user(participant) {
            Ok(user) => user.expose().to_owned(),
            Err(why) => format!("not remembered: {}", why.label()),
        }
    }

    #[test]
    fn by_default_an_identity_of_its_own_is_remembered() {
        let identities = Identities::default();
        for (identity, expected) in [
            ("alice", "alice"),
            (" alice ", " alice "),
            ("sip_+15551234567", "sip_+15551234567"),
            (
                "voice_assistant_user_4711",
                "not remembered: starter_template",
            ),
            ("sip_anonymous", "not remembered: withheld_number"),
            (" ", "not remembered: unstorable"),
        ] {
            assert_eq!(key(&identities, &participant(identity, &[])), expected);
        }
    }

    #[test]
    fn patterns_include_and_exclude() {
        let identities = identities(|config| {
            config.identities.include = vec!["customer-*".to_owned(), "user-*".to_owned()];
            config.identities.exclude = vec!["*-test".to_owned()];
        });
        for (identity, expected) in [
            ("customer-1", "customer-1"),
            ("customer-test", "not remembered: excluded"),
            ("guest-1", "not remembered: excluded"),
            ("user-1234", "not remembered: starter_template"),
        ] {
            assert_eq!(key(&identities, &participant(identity, &[])), expected);
        }
        let trusting = self::identities(|config| config.identities.starter_templates = true);
        assert_eq!(key(&trusting, &participant("user-1234", &[])), "user-1234");
    }

    #[test]
    fn kinds_that_are_not_listed_are_not_remembered() {
        let identities = identities(|config| {
            config.kinds = vec![ParticipantKind::Standard];
            config.key_attribute = "user.id".to_owned();
        });
        for kind in [ParticipantKind::Sip, ParticipantKind::Connector] {
            let participant = Participant {
                kind,
                ..participant("sip_+1555", &[("user.id", "42")])
            };
            assert_eq!(key(&identities, &participant), "not remembered: kind");
        }
    }

    #[test]
    fn an_attribute_comes_before_the_identity() {
        let identities = identities(|config| config.key_attribute = "user.id".to_owned());
        for (value, expected) in [
            ("42", "voxpool:attribute:user.id=42"),
            (" 42", "voxpool:attribute:user.id= 42"),
            (" ", "not remembered: unstorable"),
            ("", "alice"),
        ] {
            let participant = participant("alice", &[("user.id", value), ("other", "1")]);
            assert_eq!(key(&identities, &participant), expected, "{value:?}");
        }
        let random = participant("voice_assistant_user_1", &[("user.id", "42")]);
        assert_eq!(key(&identities, &random), "voxpool:attribute:user.id=42");
    }

    #[test]
    fn an_attribute_that_its_owner_can_write_proves_nothing() {
        let identities = identities(|config| config.key_attribute = "user.id".to_owned());
        let claims = Participant {
            writes_attributes: true,
            ..participant("mallory", &[("user.id", "alice")])
        };
        assert_eq!(key(&identities, &claims), "not remembered: own_attributes");
        let claims_nothing = Participant {
            writes_attributes: true,
            ..participant("mallory", &[])
        };
        assert_eq!(key(&identities, &claims_nothing), "mallory");
    }

    #[test]
    fn a_withheld_number_is_no_attribute_to_be_known_by() {
        let identities = identities(|config| config.key_attribute = PHONE_NUMBER.to_owned());
        let call = |number| participant("sip_1", &[(PHONE_NUMBER, number)]);
        let expected = "not remembered: withheld_number";
        assert_eq!(key(&identities, &call("Anonymous")), expected);
        let expected = "voxpool:attribute:sip.phoneNumber=+1555";
        assert_eq!(key(&identities, &call("+1555")), expected);
    }
}
