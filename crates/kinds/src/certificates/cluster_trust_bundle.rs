//! ClusterTrustBundle: certificates of authorities that workloads trust.
//!
//! upstream: pkg/apis/certificates/validation

use std::collections::BTreeMap;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::dns1123_subdomain;

use super::contents::{Flaw, authorities};
use super::validate_signer_name;
use crate::check::{At, immutable};
use crate::columns::NAME;
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, SelectableField, Strategy};

pub static CLUSTER_TRUST_BUNDLE: KindDef = KindDef {
    group: "certificates.k8s.io",
    version: "v1beta1",
    kind: "ClusterTrustBundle",
    resource: "clustertrustbundles",
    singular: "clustertrustbundle",
    scope: Scope::Cluster,
    schema: "io.k8s.api.certificates.v1beta1.ClusterTrustBundle",
    selectable_fields: &[SelectableField { name: "spec.signerName", value: |bundle| signer(bundle).to_owned() }],
    columns: &[NAME, Column::string("SignerName", Field("spec.signerName"), |bundle| signer(bundle).into())],
    strategy: Strategy {
        validate,
        validate_create: validate_certificates,
        validate_update,
        validate_name: |_| Vec::new(),
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

const BUNDLE_MAX: usize = 1 << 20;

fn signer(bundle: &Object) -> &str {
    bundle.str(&["spec", "signerName"])
}

/// The name begins with that of the signer, so it is checked here.
fn validate(bundle: &Object) -> ErrorList {
    let (name, signer) = (At::field(bundle, "metadata").child("name"), At::field(bundle, "spec").child("signerName"));
    let mut errors = name.messages(name_faults(name.text(), signer.text()));
    if !signer.is_empty() {
        errors.extend(validate_signer_name(&signer));
    }
    errors
}

fn name_faults(name: &str, signer: &str) -> Vec<String> {
    let prefix = format!("{}:", signer.replace('/', ":"));
    match (signer, name.strip_prefix(&prefix)) {
        ("", _) if name.contains(':') => {
            vec![r#"ClusterTrustBundle without signer name must not have ":" in its name"#.to_owned()]
        }
        ("", _) => dns1123_subdomain(name),
        (_, Some(rest)) => dns1123_subdomain(rest),
        (_, None) => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")],
    }
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let field = |bundle, name| At::field(bundle, "spec").child(name);
    let changed = field(new, "trustBundle").text() != field(old, "trustBundle").text();
    let mut errors = if changed { validate_certificates(new) } else { ErrorList::new() };
    errors.extend(immutable(&field(new, "signerName"), &field(old, "signerName")));
    errors
}

/// At least one certificate of an authority, and none twice.
fn validate_certificates(bundle: &Object) -> ErrorList {
    let bundle = At::field(bundle, "spec").child("trustBundle");
    if bundle.text().len() > BUNDLE_MAX {
        return vec![Error::too_long(&bundle.path, BUNDLE_MAX)];
    }
    let invalid = |detail: String| Error::invalid(&bundle.path, "<value omitted>", detail);
    let mut errors = ErrorList::new();
    let mut seen: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (index, entry) in authorities(bundle.text()).into_iter().enumerate() {
        match entry {
            Ok(certificate) => seen.entry(certificate).or_default().push(index.to_string()),
            Err(flaw) => errors.push(invalid(format!("entry {index} {}", told(&flaw)))),
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    if seen.is_empty() {
        return vec![invalid("at least one trust anchor must be provided".to_owned())];
    }
    let repeated = seen.values().filter(|indices| indices.len() > 1);
    repeated.map(|indices| invalid(format!("duplicate trust anchor (indices [{}])", indices.join(" ")))).collect()
}

fn told(flaw: &Flaw) -> String {
    match flaw {
        Flaw::Label(label) => format!("has bad block type: {label}"),
        Flaw::Headers => "has PEM block headers".to_owned(),
        Flaw::Unreadable => "does not parse as X.509".to_owned(),
        Flaw::NoAuthority => "does not have the CA bit set".to_owned(),
    }
}
