//! PodCertificateRequest: a node asks for a certificate that a pod is to hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, qualified_name};

use super::conditions::{date_conditions, keep_conditions};
use super::pod_certificate_status::{TYPES, validate_status_update};
use super::possession::{Refusal, verify};
use super::validate_signer_name;
use crate::check::{At, immutable};
use crate::columns::{AGE, NAME};
use crate::def::{KindDef, Reset, SelectableField, Strategy, Subresource, keep_all_but_status};

pub static POD_CERTIFICATE_REQUEST: KindDef = KindDef {
    group: "certificates.k8s.io",
    version: "v1beta1",
    kind: "PodCertificateRequest",
    resource: "podcertificaterequests",
    singular: "podcertificaterequest",
    schema: "io.k8s.api.certificates.v1beta1.PodCertificateRequest",
    subresources: &[Subresource::Status],
    selectable_fields: &[
        SelectableField { name: "spec.signerName", value: |request| request.str(&["spec", "signerName"]).to_owned() },
        SelectableField { name: "spec.podName", value: |request| request.str(&["spec", "podName"]).to_owned() },
        SelectableField { name: "spec.nodeName", value: |request| request.str(&["spec", "nodeName"]).to_owned() },
    ],
    columns: &[NAME, AGE],
    strategy: Strategy {
        default: |request| request.set_default(&["spec", "maxExpirationSeconds"], DAY_SECONDS),
        prepare_status_update: |new, old| {
            keep_all_but_status(new, old);
            TYPES.iter().for_each(|name| keep_conditions(new, old, name));
            date_conditions(new, old);
        },
        validate_create,
        validate_update: |new, old| immutable(&At::field(new, "spec"), &At::field(old, "spec")).into_iter().collect(),
        validate_status_update,
        generation: false,
        unconditional_update: false,
        reset: |subresource| subresource.is_empty().then(|| Reset::Fields(Vec::new())),
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

const HOUR_SECONDS: i64 = 60 * 60;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
/// What Kubernetes' own signers give at most, and all others.
const EXPIRATION_MAX: [i64; 2] = [DAY_SECONDS, 91 * DAY_SECONDS];
const UID_MAX: usize = 128;
/// Bytes of a key, and of a signature.
const KEY_MAX: usize = 10 << 10;
const ANNOTATIONS_MAX: usize = 256 << 10;

/// upstream: pkg/apis/certificates/validation (ValidatePodCertificateRequestCreate)
fn validate_create(request: &Object) -> ErrorList {
    let spec = At::field(request, "spec");
    let mut errors = validate_signer_name(&spec.child("signerName"));
    errors.extend(validate_annotations(&spec.child("unverifiedUserAnnotations")));
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        errors.extend(spec.child(name).check(dns1123_subdomain));
        errors.extend(validate_uid(&spec.child(uid)));
    }
    errors.extend(validate_expiration(&spec));
    errors.extend(validate_possession(&spec));
    errors
}

/// Keys that name whose they are; values that may be anything, but not too much of it.
fn validate_annotations(annotations: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let (path, entries) = (&annotations.path, annotations.entries());
    for (key, _) in &entries {
        let key = key.to_lowercase();
        let faults = qualified_name(&key);
        if faults.is_empty() && !key.contains('/') {
            let text = r#"must be a domain-prefixed key (such as "acme.io/foo")"#;
            errors.push(Error::invalid(path, key.as_str(), text));
        }
        errors.extend(faults.into_iter().map(|fault| Error::invalid(path, key.as_str(), fault)));
    }
    let size: usize = entries.iter().map(|(key, value)| key.len() + value.text().len()).sum();
    errors.extend((size > ANNOTATIONS_MAX).then(|| Error::too_long(path, ANNOTATIONS_MAX)));
    errors
}

fn validate_uid(uid: &At) -> Option<Error> {
    match uid.text().len() {
        0 => Some(Error::invalid(&uid.path, "", "must not be empty")),
        1..=UID_MAX => None,
        _ => Some(Error::too_long(&uid.path, UID_MAX)),
    }
}

fn validate_expiration(spec: &At) -> Option<Error> {
    let expiration = spec.child("maxExpirationSeconds");
    let domain = spec.child("signerName").text().split('/').next().unwrap_or_default();
    let is_own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    let max = EXPIRATION_MAX[usize::from(!is_own)];
    let wrong = expiration.int().is_none_or(|seconds| !(HOUR_SECONDS..=max).contains(&seconds));
    wrong.then(|| expiration.invalid(format!("must be in the range [{HOUR_SECONDS}, {max}]")))
}

fn validate_possession(spec: &At) -> Option<Error> {
    let (key, proof) = (spec.child("pkixPublicKey"), spec.child("proofOfPossession"));
    let bytes = |at: &At| STANDARD.decode(at.text()).unwrap_or_default();
    let (of_key, of_proof) = (bytes(&key), bytes(&proof));
    if let Some((long, _)) = [(&key, &of_key), (&proof, &of_proof)].into_iter().find(|(_, of)| of.len() > KEY_MAX) {
        return Some(Error::too_long(&long.path, KEY_MAX));
    }
    let refusal = verify(&of_key, spec.child("podUID").text().as_bytes(), &of_proof).err()?;
    Some(match refusal {
        Refusal::UnreadableKey => key.invalid("must be a valid PKIX-serialized public key"),
        Refusal::UnknownKey => key.invalid("unknown public key type; supported types are Ed25519, ECDSA, and RSA"),
        Refusal::Curve(name) => {
            let text = "elliptic public keys must use curve P256 or P384";
            Error::invalid(&key.path, format!("curve {name}"), text)
        }
        Refusal::Modulus(bits) => {
            let text = "RSA keys must have modulus size 3072 or 4096";
            Error::invalid(&key.path, format!("{bits}-bit modulus"), text)
        }
        Refusal::Signature => Error::withheld(&proof.path, "could not verify proof-of-possession signature"),
    })
}
