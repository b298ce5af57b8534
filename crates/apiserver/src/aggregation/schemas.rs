//! OpenAPI 2 documents of other servers, as parts of this server's own. (upstream: kube-openapi pkg/aggregator)

use std::collections::HashMap;

use serde_json::{Map, Value, json};

const DEFINITION: &str = "#/definitions/";
const PARAMETER: &str = "#/parameters/";
const KINDS: &str = "x-kubernetes-group-version-kind";

/// What a document has at paths that are wanted: these and the definitions that they need. Parameters that are shared
/// stand where they are used.
pub fn part(document: &Value, wants: impl Fn(&str) -> bool) -> Value {
    let paths = document["paths"].as_object().into_iter().flatten().filter(|(path, _)| wants(path));
    let mut paths: Value = paths.map(|(path, of)| (path.clone(), of.clone())).collect::<Map<_, _>>().into();
    let parameters = &document["parameters"];
    each(&mut paths, &mut |value| {
        if let Some(shared) = name_of(value, PARAMETER).and_then(|name| parameters.get(name)) {
            *value = shared.clone();
        }
    });
    let mut definitions = Map::new();
    let mut needed = Vec::new();
    names(&paths, &mut needed);
    while let Some(name) = needed.pop() {
        if let Some(of) = document["definitions"].get(&name).filter(|_| !definitions.contains_key(&name)) {
            names(of, &mut needed);
            definitions.insert(name, of.clone());
        }
    }
    json!({"paths": paths, "definitions": definitions})
}

/// Adds a document to another. Paths that are there already stay what they are; definitions whose name is that of
/// another one get a name of their own.
pub fn merge(into: &mut Value, from: &Value) {
    let mut from = part(from, |path| into["paths"].get(path).is_none());
    let renamed = renamed(&into["definitions"], &from["definitions"]);
    each(&mut from, &mut |value| {
        if let Some(other) = name_of(value, DEFINITION).and_then(|name| renamed.get(name)) {
            value["$ref"] = json!(format!("{DEFINITION}{other}"));
        }
    });
    let Value::Object(mut from) = from else { return };
    let mut take = |field: &str| match from.remove(field) {
        Some(Value::Object(entries)) => entries,
        _ => Map::new(),
    };
    for (name, of) in take("definitions") {
        let name = renamed.get(&name).cloned().unwrap_or(name);
        match into["definitions"].get_mut(&name) {
            Some(known) => add_kinds(known, &of),
            None => into["definitions"][name] = of,
        }
    }
    for (path, of) in take("paths") {
        into["paths"][path] = of;
    }
}

/// New names of those that are added under the name of another one, and of those that speak of one such.
fn renamed(known: &Value, added: &Value) -> HashMap<String, String> {
    let mut renamed: HashMap<String, String> = HashMap::new();
    let added_ones: Vec<(&String, &Value)> = added.as_object().into_iter().flatten().collect();
    loop {
        let is_other = |name: &str, of: &Value, renamed: &HashMap<String, String>| {
            let mut spoken_of = Vec::new();
            names(of, &mut spoken_of);
            let speaks_of_one = spoken_of.iter().any(|name| renamed.contains_key(name));
            known.get(name).is_some_and(|known| speaks_of_one || !is_same(known, of))
        };
        let next = added_ones.iter().find(|(name, of)| !renamed.contains_key(*name) && is_other(name, of, &renamed));
        let Some((name, of)) = next else { return renamed };
        let free = |candidate: &String| !is_other(candidate, of, &renamed) && added.get(candidate).is_none();
        let other = (2..).map(|number| format!("{name}_v{number}")).find(free).expect("numbers do not end");
        renamed.insert((*name).clone(), other);
    }
}

/// Whether two definitions differ in the kinds that they are of, if at all.
fn is_same(one: &Value, other: &Value) -> bool {
    let fields = |of: &Value| of.as_object().map(|of| of.iter().filter(|(name, _)| *name != KINDS).count());
    fields(one) == fields(other)
        && one.as_object().into_iter().flatten().all(|(name, value)| name == KINDS || other.get(name) == Some(value))
}

fn add_kinds(known: &mut Value, of: &Value) {
    for kind in of[KINDS].as_array().into_iter().flatten() {
        match known[KINDS].as_array_mut() {
            Some(kinds) if !kinds.contains(kind) => kinds.push(kind.clone()),
            Some(_) => {}
            None => known[KINDS] = json!([kind]),
        }
    }
}

fn name_of<'a>(value: &'a Value, of: &str) -> Option<&'a str> {
    value.get("$ref")?.as_str()?.strip_prefix(of)
}

/// The definitions that are spoken of.
fn names(value: &Value, found: &mut Vec<String>) {
    found.extend(name_of(value, DEFINITION).map(str::to_owned));
    match value {
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| names(field, found)),
        _ => {}
    }
}

fn each(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each(field, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, of: &Value) -> Value {
        let get = json!({"parameters": [{"$ref": "#/parameters/p"}], "schema": {"$ref": "#/definitions/a.Thing"}});
        let mut paths = json!({"/apis/elsewhere/v1/": {"schema": {"$ref": "#/definitions/unused"}}});
        paths[path] = json!({"get": get});
        json!({
            "swagger": "2.0", "paths": paths, "parameters": {"p": {"name": "pretty", "in": "query"}},
            "definitions": {
                "a.Thing": {"properties": {"spec": {"items": {"$ref": "#/definitions/a.Spec"}}}, KINDS: [{"kind": path}]},
                "a.Spec": of, "unused": {},
            },
        })
    }

    #[test]
    fn a_part_holds_what_it_speaks_of() {
        let of = document("/apis/a/v1/things", &json!({"type": "object"}));
        let part = part(&of, |path| path.starts_with("/apis/a/v1/"));
        let paths: Vec<&String> = part["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/apis/a/v1/things"]);
        assert_eq!(part["paths"]["/apis/a/v1/things"]["get"]["parameters"], json!([{"name": "pretty", "in": "query"}]));
        let definitions: Vec<&String> = part["definitions"].as_object().unwrap().keys().collect();
        assert_eq!(definitions, ["a.Spec", "a.Thing"]);
    }

    #[test]
    fn definitions_of_one_name_are_told_apart_unless_they_are_the_same() {
        let mut whole = document("/one", &json!({"type": "object"}));
        merge(&mut whole, &document("/two", &json!({"type": "object"})));
        assert_eq!(whole["definitions"]["a.Thing"][KINDS], json!([{"kind": "/one"}, {"kind": "/two"}]));
        assert_eq!(whole["definitions"].as_object().unwrap().len(), 3);
        merge(&mut whole, &document("/three", &json!({"type": "string"})));
        assert_eq!(whole["definitions"]["a.Spec_v2"], json!({"type": "string"}));
        assert_eq!(whole["definitions"]["a.Spec"], json!({"type": "object"}));
        let thing = whole["paths"]["/three"]["get"]["schema"]["$ref"].as_str().unwrap();
        let thing = thing.strip_prefix(DEFINITION).unwrap();
        assert_eq!(whole["definitions"][thing]["properties"]["spec"]["items"]["$ref"], "#/definitions/a.Spec_v2");
        // Paths that are there stay.
        let before = whole.clone();
        merge(&mut whole, &document("/two", &json!({"type": "integer"})));
        assert_eq!(whole, before);
    }
}
