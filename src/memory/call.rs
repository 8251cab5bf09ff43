//! The memory in one call: whose it is, what the model is told, what is recorded.

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::UserId;
use super::briefing::Briefing;
use super::categories::Categories;
use super::memories::{Forgets, Memories, UserMemories};
use super::recorder::Recorder;

/// The memory of a call. It belongs to the user who is there: nobody at first, and somebody else
/// when the user leaves and another one stays.
pub struct CallMemory {
    memories: Memories,
    user: CurrentUser,
    forgets: Forgets,
}

/// Whose memories a call can reach now. Clones are the same.
#[derive(Clone)]
pub struct CurrentUser(watch::Sender<Option<UserMemories>>);

impl CurrentUser {
    /// The memories of the user who is there, if there is one who can be told from others.
    pub fn get(&self) -> Option<UserMemories> {
        self.0.borrow().clone()
    }

    /// Says that the memories are not what they were: the model is told anew.
    pub fn changed(&self) {
        self.0.send_modify(|_| {});
    }

    fn set(&self, user: Option<UserMemories>) {
        self.0.send_replace(user);
    }
}

impl CallMemory {
    /// A call in which nobody is there yet.
    pub fn new(memories: Memories) -> Self {
        Self {
            memories,
            user: CurrentUser(watch::Sender::new(None)),
            forgets: Forgets::default(),
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

    /// Somebody is there. Memories are kept by identity, so only identities that stay the same from
    /// call to call, such as account names and telephone numbers, will ever be remembered.
    pub fn user_joined(&self, identity: &str) {
        let user = UserId::new(identity).map(|user| self.memories.of(user));
        self.user.set(user.map(|user| user.in_call(&self.forgets)));
    }

    /// Nobody is there.
    pub fn user_left(&self) {
        self.user.set(None);
    }

    /// What is known of the user, each time somebody joins or the memories changed. A store that
    /// fails knows nothing. Polling the stream does the reading; there is no task.
    pub fn briefings(&self) -> BoxStream<'static, Briefing> {
        let n_max = self.memories.recording.config.known_max;
        let users = self.user.0.subscribe();
        let briefings = stream::unfold(users, move |mut users| async move {
            loop {
                users.changed().await.ok()?;
                let user = users.borrow_and_update().clone();
                let Some(user) = user else { continue };
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
        Recorder::start(self.memories.clone(), self.forgets.clone(), ending)
    }
}
