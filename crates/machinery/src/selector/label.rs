//! Label selectors: `a=b,c in (d,e),!f`, or a `metav1.LabelSelector` object.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Error, parse};
use crate::field::{self, Path};
use crate::validation::{label_value, qualified_name};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` and `==`.
    Equals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// What one label must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    /// Sorted, each once.
    pub values: Vec<String>,
}

/// All requirements must hold. Without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the syntax of `?labelSelector=`; an empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::requirements(text).map(Self::from_requirements)
    }

    /// From a `metav1.LabelSelector`: null selects nothing, an empty object everything.
    pub fn from_object(selector: &Value) -> Result<Self, Error> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let labels = selector["matchLabels"].as_object().into_iter().flatten();
        let mut requirements = Vec::new();
        for (key, value) in labels {
            requirements.push(Requirement::new(key, Operator::Equals, vec![text(value)])?);
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let operator = expression_operator(&text(&expression["operator"]))?;
            let values = expression["values"].as_array().into_iter().flatten().map(text).collect();
            requirements.push(Requirement::new(&text(&expression["key"]), operator, values)?);
        }
        Ok(Self::from_requirements(requirements))
    }

    /// Every label of the map must be there; an empty map selects everything.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Self {
        let requirement = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.clone()],
        };
        Self { requirements: labels.iter().map(requirement).collect(), nothing: false }
    }

    fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether labels match; `lookup` answers with a label's value.
    pub fn matches<'a>(&self, lookup: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(lookup(&requirement.key)))
    }

    pub fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(&|key| labels.get(key).map(String::as_str))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn expression_operator(name: &str) -> Result<Operator, Error> {
    match name {
        "In" => Ok(Operator::In),
        "NotIn" => Ok(Operator::NotIn),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        _ => Err(Error(format!("{name:?} is not a valid label selector operator"))),
    }
}

impl Requirement {
    /// Refuses keys and values that no label can have, and values that do not fit the operator.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, Error> {
        values.sort();
        values.dedup();
        let errors = check(key, operator, &values);
        if errors.is_empty() {
            return Ok(Self { key: key.to_owned(), operator, values });
        }
        Err(Error(field::aggregate(&errors)))
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let among = |value: &str| self.values.iter().any(|of| of == value);
        match self.operator {
            Operator::Equals | Operator::In => value.is_some_and(among),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compares(value, |a, b| a > b),
            Operator::LessThan => self.compares(value, |a, b| a < b),
        }
    }

    fn compares(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let value = value.and_then(|value| value.parse().ok());
        let bound = self.values.first().and_then(|value| value.parse().ok());
        value.zip(bound).is_some_and(|(value, bound)| holds(value, bound))
    }
}

fn check(key: &str, operator: Operator, values: &[String]) -> field::ErrorList {
    let mut errors = check_key(key, &Path::new("key")).into_iter().collect::<Vec<_>>();
    let path = Path::new("values");
    let refused = match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            Some("for 'in', 'notin' operators, values set can't be empty")
        }
        Operator::Equals | Operator::NotEquals if values.len() != 1 => {
            Some("exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            Some("values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
            Some("for 'Gt', 'Lt' operators, exactly one value is required")
        }
        _ => None,
    };
    errors.extend(refused.map(|message| field::Error::invalid(&path, values.to_vec(), message)));
    let is_comparison = matches!(operator, Operator::GreaterThan | Operator::LessThan);
    for (index, value) in values.iter().enumerate() {
        if is_comparison && value.parse::<i64>().is_err() {
            let message = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(field::Error::invalid(&path.index(index), value.as_str(), message));
        }
        let messages = label_value(value);
        if !messages.is_empty() {
            let at = path.index(index).key(key);
            errors.push(field::Error::invalid(&at, value.as_str(), messages.join("; ")));
        }
    }
    errors
}

pub(super) fn check_key(key: &str, path: &Path) -> Option<field::Error> {
    let messages = qualified_name(key);
    (!messages.is_empty()).then(|| field::Error::invalid(path, key, messages.join("; ")))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.requirements.iter().map(Requirement::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Labels as `a=b c=d`.
    fn check(selector: &str, labels: &str, matches: bool) {
        let labels = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let selector = LabelSelector::parse(selector).expect("a selector");
        assert_eq!(selector.matches_map(&labels), matches, "{selector} over {labels:?}");
    }

    #[test]
    fn labels_match() {
        check("", "x=y", true);
        check("x=y", "x=y", true);
        check("x==y, z=w", "x=y z=w", true);
        check("x!=y", "x=z", true);
        check("x!=y", "", true);
        check("x=y", "x=z", false);
        check("x in (a,b)", "x=b", true);
        check("x in (a,b)", "", false);
        check("x notin (a,b)", "", true);
        check("x notin (a,b)", "x=a", false);
        check("x", "x=", true);
        check("!x", "y=1", true);
        check("!x", "x=1", false);
        check("x>1", "x=2", true);
        check("x<1", "x=2", false);
        check("x>1", "x=two", false);
        check("x in (,a)", "x=", true);
        check("in in (in,notin)", "in=in", true);
    }

    #[test]
    fn objects_become_selectors() {
        let selector = LabelSelector::from_object(&json!({
            "matchLabels": {"b": "1"},
            "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["y", "x"]}, {"key": "c", "operator": "Exists"}],
        }));
        assert_eq!(selector.expect("a selector").to_string(), "a notin (x,y),b=1,c");
        assert_eq!(LabelSelector::from_object(&Value::Null), Ok(LabelSelector::nothing()));
        assert!(LabelSelector::from_object(&json!({})).is_ok_and(|selector| selector.is_everything()));
        let bad = LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Maybe"}]}));
        assert_eq!(bad, Err(Error("\"Maybe\" is not a valid label selector operator".to_owned())));
    }

    #[test]
    fn nothing_matches_nothing() {
        assert!(!LabelSelector::nothing().matches_map(&BTreeMap::new()));
    }
}
