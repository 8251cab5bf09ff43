//! A batch of operations as few statements: every store is this over three bulk statements.
//!
//! The operations of one user keep their order; those of different users have nothing to do with
//! each other. So a batch becomes phases (saves, deletes, gets, then again saves …), and a user
//! who only saves and another who only reads share their phases with everybody else: the usual
//! batch is one statement per kind, however many users it has.
//!
//! A statement that is refused because of what one row holds is halved until that row stands
//! alone, which costs about `2·log2(n)` statements.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};

use futures::future::BoxFuture;

use super::op::{Category, Memory, MemoryAnswer, MemoryOp};
use super::refused::{Refused, copy};
use super::rows::{Found, Limits, Row, RowKey, Wanted};
use super::user::UserId;
use crate::error::{CallError, Service};
use crate::redact::Pii;

/// Rows in one statement at most: beyond this, larger statements save nothing and their answers
/// take long enough to meet deadlines.
const ROWS_MAX: usize = 1000;

/// What a database does with many rows at once. Each call is one statement or request.
pub(super) trait Table: Send + Sync {
    /// Which service it is, for the errors of operations that never reach it.
    fn service(&self) -> Service;

    /// Saves rows in their order; no two have the same key.
    fn save(&self, rows: Vec<Row>) -> BoxFuture<'_, Result<(), CallError>>;

    /// Deletes everything that is wanted and returns the keys of what was there. When an answer is
    /// lost and the statement is tried again, that is what the second one found.
    fn delete(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<RowKey>, CallError>>;

    /// Reads; the rows of one place come with the latest saved first.
    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>>;
}

/// Runs a batch; see [`Store::run`](super::Store::run).
pub(super) async fn run(
    table: &dyn Table,
    limits: Limits,
    ops: Vec<MemoryOp>,
) -> Vec<Result<MemoryAnswer, CallError>> {
    let check = |op: &MemoryOp| limits.check(table.service(), op).err().map(Err);
    let mut batch = Batch {
        table,
        results: ops.iter().map(check).collect(),
        ops: &ops,
    };
    for (kind, places) in batch.phases() {
        for places in places.chunks(ROWS_MAX) {
            match kind {
                Kind::Save => batch.save(places).await,
                Kind::Delete => batch.delete(places).await,
                Kind::Get => batch.get(places).await,
            }
        }
    }
    let results = batch.results.into_iter();
    results
        .map(|result| result.expect("every operation is refused or in a phase"))
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Save = 0,
    Delete = 1,
    Get = 2,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Save, Self::Delete, Self::Get];

    fn of(op: &MemoryOp) -> Self {
        match op {
            MemoryOp::Save(..) => Self::Save,
            MemoryOp::Delete(..) => Self::Delete,
            MemoryOp::Get(..) => Self::Get,
        }
    }
}

struct Batch<'a> {
    table: &'a dyn Table,
    ops: &'a [MemoryOp],
    /// A result for each operation, once it is known.
    results: Vec<Option<Result<MemoryAnswer, CallError>>>,
}

/// A row to save, where its operation is, and the saves of the same key before it, latest first.
struct Save {
    row: Row,
    place: usize,
    superseded: Vec<usize>,
}

