//! One piece of a recorder's work: asks the model and saves what it found.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Recording;
use super::backlog::Work;
use crate::error::CallError;
use crate::llm::StructuredRequest;
use crate::memory::extraction::{self, Said};
use crate::memory::memories::{self, Forgets, Known, Memories, UserMemories};
use crate::memory::refused::Refused;
use crate::memory::{Memory, UserId, profile};

/// Memories that a store did not take and that are tried again with the next ones.
const UNSAVED_MAX: usize = 100;

/// Exchanges of a user that wait for a summary; the oldest go, and what was found in them stays.
const UNSUMMARISED_MAX: usize = 32;

/// Works for one call.
pub(super) struct Worker {
    memories: Memories,
    forgets: Forgets,
    /// The worker that runs the call ends.
    ending: CancellationToken,
    unsaved: Mutex<Vec<(UserId, u64, Memory)>>,
    /// Summaries that are due and wait until the store tells what they follow on, one for each user.
    unsummarised: Mutex<Vec<Work>>,
}

impl Worker {
    pub(super) fn new(memories: Memories, forgets: Forgets, ending: CancellationToken) -> Self {
        Self {
            memories,
            forgets,
            ending,
            unsaved: Mutex::default(),
            unsummarised: Mutex::default(),
        }
    }

    pub(super) fn recording(&self) -> &Arc<Recording> {
        &self.memories.recording
    }

    /// Looks at exchanges of one user and saves what is found, and the summary beside it.
    pub(super) async fn run(self: Arc<Self>, work: Work) {
        let user = self.memories.of(work.user.clone());
        self.save_unsaved().await;
        let read = user.known(self.recording().config.known_max).await;
        // Without it the model may write down again what is known, which does no harm.
        let (known, unreadable) = match read {
            Ok(known) => (known, None),
            Err(error) => (Known::default(), Some(error)),
        };
        let side_by_side = self.recording().config.side_by_side;
        let n_together = if side_by_side {
            work.exchanges.len()
        } else {
            1
        };
        let extracting = async {
            for exchanges in work.exchanges.chunks(n_together.max(1)) {
                let found = self.extract(&known, exchanges).await;
                self.save(&user, &work, found).await;
            }
        };
        let summarising = async {
            match &unreadable {
                _ if !work.is_profile_due => {}
                Some(error) if !may_pass(error) => self.recording().counters.unsaved.add(1),
                None if !self.is_saving(&work.user) => self.summarise(&user, &work, &known).await,
                // It would know less than the one that it takes the place of, or than was found.
                _ => self.keep_unsummarised(work.clone()),
            }
        };
        if side_by_side {
            tokio::join!(extracting, summarising);
        } else {
            extracting.await;
            summarising.await;
        }
    }

    async fn extract(&self, known: &Known, exchanges: &[Said]) -> Vec<Memory> {
        let recording = self.recording();
        let categories = &recording.categories;
        recording.counters.extractions.add(1);
        let request = extraction::request(categories, known, exchanges);
        let answer = self.ask(request).await;
        let Some(answer) = answer else {
            return Vec::new();
        };
        let Some(extracted) = extraction::read(&answer, categories) else {
            recording.counters.failed.add(1);
            return Vec::new();
        };
        recording.counters.refused.add(extracted.n_refused);
        extracted.memories
    }

    /// Writes the summary of a user anew.
    async fn summarise(&self, user: &UserMemories, work: &Work, known: &Known) {
        let mut exchanges = self.take_unsummarised(work);
        exchanges.extend_from_slice(&work.exchanges);
        let summary = self.summary(known, &exchanges).await;
        self.save(user, work, summary.into_iter().collect()).await;
    }

    async fn summary(&self, known: &Known, exchanges: &[Said]) -> Option<Memory> {
        self.recording().counters.profiles.add(1);
        let answer = self.ask(profile::request(known, exchanges)).await?;
        // A summary may well be empty.
        let summary = profile::read(&answer)?;
        let is_new = known.profile.as_ref().map(|it| it.expose()) != Some(&summary);
        is_new.then(|| memories::profile(summary))
    }

