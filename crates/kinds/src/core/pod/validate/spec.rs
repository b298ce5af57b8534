//! `spec` of a pod or a template.

use std::collections::{BTreeSet, HashSet};

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, in_range, qualified_name, validate_labels};

use super::containers::{validate_containers, validate_ephemeral_containers, validate_image, validate_init_containers};
use super::os::validate_os;
use super::resources::{validate_overhead, validate_pod_resources};
use super::scheduling::{validate_affinity, validate_spread, validate_tolerations};
use super::security::{validate_host_users, validate_pod_security};
use super::volumes::validate_volumes;
use crate::check::{At, one_of, optional_name, required_name, required_one_of, validate_ip};

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_LENGTH_MAX: usize = 2048;
const HOSTNAME_MAX: usize = 64;

/// What the parts of a spec need to know of it.
pub struct Context<'a> {
    pub volumes: HashSet<&'a str>,
    /// Volumes that are block devices can not be told apart from here: claims of any kind may be.
    pub claims: HashSet<&'a str>,
    pub resource_claims: BTreeSet<&'a str>,
    pub host_users: bool,
    pub restart_policy: &'a str,
    /// Longest time a container may take to stop.
    pub grace: i64,
}

impl<'a> Context<'a> {
    fn new(spec: &At<'a>, volumes: HashSet<&'a str>) -> Self {
        let name = |at: &At<'a>| at.child("name").text();
        let claims = spec.child("volumes").items();
        let is_claim =
            |volume: &&At| volume.child("persistentVolumeClaim").is_set() || volume.child("ephemeral").is_set();
        Self {
            volumes,
            claims: claims.iter().filter(is_claim).map(name).collect(),
            resource_claims: spec.child("resourceClaims").items().iter().map(name).collect(),
            host_users: spec.child("hostUsers").value != &serde_json::Value::Bool(false),
            restart_policy: spec.child("restartPolicy").text(),
            grace: spec.child("terminationGracePeriodSeconds").int().unwrap_or(0),
        }
    }
}

/// `pod` is the name of the pod; nothing for a template.
pub fn validate_spec(spec: &At, pod: Option<&str>) -> ErrorList {
    let grace = spec.child("terminationGracePeriodSeconds");
    let mut errors: ErrorList = (!grace.is_set()).then(|| grace.required("")).into_iter().collect();
    let (volumes, volume_errors) = validate_volumes(&spec.child("volumes"), pod);
    errors.extend(volume_errors);
    let context = Context::new(spec, volumes);
    errors.extend(validate_resource_claims(&spec.child("resourceClaims")));
    errors.extend(validate_containers(&spec.child("containers"), &context));
    errors.extend(validate_init_containers(spec, &context));
    errors.extend(validate_ephemeral_containers(spec, &context));
    errors.extend(validate_pod_resources(spec));
    errors.extend(validate_host_ports(spec, pod.is_some()));
    errors.extend(required_one_of(&spec.child("restartPolicy"), RESTART_POLICIES));
    errors.extend(required_one_of(&spec.child("dnsPolicy"), DNS_POLICIES));
    errors.extend(validate_labels(&spec.child("nodeSelector").strings(), &spec.child("nodeSelector").path));
    errors.extend(validate_pod_security(spec));
    errors.extend(validate_affinity(&spec.child("affinity")));
    errors.extend(validate_dns(spec));
    for gate in spec.child("readinessGates").items() {
        errors.extend(gate.child("conditionType").check(qualified_name));
    }
    errors.extend(validate_gates(&spec.child("schedulingGates")));
    errors.extend(validate_spread(&spec.child("topologySpreadConstraints")));
    errors.extend(validate_host_users(spec));
    errors.extend(validate_names(spec));
    errors.extend(validate_overhead(&spec.child("overhead")));
    errors.extend(validate_os(spec));
    errors
}

fn validate_names(spec: &At) -> ErrorList {
    let mut errors = optional_name(&spec.child("serviceAccountName"), dns1123_subdomain);
    errors.extend(optional_name(&spec.child("nodeName"), dns1123_subdomain));
    let deadline = spec.child("activeDeadlineSeconds");
    let seconds = deadline.int().into_iter();
    errors.extend(seconds.flat_map(|seconds| deadline.messages(in_range(seconds, 1, i32::MAX.into()))));
    errors.extend(optional_name(&spec.child("hostname"), dns1123_label));
    let hostname = spec.child("hostnameOverride");
    errors.extend(optional_name(&hostname, dns1123_subdomain));
    errors.extend((hostname.text().len() > HOSTNAME_MAX).then(|| Error::too_long(&hostname.path, HOSTNAME_MAX)));
    errors.extend(optional_name(&spec.child("subdomain"), dns1123_label));
    errors.extend(validate_tolerations(&spec.child("tolerations")));
    errors.extend(validate_host_aliases(&spec.child("hostAliases")));
    errors.extend(optional_name(&spec.child("priorityClassName"), dns1123_subdomain));
    let class = spec.child("runtimeClassName");
    errors.extend(class.is_set().then(|| class.check(dns1123_subdomain)).into_iter().flatten());
    errors.extend(one_of(&spec.child("preemptionPolicy"), &["PreemptLowerPriority", "Never"]));
    errors
}

