//! APIService.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1035_label, dns1123_subdomain, path_segment_name};
use serde_json::Value;

use crate::check::At;
use crate::columns::{AGE, NAME};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Reset, Scope, Strategy, Subresource};
use crate::tree::{child, condition, default, str_of};

const SERVICE_PORT: i32 = 443;
const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

pub static API_SERVICE: KindDef = KindDef {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    resource: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Service", Text("The reference to the service that hosts this API endpoint."), service),
        Column::string("Available", Text("Whether this service is available."), available),
        AGE,
    ],
    strategy: Strategy {
        any_finalizers: true,
        default: |object| {
            let service = child(object.map_mut(&["spec"]), "service");
            service.into_iter().for_each(|service| default(service, "port", SERVICE_PORT));
        },
        validate,
        validate_status_update: |service, _| validate_status(service),
        validate_name: path_segment_name,
        generation: false,
        unconditional_update: false,
        kept_by_status: &[
            &["metadata", "annotations"],
            &["metadata", "finalizers"],
            &["metadata", "labels"],
            &["metadata", "ownerReferences"],
        ],
        reset: |subresource| (subresource == "status").then(|| Reset::Fields(vec![&["spec"], &["metadata"]])),
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn validate_status(service: &Object) -> ErrorList {
    let conditions = At::field(service, "status").child("conditions").items();
    let statuses = conditions.iter().map(|condition| condition.child("status"));
    let unknown = statuses.filter(|status| !STATUSES.contains(&status.text()));
    unknown.map(|status| Error::not_supported(&status.path, status.text(), &STATUSES)).collect()
}

fn service(object: &Object) -> Value {
    let field = |field| object.str(&["spec", "service", field]);
    match field("name") {
        "" => "Local".into(),
        name => format!("{}/{name}", field("namespace")).into(),
    }
}

fn available(object: &Object) -> Value {
    match condition(object, "Available") {
        Some(condition) if str_of(condition, "status") == "True" => "True".into(),
        Some(condition) => format!("{} ({})", str_of(condition, "status"), str_of(condition, "reason")).into(),
        None => "Unknown".into(),
    }
}

const PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors = ErrorList::new();
    let named = format!("{}.{}", spec.child("version").text(), spec.child("group").text());
    if !object.name().is_empty() && object.name() != named {
        let text = format!("must be `spec.version+\".\"+spec.group`: {named:?}");
        errors.push(Error::invalid(&Path::new("metadata").child("name"), object.name(), text));
    }
    let (group, version) = (spec.child("group"), spec.child("version"));
    if !group.is_empty() {
        errors.extend(group.check(dns1123_subdomain));
    } else if version.text() != "v1" {
        errors.push(group.required("only v1 may have an empty group and it better be legacy kube"));
    }
    let faults = dns1035_label(version.text());
    errors.extend(faults.into_iter().map(|fault| Error::invalid(&version.path, version.text(), fault)));
    for (field, max) in [("groupPriorityMinimum", PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)] {
        let at = spec.child(field);
        let number = at.int().unwrap_or(0);
        if !(1..=max).contains(&number) {
            errors.push(Error::invalid(&at.path, number, format!("must be positive and less than {max}")));
        }
    }
    let service = spec.child("service");
    let insecure = spec.child("insecureSkipTLSVerify");
    if !service.is_set() {
        let text = "local APIServices may not have insecureSkipTLSVerify";
        errors.extend(insecure.is_true().then(|| insecure.invalid(text)));
        return errors;
    }
    errors.extend(["namespace", "name"].iter().filter_map(|field| crate::check::required(&service.child(field))));
    if insecure.is_true() && !spec.child("caBundle").is_empty() {
        errors.push(insecure.invalid("may not be true if caBundle is present"));
    }
    errors
}
