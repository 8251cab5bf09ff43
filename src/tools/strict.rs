//! Schemas as OpenAI's strict mode wants them, where the model is held to the schema: every object
//! is closed, every property is required, and what may be left out is null.
//!
//! Source: OpenAI's guide "Structured model outputs", the supported schemas.

use serde_json::{Map, Value, json};

/// What strict mode does not know and what says nothing a model needs.
const DROPPED: [&str; 4] = ["$schema", "title", "default", "format"];

/// What strict mode refuses.
const REFUSED: [&str; 9] = [
    "$ref",
    "allOf",
    "not",
    "if",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "dependentRequired",
    "prefixItems",
];

/// The schema in strict form; `None` when it allows what strict mode cannot say, such as properties
/// of any name.
pub(super) fn strict(mut schema: Value) -> Option<Value> {
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    (is_object && tighten(&mut schema)).then_some(schema)
}

/// Removes what the model set to null because it had to write something, at any depth of objects.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn tighten(schema: &mut Value) -> bool {
    let Value::Object(schema) = schema else {
        return false; // `true`: anything goes
    };
    if REFUSED.iter().any(|keyword| schema.contains_key(*keyword)) {
        return false;
    }
    schema.retain(|keyword, _| !DROPPED.contains(&keyword.as_str()));
    if let Some(only) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([only]));
    }
    if let Some(choices) = schema.remove("oneOf") {
        schema.insert("anyOf".to_owned(), choices);
    }
    let mut is_strict =
        schema.contains_key("type") || schema.contains_key("anyOf") || schema.contains_key("enum");
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        is_strict &= choices.iter_mut().all(tighten);
    }
    if let Some(items) = schema.get_mut("items") {
        is_strict &= tighten(items);
    }
    is_strict && (!is_of(schema, "object") || close(schema))
}

/// Closes an object: all that it has is required, and there is nothing else.
fn close(schema: &mut Map<String, Value>) -> bool {
    let is_open = |more: &Value| *more != Value::Bool(false);
    let has_more = schema.get("additionalProperties").is_some_and(is_open);
    let required: Vec<Value> = match schema.remove("required") {
        Some(Value::Array(names)) => names,
        _ => Vec::new(),
    };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    let Value::Object(properties) = properties else {
        return false;
    };
    for (name, property) in properties.iter_mut() {
        if !tighten(property) {
            return false;
        }
        if !required.iter().any(|it| it == name) {
            allow_null(property);
        }
    }
    let names: Vec<Value> = properties.keys().cloned().map(Value::String).collect();
    schema.insert("required".to_owned(), Value::Array(names));
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    !has_more
}

/// Lets the model write null for what it leaves out.
fn allow_null(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        return;
    };
    if is_of(fields, "null") {
        return;
    }
    let null = json!({"type": "null"});
    match fields.get_mut("anyOf") {
        Some(Value::Array(choices)) if choices.contains(&null) => return,
        Some(Value::Array(choices)) => {
            choices.push(null);
            return;
        }
        _ => {}
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.push(Value::Null);
    }
    match fields.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(Value::String(one)) => {
            let types = json!([one, "null"]);
            fields.insert("type".to_owned(), types);
        }
        _ => {}
    }
}

fn is_of(schema: &Map<String, Value>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|it| it == kind),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strict_mode_cannot_say_stays_as_it_is() {
        for (schema, is_strict) in [
            (json!({"type": "object"}), true),
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}}),
                true,
            ),
            (
                json!({"type": "object", "additionalProperties": true}),
                false,
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                false,
            ),
            (json!({"type": "object", "properties": {"a": {}}}), false),
            (json!({"type": "object", "properties": {"a": true}}), false),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}),
                false,
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "array", "items": true}}}),
                false,
            ),
            (json!({"type": "string"}), false),
            (json!(true), false),
        ] {
            assert_eq!(strict(schema.clone()).is_some(), is_strict, "{schema}");
        }
    }

    #[test]
    fn what_may_be_left_out_may_be_null() {
        let optional =
            json!({"type": "object", "properties": {"a": {"enum": ["x"], "type": "string"}}});
        let expected = json!({"enum": ["x", null], "type": ["string", "null"]});
        assert_eq!(strict(optional).unwrap()["properties"]["a"], expected);
    }

    #[test]
    fn nulls_are_what_was_left_out() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [{"e": null}, null, 1]}});
        drop_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [{}, null, 1]}}));
    }
}
