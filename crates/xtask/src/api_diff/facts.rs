//! What an OpenAPI 2 document says, as texts that can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// For each operation and each definition: what is said of it.
pub type Facts = BTreeMap<String, BTreeMap<String, String>>;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];
/// What people read, and what no client goes by.
const WORDS: [&str; 2] = ["description", "default"];

/// The groups and versions whose paths the document has: `/api/v1`, `/apis/apps/v1`.
pub fn versions(document: &Value) -> BTreeSet<String> {
    entries(&document["paths"]).filter_map(|(path, _)| version(path)).collect()
}

fn version(path: &str) -> Option<String> {
    let length = if path.starts_with("/api/") { 3 } else { 4 };
    let parts: Vec<&str> = path.split('/').take(length).collect();
    let complete = parts.len() == length && parts.iter().skip(1).all(|part| !part.is_empty());
    complete.then(|| parts.join("/"))
}

/// The facts about these versions, and about the definitions that they need.
pub fn facts(document: &Value, versions: &BTreeSet<String>) -> Facts {
    let mut facts = Facts::new();
    let mut needed = BTreeSet::new();
    for (path, item) in entries(&document["paths"]) {
        if !version(path).is_some_and(|version| versions.contains(&version)) {
            continue;
        }
        for method in METHODS.iter().filter(|method| item.get(*method).is_some()) {
            let subject = format!("operation {} {path}", method.to_uppercase());
            facts.insert(subject, operation(document, item, &item[*method]));
            references(document, &item[*method], &mut needed);
        }
    }
    for name in needed {
        facts.insert(format!("definition {name}"), definition(&document["definitions"][&name]));
    }
    facts
}

fn operation(document: &Value, item: &Value, operation: &Value) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for aspect in ["operationId", "x-kubernetes-action", "x-kubernetes-group-version-kind"] {
        if let Some(value) = operation.get(aspect) {
            facts.insert(aspect.to_owned(), value.to_string());
        }
    }
    for parameter in items(&item["parameters"]).chain(items(&operation["parameters"])) {
        let parameter = resolve(document, parameter);
        let text = |field: &str| parameter[field].as_str().unwrap_or_default().to_owned();
        let required = if parameter["required"] == true { " required" } else { "" };
        let said = format!("{}{}{required}", text("type"), schema(&parameter["schema"]));
        facts.insert(format!("{} parameter {}", text("in"), text("name")), said);
    }
    for (code, response) in entries(&operation["responses"]) {
        facts.insert(format!("answer {code}"), schema(&response["schema"]));
    }
    facts
}

/// The name of a definition, or the schema itself.
fn schema(schema: &Value) -> String {
    match schema["$ref"].as_str() {
        Some(reference) => name(reference).to_owned(),
        None if schema.is_null() => String::new(),
        None => without_words(schema).to_string(),
    }
}

fn resolve<'a>(document: &'a Value, parameter: &'a Value) -> &'a Value {
    match parameter["$ref"].as_str() {
        Some(reference) => &document["parameters"][name(reference)],
        None => parameter,
    }
}

fn definition(definition: &Value) -> BTreeMap<String, String> {
    let mut facts: BTreeMap<String, String> = entries(&definition["properties"])
        .map(|(field, property)| (format!("field {field}"), without_words(property).to_string()))
        .collect();
    for (aspect, value) in entries(definition).filter(|(aspect, _)| *aspect != "properties") {
        if !WORDS.contains(&aspect) {
            facts.insert(aspect.to_owned(), sorted(value).to_string());
        }
    }
    facts
}

/// Lists of a definition (required fields, kinds) have no order.
fn sorted(value: &Value) -> Value {
    let Some(list) = value.as_array() else { return value.clone() };
    let mut list: Vec<Value> = list.iter().map(without_words).collect();
    list.sort_by_key(Value::to_string);
    Value::Array(list)
}

/// A schema without descriptions, its fields in one order.
fn without_words(value: &Value) -> Value {
    let Some(map) = value.as_object() else { return value.clone() };
    let kept: BTreeMap<&String, &Value> = map.iter().filter(|(name, _)| !WORDS.contains(&name.as_str())).collect();
    let fields = kept.into_iter().map(|(name, value)| (name.clone(), without_words(value)));
    Value::Object(fields.collect::<Map<String, Value>>())
}

/// All definitions that a value refers to, and those that they refer to.
fn references(document: &Value, value: &Value, found: &mut BTreeSet<String>) {
    if let Some(reference) = value["$ref"].as_str() {
        let target = name(reference).to_owned();
        if reference.starts_with("#/parameters/") {
            references(document, &document["parameters"][&target], found);
        } else if found.insert(target.clone()) {
            references(document, &document["definitions"][&target], found);
        }
    }
    items(value).for_each(|item| references(document, item, found));
    entries(value).for_each(|(_, field)| references(document, field, found));
}

fn name(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
