//! `spec` of a pod or a template.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, in_range, qualified_name, validate_labels};

use super::containers::{validate_containers, validate_ephemeral_containers, validate_init_containers};
use super::scheduling::{validate_affinity, validate_spread, validate_tolerations};
use super::security::validate_pod_security;
use super::volumes::validate_volumes;
use crate::check::{At, duplicates, non_negative, optional_name, required, required_name, required_one_of};

const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const DNS_POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_LENGTH_MAX: usize = 2048;

/// What the parts of a spec need to know of it.
pub struct Context<'a> {
    pub volumes: HashSet<&'a str>,
    /// Volumes that are block devices can not be told apart from here: claims of any kind may be.
    pub claims: HashSet<&'a str>,
    pub host_network: bool,
    /// Longest time a container may take to stop.
    pub grace: i64,
}

pub fn validate_spec(spec: &At) -> ErrorList {
    let (volumes, mut errors) = validate_volumes(&spec.child("volumes"));
    let claims = spec.child("volumes").items();
    let is_claim = |volume: &&At| volume.child("persistentVolumeClaim").is_set() || volume.child("ephemeral").is_set();
    let context = Context {
        volumes,
        claims: claims.iter().filter(is_claim).map(|volume| volume.child("name").text()).collect(),
        host_network: spec.child("hostNetwork").is_true(),
        grace: spec.child("terminationGracePeriodSeconds").int().unwrap_or(0),
    };
    errors.extend(validate_containers(&spec.child("containers"), &context));
    errors.extend(validate_init_containers(spec, &context));
    errors.extend(validate_ephemeral_containers(spec, &context));
    errors.extend(required_one_of(&spec.child("restartPolicy"), RESTART_POLICIES));
    errors.extend(required_one_of(&spec.child("dnsPolicy"), DNS_POLICIES));
    errors.extend(validate_names(spec));
    errors.extend(validate_placement(spec));
    errors.extend(validate_pod_security(spec));
    errors.extend(validate_dns(spec));
    errors.extend(validate_host_aliases(&spec.child("hostAliases")));
    errors.extend(validate_deadline(spec));
    errors
}

fn validate_names(spec: &At) -> ErrorList {
    let mut errors = optional_name(&spec.child("serviceAccountName"), dns1123_subdomain);
    errors.extend(optional_name(&spec.child("nodeName"), dns1123_subdomain));
    errors.extend(optional_name(&spec.child("hostname"), dns1123_label));
    errors.extend(optional_name(&spec.child("subdomain"), dns1123_label));
    errors.extend(optional_name(&spec.child("priorityClassName"), dns1123_subdomain));
    errors.extend(optional_name(&spec.child("runtimeClassName"), dns1123_subdomain));
    for secret in spec.child("imagePullSecrets").items() {
        errors.extend(required(&secret.child("name")));
    }
    for gate in spec.child("readinessGates").items() {
        errors.extend(gate.child("conditionType").check(qualified_name));
    }
    errors
}

fn validate_placement(spec: &At) -> ErrorList {
    let selector = spec.child("nodeSelector");
    let labels = selector.entries().iter().map(|(key, at)| ((*key).to_owned(), at.text().to_owned())).collect();
    let mut errors = validate_labels(&labels, &selector.path);
    errors.extend(validate_affinity(&spec.child("affinity")));
    errors.extend(validate_tolerations(&spec.child("tolerations")));
    errors.extend(validate_spread(&spec.child("topologySpreadConstraints")));
    errors
}

fn validate_deadline(spec: &At) -> ErrorList {
    let deadline = spec.child("activeDeadlineSeconds");
    let mut errors = match deadline.int() {
        Some(seconds) => deadline.messages(in_range(seconds, 1, i32::MAX.into())),
        None => ErrorList::new(),
    };
    errors.extend(non_negative(&spec.child("terminationGracePeriodSeconds")));
    errors
}

fn validate_host_aliases(aliases: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for alias in aliases.items() {
        errors.extend(validate_ip(&alias.child("ip")));
        for name in alias.child("hostnames").items() {
            errors.extend(name.check(dns1123_subdomain));
        }
    }
    errors
}

/// An address of either family.
pub fn validate_ip(at: &At) -> Option<Error> {
    let text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    at.text().parse::<std::net::IpAddr>().is_err().then(|| at.invalid(text))
}

fn validate_dns(spec: &At) -> ErrorList {
    let config = spec.child("dnsConfig");
    let (servers, searches) = (config.child("nameservers"), config.child("searches"));
    let mut errors = ErrorList::new();
    if spec.child("dnsPolicy").text() == "None" && servers.is_empty() {
        let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        let at = if config.is_set() { &servers } else { &config };
        errors.push(at.required(text));
    }
    if servers.items().len() > NAMESERVERS_MAX {
        errors.push(servers.invalid(format!("must not have more than {NAMESERVERS_MAX} nameservers")));
    }
    errors.extend(servers.items().iter().filter_map(validate_ip));
    if searches.items().len() > SEARCHES_MAX {
        errors.push(searches.invalid(format!("must not have more than {SEARCHES_MAX} search paths")));
    }
    let length: usize = searches.items().iter().map(|search| search.text().len() + 1).sum();
    if length > SEARCHES_LENGTH_MAX + 1 {
        let text =
            format!("must not have more than {SEARCHES_LENGTH_MAX} characters (including spaces) in the search list");
        errors.push(searches.invalid(text));
    }
    for search in searches.items() {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        if !name.is_empty() {
            errors.extend(search.messages(dns1123_subdomain(&name.replace('_', "-"))));
        }
    }
    for option in config.child("options").items() {
        errors.extend(option.child("name").is_empty().then(|| option.child("name").required("must not be empty")));
    }
    errors
}

/// What a template may have and a pod may not, or the other way around.
pub fn validate_pod_only(spec: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for list in ["containers", "initContainers"] {
        for container in spec.child(list).items() {
            let image = container.child("image");
            if image.text() != image.text().trim() {
                errors.push(image.invalid("must not have leading or trailing whitespace"));
            }
        }
    }
    let gates = spec.child("schedulingGates");
    for gate in gates.items() {
        errors.extend(required_name(&gate.child("name"), qualified_name));
    }
    errors.extend(duplicates(&gates.items(), "name"));
    if !gates.is_empty() && !spec.child("nodeName").is_empty() {
        errors.push(spec.child("nodeName").forbidden("cannot be set until all schedulingGates have been cleared"));
    }
    errors
}
