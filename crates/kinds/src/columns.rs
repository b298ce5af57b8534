//! Columns and cells that kinds share.

use std::collections::BTreeSet;

use machinery::Object;
use serde_json::Value;

use crate::def::Column;
use crate::def::Description::{Field, Text};
use crate::duration::human_since;
use crate::tree::{Map, list_of, present, str_of};

pub const NONE: &str = "<none>";
pub const UNSET: &str = "<unset>";

pub const NAME: Column = Column::string("Name", Field("metadata.name"), |object| object.name().into()).format("name");

pub const AGE: Column = Column::string("Age", Field("metadata.creationTimestamp"), age);

const CREATED_AT: Column = Column::string("Created At", Field("metadata.creationTimestamp"), |object| {
    object.str(&["metadata", "creationTimestamp"]).into()
})
.of_type("date");

/// What kinds without columns of their own show.
pub const IMPLIED: &[Column] = &[NAME, CREATED_AT];

/// Containers and images of a pod template at `spec.template`.
pub const CONTAINERS: Column =
    Column::string("Containers", Text("Names of each container in the template."), |object| {
        container_names(template(object)).into()
    })
    .wide();
pub const IMAGES: Column =
    Column::string("Images", Text("Images referenced by each container in the template."), |object| {
        container_images(template(object)).into()
    })
    .wide();
pub const SELECTOR: Column = Column::string("Selector", Field("spec.selector"), |object| {
    object.get(&["spec", "selector"]).map_or_else(|| NONE.to_owned(), format_selector).into()
})
.wide();

pub fn age(object: &Object) -> Value {
    human_since(object.str(&["metadata", "creationTimestamp"])).into()
}

fn template(object: &Object) -> &Value {
    object.get(&["spec", "template"]).unwrap_or(&Value::Null)
}

/// Names of the containers of a pod template, parted by commas.
pub fn container_names(template: &Value) -> String {
    of_containers(template, "name")
}

pub fn container_images(template: &Value) -> String {
    of_containers(template, "image")
}

fn of_containers(template: &Value, field: &str) -> String {
    let containers = template.get("spec").map_or(&[][..], |spec| list_of(spec, "containers"));
    containers.iter().map(|container| str_of(container, field)).collect::<Vec<_>>().join(",")
}

/// The number at `path`; zero if there is none.
pub fn number(object: &Object, path: &[&str]) -> Value {
    object.int(path).unwrap_or(0).into()
}

/// The text at `path`, or `<none>`.
pub fn text_or_none(object: &Object, path: &[&str]) -> Value {
    non_empty(object.str(path), NONE).into()
}

pub fn non_empty<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// `a=b,c=d`; `<none>` when there is nothing.
pub fn format_labels(labels: Option<&Map>) -> String {
    let pairs: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { NONE.to_owned() } else { sorted(pairs).join(",") }
}

/// A `metav1.LabelSelector` or a plain map of labels as upstream prints it.
pub fn format_selector(selector: &Value) -> String {
    let structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    if !structured {
        return format_labels(selector.as_object());
    }
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let mut parts: Vec<(String, String)> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())))
        .collect();
    parts.extend(
        list_of(selector, "matchExpressions")
            .iter()
            .map(|expression| (str_of(expression, "key").to_owned(), format_requirement(expression))),
    );
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    match parts.is_empty() {
        true => NONE.to_owned(),
        false => parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(","),
    }
}

fn format_requirement(expression: &Value) -> String {
    let key = str_of(expression, "key");
    let values = sorted(list_of(expression, "values").iter().filter_map(Value::as_str).collect());
    match str_of(expression, "operator") {
        "In" => format!("{key} in ({})", values.join(",")),
        "NotIn" => format!("{key} notin ({})", values.join(",")),
        "DoesNotExist" => format!("!{key}"),
        _ => key.to_owned(),
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

/// Addresses and names that a load balancer is reached by, each once.
pub fn balancer_addresses(object: &Object) -> String {
    let entries = object.list(&["status", "loadBalancer", "ingress"]).iter();
    let addresses = entries.map(|entry| non_empty(str_of(entry, "ip"), str_of(entry, "hostname")));
    let addresses: BTreeSet<&str> = addresses.filter(|address| !address.is_empty()).collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

/// The first `limit` texts, parted by commas, and how many more there are.
pub fn first_few(texts: &[String], limit: usize) -> String {
    match texts.len() {
        count if count > limit => format!("{} + {} more...", texts[..limit].join(","), count - limit),
        _ => texts.join(","),
    }
}

/// An int-or-string, or any other scalar, as text.
pub fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The scalar at `field`, or `otherwise`.
pub fn scalar_or(value: Option<&Value>, field: &str, otherwise: &str) -> Value {
    value.and_then(|value| present(value, field)).map_or_else(|| otherwise.to_owned(), scalar).into()
}

/// Short forms of access modes, in upstream's order: `RWO,ROX,RWX,RWOP`.
pub fn access_modes(modes: &[Value]) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let named = SHORT.iter().filter(|(mode, _)| modes.iter().any(|value| value == mode));
    named.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_print_as_upstream_prints_them() {
        let selector = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        });
        assert_eq!(format_selector(&selector), "app=web,!old,tier in (a,b)");
        assert_eq!(format_selector(&json!({"b": "2", "a": "1"})), "a=1,b=2");
        assert_eq!(format_selector(&json!({})), "<none>");
    }
}
