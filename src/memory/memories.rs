//! The memories of all callers, and those of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::batch::{BatchStats, Batcher, Counter};
use super::categories::Categories;
use super::forgets::Forgets;
use super::identities::{Identities, Unremembered};
use super::recorder::{self, RecorderStats, Recording};
use super::{Category, Config, Memory, MemoryAnswer, MemoryOp, Selection, UserId};
use crate::error::CallError;
use crate::llm::StructuredLlm;
use crate::participant::Participant;
use crate::redact::Pii;

/// The key of the summary of a user, the only one of its category.
const SUMMARY: &str = "summary";

/// The memory of the process: one for all calls. Clones are the same one.
#[derive(Clone)]
pub struct Memories {
    batcher: Batcher,
    pub(super) recording: Arc<Recording>,
    users: Arc<Users>,
}

/// Who is remembered, and for how long.
#[derive(Default)]
struct Users {
    identities: Identities,
    has_age: bool,
    /// Calls in which nothing is remembered of a user, by reason.
    unremembered: [Counter; Unremembered::ALL.len()],
}

/// Numbers of the memory since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryStats {
    /// Operations merged into batches.
    pub batches: BatchStats,
    /// What was found worth remembering.
    pub recorder: RecorderStats,
    /// Calls with a user of whom nothing is remembered, by reason.
    pub unremembered: BTreeMap<&'static str, u64>,
}

impl Memories {
    /// A memory behind `batcher`; `llm` finds what is worth remembering.
    pub fn new(batcher: Batcher, llm: Arc<dyn StructuredLlm>, config: recorder::Config) -> Self {
        Self {
            batcher,
            recording: Arc::new(Recording::new(llm, config)),
            users: Arc::default(),
        }
    }

    /// The same memory, with the rules of `config` about who is remembered and for how long.
    #[must_use]
    pub fn with_rules(mut self, config: &Config) -> Self {
        self.users = Arc::new(Users {
            identities: Identities::new(config),
            has_age: config.keep_days > 0,
            ..Users::default()
        });
        self
    }

    /// Whose memories those of this participant are.
    pub(super) fn user(&self, participant: &Participant) -> Result<UserId, Unremembered> {
        self.users.identities.user(participant)
    }

    /// Counts a call with a user of whom nothing is remembered.
    pub(super) fn count_unremembered(&self, why: Unremembered) {
        self.users.unremembered[why as usize].add(1);
    }

    /// Holds the limits of rows and of age for as long as it is polled: for ever.
    pub async fn hold_limits(&self) {
        self.batcher.hold_limits(self.users.has_age).await;
    }

    /// The memories of one user, and no way to those of another.
    pub fn of(&self, user: UserId) -> UserMemories {
        UserMemories {
            user,
            batcher: self.batcher.clone(),
            categories: self.recording.categories.clone(),
            forgets: Forgets::default(),
        }
    }

    /// Any operations; see [`Batcher::batch_memory_operations`].
    pub async fn batch_memory_operations(
        &self,
        ops: Vec<MemoryOp>,
    ) -> Vec<Result<MemoryAnswer, CallError>> {
        self.batcher.batch_memory_operations(ops).await
    }

    /// Connects to the store, and says once how it is; later changes are the pool's to tell.
    pub async fn prewarm(&self) {
        let store = self.batcher.service().label();
        match self.batcher.prewarm().await {
            Ok(()) => tracing::info!(store, "callers are remembered"),
            Err(error) => tracing::warn!(
                store,
                kind = error.kind.label(),
                why = error.cause.map(|cause| cause.to_string()),
                "the memory cannot be used; calls go on without it until it can"
            ),
        }
    }

    /// The numbers of this moment.
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            batches: self.batcher.stats(),
            recorder: self.recording.stats(),
            unremembered: Unremembered::ALL
                .map(|why| (why.label(), self.users.unremembered[why as usize].get()))
                .into(),
        }
    }

    /// Saves what is queued, for the end of the process; says in the log if that was not possible.
    pub async fn close(&self, within: Duration) {
        if !self.batcher.close(within).await {
            tracing::warn!("some memories were not saved before the end");
        }
    }
}

impl MemoryStats {
    /// A sentence or two that sound right when a voice reads them out.
    pub fn spoken(&self) -> String {
        let (batches, recorder) = (&self.batches, &self.recorder);
        let mut text = format!(
            "The memory ran {} operations in {} batches and saved {} memories.",
            batches.operations, batches.batches, recorder.saved
        );
        let troubles = batches.failed + batches.refused + recorder.dropped + recorder.lost;
        if troubles > 0 {
            text += &format!(
                " {} operations failed, and {} turns were not looked at.",
                batches.failed + batches.refused,
                recorder.dropped + recorder.lost
            );
        }
        text
    }
}

