//! CertificateSigningRequest.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::time::Duration;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1123_subdomain;
use serde_json::Value;

use crate::check::{At, required, required_one_of};
use crate::columns::{AGE, NAME, NONE, text_or_none};
use crate::def::Description::Field;
use crate::def::{
    Column, KindDef, OtherSubresource, Reset, Scope, SelectableField, Strategy, Subresource, Verb, copy_field,
    keep_all_but_status,
};
use crate::duration::human;
use crate::tree::str_of;

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
    date_conditions(new);
}

/// `approval` writes the conditions alone.
fn prepare_approval(new: &mut Object, old: &Object, _subresource: &str) {
    let conditions = new.list(&["status", "conditions"]).to_vec();
    copy_field(new, old, "spec");
    copy_field(new, old, "status");
    new.set(&["status", "conditions"], conditions);
    date_conditions(new);
}

fn date_conditions(request: &mut Object) {
    let now = clock::format_time(clock::now());
    crate::tree::each(request.map_mut(&["status"]), "conditions", |condition| {
        crate::tree::default(condition, "lastUpdateTime", now.as_str());
        crate::tree::default(condition, "lastTransitionTime", now.as_str());
        crate::tree::default_text(condition, "status", "True");
    });
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

fn validate(request: &Object) -> ErrorList {
    let spec = At::field(request, "spec");
    let usages = spec.child("usages");
    let mut errors: ErrorList = required(&spec.child("request")).into_iter().collect();
    errors.extend(required(&usages));
    let items = usages.items();
    let unknown = items.iter().filter(|usage| !USAGES.contains(&usage.text()));
    errors.extend(unknown.map(|usage| usage.not_supported(&USAGES)));
    let mut seen = HashSet::new();
    errors.extend(items.iter().filter(|usage| !seen.insert(usage.text())).map(At::duplicate));
    let expiration = spec.child("expirationSeconds");
    if expiration.int().is_some_and(|seconds| seconds < EXPIRATION_MIN) {
        errors.push(expiration.invalid("may not specify a duration less than 600 seconds (10 minutes)"));
    }
    let signer = spec.child("signerName");
    match signer.text() {
        LEGACY_SIGNER => errors.push(signer.invalid("the legacy signerName is not allowed via this API version")),
        _ => errors.extend(validate_signer_name(&signer)),
    }
    errors.extend(validate_conditions(&At::field(request, "status").child("conditions")));
    errors
}

/// A domain and a path in it.
pub fn validate_signer_name(signer: &At) -> ErrorList {
    let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    match signer.text().split_once('/') {
        None if signer.is_empty() => vec![signer.required("")],
        Some((domain, path)) if !path.is_empty() && domain.contains('.') => signer.messages(dns1123_subdomain(domain)),
        _ => vec![signer.invalid(text)],
    }
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

fn of_type<'a>(request: &'a Object, of_type: &str) -> Vec<&'a Value> {
    let conditions = request.list(&["status", "conditions"]).iter();
    conditions.filter(|condition| str_of(condition, "type") == of_type).collect()
}

/// An approval or a denial, once given, stands; so does a certificate.
fn validate_approval(new: &Object, old: &Object, _subresource: &str) -> ErrorList {
    let mut errors = not_removed(new, old);
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
    let mut errors = not_removed(new, old);
    for name in ["Approved", "Denied"] {
        let (now, was) = (of_type(new, name), of_type(old, name));
        let done = match now.len().cmp(&was.len()) {
            Ordering::Greater => "add",
            Ordering::Equal if now != was => "modify",
            _ => continue,
        };
        errors.push(conditions.forbidden(format!("updates may not {done} a condition of type {name:?}")));
    }
    let certificate = old.str(&["status", "certificate"]);
    if !certificate.is_empty() && status.child("certificate").text() != certificate {
        let text = "updates may not modify existing certificate content";
        errors.push(status.child("certificate").forbidden(text));
    }
    errors
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
}
