//! CertificateSigningRequest.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, path_segment_name};
use serde_json::Value;

use super::conditions::{date_conditions, keep_conditions, of_type};
use super::contents::{check_certificates, parse_request};
use crate::check::{At, required, required_one_of};
use crate::columns::{AGE, NAME, NONE, text_or_none};
use crate::def::Description::Field;
use crate::def::{
    Column, KindDef, OtherSubresource, Reset, Scope, SelectableField, Strategy, Subresource, Verb, copy_field,
    keep_all_but_status,
};
use crate::duration::human;
use crate::tree::{default_text, each, str_of};

pub static CERTIFICATE_SIGNING_REQUEST: KindDef = KindDef {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    resource: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    short_names: &["csr"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
    subresources: &[
        Subresource::Other(OtherSubresource {
            name: "approval",
            group: "",
            version: "",
            kind: "CertificateSigningRequest",
            verbs: &[Verb::Get, Verb::Patch, Verb::Update],
        }),
        Subresource::Status,
    ],
    selectable_fields: &[SelectableField { name: "spec.signerName", value: |request| signer(request).to_owned() }],
    columns: &[
        NAME,
        AGE,
        Column::string("SignerName", Field("spec.signerName"), |request| {
            text_or_none(request, &["spec", "signerName"])
        }),
        Column::string("Requestor", Field("spec.request"), |request| request.str(&["spec", "username"]).into()),
        Column::string("RequestedDuration", Field("spec.expirationSeconds"), requested_duration),
        Column::string("Condition", Field("status.conditions"), |request| condition(request).into()),
    ],
    strategy: Strategy {
        prepare_update,
        prepare_status_update,
        prepare_subresource_update: prepare_approval,
        validate,
        validate_name: path_segment_name,
        validate_status_update,
        validate_subresource_update: validate_approval,
        generation: false,
        reset,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn signer(request: &Object) -> &str {
    request.str(&["spec", "signerName"])
}

fn reset(subresource: &str) -> Option<Reset> {
    Some(Reset::Fields(match subresource {
        "approval" => vec![&["spec"], &["status", "certificate"]],
        "status" => vec![&["spec"], &["status", "conditions"]],
        _ => vec![&["spec"], &["status"]],
    }))
}

/// A request does not change once it is made.
fn prepare_update(new: &mut Object, old: &Object) {
    copy_field(new, old, "spec");
    copy_field(new, old, "status");
}

/// The signer writes the certificate and other conditions; approval and denial are not its to change.
fn prepare_status_update(new: &mut Object, old: &Object) {
    keep_all_but_status(new, old);
    for name in ["Approved", "Denied"] {
        keep_conditions(new, old, name);
    }
    date(new, old);
}

/// `approval` writes the conditions alone.
fn prepare_approval(new: &mut Object, old: &Object, _subresource: &str) {
    date(new, old);
    let conditions = new.list(&["status", "conditions"]).to_vec();
    copy_field(new, old, "spec");
    copy_field(new, old, "status");
    new.set(&["status", "conditions"], conditions);
}

/// When conditions turned so, and when they were last said.
fn date(new: &mut Object, old: &Object) {
    date_conditions(new, old);
    let now = clock::format_time(clock::now());
    each(new.map_mut(&["status"]), "conditions", |condition| default_text(condition, "lastUpdateTime", &now));
}

fn requested_duration(request: &Object) -> Value {
    let seconds = request.int(&["spec", "expirationSeconds"]).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or_else(|| NONE.to_owned(), |seconds| human(Duration::from_secs(seconds))).into()
}

fn condition(request: &Object) -> String {
    let conditions = request.list(&["status", "conditions"]);
    let is = |of_type: &str| conditions.iter().any(|condition| str_of(condition, "type") == of_type);
    let mut text = match (is("Denied"), is("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if is("Failed") {
        text.push_str(",Failed");
    }
    if !request.str(&["status", "certificate"]).is_empty() {
        text.push_str(",Issued");
    }
    text
}

const EXPIRATION_MIN: i64 = 600;
const DOMAIN_MAX: usize = 253;
/// A domain, and a path that has room for a namespace and a name.
const SIGNER_MAX: usize = DOMAIN_MAX + 1 + 63 + 1 + 253;
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// upstream: pkg/apis/certificates/validation
fn validate(request: &Object) -> ErrorList {
    let spec = At::field(request, "spec");
    let (content, usages) = (spec.child("request"), spec.child("usages"));
    let mut errors = ErrorList::new();
    errors.extend(parse_request(&decoded(&content)).err().map(|fault| content.invalid(fault)));
    errors.extend(usages.is_empty().then(|| usages.required("")));
    let items = usages.items();
    let unknown = items.iter().filter(|usage| !USAGES.contains(&usage.text()));
    errors.extend(unknown.map(|usage| usage.not_supported(&USAGES)));
    let mut seen = HashSet::new();
    errors.extend(items.iter().filter(|usage| !seen.insert(usage.text())).map(At::duplicate));
    let signer = spec.child("signerName");
    match signer.text() {
        LEGACY_SIGNER => errors.push(signer.invalid("the legacy signerName is not allowed via this API version")),
        _ => errors.extend(validate_signer_name(&signer)),
    }
    let expiration = spec.child("expirationSeconds");
    if expiration.int().is_some_and(|seconds| seconds < EXPIRATION_MIN) {
        errors.push(expiration.invalid("may not specify a duration less than 600 seconds (10 minutes)"));
    }
    let status = At::field(request, "status");
    errors.extend(validate_conditions(&status.child("conditions")));
    errors.extend(validate_certificate(&status.child("certificate")));
    errors
}

fn decoded(content: &At) -> Vec<u8> {
    STANDARD.decode(content.text()).unwrap_or_default()
}

fn validate_certificate(certificate: &At) -> Option<Error> {
    let fault = if certificate.is_empty() { None } else { check_certificates(&decoded(certificate)).err() };
    fault.map(|fault| Error::invalid(&certificate.path, "<certificate data>", fault))
}

/// A domain and a path in it.
pub fn validate_signer_name(signer: &At) -> ErrorList {
    if signer.is_empty() {
        return vec![signer.required("")];
    }
    let Some((domain, path)) = signer.text().split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![signer.invalid(text)];
    };
    let mut errors = ErrorList::new();
    errors.extend((domain.len() > DOMAIN_MAX).then(|| Error::too_long(&signer.path, DOMAIN_MAX)));
    errors.extend(label_faults(signer, domain, dns1123_label));
    if !domain.contains('.') {
        let text = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(&signer.path, domain, text));
    }
    errors.extend(label_faults(signer, path, dns1123_subdomain));
    errors.extend((signer.text().len() > SIGNER_MAX).then(|| Error::too_long(&signer.path, SIGNER_MAX)));
    errors
}

/// What is wrong with the first of the labels that something is wrong with.
fn label_faults(signer: &At, labels: &str, check: fn(&str) -> Vec<String>) -> ErrorList {
    let mut faulty = labels.split('.').map(|label| (label, check(label))).filter(|(_, faults)| !faults.is_empty());
    let (label, faults) = faulty.next().unwrap_or_default();
    let told = |fault| Error::invalid(&signer.path, labels, format!("validating label {label:?}: {fault}"));
    faults.into_iter().map(told).collect()
}

fn validate_conditions(conditions: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for condition in conditions.items() {
        let (of_type, status) = (condition.child("type"), condition.child("status"));
        errors.extend(required(&of_type));
        let always_true = ["Approved", "Denied", "Failed"].contains(&of_type.text());
        let supported = if always_true { &["True"][..] } else { &["False", "True", "Unknown"] };
        errors.extend(required_one_of(&status, supported));
        let opposite = match of_type.text() {
            "Approved" => seen.contains("Denied"),
            "Denied" => seen.contains("Approved"),
            _ => false,
        };
        let text = "Approved and Denied conditions are mutually exclusive";
        errors.extend(opposite.then(|| of_type.invalid(text)));
        errors.extend((!seen.insert(of_type.text())).then(|| of_type.duplicate()));
    }
    errors
}

/// An approval or a denial, once given, stands; so does a certificate.
fn validate_approval(new: &Object, old: &Object, _subresource: &str) -> ErrorList {
    let mut errors = new_faults(new, old);
    errors.extend(not_removed(new, old));
    if new.str(&["status", "certificate"]) != old.str(&["status", "certificate"]) {
        let certificate = At::field(new, "status").child("certificate");
        errors.push(certificate.forbidden("updates may not set certificate content"));
    }
    errors
}

/// A signer may not approve or deny, nor replace a certificate.
fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let status = At::field(new, "status");
    let conditions = status.child("conditions");
    let mut errors = new_faults(new, old);
    errors.extend(not_removed(new, old));
    for name in ["Approved", "Denied"] {
        if of_type(new, name).len() > of_type(old, name).len() {
            errors.push(conditions.forbidden(format!("updates may not add a condition of type {name:?}")));
        }
    }
    let certificate = old.str(&["status", "certificate"]);
    if !certificate.is_empty() && status.child("certificate").text() != certificate {
        let text = "updates may not modify existing certificate content";
        errors.push(status.child("certificate").forbidden(text));
    }
    errors
}

/// What is wrong with the request, but for what was wrong before.
fn new_faults(new: &Object, old: &Object) -> ErrorList {
    let known = validate(old);
    validate(new).into_iter().filter(|fault| !known.contains(fault)).collect()
}

fn not_removed(new: &Object, old: &Object) -> ErrorList {
    let conditions = At::field(new, "status").child("conditions");
    let types = ["Approved", "Denied", "Failed"].into_iter();
    let removed = types.filter(|name| of_type(new, name).len() < of_type(old, name).len());
    removed.map(|name| conditions.forbidden(format!("updates may not remove a condition of type {name:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn approval_changes_conditions_alone() {
        let old = Object::from_value(json!({"spec": {"request": "a"}, "status": {"certificate": "c"}})).unwrap();
        let mut new = Object::from_value(json!({"spec": {"request": "b"},
            "status": {"certificate": "d", "conditions": [{"type": "Approved", "lastUpdateTime": "2026-01-01T00:00:00Z",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "status": "True"}]}}))
        .unwrap();
        prepare_approval(&mut new, &old, "approval");
        assert_eq!((new.str(&["spec", "request"]), condition(&new).as_str()), ("a", "Approved,Issued"));
        assert_eq!(new.str(&["status", "certificate"]), "c");
    }

    #[test]
    fn conditions_keep_the_time_at_which_they_turned() {
        let of = |condition: Value| Object::from_value(json!({"status": {"conditions": [condition]}})).unwrap();
        let old = of(json!({"type": "Failed", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}));
        let mut same = of(json!({"type": "Failed", "status": "True", "reason": "b"}));
        date(&mut same, &old);
        let condition = &same.list(&["status", "conditions"])[0];
        assert_eq!(str_of(condition, "lastTransitionTime"), "2020-01-01T00:00:00Z");
        assert_ne!(str_of(condition, "lastUpdateTime"), "");
    }
}
