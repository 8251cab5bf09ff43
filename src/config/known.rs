//! Which settings there are, and which one somebody may have meant.

use toml::{Table, Value};

use super::DEFAULT_TOML;

/// How alike two keys must be for one to be suggested for the other, 0 to 1.
const SIMILAR: f64 = 0.8;

/// All settings: those with a value in `config/default.toml`, and those that are only described
/// there because they are not set by default (`# temperature = 0.7`).
pub(super) fn known_keys() -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in DEFAULT_TOML.lines() {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.to_owned();
            continue;
        }
        let setting = line.trim_start_matches('#').trim_start();
        let Some((name, _)) = setting.split_once(" = ") else {
            continue;
        };
        if !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
        {
            keys.push(match section.as_str() {
                "" => name.to_owned(),
                section => format!("{section}.{name}"),
            });
        }
    }
    keys
}

/// The setting that is most like `key`: the same name in another section, or a small difference.
pub(super) fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let name = last(key);
    let mut same_name = known.iter().filter(|candidate| last(candidate) == name);
    if let (Some(candidate), None) = (same_name.next(), same_name.next()) {
        return Some(candidate);
    }
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.as_str())
}

/// The values of a table with their whole keys, in order.
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    collect("", table, &mut leaves);
    leaves
}

fn collect(prefix: &str, table: &Table, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(table) => collect(&key, table, leaves),
            value => leaves.push((key, value.clone())),
        }
    }
}
