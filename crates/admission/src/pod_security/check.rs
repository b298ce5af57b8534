//! What the checks of all levels share.

use std::fmt;

use machinery::Object;
use serde_json::Value;

use crate::pods::CONTAINER_LISTS;

/// One control: what a pod does against it.
pub type Check = fn(&Object) -> Option<Violation>;

/// A control of a standard, and in which of its versions: from one release on, up to another.
pub struct Rule {
    pub check: Check,
    since: u16,
    until: u16,
}

impl Rule {
    pub const fn always(check: Check) -> Self {
        Self::since(0, check)
    }

    /// `minor` is that of the first release with the control.
    pub const fn since(minor: u16, check: Check) -> Self {
        Self::range(minor, u16::MAX, check)
    }

    /// `minor` is that of the first release without it.
    pub const fn until(minor: u16, check: Check) -> Self {
        Self::range(0, minor, check)
    }

    pub const fn range(since: u16, until: u16, check: Check) -> Self {
        Self { check, since, until }
    }

    pub fn holds(&self, minor: u16) -> bool {
        self.since <= minor && (minor < self.until || self.until == u16::MAX)
    }
}

/// Whether the pod runs in a user namespace of its own.
pub fn has_own_users(pod: &Object) -> bool {
    pod.get(&["spec", "hostUsers"]) == Some(&Value::Bool(false))
}

/// Lists of containers whose images can be changed.
pub const CONTAINERS: [&str; 3] = CONTAINER_LISTS;

/// `reason (detail)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    reason: &'static str,
    detail: String,
}

impl Violation {
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Nothing if there is nothing to tell.
    pub fn of(reason: &'static str, details: Vec<String>, separator: &str) -> Option<Self> {
        (!details.is_empty()).then(|| Self { reason, detail: details.join(separator) })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.detail)
    }
}

/// All containers, init containers first.
pub fn containers(pod: &Object) -> impl Iterator<Item = &Value> {
    CONTAINER_LISTS.into_iter().flat_map(|list| pod.list(&["spec", list]))
}

/// A field of a security context: of a container.
pub fn own<'a>(container: &'a Value, path: &str) -> Option<&'a Value> {
    container.pointer(&format!("/securityContext{path}")).filter(|value| !value.is_null())
}

/// The same of the pod.
pub fn of_pod<'a>(pod: &'a Object, path: &str) -> Option<&'a Value> {
    pod.get(&["spec", "securityContext"])?.pointer(path).filter(|value| !value.is_null())
}

pub fn name(container: &Value) -> String {
    container["name"].as_str().unwrap_or_default().to_owned()
}

/// The names of the containers that fail a test.
pub fn failing(pod: &Object, test: impl Fn(&Value) -> bool) -> Vec<String> {
    containers(pod).filter(|container| test(container)).map(name).collect()
}

/// `container "a"` or `containers "a", "b"`.
pub fn counted(noun: &str, names: &[String]) -> String {
    format!("{} {}", plural(noun, names.len()), quoted(names))
}

pub fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

pub fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}

/// Strings of a list, each once, sorted.
pub fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values.dedup();
    values
}

pub fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Pods for Windows are spared what is Linux's alone.
pub fn is_windows(pod: &Object) -> bool {
    pod.str(&["spec", "os", "name"]) == "windows"
}
