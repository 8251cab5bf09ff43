//! The memory's stores: one contract for all of them, and what happens when their servers fail.

mod contract;
pub(crate) mod faults;
mod forget;
pub(crate) mod killed;
mod merged;
mod model;
mod place;
mod retention;
mod tls;

use voxpool::error::CallError;
use voxpool::memory::{Category, Memory, MemoryAnswer, MemoryOp, Selection, Store, UserId};
use voxpool::redact::Pii;

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a name")
}

fn fact(key: &str, value: &str) -> Memory {
    memory("FACT", key, value)
}

fn memory(category: &str, key: &str, value: &str) -> Memory {
    Memory {
        category: Category::new(category),
        key: Pii::new(key.to_owned()),
        value: Pii::new(value.to_owned()),
    }
}

fn save(name: &str, key: &str, value: &str) -> MemoryOp {
    MemoryOp::Save(user(name), fact(key, value))
}

fn get(name: &str) -> MemoryOp {
    MemoryOp::Get(user(name), Selection::All, 10_000)
}

fn delete(name: &str) -> MemoryOp {
    MemoryOp::Delete(user(name), Selection::All)
}

fn of_key(category: &str, key: &str) -> Selection {
    Selection::Key(Category::new(category), Pii::new(key.to_owned()))
}

/// The answers of a batch in which nothing fails, in short.
async fn told(store: &dyn Store, ops: Vec<MemoryOp>) -> Vec<String> {
    let results = store.run(ops).await.into_iter();
    let tell = |result: Result<MemoryAnswer, CallError>| match result {
        Ok(answer) => tell(answer),
        Err(error) => panic!("{error}: {:?}", why(&error)),
    };
    results.map(tell).collect()
}

/// An answer in short: `key=value` of what was found, the latest first.
fn tell(answer: MemoryAnswer) -> String {
    match answer {
        MemoryAnswer::Saved => "saved".to_owned(),
        MemoryAnswer::Deleted(count) => format!("deleted {count}"),
        MemoryAnswer::Found(found) => {
            let found = found
                .iter()
                .map(|it| format!("{}={}", it.key.expose(), it.value.expose()));
            found.collect::<Vec<_>>().join(" ")
        }
    }
}

/// What a store says about a failure, for people.
fn why(error: &CallError) -> String {
    error
        .cause
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}
