//! One piece of a recorder's work: asks the model and saves what it found.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Recording;
use super::backlog::Work;
use super::failures::{Away, is_away, may_pass};
use crate::llm::StructuredRequest;
use crate::memory::extraction::{self, Said};
use crate::memory::forgets::Forgets;
use crate::memory::memories::{self, Known, Memories, UserMemories};
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

    pub(super) fn recording(&self) -> &Recording {
        &self.memories.recording
    }

    /// Looks at exchanges of one user and saves what is found, and the summary beside it. Returns the
    /// exchanges that may be looked at later, because the model is away.
    ///
    /// Cancel safety: what was found and is not saved stays with the worker, and is counted at its end.
    pub(super) async fn run(&self, work: &Work) -> Vec<Said> {
        self.drop_forgotten();
        if work.n_forgets != self.forgets.count() {
            // Nothing that the model makes of it would be saved.
            return Vec::new();
        }
        if work.is_profile_due {
            self.keep_unsummarised(work.clone());
        }
        let user = self.memories_of(&work.user);
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
            let mut failed = Vec::new();
            for exchanges in work.exchanges.chunks(n_together.max(1)) {
                match self.extract(&known, exchanges).await {
                    Ok(found) => self.save(&user, work, found).await,
                    Err(Away) => failed.extend_from_slice(exchanges),
                }
            }
            failed
        };
        let summarising = async {
            match &unreadable {
                _ if !work.is_profile_due => {}
                Some(error) if !may_pass(error) => self.give_up_summary(work),
                None if !self.is_saving(&work.user) => {
                    // While the model is away, it waits for the next one or the end of the call.
                    self.summarise(&user, work, &known).await;
                }
                // It would know less than the one that it takes the place of, or than was found.
                _ => {}
            }
        };
        if side_by_side {
            tokio::join!(extracting, summarising).0
        } else {
            let failed = extracting.await;
            summarising.await;
            failed
        }
    }

    async fn extract(&self, known: &Known, exchanges: &[Said]) -> Result<Vec<Memory>, Away> {
        let recording = self.recording();
        let categories = &recording.categories;
        recording.counters.extractions.add(1);
        let request = extraction::request(categories, known, exchanges);
        let Some(answer) = self.ask(request).await? else {
            return Ok(Vec::new());
        };
        let Some(extracted) = extraction::read(&answer, categories) else {
            recording.counters.failed.add(1);
            return Ok(Vec::new());
        };
        recording.counters.refused.add(extracted.n_refused);
        Ok(extracted.memories)
    }

    /// Writes the summary of a user anew, from all that waits for it. That goes on waiting until the
    /// model has answered: returns whether it has.
    async fn summarise(&self, user: &UserMemories, work: &Work, known: &Known) -> bool {
        let exchanges = self.unsummarised_of(work);
        let Ok(summary) = self.summary(known, &exchanges).await else {
            return false;
        };
        self.take_unsummarised(work);
        self.save(user, work, summary.into_iter().collect()).await;
        true
    }

    async fn summary(&self, known: &Known, exchanges: &[Said]) -> Result<Option<Memory>, Away> {
        self.recording().counters.profiles.add(1);
        let answer = self.ask(profile::request(known, exchanges)).await?;
        // A summary may well be empty.
        let summary = answer.and_then(|answer| profile::read(&answer));
        let last = known.profile.as_ref().map(|it| it.expose());
        let summary = summary.filter(|summary| last != Some(summary));
        Ok(summary.map(memories::profile))
    }

    /// Asks the model, together with other calls so many times at once. `None`: it will not answer
    /// this.
    async fn ask(&self, request: StructuredRequest) -> Result<Option<String>, Away> {
        let recording = self.recording();
        let place = recording.places.acquire().await;
        let _place = place.expect("the semaphore is never closed");
        let answer = recording.llm.ask(request).await;
        recording.note(answer.is_err(), self.ending.is_cancelled());
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                tracing::debug!(%error, "a turn was not looked at");
                recording.counters.failed.add(1);
                if is_away(error.kind) {
                    Err(Away)
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// Saves what was found, and what could not be saved before. What was found in words from before
    /// the user asked to forget is not saved.
    async fn save(&self, user: &UserMemories, work: &Work, found: Vec<Memory>) {
        let n_forgets = self.forgets.count();
        let mut batch = self.take_unsaved(&work.user, n_forgets);
        if work.n_forgets == n_forgets {
            batch.memories.extend(found);
        }
        self.save_batch(user, batch).await;
    }

    async fn save_batch(&self, user: &UserMemories, mut batch: Unsettled<'_>) {
        let counters = &self.recording().counters;
        let side_by_side = self.recording().config.side_by_side;
        while !batch.memories.is_empty() {
            let n_together = if side_by_side {
                batch.memories.len()
            } else {
                1
            };
            let memories = batch.memories[..n_together].to_vec();
            let saving = user.save_unless_forgotten(memories, batch.n_forgets);
            let Some(results) = saving.await else {
                batch.memories.clear();
                return;
            };
            for (memory, result) in batch.memories.drain(..n_together).zip(results) {
                match result {
                    Ok(()) => counters.saved.add(1),
                    Err(error) if may_pass(&error) => {
                        self.keep_unsaved(&batch.user, batch.n_forgets, memory);
                    }
                    Err(_) => counters.unsaved.add(1),
                }
            }
        }
    }

    /// Tries once more to save what the store did not take.
    async fn save_unsaved(&self) {
        let users: BTreeSet<_> = (self.unsaved().iter())
            .map(|(user, ..)| user.clone())
            .collect();
        let n_forgets = self.forgets.count();
        for user in users {
            let batch = self.take_unsaved(&user, n_forgets);
            self.save_batch(&self.memories_of(&user), batch).await;
        }
    }

    /// The same, and then writes the summaries that wait.
    pub(super) async fn save_rest(&self) {
        self.drop_forgotten();
        self.save_unsaved().await;
        let waiting = self.unsummarised().clone();
        for work in waiting {
            let user = self.memories_of(&work.user);
            match user.known(self.recording().config.known_max).await {
                Ok(known) if !self.is_saving(&work.user) => {
                    // The model is asked once more and not until the end of the flush.
                    if !self.summarise(&user, &work, &known).await {
                        self.give_up_summary(&work);
                    }
                }
                Err(error) if !may_pass(&error) => self.give_up_summary(&work),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The memories of a user, in a call that counts what is forgotten.
    fn memories_of(&self, user: &UserId) -> UserMemories {
        self.memories.of(user.clone()).in_call(&self.forgets)
    }

    /// Drops what waits and was said before something was forgotten: it will not be saved, and the
    /// model is not asked about it.
    fn drop_forgotten(&self) {
        let n_forgets = self.forgets.count();
        self.unsaved().retain(|(_, n, _)| *n == n_forgets);
        self.unsummarised().retain(|it| it.n_forgets == n_forgets);
    }

    /// Whether something of a user still waits to be saved.
    fn is_saving(&self, user: &UserId) -> bool {
        self.unsaved().iter().any(|(owner, ..)| owner == user)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved().is_empty() || !self.unsummarised().is_empty()
    }

    fn unsummarised(&self) -> MutexGuard<'_, Vec<Work>> {
        (self.unsummarised.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for the summary of this user.
    fn unsummarised_of(&self, work: &Work) -> Vec<Said> {
        let all = self.unsummarised();
        let waiting = all.iter().find(|it| it.user == work.user);
        waiting.map(|it| it.exchanges.clone()).unwrap_or_default()
    }

    fn take_unsummarised(&self, work: &Work) -> Option<Work> {
        let mut all = self.unsummarised();
        let place = all.iter().position(|it| it.user == work.user);
        place.map(|place| all.remove(place))
    }

    /// Adds to what waits for the summary of this user, without what was said before something was
    /// forgotten, and what waits already because the model failed at it.
    fn keep_unsummarised(&self, mut work: Work) {
        let waiting = self.take_unsummarised(&work);
        let waiting = waiting.filter(|it| it.n_forgets == work.n_forgets);
        let mut exchanges = waiting.map(|it| it.exchanges).unwrap_or_default();
        work.exchanges.retain(|said| !exchanges.contains(said));
        exchanges.append(&mut work.exchanges);
        let n_too_many = exchanges.len().saturating_sub(UNSUMMARISED_MAX);
        work.exchanges = exchanges.split_off(n_too_many);
        self.unsummarised().push(work);
    }

    /// The summary of this user will not be written now.
    pub(super) fn give_up_summary(&self, work: &Work) {
        let waiting = self.take_unsummarised(work);
        let n_given_up = u64::from(waiting.is_some());
        self.recording().counters.unsaved.add(n_given_up);
    }

    fn unsaved(&self) -> MutexGuard<'_, Vec<(UserId, u64, Memory)>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_unsaved(&self, user: &UserId, n_forgets: u64) -> Unsettled<'_> {
        let mut unsaved = self.unsaved();
        let all = std::mem::take(&mut *unsaved);
        let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(owner, ..)| owner == user);
        *unsaved = later;
        let now = now.into_iter().filter(|(_, n, _)| *n == n_forgets);
        Unsettled {
            worker: self,
            user: user.clone(),
            n_forgets,
            memories: now.map(|(_, _, memory)| memory).collect(),
        }
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

/// Memories on their way to the store. Those of which nobody knows whether they were saved go back to
/// the worker.
struct Unsettled<'a> {
    worker: &'a Worker,
    user: UserId,
    n_forgets: u64,
    memories: Vec<Memory>,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        for memory in self.memories.drain(..) {
            self.worker.keep_unsaved(&self.user, self.n_forgets, memory);
        }
    }
}
