//! Any object: its fields under names in words.

use serde_json::{Map, Value};

use super::text::{Text, plain, text};

/// Shown at the top, or of no use to people.
const SKIPPED: [&str; 5] = ["name", "namespace", "labels", "annotations", "managedFields"];

/// Words that are written in capitals.
const CAPITALS: [&str; 4] = ["Api", "Uid", "Ip", "Url"];

pub fn describe(to: &mut Text, object: &Value) {
    to.head(object);
    to.labels(0, &object["metadata"]["labels"]);
    to.annotations(0, &object["metadata"]["annotations"]);
    to.field(0, "API Version", text(&object["apiVersion"]));
    to.field(0, "Kind", text(&object["kind"]));
    let mut fields = object.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| name != "apiVersion" && name != "kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SKIPPED.contains(&name.as_str()));
    }
    content(to, 0, &fields);
}

fn content(to: &mut Text, level: usize, fields: &Map<String, Value>) {
    for (name, value) in fields {
        let name = words(name);
        match value {
            Value::Object(fields) => {
                to.line(level, &format!("{name}:"));
                content(to, level + 1, fields);
            }
            Value::Array(items) => {
                to.line(level, &format!("{name}:"));
                for item in items {
                    match item {
                        Value::Object(fields) => content(to, level + 1, fields),
                        other => to.line(level + 1, &plain(other)),
                    }
                }
            }
            Value::Null => to.field(level, &name, "<nil>"),
            other => to.field(level, &name, plain(other)),
        }
    }
}

/// `creationTimestamp` becomes `Creation Timestamp`.
pub fn words(name: &str) -> String {
    if !name.chars().all(char::is_alphanumeric) {
        return name.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && was_lower {
            words.push(String::new());
        }
        was_lower = !c.is_uppercase();
        words.last_mut().expect("there is a word").push(c);
    }
    words.iter().map(|word| capital(word)).collect::<Vec<_>>().join(" ")
}

fn capital(word: &str) -> String {
    let mut rest = word.chars();
    let word: String = rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect();
    if CAPITALS.contains(&word.as_str()) { word.to_uppercase() } else { word }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_words() {
        let cases = [
            ("creationTimestamp", "Creation Timestamp"),
            ("uid", "UID"),
            ("apiGroup", "API Group"),
            ("a.b/c", "a.b/c"),
        ];
        for (name, expected) in cases {
            assert_eq!(words(name), expected);
        }
    }

    #[test]
    fn any_object_can_be_described() {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Crane", "metadata": {"name": "c", "namespace": "ns",
            "labels": {"a": "1", "b": "2"}, "uid": "u", "managedFields": [1]}, "spec": {"loadMax": 5, "ropes": ["x", "y"],
            "parts": [{"partName": "hook"}]}});
        let mut text = Text::default();
        describe(&mut text, &object);
        expect![[r"
            Name:         c
            Namespace:    ns
            Labels:       a=1
                          b=2
            Annotations:  <none>
            API Version:  example.com/v1
            Kind:         Crane
            Metadata:
              UID:  u
            Spec:
              Load Max:  5
              Parts:
                Part Name:  hook
              Ropes:
                x
                y
        "]]
        .assert_eq(&text.aligned());
    }
}
