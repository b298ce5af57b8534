//! Semantic versions.

use std::cmp::Ordering;

use machinery::semver::Version;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Foreign, Value};

pub const LIBRARY: &[Declaration] = &[
    ("string_to_semver semver(string) -> kubernetes.Semver", parse),
    ("string_bool_to_semver semver(string, bool) -> kubernetes.Semver", parse),
    ("is_semver_string isSemver(string) -> bool", is_semver),
    ("is_semver_string_bool isSemver(string, bool) -> bool", is_semver),
    ("semver_is_greater_than kubernetes.Semver:isGreaterThan(kubernetes.Semver) -> bool", is_greater),
    ("semver_is_less_than kubernetes.Semver:isLessThan(kubernetes.Semver) -> bool", is_less),
    ("semver_compare_to kubernetes.Semver:compareTo(kubernetes.Semver) -> int", compare),
    ("semver_major kubernetes.Semver:major() -> int", major),
    ("semver_minor kubernetes.Semver:minor() -> int", minor),
    ("semver_patch kubernetes.Semver:patch() -> int", patch),
];

impl Foreign for Version {
    fn type_name(&self) -> &'static str {
        "kubernetes.Semver"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Self>().is_some_and(|other| self == other)
    }
}

/// A version as expressions have it.
pub fn semver(text: &str) -> Result<Value<'static>, Error> {
    Version::parse(text).map(Value::foreign).map_err(Error::failed)
}

type Outcome<'a> = Result<Value<'a>, Error>;

fn read(values: &[Value<'_>]) -> Result<Result<Version, String>, Error> {
    match values {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(normalize(text).and_then(|text| Version::parse(&text))),
        _ => Err(Error::NoOverload),
    }
}

fn parse<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    read(values)?.map(Value::foreign).map_err(Error::failed)
}

fn is_semver<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(read(values)?.is_ok()))
}

fn version<'v>(value: &'v Value<'_>) -> Result<&'v Version, Error> {
    value.downcast().ok_or(Error::NoOverload)
}

fn order(values: &[Value<'_>]) -> Result<Ordering, Error> {
    Ok(version(&values[0])?.cmp(version(&values[1])?))
}

fn is_greater<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(order(values)?.is_gt()))
}

fn is_less<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(order(values)?.is_lt()))
}

fn compare<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Int(order(values)? as i64))
}

fn number<'a>(values: &[Value<'a>], which: usize) -> Outcome<'a> {
    Ok(Value::Int(version(&values[0])?.numbers[which] as i64))
}

fn major<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    number(values, 0)
}

fn minor<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    number(values, 1)
}

fn patch<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    number(values, 2)
}

/// Without a `v` before it and zeroes before its numbers, and with all three of them.
fn normalize(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeroes).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    parts.resize(3, "0".to_owned());
    Ok(parts.join("."))
}

fn without_zeroes(part: &str) -> String {
    if part.len() <= 1 {
        return part.to_owned();
    }
    let stripped = part.trim_start_matches('0');
    let prefix = if stripped.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
    format!("{prefix}{stripped}")
}