fn validate_resource_claims(claims: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    for claim in claims.items() {
        let name = claim.child("name");
        if !name.is_empty() && !names.insert(name.text()) {
            errors.push(name.duplicate());
        } else {
            errors.extend(required_name(&name, dns1123_label));
        }
        let sources = claim.set_children(&["resourceClaimName", "resourceClaimTemplateName"]);
        match sources.len() {
            0 => errors.push(claim.invalid("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")),
            1 => {}
            _ => errors.push(
                claim.invalid("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
            ),
        }
        errors.extend(sources.iter().flat_map(|source| source.check(dns1123_subdomain)));
    }
    errors
}

/// On the network of the node a container's port is the node's; in a template it may be left to the pod's defaults.
fn validate_host_ports(spec: &At, of_pod: bool) -> ErrorList {
    if !spec.child("hostNetwork").is_true() {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    for port in spec.child("containers").items().iter().flat_map(|container| container.child("ports").items()) {
        let (inside, outside) = (port.child("containerPort").int().unwrap_or(0), port.child("hostPort"));
        let number = outside.int().unwrap_or(0);
        if (of_pod || number != 0) && number != inside {
            let text = "must match `containerPort` when `hostNetwork` is true";
            errors.push(Error::invalid(&outside.path, number, text));
        }
    }
    errors
}

fn validate_host_aliases(aliases: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for alias in aliases.items() {
        errors.extend(validate_ip(&alias.child("ip")));
        errors.extend(alias.child("hostnames").items().iter().flat_map(|name| name.check(dns1123_subdomain)));
    }
    errors
}

fn validate_dns(spec: &At) -> ErrorList {
    let config = spec.child("dnsConfig");
    let servers = config.child("nameservers");
    if spec.child("dnsPolicy").text() == "None" && !config.is_set() {
        return vec![config.required("must provide `dnsConfig` when `dnsPolicy` is None")];
    }
    if spec.child("dnsPolicy").text() == "None" && servers.is_empty() {
        return vec![servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None")];
    }
    let mut errors = ErrorList::new();
    if servers.items().len() > NAMESERVERS_MAX {
        errors.push(servers.invalid(format!("must not have more than {NAMESERVERS_MAX} nameservers")));
    }
    errors.extend(servers.items().iter().filter_map(validate_ip));
    errors.extend(validate_searches(&config.child("searches")));
    let nameless = |option: &&At| option.child("name").is_empty();
    let options = config.child("options").items();
    errors.extend(options.iter().filter(nameless).map(|option| option.required("must not be empty")));
    errors
}

fn validate_searches(searches: &At) -> ErrorList {
    let items = searches.items();
    let mut errors = ErrorList::new();
    if items.len() > SEARCHES_MAX {
        errors.push(searches.invalid(format!("must not have more than {SEARCHES_MAX} search paths")));
    }
    let length: usize = items.iter().map(|search| search.text().len() + 1).sum();
    if length > SEARCHES_LENGTH_MAX + 1 {
        let text =
            format!("must not have more than {SEARCHES_LENGTH_MAX} characters (including spaces) in the search list");
        errors.push(searches.invalid(text));
    }
    for search in items.iter().filter(|search| search.text() != ".") {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        let messages = dns1123_subdomain(&name.replace('_', "-"));
        errors.extend(messages.into_iter().map(|text| Error::invalid(&search.path, name, text)));
    }
    errors
}

fn validate_gates(gates: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for gate in gates.items() {
        let name = gate.child("name").text();
        errors.extend(qualified_name(name).into_iter().map(|text| Error::invalid(&gate.path, name, text)));
        errors.extend((!seen.insert(name)).then(|| Error::duplicate(&gate.path, name)));
    }
    errors
}

/// What a pod may not have though a template may.
pub fn validate_pod_only(spec: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.child("serviceAccountName").is_empty() {
        let sources = spec.child("volumes").items();
        let sources = sources.iter().flat_map(|volume| volume.child("projected").child("sources").items());
        let tokens = sources.map(|source| source.child("serviceAccountToken")).filter(At::is_set);
        let text = "must not be specified when serviceAccountName is not set";
        errors.extend(tokens.map(|token| token.forbidden(text)));
    }
    for list in ["containers", "initContainers"] {
        errors.extend(spec.child(list).items().iter().filter_map(validate_image));
    }
    errors
}

/// What a new pod may not have.
pub fn validate_new(spec: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if !spec.child("ephemeralContainers").is_empty() {
        errors.push(spec.child("ephemeralContainers").forbidden("cannot be set on create"));
    }
    if !spec.child("schedulingGates").is_empty() && !spec.child("nodeName").is_empty() {
        errors.push(spec.child("nodeName").forbidden("cannot be set until all schedulingGates have been cleared"));
    }
    errors
}
