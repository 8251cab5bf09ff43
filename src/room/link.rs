//! The user: the one participant the agent listens and talks to, as the parts of the room share it.
//! `presence` decides who it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use livekit::participant::ParticipantKind;
use livekit::prelude::{ParticipantIdentity, RemoteParticipant, TrackSid};

use crate::participant::{Participant, ParticipantKind as Kind};
use crate::redact::Pii;

/// Set on participants that speak for another one (an avatar's worker): never the user.
///
/// Source: livekit-agents 1.8.9, `ATTRIBUTE_PUBLISH_ON_BEHALF`.
const PUBLISH_ON_BEHALF: &str = "lk.publish_on_behalf";

/// Who the user is and which microphone is theirs; shared by the input and the transcripts.
#[derive(Default)]
pub(super) struct Link {
    linked: Mutex<Linked>,
    hides_transcripts: AtomicBool,
}

/// Counts the users of a call. Messages that are queued for one user carry their number, so that a full
/// queue or a slow connection never shows them to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserNumber(u32);

#[derive(Clone, Default)]
pub(super) struct Linked {
    pub(super) number: UserNumber,
    /// `None` while they are away.
    pub(super) user: Option<ParticipantIdentity>,
    pub(super) microphone: Option<TrackSid>,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Linked> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> Linked {
        self.lock().clone()
    }

    pub(super) fn is_user(&self, identity: &ParticipantIdentity) -> bool {
        self.lock().user.as_ref() == Some(identity)
    }

    pub(super) fn set_user(&self, identity: ParticipantIdentity) {
        let mut linked = self.lock();
        (linked.user, linked.microphone) = (Some(identity), None);
    }

    pub(super) fn set_microphone(&self, sid: Option<TrackSid>) {
        self.lock().microphone = sid;
    }

    /// Whether the front end wants to read what is said.
    pub(super) fn shows_transcripts(&self) -> bool {
        !self.hides_transcripts.load(Ordering::Relaxed)
    }

    pub(super) fn show_transcripts(&self, is_shown: bool) {
        self.hides_transcripts.store(!is_shown, Ordering::Relaxed);
    }

    /// The user is away. Their front end is gone, and with it what it has switched off.
    pub(super) fn clear(&self) {
        let mut linked = self.lock();
        (linked.user, linked.microphone) = (None, None);
        self.show_transcripts(true);
    }

    /// The user is gone: who comes next is another one.
    pub(super) fn next_user(&self) {
        self.clear();
        self.lock().number.0 += 1;
    }

    pub(super) fn number(&self) -> UserNumber {
        self.lock().number
    }
}

/// Whether an agent talks to such a participant: people on screens and telephones.
///
/// Source: livekit-agents 1.8.9, `DEFAULT_PARTICIPANT_KINDS`.
pub(super) fn may_be_user(participant: &RemoteParticipant) -> bool {
    is_person(participant.kind()) && !participant.attributes().contains_key(PUBLISH_ON_BEHALF)
}

fn is_person(kind: ParticipantKind) -> bool {
    matches!(
        kind,
        ParticipantKind::Standard | ParticipantKind::Sip | ParticipantKind::Connector
    )
}

/// The participant as the rest of the program knows them.
///
/// The token of LiveKit's SIP service lets the service write attributes (livekit/protocol,
/// `sip/token.go`); the caller cannot, and the same holds for connectors.
pub(super) fn described(participant: &RemoteParticipant) -> Participant {
    let kind = match participant.kind() {
        ParticipantKind::Sip => Kind::Sip,
        ParticipantKind::Connector => Kind::Connector,
        _ => Kind::Standard,
    };
    // A server that does not say what the participant may do gets no trust for it.
    let permission = participant.permission();
    let may_write = permission.is_none_or(|it| it.can_update_metadata);
    Participant {
        identity: Pii::new(participant.identity().to_string()),
        kind,
        attributes: Pii::new(participant.attributes()),
        writes_attributes: may_write && kind == Kind::Standard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_recorders_are_no_users() {
        assert!(is_person(ParticipantKind::Standard) && is_person(ParticipantKind::Sip));
        assert!(!is_person(ParticipantKind::Agent) && !is_person(ParticipantKind::Egress));
    }
}
