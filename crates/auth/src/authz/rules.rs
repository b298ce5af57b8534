//! RBAC rules: what they match, and whether some rules grant all that others do.

use std::fmt;

use machinery::Object;
use serde_json::{Map, Value, json};

use super::Attributes;

/// `rbac.authorization.k8s.io` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
    pub urls: Vec<String>,
}

impl Rule {
    pub fn from_value(value: &Value) -> Self {
        let texts = |field: &str| {
            let list = value.get(field).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            api_groups: texts("apiGroups"),
            resources: texts("resources"),
            resource_names: texts("resourceNames"),
            urls: texts("nonResourceURLs"),
        }
    }

    /// The rules of a Role or ClusterRole.
    pub fn list(role: &Object) -> Vec<Self> {
        role.list(&["rules"]).iter().map(Self::from_value).collect()
    }

    /// Without the lists that are empty.
    pub fn to_value(&self) -> Value {
        let fields = self.fields().into_iter().filter(|(_, values)| !values.is_empty());
        let map: Map<String, Value> = fields.map(|(name, values)| (lower_first(name), json!(values))).collect();
        Value::Object(map)
    }

    pub fn allows(&self, attributes: &Attributes) -> bool {
        if attributes.is_resource {
            matches(&self.verbs, &attributes.verb)
                && matches(&self.api_groups, &attributes.api_group)
                && self.matches_resource(&attributes.resource, &attributes.subresource)
                && self.matches_name(&attributes.name)
        } else {
            matches(&self.verbs, &attributes.verb) && self.urls.iter().any(|url| url_covers(url, &attributes.path))
        }
    }

    fn matches_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|rule| resource_covers(rule, resource, subresource))
    }

    fn matches_name(&self, name: &str) -> bool {
        self.resource_names.is_empty() || self.resource_names.iter().any(|own| own == name)
    }

    fn fields(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
    }
}

fn lower_first(name: &str) -> String {
    match name {
        "APIGroups" => "apiGroups".to_owned(),
        name => name[..1].to_ascii_lowercase() + &name[1..],
    }
}

/// As upstream names rules in messages: `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = self.fields().into_iter().filter(|(_, values)| !values.is_empty());
        let parts: Vec<String> = present.map(|(name, values)| format!("{name}:{}", quoted(values))).collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// A list as Go prints it by `%q`: `["a" "b"]`.
pub(crate) fn quoted(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", values.join(" "))
}

fn matches(patterns: &[String], value: &str) -> bool {
    patterns.iter().any(|pattern| pattern == "*" || pattern == value)
}

fn resource_covers(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((of, sub)) => sub == subresource && (of == "*" || of == resource),
        None => false,
    }
}

/// A URL may end in `*`, which stands for any rest.
fn url_covers(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

/// What of `wanted` the rules `held` do not grant, one verb on one thing at a time.
pub fn covers(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let single = wanted.iter().flat_map(break_down);
    single.filter(|rule| !held.iter().any(|owner| covers_single(owner, rule))).collect()
}

/// Rules with one verb and one group, resource and name, or one URL, each.
fn break_down(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut single = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let plain =
                    Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                if rule.resource_names.is_empty() {
                    single.push(plain);
                    continue;
                }
                let named = rule.resource_names.iter().map(|name| Rule { resource_names: one(name), ..plain.clone() });
                single.extend(named);
            }
        }
    }
    for url in &rule.urls {
        single.extend(rule.verbs.iter().map(|verb| Rule { verbs: one(verb), urls: one(url), ..Rule::default() }));
    }
    single
}

fn covers_single(owner: &Rule, wanted: &Rule) -> bool {
    if !matches(&owner.verbs, &wanted.verbs[0]) {
        return false;
    }
    if let Some(url) = wanted.urls.first() {
        return owner.urls.iter().any(|own| url_covers(own, url));
    }
    let names = match wanted.resource_names.first() {
        Some(name) => owner.matches_name(name),
        None => owner.resource_names.is_empty(),
    };
    names && matches(&owner.api_groups, &wanted.api_groups[0]) && covers_resource(owner, &wanted.resources[0])
}

