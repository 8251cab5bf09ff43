use std::sync::Mutex;

use futures::FutureExt;

use super::*;
use crate::error::ErrorKind;
use crate::memory::Selection;

/// A table in memory that refuses rows with the value `bad` and notes how many rows each of its
/// statements had.
#[derive(Default)]
struct Fake {
    rows: Mutex<Vec<Row>>,
    statements: Mutex<Vec<(&'static str, usize)>>,
    is_down: bool,
}

impl Fake {
    fn note(&self, kind: &'static str, rows: usize) -> Result<(), CallError> {
        self.statements.lock().unwrap().push((kind, rows));
        match self.is_down {
            true => Err(CallError::new(
                Service::Sqlite,
                kind,
                ErrorKind::Unavailable,
            )),
            false => Ok(()),
        }
    }

    fn statements(&self) -> Vec<(&'static str, usize)> {
        std::mem::take(&mut *self.statements.lock().unwrap())
    }

    fn values(&self) -> Vec<String> {
        let rows = self.rows.lock().unwrap();
        rows.iter().map(|row| row.value.clone()).collect()
    }
}

impl Table for Fake {
    fn service(&self) -> Service {
        Service::Sqlite
    }

    fn save(&self, rows: Vec<Row>) -> BoxFuture<'_, Result<(), CallError>> {
        async move {
            self.note("save", rows.len())?;
            if rows.iter().any(|row| row.value == "bad") {
                return Err(CallError::new(Service::Sqlite, "save", ErrorKind::Rejected)
                    .because(Refused::row("19", "")));
            }
            let mut table = self.rows.lock().unwrap();
            for row in rows {
                table.retain(|other| other.key != row.key);
                table.push(row);
            }
            Ok(())
        }
        .boxed()
    }