    /// Asks the model, together with other calls so many times at once.
    async fn ask(&self, request: StructuredRequest) -> Option<String> {
        let recording = self.recording();
        let place = recording.places.acquire().await;
        let _place = place.expect("the semaphore is never closed");
        let answer = recording.llm.ask(request).await;
        recording.note(answer.is_err(), self.ending.is_cancelled());
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(%error, "a turn was not looked at");
                recording.counters.failed.add(1);
                None
            }
        }
    }

    /// Saves what was found, and what could not be saved before. What was found in words from before
    /// the user asked to forget is not saved.
    async fn save(&self, user: &UserMemories, work: &Work, found: Vec<Memory>) {
        let n_forgets = self.forgets.count();
        let mut batch = self.take_unsaved(&work.user, n_forgets);
        if work.n_forgets == n_forgets {
            batch.extend(found);
        }
        let results = if self.recording().config.side_by_side {
            user.save(batch.clone()).await
        } else {
            self.save_one_by_one(user, &batch).await
        };
        self.settle(&work.user, n_forgets, batch, results);
    }

    /// Tries once more to save what the store did not take.
    async fn save_unsaved(&self) {
        let users: BTreeSet<_> = (self.unsaved().iter())
            .map(|(user, ..)| user.clone())
            .collect();
        let n_forgets = self.forgets.count();
        for user in users {
            let batch = self.take_unsaved(&user, n_forgets);
            let results = self.memories.of(user.clone()).save(batch.clone()).await;
            self.settle(&user, n_forgets, batch, results);
        }
    }

    /// The same, and then writes the summaries that wait.
    pub(super) async fn save_rest(&self) {
        self.save_unsaved().await;
        let waiting = std::mem::take(&mut *self.unsummarised());
        for work in waiting {
            let user = self.memories.of(work.user.clone());
            match user.known(self.recording().config.known_max).await {
                Ok(known) if !self.is_saving(&work.user) => {
                    self.summarise(&user, &work, &known).await;
                }
                Err(error) if !may_pass(&error) => self.recording().counters.unsaved.add(1),
                Ok(_) | Err(_) => self.keep_unsummarised(work),
            }
        }
    }

    /// Whether something of a user still waits to be saved.
    fn is_saving(&self, user: &UserId) -> bool {
        self.unsaved().iter().any(|(owner, ..)| owner == user)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved().is_empty() || !self.unsummarised().is_empty()
    }

    /// Takes what became of a batch.
    fn settle(
        &self,
        user: &UserId,
        n_forgets: u64,
        batch: Vec<Memory>,
        results: Vec<Result<(), CallError>>,
    ) {
        let counters = &self.recording().counters;
        for (memory, result) in batch.into_iter().zip(results) {
            match result {
                Ok(()) => counters.saved.add(1),
                Err(error) if may_pass(&error) => self.keep_unsaved(user, n_forgets, memory),
                Err(_) => counters.unsaved.add(1),
            }
        }
    }

    async fn save_one_by_one(
        &self,
        user: &UserMemories,
        batch: &[Memory],
    ) -> Vec<Result<(), CallError>> {
        let mut results = Vec::new();
        for memory in batch {
            results.extend(user.save(vec![memory.clone()]).await);
        }
        results
    }

    fn unsummarised(&self) -> MutexGuard<'_, Vec<Work>> {
        (self.unsummarised.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for a summary of the same user and was not said before something was forgotten.
    fn take_unsummarised(&self, work: &Work) -> Vec<Said> {
        let mut all = self.unsummarised();
        let place = all.iter().position(|it| it.user == work.user);
        let waiting = place.map(|place| all.remove(place));
        let waiting = waiting.filter(|it| it.n_forgets == work.n_forgets);
        waiting.map(|it| it.exchanges).unwrap_or_default()
    }

    fn keep_unsummarised(&self, mut work: Work) {
        let mut exchanges = self.take_unsummarised(&work);
        exchanges.append(&mut work.exchanges);
        let n_too_many = exchanges.len().saturating_sub(UNSUMMARISED_MAX);
        work.exchanges = exchanges.split_off(n_too_many);
        self.unsummarised().push(work);
    }

    fn unsaved(&self) -> MutexGuard<'_, Vec<(UserId, u64, Memory)>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_unsaved(&self, user: &UserId, n_forgets: u64) -> Vec<Memory> {
        let mut unsaved = self.unsaved();
        let all = std::mem::take(&mut *unsaved);
        let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(owner, ..)| owner == user);
        *unsaved = later;
        let now = now.into_iter().filter(|(_, n, _)| *n == n_forgets);
        now.map(|(_, _, memory)| memory).collect()
    }

    fn keep_unsaved(&self, user: &UserId, n_forgets: u64, memory: Memory) {
        let mut unsaved = self.unsaved();
        unsaved.push((user.clone(), n_forgets, memory));
        if unsaved.len() > UNSAVED_MAX {
            unsaved.remove(0);
            self.recording().counters.unsaved.add(1);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let unsaved = self
            .unsaved
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let n_unsaved = unsaved.len() as u64;
        let n_unsummarised = self.unsummarised().len() as u64;
        let counter = &self.recording().counters.unsaved;
        counter.add(n_unsaved + n_unsummarised);
    }
}

/// Whether the same row may be taken later: the store is away, or refuses everybody until somebody
/// has mended its password or its tables.
fn may_pass(error: &CallError) -> bool {
    use crate::error::ErrorKind as K;
    match error.kind {
        K::CircuitOpen | K::Saturated | K::Unauthorized => true,
        K::Rejected => Refused::is_databases_fault(error),
        kind => kind.is_retryable(),
    }
}