fn covers_resource(owner: &Rule, wanted: &str) -> bool {
    let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
    owner.matches_resource(resource, subresource)
}

/// Joins single rules that differ in their verb alone.
pub fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut joined: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = |of: &&mut Rule| {
            of.api_groups == rule.api_groups
                && of.resources == rule.resources
                && of.resource_names == rule.resource_names
                && rule.urls.is_empty()
                && of.urls.is_empty()
        };
        match joined.iter_mut().find(same) {
            Some(of) => of.verbs.extend(rule.verbs),
            None => joined.push(rule),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::testing::of_resource;

    /// `"get,list apps deployments"`, with names as a fourth word; `"get /path"` for URLs.
    fn rule(text: &str) -> Rule {
        let words: Vec<Vec<String>> =
            text.split(' ').map(|word| word.split(',').map(|w| w.replace("core", "")).collect()).collect();
        let mut words = words.into_iter();
        let verbs = words.next().unwrap();
        let second = words.next().unwrap();
        if second[0].starts_with('/') {
            return Rule { verbs, urls: second, ..Rule::default() };
        }
        let resources = words.next().unwrap();
        let resource_names = words.next().unwrap_or_default();
        Rule { verbs, api_groups: second, resources, resource_names, urls: Vec::new() }
    }

    fn allows(of: &str, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let (verb, api_group, name) = (verb.to_owned(), group.to_owned(), name.to_owned());
        rule(of).allows(&Attributes { verb, api_group, name, ..of_resource(resource) })
    }

    #[test]
    fn resources_match_by_group_subresource_and_name() {
        for (of, verb, group, resource, name, expected) in [
            ("get core pods", "get", "", "pods", "a", true),
            ("get core pods", "list", "", "pods", "", false),
            ("get core pods", "get", "apps", "pods", "a", false),
            ("get core pods", "get", "", "pods/log", "a", false),
            ("get core pods/log", "get", "", "pods/log", "a", true),
            ("get core pods/log", "get", "", "pods", "a", false),
            ("get * */scale", "get", "apps", "deployments/scale", "a", true),
            ("get * */scale", "get", "apps", "deployments", "a", false),
            ("get core pods/*", "get", "", "pods/log", "a", false),
            ("* * *", "delete", "x", "y/z", "a", true),
            ("get core secrets a,b", "get", "", "secrets", "b", true),
            ("get core secrets a,b", "get", "", "secrets", "c", false),
            ("list core secrets a", "list", "", "secrets", "", false),
        ] {
            assert_eq!(allows(of, verb, group, resource, name), expected, "{of} : {verb} {group}/{resource} {name}");
        }
    }

    #[test]
    fn paths_match_whole_or_by_a_trailing_star() {
        for (of, path, expected) in [
            ("get /healthz", "/healthz", true),
            ("get /healthz", "/healthz/ping", false),
            ("get /healthz/*", "/healthz/ping", true),
            ("get /healthz/*", "/healthz", false),
            ("get /a*", "/abc", true),
        ] {
            let attributes = Attributes { verb: "get".to_owned(), path: path.to_owned(), ..Attributes::default() };
            assert_eq!(rule(of).allows(&attributes), expected, "{of} : {path}");
        }
    }

    #[test]
    fn rules_cover_others() {
        for (held, wanted, uncovered) in [
            ("* * *", "get apps deployments", ""),
            ("get,list core pods", "get,list core pods", ""),
            ("get core pods", "get,list core pods", r#"{APIGroups:[""], Resources:["pods"], Verbs:["list"]}"#),
            ("get core pods a", "get core pods", r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#),
            ("get core pods", "get core pods a", ""),
            ("get core */scale", "get core pods/scale", ""),
            ("get /a/*", "get /a/b/*", ""),
            ("get /a", "get /a/*", r#"{NonResourceURLs:["/a/*"], Verbs:["get"]}"#),
        ] {
            let missing: Vec<String> =
                compact(covers(&[rule(held)], &[rule(wanted)])).iter().map(Rule::to_string).collect();
            assert_eq!(missing.join("\n"), uncovered, "{held} : {wanted}");
        }
    }
}
