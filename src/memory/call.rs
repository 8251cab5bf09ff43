//! The memory in one call: whose it is, what the model is told, what is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::briefing::Briefing;
use super::categories::Categories;
use super::forgets::Forgets;
use super::identities::Unremembered;
use super::memories::{Memories, UserMemories};
use super::recorder::Recorder;
use super::users::CallUsers;
use crate::participant::Participant;

/// The memory of a call. It belongs to the user who is there: nobody at first, and somebody else
/// when the user leaves and another one stays.
pub struct CallMemory {
    memories: Memories,
    user: CurrentUser,
    users: CallUsers,
    forgets: Forgets,
    /// One bit per reason for which a user of this call is not remembered: counted and logged once.
    unremembered: Arc<AtomicU32>,
}

/// Whose memories a call can reach now. Clones are the same.
#[derive(Clone)]
pub struct CurrentUser(watch::Sender<Reached>);

/// The memories that a call can reach.
#[derive(Clone)]
enum Reached {
    /// No user is there.
    NoUser,
    /// A user of whom nothing is saved and nothing is recalled.
    Nothing,
    /// The memories of the user.
    Of(Box<UserMemories>),
}

impl CurrentUser {
    /// The memories of the user who is there, if there is one who is remembered.
    pub fn get(&self) -> Option<UserMemories> {
        match &*self.0.borrow() {
            Reached::Of(user) => Some(user.as_ref().clone()),
            Reached::NoUser | Reached::Nothing => None,
        }
    }

    /// Whether there is a user of whom nothing is saved and nothing is recalled.
    pub fn is_unremembered(&self) -> bool {
        matches!(&*self.0.borrow(), Reached::Nothing)
    }

    /// Says that the memories are not what they were: the model is told anew.
    pub fn changed(&self) {
        self.0.send_modify(|_| {});
    }

    fn set(&self, reached: Reached) {
        self.0.send_replace(reached);
    }
}

impl CallMemory {
    /// A call in which nobody is there yet.
    pub fn new(memories: Memories) -> Self {
        Self {
            memories,
            user: CurrentUser(watch::Sender::new(Reached::NoUser)),
            users: CallUsers::default(),
            forgets: Forgets::default(),
            unremembered: Arc::default(),
        }
    }

    /// For what works for whoever is there.
    pub fn user(&self) -> CurrentUser {
        self.user.clone()
    }

    /// What may be remembered.
    pub fn categories(&self) -> Categories {
        self.memories.recording.categories.clone()
    }

    /// A participant became the user. Memories belong to an identity or an attribute, so only one that
    /// stays the same from call to call, such as account names and telephone numbers, is recognised.
    pub fn user_joined(&self, participant: &Participant) {
        let user = self.memories.user(participant);
        let known = user.as_ref().ok().cloned();
        let user = match self.users.joined(&participant.identity, known) {
            true => user,
            false => user.and(Err(Unremembered::Changed)),
        };
        self.user.set(match user {
            Ok(user) => Reached::Of(Box::new(self.memories.of(user).in_call(&self.forgets))),
            Err(why) => {
                self.note_unremembered(why);
                Reached::Nothing
            }
        });
    }

    /// No user is there.
    pub fn user_left(&self) {
        self.user.set(Reached::NoUser);
    }

    /// Counts and logs, once per call and reason, that nothing is remembered; the identity stays out
    /// of the log.
    fn note_unremembered(&self, why: Unremembered) {
        let bit = 1 << why as u32;
        if self.unremembered.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.memories.count_unremembered(why);
            tracing::info!(
                reason = why.label(),
                why = why.advice(),
                "nothing is remembered of the caller"
            );
        }
    }

    /// What is known of the user, each time a user joins or the memories changed; nothing of a user who
    /// is not remembered. A store that fails knows nothing. Polling the stream does the reading; there
    /// is no task.
    pub fn briefings(&self) -> BoxStream<'static, Briefing> {
        let n_max = self.memories.recording.config.known_max;
        let users = self.user.0.subscribe();
        let briefings = stream::unfold(users, move |mut users| async move {
            loop {
                users.changed().await.ok()?;
                let reached = users.borrow_and_update().clone();
                let user = match reached {
                    Reached::Of(user) => user,
                    Reached::Nothing => return Some((Briefing::default(), users)),
                    Reached::NoUser => continue,
                };
                let known = user.known(n_max).await;
                // Somebody else may be there by now.
                if users.has_changed().unwrap_or(true) {
                    continue;
                }
                match known {
                    Ok(known) => return Some((Briefing::from(&known), users)),
                    Err(error) => {
                        tracing::debug!(%error, "the call goes on without its memories");
                        return Some((Briefing::default(), users));
                    }
                }
            }
        });
        briefings.fuse().boxed()
    }

    /// Starts to record this call's turns. Must be called within a Tokio runtime.
    pub fn record(&self) -> Recorder {
        self.record_until(CancellationToken::new())
    }

    /// The same in a worker that is `ending` once that is cancelled: what fails then is no news.
    pub fn record_until(&self, ending: CancellationToken) -> Recorder {
        let (users, forgets) = (self.users.clone(), self.forgets.clone());
        Recorder::start(self.memories.clone(), users, forgets, ending)
    }
}
