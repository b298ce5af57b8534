//! Selectors of reviews: what a request is narrowed to. (upstream: pkg/registry/authorization/util)
//!
//! Requirements hold together, so leaving one out that is not understood asks for more than is meant, never for less.

use machinery::selector::{FieldRequirement, FieldSelector, LabelSelector, Operator};
use serde_json::{Value, json};

/// A selector as text, and whether something of it had to be left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    pub selector: String,
    pub flawed: bool,
}

/// `FieldSelectorAttributes`
pub(super) fn fields(attributes: &Value) -> Read {
    let raw = attributes["rawSelector"].as_str().unwrap_or_default();
    let requirements = list(attributes);
    if requirements.is_empty() {
        return read(FieldSelector::parse(raw).map(|_| raw.to_owned()).ok());
    }
    let known: Vec<FieldRequirement> = requirements.iter().filter_map(field_requirement).collect();
    let flawed = known.len() < requirements.len();
    Read { selector: FieldSelector::from(known).to_string(), flawed }
}

/// `LabelSelectorAttributes`
pub(super) fn labels(attributes: &Value) -> Read {
    let raw = attributes["rawSelector"].as_str().unwrap_or_default();
    let requirements = list(attributes);
    if requirements.is_empty() {
        return read(LabelSelector::parse(raw).map(|_| raw.to_owned()).ok());
    }
    let one = |of: &Value| LabelSelector::from_object(&json!({"matchExpressions": [of]})).ok();
    let known: Vec<String> = requirements.iter().filter_map(one).map(|of| of.to_string()).collect();
    Read { flawed: known.len() < requirements.len(), selector: known.join(",") }
}

/// `FieldSelectorRequirement`s of a selector; nothing of one that is malformed.
pub(super) fn field_requirements(selector: &str) -> Vec<Value> {
    let Ok(selector) = FieldSelector::parse(selector) else { return Vec::new() };
    let requirement = |of: &FieldRequirement| {
        let operator = if of.equals { "In" } else { "NotIn" };
        json!({"key": of.field, "operator": operator, "values": [of.value]})
    };
    selector.requirements().iter().map(requirement).collect()
}

/// `LabelSelectorRequirement`s of a selector; nothing of one that is malformed.
pub(super) fn label_requirements(selector: &str) -> Vec<Value> {
    let Ok(selector) = LabelSelector::parse(selector) else { return Vec::new() };
    let requirements = selector.requirements().iter().filter_map(|of| {
        let operator = match of.operator {
            Operator::Equals | Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        let mut requirement = json!({"key": of.key, "operator": operator});
        if !of.values.is_empty() {
            requirement["values"] = json!(of.values);
        }
        Some(requirement)
    });
    requirements.collect()
}

fn list(attributes: &Value) -> &[Value] {
    attributes["requirements"].as_array().map_or(&[], Vec::as_slice)
}

fn read(selector: Option<String>) -> Read {
    Read { flawed: selector.is_none(), selector: selector.unwrap_or_default() }
}

fn field_requirement(of: &Value) -> Option<FieldRequirement> {
    let [value] = of["values"].as_array()?.as_slice() else { return None };
    let equals = match of["operator"].as_str()? {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    Some(FieldRequirement { field: of["key"].as_str()?.to_owned(), value: value.as_str()?.to_owned(), equals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_left_out_and_told() {
        let of =
            |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        for (attributes, selector, flawed) in [
            (json!(null), "", false),
            (json!({"rawSelector": "a=b"}), "a=b", false),
            (json!({"rawSelector": "a&b"}), "", true),
            (json!({"requirements": [of("a", "In", &["x,y"])]}), "a=x\\,y", false),
            (json!({"requirements": [of("a", "NotIn", &["b"]), of("c", "Exists", &[])]}), "a!=b", true),
            (json!({"requirements": [of("a", "In", &["b", "c"])]}), "", true),
        ] {
            assert_eq!(fields(&attributes), Read { selector: selector.to_owned(), flawed }, "{attributes}");
        }
        for (attributes, selector, flawed) in [
            (json!({"rawSelector": "a in (b,c),!d"}), "a in (b,c),!d", false),
            (
                json!({"requirements": [of("a", "In", &["c", "b"]), of("d", "DoesNotExist", &[])]}),
                "a in (b,c),!d",
                false,
            ),
            (json!({"requirements": [of("a", "Like", &["b"])]}), "", true),
        ] {
            assert_eq!(labels(&attributes), Read { selector: selector.to_owned(), flawed }, "{attributes}");
        }
    }

    #[test]
    fn a_selector_is_told_by_its_requirements() {
        assert_eq!(field_requirements("a!=b"), [json!({"key": "a", "operator": "NotIn", "values": ["b"]})]);
        assert_eq!(
            label_requirements("a=b,c"),
            [json!({"key": "a", "operator": "In", "values": ["b"]}), json!({"key": "c", "operator": "Exists"})]
        );
        assert!(label_requirements("a=(").is_empty());
    }
}
