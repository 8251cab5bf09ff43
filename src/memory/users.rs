//! Under which key the turns of a call are remembered: a turn names its user by identity only.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::UserId;
use crate::redact::Pii;

/// Users of one call that are told apart; the first one goes when there are more, and what they still
/// said is not remembered.
const USERS_MAX: usize = 32;

/// The users of a call so far. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct CallUsers(Arc<Mutex<VecDeque<Joined>>>);

struct Joined {
    identity: Pii<String>,
    /// The key; `None` for a user who is not remembered.
    user: Option<UserId>,
}

impl CallUsers {
    /// Notes that a participant became the user. Returns whether the identity stands for the same key
    /// as before in this call. Otherwise a turn of the first could be taken for one of the second, so
    /// none of either is remembered from now on.
    pub(super) fn joined(&self, identity: &Pii<String>, user: Option<UserId>) -> bool {
        let mut all = self.lock();
        if let Some(known) = all.iter_mut().find(|it| it.identity == *identity) {
            let is_same = known.user == user;
            if !is_same {
                known.user = None;
            }
            return is_same;
        }
        if all.len() >= USERS_MAX {
            all.pop_front();
        }
        let identity = identity.clone();
        all.push_back(Joined { identity, user });
        true
    }

    /// The key of the user with this identity, if they are remembered.
    pub(super) fn of(&self, identity: &Pii<String>) -> Option<UserId> {
        let all = self.lock();
        let known = all.iter().find(|it| it.identity == *identity)?;
        known.user.clone()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Joined>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Pii<String> {
        Pii::new(name.to_owned())
    }

    #[test]
    fn an_identity_that_comes_back_under_another_key_is_not_remembered() {
        let users = CallUsers::default();
        let account = |value| UserId::of_attribute("user.id", value);
        assert!(users.joined(&identity("guest"), account("1")));
        assert!(
            users.joined(&identity("guest"), account("1")),
            "a page reloaded"
        );
        assert_eq!(users.of(&identity("guest")), account("1"));
        assert!(!users.joined(&identity("guest"), account("2")));
        assert_eq!(users.of(&identity("guest")), None);
        assert!(!users.joined(&identity("guest"), account("1")));
        assert_eq!(users.of(&identity("guest")), None);
    }

    #[test]
    fn the_first_users_go_when_there_are_too_many() {
        let users = CallUsers::default();
        for n in 0..=USERS_MAX {
            let name = format!("user{n}");
            users.joined(&identity(&name), UserId::new(&name));
        }
        assert_eq!(users.of(&identity("user0")), None);
        assert_eq!(users.of(&identity("user1")), UserId::new("user1"));
        assert_eq!(users.of(&identity("stranger")), None);
        assert_eq!(users.lock().len(), USERS_MAX);
    }
}
