//! Validation of FlowSchemas.
//!
//! upstream: pkg/apis/flowcontrol/validation

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain};

use super::mandatory::{self, EXEMPT};
use crate::check::{At, duplicates, optional_name, required};

const PRECEDENCE_MAX: i64 = 10_000;
const METHODS: &[&str] = &["ByNamespace", "ByUser"];
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const SUBJECTS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

pub fn validate(schema: &Object) -> ErrorList {
    let spec = At::field(schema, "spec");
    let (precedence, method) = (spec.child("matchingPrecedence"), spec.child("distinguisherMethod"));
    let number = precedence.int().unwrap_or(0);
    let mut errors = ErrorList::new();
    if number <= 0 {
        errors.push(precedence.invalid("must be a positive value"));
    }
    if number > PRECEDENCE_MAX {
        errors.push(precedence.invalid(format!("must not be greater than {PRECEDENCE_MAX}")));
    }
    if number == 1 && schema.name() != EXEMPT {
        errors.push(precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1"));
    }
    let of_type = method.child("type");
    if method.is_set() && !METHODS.contains(&of_type.text()) {
        errors.push(method.clone().at(of_type.path).not_supported(METHODS));
    }
    let level = spec.child("priorityLevelConfiguration").child("name");
    errors.extend(level.is_empty().then(|| level.required("must reference a priority level")));
    errors.extend(optional_name(&level, dns1123_subdomain));
    errors.extend(spec.child("rules").items().iter().flat_map(validate_rule));
    errors.extend(mandatory::validate_schema(schema));
    errors.extend(validate_conditions(schema));
    errors
}

/// The conditions in the status of either kind.
pub fn validate_conditions(object: &Object) -> ErrorList {
    let conditions = At::field(object, "status").child("conditions").items();
    let types = conditions.iter().map(|condition| condition.child("type"));
    let mut errors = duplicates(&conditions, "type");
    errors.extend(types.filter(At::is_empty).map(|of_type| of_type.required("must not be empty")));
    errors
}

fn validate_rule(rule: &At) -> ErrorList {
    let [subjects, resources, others] =
        ["subjects", "resourceRules", "nonResourceRules"].map(|field| rule.child(field));
    let mut errors: ErrorList = subjects.items().iter().flat_map(validate_subject).collect();
    if subjects.is_empty() {
        errors.push(subjects.required("subjects must contain at least one value"));
    }
    if resources.is_empty() && others.is_empty() {
        errors.push(rule.required("at least one of resourceRules and nonResourceRules has to be non-empty"));
    }
    errors.extend(resources.items().iter().flat_map(validate_resources));
    errors.extend(others.items().iter().flat_map(validate_urls));
    errors
}

fn validate_subject(subject: &At) -> ErrorList {
    let kind = subject.child("kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind.text()) else {
        return vec![kind.not_supported(&SUBJECTS.map(|(name, _)| name))];
    };
    let at = subject.child(own);
    let mut errors = match at.is_set() {
        true => validate_identity(&at, own),
        false => vec![at.required(&format!("{own} is required when subject kind is '{}'", kind.text()))],
    };
    // Upstream tells them in this order.
    for (name, field) in [SUBJECTS[1], SUBJECTS[2], SUBJECTS[0]] {
        let other = subject.child(field);
        if field != *own && other.is_set() {
            errors.push(other.forbidden(format!("{field} is forbidden when subject kind is not '{name}'")));
        }
    }
    errors
}

fn validate_identity(at: &At, field: &str) -> ErrorList {
    let (name, namespace) = (at.child("name"), at.child("namespace"));
    let mut errors: ErrorList = required(&name).into_iter().collect();
    if field == "serviceAccount" {
        if name.text() != "*" {
            errors.extend(optional_name(&name, dns1123_subdomain));
        }
        errors.extend(namespace.is_empty().then(|| namespace.required("must specify namespace for service account")));
        errors.extend(optional_name(&namespace, dns1123_label));
    }
    errors
}

fn validate_verbs(verbs: &At) -> ErrorList {
    let items = verbs.items();
    if items.is_empty() {
        return vec![verbs.required("verbs must contain at least one value")];
    }
    if has_wildcard(&items) {
        return alone(verbs, "verbs").into_iter().collect();
    }
    let known = items.iter().all(|verb| VERBS.contains(&verb.text()));
    (!known).then(|| verbs.not_supported(&VERBS)).into_iter().collect()
}

fn has_wildcard(items: &[At]) -> bool {
    items.iter().any(|item| item.text() == "*")
}

/// An error when the wildcard has company.
fn alone(list: &At, of: &str) -> Option<Error> {
    let crowded = list.items().len() > 1 && has_wildcard(&list.items());
    crowded.then(|| list.invalid(format!("if '*' is present, must not specify other {of}")))
}

fn validate_resources(rule: &At) -> ErrorList {
    let mut errors = validate_verbs(&rule.child("verbs"));
    for (field, one, others) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let list = rule.child(field);
        errors
            .extend(list.is_empty().then(|| list.required(&format!("resource rules must supply at least one {one}"))));
        errors.extend(alone(&list, others));
    }
    let namespaces = rule.child("namespaces");
    let items = namespaces.items();
    if items.is_empty() && !rule.child("clusterScope").is_true() {
        let text = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(namespaces.required(text));
    } else if has_wildcard(&items) {
        errors.extend(alone(&namespaces, "namespaces"));
    } else {
        for namespace in items {
            let faults = dns1123_label(namespace.text()).into_iter();
            let text = "each member of this list must be '*' or a DNS-1123 label; ";
            errors.extend(faults.map(|fault| namespace.invalid(format!("{text}{fault}"))));
        }
    }
    errors
}

fn validate_urls(rule: &At) -> ErrorList {
    let urls = rule.child("nonResourceURLs");
    let items = urls.items();
    let mut errors = validate_verbs(&rule.child("verbs"));
    if items.is_empty() {
        errors.push(urls.required("nonResourceURLs must contain at least one value"));
    } else if has_wildcard(&items) {
        errors.extend(alone(&urls, "non-resource URLs"));
    } else {
        errors.extend(items.iter().filter_map(|url| url_fault(url.text()).map(|fault| url.invalid(fault))));
    }
    errors
}

fn url_fault(path: &str) -> Option<&'static str> {
    let wildcards = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if wildcards > 1 || (wildcards == 1 && !path.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}