    fn delete(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<RowKey>, CallError>> {
        async move {
            self.note("delete", wanted.len())?;
            let mut table = self.rows.lock().unwrap();
            let is_wanted = |row: &Row| wanted.iter().any(|wanted| wanted.matches(&row.key));
            let (gone, kept): (Vec<_>, Vec<_>) = table.drain(..).partition(is_wanted);
            *table = kept;
            Ok(gone.into_iter().map(|row| row.key).collect())
        }
        .boxed()
    }

    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>> {
        async move {
            self.note("get", wanted.len())?;
            let table = self.rows.lock().unwrap();
            let mut found = Vec::new();
            for (place, wanted) in wanted.iter().enumerate() {
                let rows = table.iter().rev().filter(|row| wanted.matches(&row.key));
                found.extend(rows.take(wanted.count_max as usize).map(|row| Found {
                    place,
                    category: row.key.category.clone(),
                    key: row.key.key.clone(),
                    value: row.value.clone(),
                }));
            }
            Ok(found)
        }
        .boxed()
    }
}

const LIMITS: Limits = Limits {
    key_chars_max: 100,
    value_chars_max: 100,
};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn save(name: &str, key: &str, value: &str) -> MemoryOp {
    let memory = Memory {
        category: Category::new("FACT"),
        key: Pii::new(key.to_owned()),
        value: Pii::new(value.to_owned()),
    };
    MemoryOp::Save(user(name), memory)
}

fn get(name: &str) -> MemoryOp {
    MemoryOp::Get(user(name), Selection::All, 10)
}

fn delete(name: &str) -> MemoryOp {
    MemoryOp::Delete(user(name), Selection::All)
}

/// What the answers say, in short.
fn told(results: Vec<Result<MemoryAnswer, CallError>>) -> Vec<String> {
    let values = |found: Vec<Memory>| {
        let values: Vec<String> = found.iter().map(|it| it.value.expose().clone()).collect();
        values.join(",")
    };
    let told = |result| match result {
        Ok(MemoryAnswer::Saved) => "saved".to_owned(),
        Ok(MemoryAnswer::Deleted(count)) => format!("deleted {count}"),
        Ok(MemoryAnswer::Found(found)) => format!("found {}", values(found)),
        Err(error) => CallError::to_string(&error),
    };
    results.into_iter().map(told).collect()
}

#[tokio::test]
async fn users_that_do_the_same_share_a_statement() {
    let fake = Fake::default();
    let ops = vec![
        save("alice", "k", "1"),
        get("bob"),
        save("bob", "k", "2"),
        delete("carol"),
        get("dave"),
    ];
    run(&fake, LIMITS, ops).await;
    let expected = [("save", 1), ("delete", 1), ("get", 2), ("save", 1)];
    assert_eq!(fake.statements(), expected);
}

#[tokio::test]
async fn the_operations_of_one_user_keep_their_order() {
    let fake = Fake::default();
    let ops = vec![
        get("alice"),
        save("alice", "k", "1"),
        get("alice"),
        save("alice", "k", "2"),
        delete("alice"),
        delete("alice"),
        get("alice"),
        save("alice", "k", "3"),
        get("alice"),
    ];
    let expected = [
        "found ",
        "saved",
        "found 1",
        "saved",
        "deleted 1",
        "deleted 0",
        "found ",
        "saved",
        "found 3",
    ];
    assert_eq!(told(run(&fake, LIMITS, ops).await), expected);
}

#[tokio::test]
async fn the_last_save_of_a_key_stays_and_is_the_latest() {
    let fake = Fake::default();
    let ops = vec![
        save("alice", "a", "old"),
        save("alice", "b", "b"),
        save("alice", "a", "new"),
    ];
    assert_eq!(told(run(&fake, LIMITS, ops).await), ["saved"; 3]);
    assert_eq!(fake.statements(), [("save", 2)]);
    assert_eq!(fake.values(), ["b", "new"]);
}

#[tokio::test]
async fn a_bad_row_costs_few_statements_and_no_other_row() {
    let fake = Fake::default();
    let value = |at| if at == 77 { "bad" } else { "good" };
    let ops = (0..256).map(|at| save("alice", &at.to_string(), value(at)));
    let results = told(run(&fake, LIMITS, ops.collect()).await);
    let failed: Vec<usize> = (0..256).filter(|at| results[*at] != "saved").collect();
    assert_eq!(failed, [77]);
    assert_eq!(fake.values().len(), 255);
    assert_eq!(fake.statements().len(), 1 + 2 * 8);
}

#[tokio::test]
async fn when_the_last_save_of_a_key_is_refused_the_one_before_stays() {
    let fake = Fake::default();
    let values = ["1", "2", "bad", "bad"];
    let ops = values.map(|value| save("alice", "k", value)).to_vec();
    let results = told(run(&fake, LIMITS, ops).await);
    assert_eq!(results[..2], ["saved", "saved"]);
    assert!(
        results[2..].iter().all(|it| it.contains("refused")),
        "{results:?}"
    );
    assert_eq!(fake.values(), ["2"]);
}

#[tokio::test]
async fn what_is_invalid_is_never_sent() {
    let fake = Fake::default();
    let ops = vec![save("alice", "k", "a\0b"), save("alice", "l", "fine")];
    let results = told(run(&fake, LIMITS, ops).await);
    assert!(results[0].contains("refused"), "{results:?}");
    assert_eq!(results[1], "saved");
    assert_eq!(fake.statements(), [("save", 1)]);
}

#[tokio::test]
async fn a_database_that_is_down_is_asked_once_and_every_operation_fails() {
    let fake = Fake {
        is_down: true,
        ..Fake::default()
    };
    let ops = (0..100).map(|at| save("alice", &(at % 50).to_string(), "v"));
    let results = run(&fake, LIMITS, ops.collect()).await;
    assert_eq!(results.len(), 100);
    for result in results {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
    }
    assert_eq!(fake.statements(), [("save", 50)]);
}

#[tokio::test]
async fn a_row_that_two_deletes_want_counts_for_the_first() {
    let fake = Fake::default();
    let one = Selection::Key(Category::new("FACT"), Pii::new("k".to_owned()));
    let ops = vec![
        save("alice", "k", "1"),
        save("alice", "l", "2"),
        save("bob", "k", "3"),
        MemoryOp::Delete(user("alice"), one),
        delete("alice"),
        delete("bob"),
    ];
    let results = told(run(&fake, LIMITS, ops).await);
    assert_eq!(results[3..], ["deleted 1", "deleted 1", "deleted 1"]);
}

#[tokio::test]
async fn nothing_to_do_is_no_statement() {
    let fake = Fake::default();
    assert!(run(&fake, LIMITS, Vec::new()).await.is_empty());
    assert!(fake.statements().is_empty());
}
