//! Which standards hold where: by labels of the namespace, or by the configuration where there are none.
//!
//! upstream: pod-security-admission/api/helpers.go

use std::collections::BTreeMap;
use std::fmt;

use machinery::field::{Error, ErrorList, Path, aggregate};
use machinery::validation::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use crate::configuration::hold_to;

const KIND: &str = "PodSecurityConfiguration";
const KNOWN: [(&str, &str); 3] = [
    ("pod-security.admission.config.k8s.io/v1", KIND),
    ("pod-security.admission.config.k8s.io/v1beta1", KIND),
    ("pod-security.admission.config.k8s.io/v1alpha1", KIND),
];
const LABEL: &str = "pod-security.kubernetes.io";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// The release whose standard is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Minor(u16),
    #[default]
    Latest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub version: Version,
}

/// What is refused, what is noted in the audit log, and what clients are warned of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub audit: Standard,
    pub warn: Standard,
}

/// Who is held to no standard.
#[derive(Clone, Debug, Default)]
pub struct Exemptions {
    pub users: Vec<String>,
    pub runtime_classes: Vec<String>,
    pub namespaces: Vec<String>,
}

/// A PodSecurityConfiguration.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    pub defaults: Policy,
    pub exemptions: Exemptions,
}

impl Level {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl Version {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let minor = text.strip_prefix("v1.").filter(|minor| *minor == "0" || !minor.starts_with(['0', '+']));
        minor.and_then(|minor| minor.parse().ok()).map(Self::Minor).ok_or("must be \"latest\" or \"v1.x\"")
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::Latest => write!(f, "{}:latest", self.level.name()),
            Version::Minor(minor) => write!(f, "{}:v1.{minor}", self.level.name()),
        }
    }
}

impl Policy {
    /// What the labels say, and what is wrong with them. Who can not be understood is held to the newest
    /// restricted standard, in what refuses; and to none in what does not.
    pub fn of_labels(labels: &BTreeMap<String, String>, defaults: Self) -> (Self, ErrorList) {
        let (mut policy, mut errors) = (defaults, ErrorList::new());
        let warns = labels.contains_key(&format!("{LABEL}/warn"));
        let enforces = labels.contains_key(&format!("{LABEL}/enforce"));
        let modes = [("enforce", &mut policy.enforce), ("audit", &mut policy.audit), ("warn", &mut policy.warn)];
        for (mode, standard) in modes {
            let unread = if mode == "enforce" { Level::Restricted } else { Level::Privileged };
            if let Some(level) = read(labels, mode, Level::parse, &mut errors) {
                standard.level = level.unwrap_or(unread);
            }
            if let Some(version) = read(labels, &format!("{mode}-version"), Version::parse, &mut errors) {
                standard.version = version.unwrap_or_default();
            }
        }
        if enforces && !warns && policy.warn.level < policy.enforce.level {
            policy.warn = policy.enforce;
        }
        (policy, errors)
    }
}

/// None without such a label; nothing inside it where it can not be read.
fn read<T>(
    labels: &BTreeMap<String, String>,
    name: &str,
    parse: fn(&str) -> Result<T, &'static str>,
    errors: &mut ErrorList,
) -> Option<Option<T>> {
    let key = format!("{LABEL}/{name}");
    let text = labels.get(&key)?;
    let parsed = parse(text);
    Some(parsed.map_err(|why| errors.push(invalid(&key, text, why))).ok())
}

fn invalid(key: &str, text: &str, why: &str) -> Error {
    Error::invalid(&Path::new("metadata").child("labels").key(key), text, why)
}

impl Configuration {
    /// The error says what is wrong with it.
    pub fn parse(config: &Value) -> Result<Self, String> {
        hold_to(config, &KNOWN)?;
        let mut errors = ErrorList::new();
        let [enforce, warn, audit] = ["enforce", "warn", "audit"].map(|mode| Standard {
            level: default(config, mode, Level::parse, &mut errors),
            version: default(config, &format!("{mode}-version"), Version::parse, &mut errors),
        });
        let mut exempt = |field: &str, check: fn(&str) -> Vec<String>| exempt(config, field, check, &mut errors);
        let exemptions = Exemptions {
            namespaces: exempt("namespaces", dns1123_label),
            runtime_classes: exempt("runtimeClasses", dns1123_subdomain),
            users: exempt("usernames", |_| Vec::new()),
        };
        match errors.as_slice() {
            [] => Ok(Self { defaults: Policy { enforce, audit, warn }, exemptions }),
            errors => Err(aggregate(errors)),
        }
    }
}

