//! Decides which participant is the user: the first one, and after an absence the same one or the next.
//! Plain code; time is an argument.

use std::time::Duration;

use livekit::participant::ParticipantKind;
use livekit::prelude::DisconnectReason;
use tokio::time::Instant;

use super::user::UserChange;
use crate::participant::Participant;
use crate::redact::Pii;

/// How long a user who has joined again may take to connect.
const ACTIVE_WITHIN: Duration = Duration::from_secs(5);

/// How a participant left a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// For good.
    Final,
    /// By choice, or to load the page anew. The call is over unless they return.
    HungUp,
    /// By a failure, or removed by an operator. The next participant takes over unless they return.
    Lost,
}

impl Departure {
    /// Interprets the server's reason for a participant of this kind.
    ///
    /// A page that is reloaded and a user who hangs up are one and the same here: LiveKit's web client
    /// leaves the room when its page goes (`disconnectOnPageLeave`), and says `CLIENT_INITIATED` both
    /// times. A telephone has no page: its hang-up is final, and so is that of a connector.
    ///
    /// Source: livekit-client 2.23, `Room.ts`, `onPageLeave`, `SignalClient.ts`, `sendLeave`. The list of
    /// final reasons: livekit-agents 1.8.9, `DEFAULT_CLOSE_ON_DISCONNECT_REASONS`, which counts
    /// `CLIENT_INITIATED` in.
    pub(super) fn new(reason: DisconnectReason, kind: ParticipantKind) -> Self {
        match (reason, kind) {
            (DisconnectReason::RoomDeleted | DisconnectReason::UserRejected, _) => Self::Final,
            (DisconnectReason::ClientInitiated, ParticipantKind::Standard) => Self::HungUp,
            (DisconnectReason::ClientInitiated, _) => Self::Final,
            _ => Self::Lost,
        }
    }
}

/// The user so far.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// No participant yet.
    Expected,
    There(String),
    /// The call waits for this identity until `by`.
    Away {
        identity: String,
        departure: Departure,
        by: Instant,
    },
    Over,
}

/// Decides who the user is. Identities are compared here and nowhere else.
#[derive(Debug)]
pub(super) struct Presence {
    return_within: Duration,
    state: State,
}

impl Presence {
    /// A call that waits so long for a user who may come back.
    pub(super) fn new(return_within: Duration) -> Self {
        Self {
            return_within,
            state: State::Expected,
        }
    }

    /// A participant who may be the user is in the room. One who comes back is there once they are
    /// [active](Self::active): what is said or sent to them before does not arrive.
    pub(super) fn arrived(&mut self, now: Instant, identity: &str) -> Option<UserChange> {
        match &mut self.state {
            State::Expected => {
                self.state = State::There(identity.to_owned());
                Some(UserChange::Joined(Participant::new(identity)))
            }
            State::Away {
                identity: user, by, ..
            } if user == identity => {
                *by = (*by).max(now + ACTIVE_WITHIN);
                None
            }
            _ => None,
        }
    }

    /// Audio and data of a participant pass from here on.
    pub(super) fn active(&mut self, identity: &str) -> Option<UserChange> {
        if !matches!(&self.state, State::Away { identity: user, .. } if user == identity) {
            return None;
        }
        self.state = State::There(identity.to_owned());
        Some(UserChange::Returned(Pii::new(identity.to_owned())))
    }

    /// A participant is gone.
    pub(super) fn left(
        &mut self,
        now: Instant,
        identity: &str,
        departure: Departure,
    ) -> Option<UserChange> {
        if !matches!(&self.state, State::There(user) if user == identity) {
            return None;
        }
        if departure == Departure::Final {
            self.state = State::Over;
            return Some(UserChange::Left);
        }
        self.state = State::Away {
            identity: identity.to_owned(),
            departure,
            by: now + self.return_within,
        };
        Some(UserChange::Away)
    }

