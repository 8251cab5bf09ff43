//! Lays what was set over the defaults, value by value, so that one mistake hides no other.

use std::collections::HashMap;

use toml::{Table, Value};

use super::known::{known_keys, leaves, nearest};
use super::sources::{Source, Sources};
use super::{Config, DEFAULT_TOML, DEV_TOML, Mistake, Profile, environment};

/// What was merged, where each value came from, and what could not be.
pub(super) struct Merged {
    pub(super) config: Config,
    /// The settings as they were laid on.
    pub(super) table: Table,
    pub(super) origins: HashMap<String, Source>,
    pub(super) mistakes: Vec<Mistake>,
}

/// One value that somebody set. Text from outside a file may mean several types; the first that
/// fits is taken.
struct Setting {
    key: String,
    source: Source,
    candidates: Vec<Value>,
}

/// Merges defaults, profile and sources. Values with a mistake are left out of the result.
pub(super) fn merge(sources: Sources, profile: Profile) -> Merged {
    let mut table = embedded(DEFAULT_TOML);
    if profile == Profile::Development {
        for (key, value) in leaves(&embedded(DEV_TOML)) {
            insert(&mut table, &key, value);
        }
    }
    let known = known_keys();
    let (settings, mistakes) = settings(sources);
    lay_on(table, settings, &known, mistakes)
}

/// Lays an agent's file, of which `settings` are the keys and values, over the settings of the
/// process.
pub(super) fn overlay(table: Table, source: &Source, settings: Vec<(String, Value)>) -> Merged {
    let setting = |(key, value)| Setting {
        key,
        source: source.clone(),
        candidates: vec![value],
    };
    let settings = settings.into_iter().map(setting).collect();
    lay_on(table, settings, &known_keys(), Vec::new())
}

fn lay_on(
    mut table: Table,
    settings: Vec<Setting>,
    known: &[String],
    mut mistakes: Vec<Mistake>,
) -> Merged {
    let mut origins = HashMap::new();
    for setting in settings {
        match apply(&table, &setting, known) {
            Ok(next) => {
                table = next;
                origins.insert(setting.key, setting.source);
            }
            Err(text) => mistakes.push(Mistake {
                key: setting.key,
                source: setting.source,
                text,
            }),
        }
    }
    let config = (table.clone().try_into()).expect("each value was tried when it was laid on");
    Merged {
        config,
        table,
        origins,
        mistakes,
    }
}

fn embedded(text: &str) -> Table {
    text.parse()
        .expect("the embedded file is TOML; a test reads it")
}

/// All settings in the order of their rank, and what could not even be read.
fn settings(sources: Sources) -> (Vec<Setting>, Vec<Mistake>) {
    let mut settings = Vec::new();
    let mut mistakes = Vec::new();
    if let Some((path, text)) = sources.file {
        let source = Source::File(path);
        let table = text.and_then(|text| {
            text.parse::<Table>()
                .map_err(|error| format!("not TOML: {}", syntax(&text, &error)))
        });
        match table {
            Ok(table) => settings.extend(leaves(&table).into_iter().map(|(key, value)| Setting {
                key,
                source: source.clone(),
                candidates: vec![value],
            })),
            Err(text) => mistakes.push(Mistake {
                key: String::new(),
                source,
                text,
            }),
        }
    }
    for (name, key, value) in environment::settings(&sources.environment) {
        settings.push(Setting {
            key,
            source: Source::Variable(name),
            candidates: readings(&value),
        });
    }
    for flag in sources.flags {
        settings.push(Setting {
            key: flag.key,
            source: Source::Flag(flag.name),
            candidates: readings(&flag.value),
        });
    }
    (settings, mistakes)
}

/// Where the file stops being TOML: the line alone, for the text around it may be a secret.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| {
        text.bytes()
            .take(span.start)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    });
    format!("{} in line {line}", error.message())
}

/// What a text may mean.
fn readings(text: &str) -> Vec<Value> {
    let number = text.parse().ok().map(Value::Integer);
    let float = text
        .parse()
        .ok()
        .filter(|float: &f64| float.is_finite())
        .map(Value::Float);
    let boolean = text.parse().ok().map(Value::Boolean);
    let string = Some(Value::String(text.to_owned()));
    [number, float, boolean, string]
        .into_iter()
        .flatten()
        .collect()
}

/// The table with the setting in it, or what is wrong with the setting.
fn apply(table: &Table, setting: &Setting, known: &[String]) -> Result<Table, String> {
    if !known.contains(&setting.key) {
        return Err(match nearest(&setting.key, known) {
            Some(nearest) => format!("there is no such setting; did you mean {nearest}?"),
            None => "there is no such setting; config/default.toml lists all".to_owned(),
        });
    }
    let mut refusal = None;
    for candidate in &setting.candidates {
        let mut next = table.clone();
        insert(&mut next, &setting.key, candidate.clone());
        match next.clone().try_into::<Config>() {
            Ok(_) => return Ok(next),
            Err(error) => refusal = Some(error),
        }
    }
    let reason = refusal
        .map(|error| error.message().to_owned())
        .unwrap_or_default();
    Err(describe(table, setting, &reason))
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table
                .entry(section.to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => get(table.get(section)?.as_table()?, rest),
    }
}

/// What is wrong with a value, in words: what it is (unless it is a secret) and what it must be.
fn describe(table: &Table, setting: &Setting, reason: &str) -> String {
    let holds_tables = matches!(setting.candidates.last(), Some(Value::Array(list))
        if list.iter().any(Value::is_table));
    let expected = match get(table, &setting.key) {
        _ if reason.contains("unknown variant") => reason.to_owned(),
        // A table of a list: its other settings may be secrets.
        Some(Value::Array(_)) if reason.contains("unknown field") => reason.to_owned(),
        Some(Value::Integer(_)) => "must be a whole number, 0 or more".to_owned(),
        Some(Value::Float(_)) => "must be a number, 0 or more".to_owned(),
        Some(Value::Boolean(_)) => "must be true or false".to_owned(),
        Some(Value::String(_)) => "must be a text in quotes".to_owned(),
        Some(Value::Array(_)) if holds_tables => {
            "a value is of the wrong type; config/default.toml describes them".to_owned()
        }
        Some(Value::Array(_)) => "must be a list".to_owned(),
        _ => "is of the wrong type".to_owned(),
    };
    let is_secret = ["key", "secret", "token"]
        .iter()
        .any(|word| setting.key.ends_with(word))
        || holds_tables;
    match setting.candidates.last() {
        Some(value) if !is_secret && !reason.contains("unknown variant") => {
            format!("{expected}, not {value}")
        }
        _ => expected,
    }
}
