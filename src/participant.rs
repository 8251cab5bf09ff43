//! The user of a call as the room knows them: identity, kind, attributes. Plain code.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::redact::Pii;

/// How a participant reached the room, as far as participants can be users.
///
/// Source: livekit_models.proto, `ParticipantInfo.Kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantKind {
    /// An app: a browser or a telephone with the app's own front end.
    #[default]
    Standard,
    /// A telephone line, through LiveKit's SIP service.
    Sip,
    /// A connector, such as WhatsApp or Twilio.
    Connector,
}

impl ParticipantKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Sip, Self::Connector];
}

/// A participant at the moment in which they became the user of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// Who they are; unique in the room.
    pub identity: Pii<String>,
    /// How they reached the room.
    pub kind: ParticipantKind,
    /// What else the token and the server say of them.
    pub attributes: Pii<HashMap<String, String>>,
    /// Whether the participant itself can write its attributes (`canUpdateOwnMetadata`): what they
    /// say is then the participant's claim and not the app's.
    pub writes_attributes: bool,
}

impl Participant {
    /// A participant of the standard kind without attributes.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: Pii::new(identity.into()),
            ..Self::default()
        }
    }
}
