//! Whether an object fits its schema, in the words of upstream's typed values.

use std::collections::BTreeSet;
use std::fmt;

use schema::Type;
use serde_json::{Map, Value};

use super::form::{Form, Told};
use super::path::Element;
use crate::patch::go_type;

/// Bytes of problems after which no more are told: each repeats its path, and paths can be long.
const PROBLEMS_MAX: usize = 64 << 10;

/// Whether items that nothing tells apart may be in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    Refused,
    Allowed,
}

/// Says what does not fit; nothing when all does.
pub fn check(object: &Map<String, Value>, form: Form, duplicates: Duplicates) -> Result<(), String> {
    let mut checker = Checker { duplicates, path: String::new(), problems: Vec::new(), length: 0 };
    checker.entries(object, form);
    match checker.problems.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Checker {
    duplicates: Duplicates,
    path: String,
    problems: Vec<String>,
    /// Bytes of these.
    length: usize,
}

impl Checker {
    fn problem(&mut self, what: impl fmt::Display) {
        if self.length > PROBLEMS_MAX {
            return;
        }
        let problem = if self.path.is_empty() { what.to_string() } else { format!("{}: {what}", self.path) };
        self.length += problem.len();
        self.problems.push(problem);
    }

    fn below(&mut self, element: &Element, inside: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(&element.to_string());
        inside(self);
        self.path.truncate(length);
    }

    fn value(&mut self, value: &Value, form: Form) {
        match (form, value) {
            (_, Value::Null) | (Form::Any, _) => {}
            (Form::Scalar(of), _) => self.scalar(value, of),
            (Form::List { told, .. }, Value::Array(items)) => self.items(items, form, told),
            (Form::List { .. }, _) => self.problem(format_args!("expected list, got &{{{}}}", Go(value))),
            (_, Value::Object(map)) => self.entries(map, form),
            (Form::Deduced, _) => {}
            (Form::Struct { .. } | Form::Map { .. }, _) => {
                self.problem(format_args!("expected map, got &{{{}}}", Go(value)));
            }
        }
    }

    fn entries(&mut self, map: &Map<String, Value>, form: Form) {
        map.iter().for_each(|(name, value)| self.entry(name, value, form));
    }

    fn entry(&mut self, name: &str, value: &Value, form: Form) {
        self.below(&Element::field(name), |checker| match form.entry(name) {
            Some(form) => checker.value(value, form),
            None => checker.problem("field not declared in schema"),
        });
    }

    fn items(&mut self, items: &[Value], form: Form, told: Told) {
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = match told {
                Told::Not => Element::Index(index as i64),
                _ => match form.element(item) {
                    Ok(element) => element,
                    Err(reason) => return self.problem(format_args!("element {index}: {reason}")),
                },
            };
            let is_new = seen.insert(element.clone());
            if !is_new && self.duplicates == Duplicates::Refused {
                self.problem(format_args!("duplicate entries for key {element}"));
            }
            self.below(&element, |checker| checker.value(item, form.item()));
        }
    }

    fn scalar(&mut self, value: &Value, of: Type) {
        match (of, value) {
            (Type::String | Type::Bytes, Value::String(_))
            | (Type::Bool, Value::Bool(_))
            | (Type::Int32 | Type::Int64 | Type::Double, Value::Number(_)) => {}
            (Type::String | Type::Bytes, _) => {
                self.problem(format_args!("expected string, got &value.valueUnstructured{{Value:{}}}", Go(value)));
            }
            (Type::Bool, _) => self.problem(format_args!("expected boolean, got &{{{}}}", Go(value))),
            (Type::Int32 | Type::Int64 | Type::Double, _) => {
                self.problem(format_args!("expected numeric (int or float), got {}", go_type(value)));
            }
            (_, Value::Array(_) | Value::Object(_)) => {
                self.problem(format_args!("expected any scalar, got &{{{}}}", Go(value)));
            }
            _ => {}
        }
    }
}

/// A value as Go prints it by `%v`.
struct Go<'a>(&'a Value);

impl fmt::Display for Go<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::String(text) => f.write_str(text),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| Go(item).to_string()).collect();
                write!(f, "[{}]", items.join(" "))
            }
            Value::Object(map) => {
                let entries: Vec<String> = map.iter().map(|(name, value)| format!("{name}:{}", Go(value))).collect();
                write!(f, "map[{}]", entries.join(" "))
            }
            scalar => write!(f, "{scalar}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_below_a_long_path_do_not_pile_up() {
        let mut container: Map<String, Value> = (0..1000).map(|number| (format!("x{number}"), json!(1))).collect();
        container.insert("name".to_owned(), json!("n".repeat(PROBLEMS_MAX)));
        let pod = json!({"spec": {"containers": [container]}});
        let form = Form::of_message(schema::message("io.k8s.api.core.v1.Pod").expect("it is in the table"));
        let problems = check(pod.as_object().expect("it is an object"), form, Duplicates::Refused).unwrap_err();
        assert!(problems.len() < 2 * PROBLEMS_MAX, "{}", problems.len());
    }
}
