//! CertificateSigningRequest.

use std::time::Duration;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1123_subdomain;
use serde_json::Value;

use crate::check::{At, required};
use crate::columns::{AGE, NAME, NONE, text_or_none};
use crate::def::{
    Column, KindDef, OtherSubresource, Scope, SelectableField, Strategy, Subresource, Verb, copy_field,
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
        Column::string("SignerName", "Who is to sign it", |request| text_or_none(request, &["spec", "signerName"])),
        Column::string("Requestor", "Who asked for it", |request| request.str(&["spec", "username"]).into()),
        Column::string("RequestedDuration", "How long it should be valid", requested_duration),
        Column::string("Condition", "How it stands", |request| condition(request).into()),
    ],
    strategy: Strategy {
        prepare_update,
        prepare_status_update,
        prepare_subresource_update: prepare_approval,
        validate,
        validate_subresource_update: validate_approval,
        generation: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn signer(request: &Object) -> &str {
    request.str(&["spec", "signerName"])
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

fn validate(request: &Object) -> ErrorList {
    let spec = At::field(request, "spec");
    let mut errors: ErrorList = required(&spec.child("usages")).into_iter().collect();
    errors.extend(required(&spec.child("request")));
    let expiration = spec.child("expirationSeconds");
    if expiration.int().is_some_and(|seconds| seconds < EXPIRATION_MIN) {
        errors.push(expiration.invalid("may not specify a duration less than 600 seconds (10 minutes)"));
    }
    errors.extend(validate_signer_name(&spec.child("signerName")));
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
    let items = conditions.items();
    let of = |of_type: &str| items.iter().position(|item| item.child("type").text() == of_type);
    let mut errors = crate::check::duplicates(&items, "type");
    if let (Some(approved), Some(denied)) = (of("Approved"), of("Denied")) {
        let (last, other) = if approved > denied { (approved, "Denied") } else { (denied, "Approved") };
        let at = items[last].child("type");
        errors.push(at.invalid(format!("{} and {other} conditions are mutually exclusive", at.text())));
    }
    errors.extend(items.iter().filter_map(|item| required(&item.child("type"))));
    errors
}

/// An approval or a denial, once given, stands.
fn validate_approval(new: &Object, old: &Object, _subresource: &str) -> ErrorList {
    let conditions = At::field(new, "status").child("conditions");
    let has = |conditions: &[At], of_type: &str| conditions.iter().any(|item| item.child("type").text() == of_type);
    let (now, was) = (conditions.items(), At::field(old, "status").child("conditions").items());
    let removed =
        ["Approved", "Denied", "Failed"].into_iter().filter(|of_type| has(&was, of_type) && !has(&now, of_type));
    removed
        .map(|of_type| conditions.forbidden(format!("updates may not remove a condition of type {of_type:?}")))
        .collect()
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
