//! How a field is found: one element for each step into an object.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

/// One step of a path.
#[derive(Clone, Debug)]
pub enum Element {
    /// A field of an object, or an entry of a map.
    Field(Box<str>),
    /// The item of a list that has these values in its keys; sorted by name.
    Key(Box<[Pair]>),
    /// The item of a set that is this value.
    Value(Value),
    /// The item of a list at this place; upstream's format knows it, but nothing that merges has such items.
    Index(i64),
}

pub type Path = [Element];

/// The name and the value of a key.
pub type Pair = (Box<str>, Value);

impl Element {
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// The path of these field names.
    pub fn fields(names: &[&str]) -> Vec<Self> {
        names.iter().map(|name| Self::field(name)).collect()
    }

    pub fn key(mut pairs: Vec<Pair>) -> Self {
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self::Key(pairs.into())
    }

    /// As FieldsV1 names it: `f:spec`, `k:{"name":"web"}`, `v:"a"`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.clone()));
                format!("k:{}", Value::Object(pairs.collect()))
            }
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads what [`Element::encode`] writes; nothing for elements of a later version, which do not count.
    pub fn decode(text: &str) -> Result<Option<Self>, DecodeError> {
        let invalid = || DecodeError(text.to_owned());
        let (of, rest) = text.split_once(':').filter(|(of, _)| of.len() == 1).ok_or_else(invalid)?;
        Ok(Some(match of {
            "f" => Self::field(rest),
            "k" => {
                let pairs: Map<String, Value> = serde_json::from_str(rest).map_err(|_| invalid())?;
                Self::key(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }
            "v" => Self::Value(serde_json::from_str(rest).map_err(|_| invalid())?),
            "i" => Self::Index(rest.parse().map_err(|_| invalid())?),
            _ => return Ok(None),
        }))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path element")]
pub struct DecodeError(String);

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_pairs(a, b),
            (Self::Value(a), Self::Value(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

fn compare_pairs(a: &[Pair], b: &[Pair]) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare_values(&a.1, &b.1)));
    first_difference(pairs).then(a.len().cmp(&b.len()))
}

/// Upstream's order of values of any type; an integer equals the same number with a fraction of zero.
pub fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (whole(a), whole(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            first_difference(a.iter().zip(b).map(|(a, b)| compare_values(a, b))).then(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let entries = a.iter().zip(b).map(|(a, b)| a.0.cmp(b.0).then_with(|| compare_values(a.1, b.1)));
            first_difference(entries).then(a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// The number exactly, if it is an integer of a size that integers may have.
fn whole(number: &Number) -> Option<i128> {
    const BEYOND: f64 = (1_u128 << 64) as f64;
    let of_float = |float: f64| (float.fract() == 0.0 && float.abs() <= BEYOND).then_some(float as i128);
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    integer.or_else(|| number.as_f64().and_then(of_float))
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", Shown(value))).collect();
                write!(f, "[{}]", pairs.join(","))
            }
            Self::Value(value) => write!(f, "[={}]", Shown(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A value as upstream shows it in a path.
struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| Shown(item).to_string()).collect();
                write!(f, "[{}]", items.join(","))
            }
            Value::Object(entries) => entries.iter().try_for_each(|(name, value)| write!(f, "{name}={}", Shown(value))),
        }
    }
}

/// A whole path, such as `.spec.containers[name="web"].image`.
pub fn show(path: &Path) -> String {
    path.iter().map(Element::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(encoded: &str, shown: &str) {
        let element = Element::decode(encoded).unwrap().unwrap();
        assert_eq!((element.encode().as_str(), element.to_string().as_str()), (encoded, shown));
    }

    #[test]
    fn elements_are_written_as_they_are_read() {
        check("f:spec", ".spec");
        check("f:a:b", ".a:b");
        check("f:", ".");
        check(r#"k:{"name":"web"}"#, r#"[name="web"]"#);
        check(r#"k:{"port":80,"protocol":"TCP"}"#, r#"[port=80,protocol="TCP"]"#);
        check(r#"v:"a""#, r#"[="a"]"#);
        check("v:1", "[=1]");
        check("v:true", "[=true]");
        check("i:3", "[3]");
    }

    #[test]
    fn later_elements_do_not_count_and_broken_ones_are_errors() {
        assert_eq!(Element::decode("x:y"), Ok(None));
        for broken in ["", "f", "fspec", "v:{", "k:1", "i:a", r#"v:"a" "b""#] {
            assert!(Element::decode(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn fields_come_before_keys_before_values_before_indices() {
        let sorted = ["f:a", "f:b", r#"k:{"port":80}"#, r#"k:{"port":443}"#, "v:1", r#"v:"a""#, "v:true", "i:0"];
        let elements: Vec<Element> = sorted.iter().map(|text| Element::decode(text).unwrap().unwrap()).collect();
        assert!(elements.is_sorted_by(|a, b| a < b));
        assert_eq!(Element::Value(json!(1)), Element::Value(json!(1.0)));
        // As fractions all of these would be alike.
        let close = ["v:9007199254740992.0", "v:9007199254740993", "v:9007199254740994"];
        let close: Vec<Element> = close.iter().map(|text| Element::decode(text).unwrap().unwrap()).collect();
        assert!(close.is_sorted_by(|a, b| a < b));
    }
}