    /// Until when the call waits for the user.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Away { by, .. } => Some(*by),
            _ => None,
        }
    }

    /// How long the call still waits for the user.
    pub(super) fn waits_for(&self, now: Instant) -> Duration {
        let by = self.deadline();
        by.map_or(Duration::ZERO, |by| by.saturating_duration_since(now))
    }

    /// Ends the wait if its time has passed. `next` names another participant who may be the user.
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        next: impl FnOnce() -> Option<String>,
    ) -> Vec<UserChange> {
        let State::Away { departure, by, .. } = &self.state else {
            return Vec::new();
        };
        if now < *by {
            return Vec::new();
        }
        let next = (*departure == Departure::Lost).then(next).flatten();
        let Some(next) = next else {
            self.state = State::Over;
            return vec![UserChange::Left];
        };
        self.state = State::There(next.clone());
        vec![
            UserChange::Gone,
            UserChange::Joined(Participant::new(&next)),
        ]
    }

    /// Whether the participant is the user, there or awaited.
    pub(super) fn is_user(&self, identity: &str) -> bool {
        match &self.state {
            State::There(user) | State::Away { identity: user, .. } => user == identity,
            State::Expected | State::Over => false,
        }
    }

    /// Whether the participant is the user or can become it: no user was there yet.
    pub(super) fn may_be_user(&self, identity: &str) -> bool {
        self.state == State::Expected || self.is_user(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);
    const LATE: Duration = Duration::from_secs(11);

    fn joined(identity: &str) -> UserChange {
        UserChange::Joined(Participant::new(identity))
    }

    /// A call whose user, ann, left like this at the returned time.
    fn left(departure: Departure) -> (Presence, Instant) {
        let (mut presence, now) = (Presence::new(WINDOW), Instant::now());
        assert_eq!(presence.arrived(now, "ann"), Some(joined("ann")));
        assert_eq!(presence.active("ann"), None, "she was not away");
        assert_eq!(presence.arrived(now, "bob"), None, "ann is the user");
        presence.left(now, "bob", Departure::Final);
        let change = presence.left(now, "ann", departure);
        let is_final = departure == Departure::Final;
        let expected = if is_final {
            UserChange::Left
        } else {
            UserChange::Away
        };
        assert_eq!(change, Some(expected));
        (presence, now)
    }

    #[test]
    fn only_the_same_identity_returns_and_only_in_time() {
        for departure in [Departure::HungUp, Departure::Lost] {
            let (mut presence, now) = left(departure);
            let returned = UserChange::Returned(Pii::new("ann".to_owned()));
            assert_eq!(presence.deadline(), Some(now + WINDOW));
            assert_eq!(presence.waits_for(now + WINDOW / 2), WINDOW / 2);
            assert_eq!(presence.arrived(now, "bob"), None);
            assert_eq!(presence.active("bob"), None);
            assert!(presence.is_user("ann") && !presence.may_be_user("bob"));
            let early = || panic!("it is too early to ask");
            assert!(presence.give_up(now + WINDOW / 2, early).is_empty());
            let late = now + WINDOW * 9 / 10;
            assert_eq!(presence.arrived(late, "ann"), None);
            assert_eq!(presence.deadline(), Some(late + ACTIVE_WITHIN));
            assert_eq!(presence.active("ann"), Some(returned));
            assert_eq!(presence.deadline(), None);
            assert!(presence.give_up(now + LATE, || None).is_empty());
        }
    }

    #[test]
    fn a_lost_user_is_followed_by_the_next_and_one_who_hung_up_ends_the_call() {
        let next = || Some("bob".to_owned());
        let (mut presence, now) = left(Departure::Lost);
        let changes = presence.give_up(now + LATE, next);
        assert_eq!(changes, [UserChange::Gone, joined("bob")]);
        assert!(presence.is_user("bob") && !presence.is_user("ann"));
        assert_eq!(presence.arrived(now, "ann"), None, "bob is the user");

        let (mut presence, now) = left(Departure::Lost);
        assert_eq!(presence.give_up(now + LATE, || None), [UserChange::Left]);
        let (mut presence, now) = left(Departure::HungUp);
        assert_eq!(presence.give_up(now + LATE, next), [UserChange::Left]);
        assert_eq!(presence.arrived(now, "ann"), None, "the call is over");
        let (presence, _) = left(Departure::Final);
        assert_eq!(presence.deadline(), None);
    }

    #[test]
    fn without_a_window_the_wait_is_over_at_once() {
        let mut presence = Presence::new(Duration::ZERO);
        let now = Instant::now();
        presence.arrived(now, "ann");
        presence.left(now, "ann", Departure::Lost);
        assert_eq!(presence.give_up(now, || None), [UserChange::Left]);
    }

    #[test]
    fn a_page_may_come_back_and_a_telephone_does_not() {
        use DisconnectReason as R;
        use ParticipantKind::{Sip, Standard};
        for (reason, kind, departure) in [
            (R::ClientInitiated, Standard, Departure::HungUp),
            (R::ClientInitiated, Sip, Departure::Final),
            (R::ConnectionTimeout, Sip, Departure::Lost),
            (R::SignalClose, Standard, Departure::Lost),
            (R::ParticipantRemoved, Standard, Departure::Lost),
            (R::DuplicateIdentity, Standard, Departure::Lost),
            (R::RoomDeleted, Standard, Departure::Final),
            (R::UserRejected, Sip, Departure::Final),
        ] {
            assert_eq!(Departure::new(reason, kind), departure, "{reason:?}");
        }
    }
}
