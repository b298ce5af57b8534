//! What makes a schema structural (upstream: schema/validation.go).

use machinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value, json};

use crate::schema::compile_pattern;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What keeps the JSON of a schema from being structural.
pub fn check(path: &Path, schema: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    invariants(path, schema, Level::Root, &mut errors);
    completeness(schema, Some(schema), path, path, &mut errors);
    errors.sort_by_key(ToString::to_string);
    errors
}

fn is(schema: &Value, name: &str) -> bool {
    schema[name] == Value::Bool(true)
}

fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema[name].as_str().unwrap_or_default()
}

fn part<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get(name).filter(|part| part.is_object())
}

fn parts<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema[name].as_array().map_or(&[], Vec::as_slice)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn int_or_string() -> Value {
    json!([{"type": "integer"}, {"type": "string"}])
}

fn invariants(path: &Path, schema: &Value, level: Level, errors: &mut ErrorList) {
    let of = text(schema, "type");
    match part(schema, "items") {
        Some(items) => invariants(&path.child("items"), items, Level::Item, errors),
        None if of == "array" => errors.push(Error::required(&path.child("items"), "must be specified")),
        None => {}
    }
    for (name, property) in properties(schema) {
        invariants(&path.child("properties").key(name), property, Level::Field, errors);
    }
    let additional = schema.get("additionalProperties").filter(|of| !of.is_null());
    if let Some(of) = additional {
        let at = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(Error::forbidden(&at, "must not be used at the root"));
        }
        if of.is_object() {
            invariants(&at, of, Level::Field, errors);
        }
    }
    extensions(path, schema, errors);
    let skips_any = schema["anyOf"] == int_or_string();
    let skips_all = parts(schema, "allOf").first().is_some_and(|first| first["anyOf"] == int_or_string());
    value_validation(path, schema, skips_any, skips_all, errors);
    of_type(path, schema, level, errors);
    metadata(path, schema, level, errors);
    let embedded = is(schema, "x-kubernetes-embedded-resource");
    if embedded && additional.is_some() {
        let text = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(&path.child("additionalProperties"), text));
    }
    if embedded && !is(schema, "x-kubernetes-preserve-unknown-fields") && properties(schema).next().is_none() {
        let text =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&path.child("properties"), text));
    }
}

fn extensions(path: &Path, schema: &Value, errors: &mut ErrorList) {
    if !is(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if is(schema, name) {
            errors.push(Error::invalid(&path.child(name), true, "must be false if x-kubernetes-int-or-string is true"));
        }
    }
}

fn of_type(path: &Path, schema: &Value, level: Level, errors: &mut ErrorList) {
    let (at, of) = (path.child("type"), text(schema, "type"));
    let open = is(schema, "x-kubernetes-int-or-string") || is(schema, "x-kubernetes-preserve-unknown-fields");
    if is(schema, "x-kubernetes-embedded-resource") && of != "object" {
        let text = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if of.is_empty() { Error::required(&at, text) } else { Error::invalid(&at, of, text) });
    } else if of.is_empty() && !open {
        let text = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(&at, text));
    }
    if level == Level::Root && !of.is_empty() && of != "object" {
        errors.push(Error::invalid(&at, of, "must be object at the root"));
    }
}

fn metadata(path: &Path, schema: &Value, level: Level, errors: &mut ErrorList) {
    let is_resource = level == Level::Root || is(schema, "x-kubernetes-embedded-resource");
    let named = &schema["properties"];
    for name in ["kind", "apiVersion"] {
        if let Some(property) = part(named, name).filter(|property| is_resource && text(property, "type") != "string") {
            let at = path.child("properties").key(name).child("type");
            errors.push(Error::invalid(&at, text(property, "type"), "must be string"));
        }
    }
    let Some(metadata) = part(named, "metadata") else { return };
    let at = path.child("properties").key("metadata");
    if is_resource && text(metadata, "type") != "object" {
        errors.push(Error::invalid(&at.child("type"), text(metadata, "type"), "must be object"));
    }
    if level == Level::Root && says_more(metadata) {
        let text = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(Error::forbidden(&at, text));
    }
}

/// Whether a schema of metadata restricts more than names.
fn says_more(metadata: &Value) -> bool {
    let only_names = properties(metadata).all(|(name, _)| ["name", "generateName"].contains(&name.as_str()));
    let fields = metadata.as_object().into_iter().flatten();
    let silent = ["type", "default", "properties"];
    let mut others = fields.filter(|(name, value)| !silent.contains(&name.as_str()) && !value.is_null());
    !only_names || others.next().is_some()
}

fn value_validation(path: &Path, schema: &Value, skips_any: bool, skips_all: bool, errors: &mut ErrorList) {
    let mut all = |name: &str, skips: bool, first_skips: bool| {
        for (index, nested) in parts(schema, name).iter().enumerate().filter(|_| !skips) {
            let skips_any = first_skips && index == 0;
            nested_validation(&path.child(name).index(index), nested, skips_any, errors);
        }
    };
    all("anyOf", skips_any, false);
    all("allOf", false, skips_all);
    all("oneOf", false, false);
    if let Some(not) = part(schema, "not") {
        nested_validation(&path.child("not"), not, false, errors);
    }
    let pattern = text(schema, "pattern");
    if let Some(why) = compile_pattern(pattern).err() {
        let text = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(&path.child("pattern"), pattern, text));
    }
}

fn nested_validation(path: &Path, schema: &Value, skips_any: bool, errors: &mut ErrorList) {
    value_validation(path, schema, skips_any, false, errors);
    if let Some(items) = part(schema, "items") {
        nested_validation(&path.child("items"), items, false, errors);
    }
    for (name, property) in properties(schema) {
        nested_validation(&path.child("properties").key(name), property, false, errors);
    }
    const FORBIDDEN: &[(&str, &str)] = &[
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ];
    let fields = schema.as_object();
    let is_said = |name: &str| fields.and_then(|fields| fields.get(name)).is_some_and(|value| !is_nothing(value));
    let said = FORBIDDEN.iter().filter(|(name, _)| is_said(name));
    errors.extend(said.map(|(name, text)| Error::forbidden(&path.child(name), *text)));
    if schema["properties"].get("metadata").is_some() {
        let at = path.child("properties").key("metadata");
        errors.push(Error::forbidden(&at, "must not be specified in a nested context"));
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Fields that only logic speaks of must stand in the schema itself, too.
fn completeness(validation: &Value, schema: Option<&Value>, at: &Path, from: &Path, errors: &mut ErrorList) {
    if let Some(not) = part(validation, "not") {
        nested_completeness(not, schema, at, &from.child("not"), errors);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, nested) in parts(validation, name).iter().enumerate() {
            nested_completeness(nested, schema, at, &from.child(name).index(index), errors);
        }
    }
}

fn nested_completeness(nested: &Value, schema: Option<&Value>, at: &Path, from: &Path, errors: &mut ErrorList) {
    let defined_in = |from: &Path| format!("because it is defined in {from}");
    let Some(schema) = schema else { return errors.push(Error::required(at, defined_in(from))) };
    completeness(nested, Some(schema), at, from, errors);
    if let Some(items) = part(nested, "items") {
        nested_completeness(items, part(schema, "items"), &at.child("items"), &from.child("items"), errors);
    }
    let none = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&none);
    for (name, property) in properties(nested) {
        let (at, from) = (at.child("properties").key(name), from.child("properties").key(name));
        match known.get(name) {
            Some(of) => nested_completeness(property, Some(of), &at, &from, errors),
            None => errors.push(Error::required(&at, defined_in(&from))),
        }
    }
}
