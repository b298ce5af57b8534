//! CertificateSigningRequest.

use std::time::Duration;

use machinery::Object;
use serde_json::Value;

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
