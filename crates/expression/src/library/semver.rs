//! Semantic versions.

use std::cmp::Ordering;

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

#[derive(Debug)]
struct Version {
    /// Major, minor, patch.
    numbers: [u64; 3],
    prerelease: Vec<Identifier>,
}

/// Numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Version {
    fn order(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.prerelease.cmp(&other.prerelease),
        })
    }
}

impl Foreign for Version {
    fn type_name(&self) -> &'static str {
        "kubernetes.Semver"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Self>().is_some_and(|other| self.order(other).is_eq())
    }
}

/// A version as expressions have it.
pub fn semver(text: &str) -> Result<Value<'static>, Error> {
    parse_version(text).map(Value::foreign).map_err(Error::failed)
}

type Outcome<'a> = Result<Value<'a>, Error>;

fn read(values: &[Value<'_>]) -> Result<Result<Version, String>, Error> {
    match values {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(parse_version(text)),
        [Value::String(text), Value::Bool(true)] => Ok(normalize(text).and_then(|text| parse_version(&text))),
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
    Ok(version(&values[0])?.order(version(&values[1])?))
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

fn parse_version(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let [major, minor, rest] = parts.as_slice() else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (rest, build) = split_at(rest, '+');
    let (patch, prerelease) = split_at(rest, '-');
    let numbers = [
        parse_number(major, "major", "Major")?,
        parse_number(minor, "minor", "Minor")?,
        parse_number(patch, "patch", "Patch")?,
    ];
    let prerelease = prerelease.map(|text| text.split('.').map(identifier).collect()).transpose()?.unwrap_or_default();
    for part in build.into_iter().flat_map(|build| build.split('.')) {
        if part.is_empty() {
            return Err("Build meta data is empty".to_owned());
        }
        if !part.chars().all(is_identifier) {
            return Err(format!("Invalid character(s) found in build meta data {part:?}"));
        }
    }
    Ok(Version { numbers, prerelease })
}

fn split_at(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

fn parse_number(text: &str, name: &str, title: &str) -> Result<u64, String> {
    if !text.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {name} number {text:?}"));
    }
    if has_leading_zeroes(text) {
        return Err(format!("{title} number must not contain leading zeroes {text:?}"));
    }
    machinery::strconv::parse_uint(text)
}

fn has_leading_zeroes(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

fn is_identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

fn identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.chars().all(|c| c.is_ascii_digit()) {
        if has_leading_zeroes(text) {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
        }
        return machinery::strconv::parse_uint(text).map(Identifier::Number);
    }
    if !text.chars().all(is_identifier) {
        return Err(format!("Invalid character(s) found in prerelease {text:?}"));
    }
    Ok(Identifier::Word(text.to_owned()))
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
