//! Writes JSON that fits a schema, with facts in the places whose names ask for them.
//!
//! It understands the part of JSON Schema that structured outputs allow: types, properties, items,
//! enums, `anyOf`, `const` and local `$ref`. What it does not understand becomes the plainest value of
//! its type.

use serde_json::{Map, Value, json};

use super::facts::Fact;
use super::respond::sentence;

/// Levels of a schema that are followed; deeper ones, as in a schema that refers to itself, end in null.
const DEPTH_MAX: usize = 12;

/// An instance of `schema` that carries `facts`. Null asks for any object and gets a list of facts.
pub(super) fn instance(schema: &Value, facts: &[Fact]) -> Value {
    if schema.is_null() || schema.as_object().is_some_and(Map::is_empty) {
        let facts: Vec<Value> = facts.iter().map(plain).collect();
        return json!({ "facts": facts });
    }
    Writer {
        root: schema,
        facts,
    }
    .value(schema, "", facts.first(), 0)
}

/// The arguments of a tool: always an object, also for a tool without parameters.
pub(super) fn arguments(parameters: &Value, facts: &[Fact]) -> Value {
    match parameters.get("properties") {
        Some(_) => Writer {
            root: parameters,
            facts,
        }
        .value(parameters, "", facts.first(), 0),
        None => json!({}),
    }
}

fn plain(fact: &Fact) -> Value {
    let topic = fact.topic;
    json!({ "category": topic.category(), "key": topic.key(), "value": fact.written() })
}

struct Writer<'a> {
    root: &'a Value,
    facts: &'a [Fact],
}

impl Writer<'_> {
    /// A value for a schema that stands under `name`, about `fact`.
    fn value(&self, schema: &Value, name: &str, fact: Option<&Fact>, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target
                .strip_prefix('#')
                .and_then(|path| self.root.pointer(path));
            return target.map_or(Value::Null, |target| {
                self.value(target, name, fact, depth + 1)
            });
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            return choose(choices, fact);
        }
        let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf"));
        if let Some(alternatives) = alternatives.and_then(Value::as_array) {
            let solid = alternatives
                .iter()
                .find(|one| one.get("type") != Some(&json!("null")));
            return solid.map_or(Value::Null, |one| self.value(one, name, fact, depth + 1));
        }
        match type_of(schema) {
            "object" => self.object(schema, fact, depth),
            "array" => self.array(schema, name, depth),
            "string" => self.string(schema, name, fact),
            "integer" => bounded(schema, 1),
            // Numbers in such schemas are confidences or weights far more often than not.
            "number" => schema.get("maximum").cloned().unwrap_or(json!(1.0)),
            "boolean" => json!(fact.is_some()),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, fact: Option<&Fact>, depth: usize) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return json!({});
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
        let fields = properties.iter().filter_map(|(name, schema)| {
            let value = self.value(schema, name, fact, depth + 1);
            // What is optional and would say nothing is left out.
            let is_empty = value.is_null() || value == "";
            (is_required(name) || !is_empty).then(|| (name.clone(), value))
        });
        Value::Object(fields.collect())
    }

    /// One item for each fact.
    fn array(&self, schema: &Value, name: &str, depth: usize) -> Value {
        let items = schema.get("items").unwrap_or(&Value::Null);
        let item = |fact| self.value(items, name, Some(fact), depth + 1);
        Value::Array(self.facts.iter().map(item).collect())
    }

    /// All facts in sentences.
    fn summary(&self) -> String {
        let sentences = self.facts.iter().map(|fact| sentence(&fact.said_to_user()));
        sentences.collect::<Vec<_>>().join(" ")
    }

    fn string(&self, schema: &Value, name: &str, fact: Option<&Fact>) -> Value {
        let name = name.to_lowercase();
        let is = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        // A field named after a topic holds the fact of that topic, whichever fact is at hand.
        let named = self.facts.iter().rfind(|fact| fact.topic.key() == name);
        let text = match (named, fact) {
            (Some(named), _) => named.written(),
            (None, None) => String::new(),
            (None, Some(_)) if is(&["summary", "profile"]) => self.summary(),
            (None, Some(_)) if schema.get("format").is_some() => String::new(),
            (None, Some(fact)) if is(&["category", "kind", "type"]) => fact.topic.category().into(),
            (None, Some(fact)) if is(&["key", "topic", "attribute", "predicate"]) => {
                fact.topic.key().into()
            }
            (None, Some(fact)) if is(&["value", "query", "object"]) => fact.written(),
            (None, Some(_)) if is(&["subject"]) => "user".into(),
            (None, Some(_)) if is(&["name", "home", "work", "age", "likes"]) => String::new(),
            (None, Some(fact)) => fact.said_to_user(),
        };
        Value::String(text)
    }
}

/// The choice that names the fact's category or key, or that was said; otherwise the first.
fn choose(choices: &[Value], fact: Option<&Fact>) -> Value {
    let named = fact.and_then(|fact| {
        let names = [fact.topic.category(), fact.topic.key()];
        let is_said = |choice: &str| fact.value.split(' ').any(|word| word == choice);
        choices.iter().find(|choice| {
            let choice = choice.as_str().unwrap_or_default().to_lowercase();
            let is_named = names.iter().any(|name| choice.starts_with(name));
            !choice.is_empty() && (is_named || is_said(&choice))
        })
    });
    named
        .or_else(|| choices.first())
        .cloned()
        .unwrap_or(Value::Null)
}

/// The type, of several the first that is not null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null")
            .unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

fn bounded(schema: &Value, wanted: i64) -> Value {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    let value = wanted.max(bound("minimum").unwrap_or(i64::MIN));
    json!(value.min(bound("maximum").unwrap_or(i64::MAX)))
}
