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

/// A part as a document of OpenAPI 3, for servers that do not have one. (upstream: kube-openapi pkg/openapiconv)
pub fn to_v3(part: &Value) -> Value {
    let mut part = part.clone();
    each(&mut part, &mut |value| {
        if let Some(name) = name_of(value, DEFINITION) {
            let moved = format!("#/components/schemas/{name}");
            value["$ref"] = json!(moved);
        }
    });
    let mut paths = part["paths"].take();
    for item in paths.as_object_mut().into_iter().flatten().filter_map(|(_, item)| item.as_object_mut()) {
        for (field, of) in item {
            match field.as_str() {
                "parameters" => *of = of.as_array().into_iter().flatten().map(parameter).collect(),
                _ if of.is_object() => *of = operation(of),
                _ => {}
            }
        }
    }
    let info = json!({"title": "Kubernetes", "version": "unversioned"});
    json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": part["definitions"]}})
}

/// What says what a value is has a place of its own.
fn parameter(of: &Value) -> Value {
    const OWN: [&str; 5] = ["name", "in", "required", "description", "allowEmptyValue"];
    let fields = of.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
    let (mut own, schema): (Map<_, _>, Map<_, _>) = fields.partition(|(name, _)| OWN.contains(&name.as_str()));
    own.insert("schema".to_owned(), schema.into());
    own.into()
}

fn operation(of: &Value) -> Value {
    let content = |types: &Value, schema: &Value| -> Value {
        let types = types.as_array().into_iter().flatten().filter_map(Value::as_str);
        types.map(|media| (media.to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
    };
    let (consumes, produces) = (&of["consumes"], &of["produces"]);
    let mut made = of.as_object().cloned().unwrap_or_default();
    made.retain(|name, _| !["consumes", "produces", "schemes"].contains(&name.as_str()));
    let parameters = of["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(body) = parameters.iter().find(|parameter| parameter["in"] == "body") {
        let content = content(consumes, &body["schema"]);
        made.insert("requestBody".to_owned(), json!({"content": content, "required": body["required"] == true}));
    }
    let others = parameters.iter().filter(|parameter| parameter["in"] != "body").map(parameter);
    made.insert("parameters".to_owned(), others.collect());
    for response in made.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(schema) = response.1.as_object_mut().and_then(|response| response.remove("schema")) {
            response.1["content"] = content(produces, &schema);
        }
    }
    made.into()
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
    fn a_part_becomes_a_document_of_the_newer_form() {
        let of = json!({
            "paths": {"/apis/a/v1/things": {
                "parameters": [{"name": "pretty", "in": "query", "type": "string", "uniqueItems": true}],
                "post": {
                    "consumes": ["application/json"], "produces": ["application/yaml"], "operationId": "make",
                    "parameters": [
                        {"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/a.Thing"}},
                    ],
                    "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/a.Thing"}}},
                },
            }},
            "definitions": {"a.Thing": {"type": "object"}},
        });
        let made = to_v3(&of);
        let thing = json!({"schema": {"$ref": "#/components/schemas/a.Thing"}});
        let string = json!({"type": "string", "uniqueItems": true});
        assert_eq!(
            made["paths"]["/apis/a/v1/things"],
            json!({
                "parameters": [{"name": "pretty", "in": "query", "schema": string}],
                "post": {
                    "operationId": "make", "parameters": [],
                    "requestBody": {"required": true, "content": {"application/json": thing}},
                    "responses": {"200": {"description": "OK", "content": {"application/yaml": thing}}},
                },
            })
        );
        assert_eq!(made["components"]["schemas"], of["definitions"]);
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