impl Batch<'_> {
    /// The operations that have no result yet, in the order of their phases: each goes into the
    /// earliest phase of its kind that is not before the phase of its user's previous operation.
    fn phases(&self) -> Vec<(Kind, Vec<usize>)> {
        let mut reached: HashMap<&UserId, usize> = HashMap::new();
        let mut phases: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, op) in self.ops.iter().enumerate() {
            if self.results[place].is_some() {
                continue;
            }
            let (kind, kinds) = (Kind::of(op) as usize, Kind::ALL.len());
            let reached = reached.entry(op.user()).or_default();
            *reached += (kind + kinds - *reached % kinds) % kinds;
            phases.entry(*reached).or_default().push(place);
        }
        let kind = |phase: usize| Kind::ALL[phase % Kind::ALL.len()];
        let phases = phases.into_iter();
        phases
            .map(|(phase, places)| (kind(phase), places))
            .collect()
    }

    async fn save(&mut self, places: &[usize]) {
        let mut saves = self.last_of_each_key(places);
        while !saves.is_empty() {
            let rows = |saves: &[Save]| saves.iter().map(|save| save.row.clone()).collect();
            let done = in_halves(saves, |saves| self.table.save(rows(saves))).await;
            saves = Vec::new();
            for (part, result) in done {
                for save in part {
                    saves.extend(self.saved(save, &result));
                }
            }
        }
    }

    /// The saves whose values are to stay, in the order in which they were asked for: a statement
    /// cannot save a row twice.
    fn last_of_each_key(&self, places: &[usize]) -> Vec<Save> {
        let mut saves: Vec<Save> = Vec::new();
        let mut seen: HashMap<RowKey, usize> = HashMap::new();
        for &place in places.iter().rev() {
            let row = self.row(place);
            match seen.entry(row.key.clone()) {
                Entry::Occupied(entry) => saves[*entry.get()].superseded.push(place),
                Entry::Vacant(entry) => {
                    entry.insert(saves.len());
                    saves.push(Save {
                        row,
                        place,
                        superseded: Vec::new(),
                    });
                }
            }
        }
        saves.reverse();
        saves
    }

    /// Notes how a save went. When its row was refused, the save before it counts: that is
    /// returned, to be tried in its turn.
    fn saved(&mut self, save: Save, result: &Result<(), CallError>) -> Option<Save> {
        let answer = || match result {
            Ok(()) => Ok(MemoryAnswer::Saved),
            Err(error) => Err(copy(error)),
        };
        self.results[save.place] = Some(answer());
        if let Err(error) = result
            && Refused::is_rows_fault(error)
        {
            let (&place, superseded) = save.superseded.split_first()?;
            return Some(Save {
                row: self.row(place),
                place,
                superseded: superseded.to_vec(),
            });
        }
        for place in save.superseded {
            self.results[place] = Some(answer());
        }
        None
    }

    async fn delete(&mut self, places: &[usize]) {
        let done = in_halves(self.wanted(places), |wanted| {
            self.table
                .delete(wanted.iter().map(|it| it.1.clone()).collect())
        });
        for (part, result) in done.await {
            let mut counts: HashMap<usize, u64> = HashMap::new();
            for row in result.iter().flatten() {
                // What two operations would have deleted is gone after the first.
                if let Some((place, _)) = part.iter().find(|(_, wanted)| wanted.matches(row)) {
                    *counts.entry(*place).or_default() += 1;
                }
            }
            for (place, _) in part {
                let count = counts.remove(&place).unwrap_or_default();
                self.results[place] = Some(match &result {
                    Ok(_) => Ok(MemoryAnswer::Deleted(count)),
                    Err(error) => Err(copy(error)),
                });
            }
        }
    }

    async fn get(&mut self, places: &[usize]) {
        let done = in_halves(self.wanted(places), |wanted| {
            self.table
                .get(wanted.iter().map(|it| it.1.clone()).collect())
        });
        for (part, result) in done.await {
            let mut answers: Vec<Result<Vec<Memory>, CallError>> = match result {
                Ok(found) => sorted(found, part.len()).into_iter().map(Ok).collect(),
                Err(error) => part.iter().map(|_| Err(copy(&error))).collect(),
            };
            for ((place, _), answer) in part.into_iter().zip(answers.drain(..)) {
                self.results[place] = Some(answer.map(MemoryAnswer::Found));
            }
        }
    }

    fn row(&self, place: usize) -> Row {
        let MemoryOp::Save(user, memory) = &self.ops[place] else {
            unreachable!("only saves are in a phase of saves");
        };
        Row {
            key: RowKey {
                user_id: user.expose().to_owned(),
                category: memory.category.name().to_owned(),
                key: memory.key.expose().clone(),
            },
            value: memory.value.expose().clone(),
        }
    }

    fn wanted(&self, places: &[usize]) -> Vec<(usize, Wanted)> {
        let wanted = |op: &MemoryOp| match op {
            MemoryOp::Get(user, selection, count_max) => Wanted::new(user, selection, *count_max),
            MemoryOp::Delete(user, selection) => Wanted::new(user, selection, 0),
            MemoryOp::Save(..) => unreachable!("saves are in phases of their own"),
        };
        let places = places.iter();
        places
            .map(|&place| (place, wanted(&self.ops[place])))
            .collect()
    }
}

/// What was found for each of `count` places; a place that was not asked for is left out.
fn sorted(found: Vec<Found>, count: usize) -> Vec<Vec<Memory>> {
    let mut memories: Vec<Vec<Memory>> = (0..count).map(|_| Vec::new()).collect();
    for row in found {
        if let Some(memories) = memories.get_mut(row.place) {
            memories.push(Memory {
                category: Category::new(&row.category),
                key: Pii::new(row.key),
                value: Pii::new(row.value),
            });
        }
    }
    memories
}

/// Runs a statement over `items`; one that a row spoils is run again for each half.
async fn in_halves<'a, T, R>(
    items: Vec<T>,
    run: impl Fn(&[T]) -> BoxFuture<'a, Result<R, CallError>> + Sync,
) -> Vec<(Vec<T>, Result<R, CallError>)>
where
    T: Send + Sync,
    R: Send,
{
    let mut waiting = vec![items];
    let mut done = Vec::new();
    while let Some(mut items) = waiting.pop() {
        let result = run(&items).await;
        match &result {
            Err(error) if items.len() > 1 && Refused::is_rows_fault(error) => {
                let rest = items.split_off(items.len() / 2);
                waiting.extend([rest, items]);
            }
            _ => done.push((items, result)),
        }
    }
    done
}

#[cfg(test)]
mod tests;