fn default<T: Default>(
    config: &Value,
    field: &str,
    parse: fn(&str) -> Result<T, &'static str>,
    errors: &mut ErrorList,
) -> T {
    let Some(text) = config["defaults"][field].as_str().filter(|text| !text.is_empty()) else { return T::default() };
    let invalid = |why| errors.push(Error::invalid(&Path::new("defaults").child(field), text, why));
    parse(text).map_err(invalid).unwrap_or_default()
}

fn exempt(config: &Value, field: &str, check: fn(&str) -> Vec<String>, errors: &mut ErrorList) -> Vec<String> {
    let mut exempt: Vec<String> = Vec::new();
    for (index, name) in config["exemptions"][field].as_array().into_iter().flatten().enumerate() {
        let (name, path) = (name.as_str().unwrap_or_default(), Path::new("exemptions").child(field).index(index));
        let wrong = check(name);
        if !wrong.is_empty() {
            errors.push(Error::invalid(&path, name, wrong.join(", ")));
        } else if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if exempt.iter().any(|other| other == name) {
            errors.push(Error::duplicate(&path, name));
        }
        exempt.push(name.to_owned());
    }
    exempt
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(labels: &[(&str, &str)], defaults: Policy) -> (String, usize) {
        let labels = labels.iter().map(|(name, value)| (format!("{LABEL}/{name}"), (*value).to_owned())).collect();
        let (policy, errors) = Policy::of_labels(&labels, defaults);
        (format!("{} {} {}", policy.enforce, policy.audit, policy.warn), errors.len())
    }

    fn parse(mut config: Value) -> Result<Configuration, String> {
        (config["apiVersion"], config["kind"]) = (json!(KNOWN[0].0), json!(KIND));
        Configuration::parse(&config)
    }

    #[test]
    fn labels_come_before_defaults() {
        let defaults =
            parse(json!({"defaults": {"enforce": "baseline", "audit": "restricted", "audit-version": "v1.24"}}));
        let defaults = defaults.unwrap().defaults;
        for (labels, expected, errors) in [
            (&[][..], "baseline:latest restricted:v1.24 privileged:latest", 0),
            (&[("enforce", "privileged")], "privileged:latest restricted:v1.24 privileged:latest", 0),
            (
                &[("enforce", "restricted"), ("enforce-version", "v1.30")],
                "restricted:v1.30 restricted:v1.24 restricted:v1.30",
                0,
            ),
            (&[("enforce", "x"), ("warn", "y")], "restricted:latest restricted:v1.24 privileged:latest", 2),
            (
                &[("audit-version", "1.2"), ("warn-version", "v1.01")],
                "baseline:latest restricted:latest privileged:latest",
                2,
            ),
        ] {
            assert_eq!(of(labels, defaults), (expected.to_owned(), errors), "{labels:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_named() {
        for (config, why) in [
            (
                json!({"defaults": {"warn": "none", "audit-version": "1"}}),
                "[defaults.warn: Invalid value: \"none\": must be one of privileged, baseline, restricted, \
                 defaults.audit-version: Invalid value: \"1\": must be \"latest\" or \"v1.x\"]",
            ),
            (json!({"exemptions": {"namespaces": ["a", "a"]}}), "exemptions.namespaces[1]: Duplicate value: \"a\""),
            (json!({"exemptions": {"usernames": [""]}}), "exemptions.usernames[0]: Required value"),
        ] {
            assert_eq!(parse(config).err().as_deref(), Some(why));
        }
        let name = parse(json!({"exemptions": {"runtimeClasses": ["A"]}})).unwrap_err();
        assert!(name.starts_with("exemptions.runtimeClasses[0]: Invalid value: \"A\": a lowercase"), "{name}");
        let other = Configuration::parse(&json!({"apiVersion": "v1", "kind": "Pod"})).unwrap_err();
        assert_eq!(other, "no kind \"Pod\" is registered for version \"v1\"");
    }
}