/// The memories of one user. Whoever holds this can reach that user's rows only.
#[derive(Clone)]
pub struct UserMemories {
    user: UserId,
    batcher: Batcher,
    categories: Categories,
    forgets: Forgets,
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The summary.
    pub profile: Option<Pii<String>>,
    /// The memories, the latest first.
    pub memories: Vec<Memory>,
}

impl UserMemories {
    /// The same, in a call that counts what is forgotten.
    pub(super) fn in_call(mut self, forgets: &Forgets) -> Self {
        self.forgets = forgets.clone();
        self
    }

    /// What may be remembered.
    pub fn categories(&self) -> &Categories {
        &self.categories
    }

    /// Saves; result `i` is that of `memories[i]`.
    pub async fn save(&self, memories: Vec<Memory>) -> Vec<Result<(), CallError>> {
        let saving = self.batcher.submit(self.saves(memories));
        saved(saving.await)
    }

    /// Saves what was found in words from before the `n_forgets + 1`st time that something was
    /// forgotten in this call; `None` when that has happened.
    pub(super) async fn save_unless_forgotten(
        &self,
        memories: Vec<Memory>,
        n_forgets: u64,
    ) -> Option<Vec<Result<(), CallError>>> {
        let saving = {
            let forgotten = self.forgets.lock();
            if forgotten.count() != n_forgets {
                return None;
            }
            self.batcher.submit(self.saves(memories))
        };
        Some(saved(saving.await))
    }

    fn saves(&self, memories: Vec<Memory>) -> Vec<MemoryOp> {
        let save = |memory| MemoryOp::Save(self.user.clone(), memory);
        memories.into_iter().map(save).collect()
    }

    /// The profile and the latest `n_max` memories.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn known(&self, n_max: u32) -> Result<Known, CallError> {
        // The profile takes a place among all of them.
        let ops = vec![
            self.get(Selection::Category(Category::new(Category::PROFILE)), 1),
            self.get(Selection::All, n_max.saturating_add(1)),
        ];
        let results = self.batcher.batch_memory_operations(ops).await;
        let mut found = Vec::with_capacity(2);
        for result in results {
            found.push(memories(result?));
        }
        let (mut all, profile) = (found.pop().unwrap_or_default(), found.pop());
        all.retain(|memory| memory.category.name() != Category::PROFILE);
        all.truncate(usize::try_from(n_max).unwrap_or(usize::MAX));
        let profile = profile.and_then(|found| found.into_iter().next());
        Ok(Known {
            profile: profile.map(|memory| memory.value),
            memories: all,
        })
    }

    /// Forgets what is selected, and the profile, which may tell of it; it is written anew from what
    /// is left. With [`Selection::All`] nothing of this call is looked at any more, as the words that
    /// are to be forgotten may come up again in it. Returns how many memories there were.
    ///
    /// # Errors
    /// When the store failed; some may be forgotten all the same.
    pub async fn forget(&self, selections: Vec<Selection>) -> Result<u64, CallError> {
        let is_everything = selections.contains(&Selection::All);
        let profile = Selection::Category(Category::new(Category::PROFILE));
        let delete = |selection| MemoryOp::Delete(self.user.clone(), selection);
        let ops = std::iter::once(profile).chain(selections).map(delete);
        let deleting = {
            let mut forgotten = self.forgets.lock();
            forgotten.add(&self.user, is_everything);
            self.batcher.submit(ops.collect())
        };
        let mut n_forgotten = 0;
        for (n, result) in deleting.await.into_iter().enumerate() {
            match result? {
                MemoryAnswer::Deleted(rows) if n > 0 => n_forgotten += rows,
                _ => {}
            }
        }
        Ok(n_forgotten)
    }

    fn get(&self, selection: Selection, n_max: u32) -> MemoryOp {
        MemoryOp::Get(self.user.clone(), selection, n_max)
    }
}

fn saved(results: Vec<Result<MemoryAnswer, CallError>>) -> Vec<Result<(), CallError>> {
    let results = results.into_iter();
    results.map(|result| result.map(|_| ())).collect()
}

fn memories(answer: MemoryAnswer) -> Vec<Memory> {
    match answer {
        MemoryAnswer::Found(memories) => memories,
        MemoryAnswer::Saved | MemoryAnswer::Deleted(_) => Vec::new(),
    }
}

/// The summary as it is kept.
pub(super) fn profile(summary: String) -> Memory {
    Memory {
        category: Category::new(Category::PROFILE),
        key: Pii::new(SUMMARY.to_owned()),
        value: Pii::new(summary),
    }
}
