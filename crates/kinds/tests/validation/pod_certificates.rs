//! Certificates that nodes ask for in the name of pods.

use serde_json::{Value, json};

use super::pod_certificate;
use super::{check, check_updates, errors, subresource_errors};

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "podcertificaterequests";
/// For the key of [`pod_certificate`], from the first moment of simulated time: for a day, and for half an hour.
const ISSUED: &str = include_str!("../data/pod.pem");
const SHORT: &str = include_str!("../data/short.pem");

fn request(changes: Value) -> Value {
    let mut spec = pod_certificate::spec();
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({"metadata": {"name": "a"}, "spec": spec})
}

#[test]
fn requests_prove_that_the_key_is_held() {
    let long = "x".repeat(129);
    let key = pod_certificate::spec()["pkixPublicKey"].clone();
    let rows: Vec<(Value, Vec<&str>)> = vec![
        (json!({}), vec![]),
        (json!({"maxExpirationSeconds": 7_862_400, "unverifiedUserAnnotations": {"example.com/A": " "}}), vec![]),
        (
            json!({"maxExpirationSeconds": 86_401, "signerName": "kubernetes.io/kube-apiserver-client-pod"}),
            vec!["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
        ),
        (
            json!({"maxExpirationSeconds": 3599}),
            vec!["spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]"],
        ),
        (
            json!({"unverifiedUserAnnotations": {"a": "b"}}),
            vec![
                r#"spec.unverifiedUserAnnotations: Invalid value: "a": must be a domain-prefixed key (such as "acme.io/foo")"#,
            ],
        ),
        (
            json!({"serviceAccountUID": "", "nodeUID": long}),
            vec![
                r#"spec.serviceAccountUID: Invalid value: "": must not be empty"#,
                "spec.nodeUID: Too long: may not be more than 128 bytes",
            ],
        ),
        (
            json!({"podUID": "another"}),
            vec!["spec.proofOfPossession: Invalid value: could not verify proof-of-possession signature"],
        ),
        (
            json!({"pkixPublicKey": "eA=="}),
            vec![r#"spec.pkixPublicKey: Invalid value: "eA==": must be a valid PKIX-serialized public key"#],
        ),
    ];
    for (changes, expected) in rows {
        check(GROUP, vec![(RESOURCE, request(changes), expected)]);
    }
    let made = errors(GROUP, RESOURCE, request(json!({"pkixPublicKey": key, "proofOfPossession": "eA=="})));
    assert_eq!(made.len(), 1, "{made:?}");
    let (old, new) = (request(json!({})), request(json!({"podName": "b"})));
    let told = super::update_errors(GROUP, RESOURCE, old.clone(), new);
    assert!(told.len() == 1 && told[0].ends_with("field is immutable"), "{told:?}");
    check_updates(GROUP, vec![(RESOURCE, old.clone(), old, vec![])]);
}

fn condition(of_type: &str, status: &str) -> Value {
    json!({"type": of_type, "status": status, "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn status_faults(old: Value, new: Value) -> Vec<String> {
    let _simulation = clock::simulate(1);
    let with = |status: Value| {
        let mut object = request(json!({"maxExpirationSeconds": 86_400}));
        object["status"] = status;
        object
    };
    subresource_errors(GROUP, RESOURCE, "status", &with(old), &with(new))
}

#[test]
fn signers_end_requests_once() {
    let conditions = |conditions: Value| json!({"conditions": conditions});
    let denied = conditions(json!([condition("Denied", "True")]));
    assert_eq!(status_faults(json!({}), denied.clone()), Vec::<String>::new());
    assert_eq!(
        status_faults(json!({}), json!({"conditions": [condition("Failed", "True")], "certificateChain": "x"})),
        ["status: Invalid value: non-condition status fields must be empty when denying or failing the \
             PodCertificateRequest"]
    );
    assert_eq!(
        status_faults(denied, json!({})),
        ["status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"]
    );
    assert_eq!(
        status_faults(json!({}), json!({"certificateChain": "x"})),
        [r#"status: Invalid value: status is immutable unless transitioning to "Issued", "Denied", or "Failed""#]
    );
    let wrong = [condition("Issued", "False"), condition("Denied", "True"), condition("Approved", "True")];
    assert_eq!(
        status_faults(json!({}), conditions(json!(wrong))),
        [
            r#"status.conditions.[0].status: Unsupported value: "False": supported values: "True""#,
            "status.conditions.[1].type: Invalid value: \"Denied\": There may be at most one condition with type \
             \"Issued\", \"Denied\", or \"Failed\"",
            r#"status.conditions.[2].type: Unsupported value: "Approved": supported values: "Issued", "Denied", "Failed""#,
        ]
    );
}

#[test]
fn what_is_issued_is_for_the_key_and_the_time() {
    let issued = |changes: Value| {
        let mut status = json!({
            "conditions": [condition("Issued", "True")], "certificateChain": ISSUED,
            "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-01-02T00:00:00Z",
            "beginRefreshAt": "2026-01-01T16:00:00Z",
        });
        status.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        status_faults(json!({}), status)
    };
    assert_eq!(issued(json!({})), Vec::<String>::new());
    assert_eq!(issued(json!({"certificateChain": ISSUED.repeat(2)})), Vec::<String>::new());
    let authority = include_str!("../data/authority.pem");
    for (chain, told) in [
        ("x", "issued certificate chain must contain at least one certificate"),
        (authority, "leaf certificate was not issued to the requested public key"),
    ] {
        let expected = json!(chain);
        assert_eq!(
            issued(json!({"certificateChain": chain})),
            [format!("status.certificateChain: Invalid value: {expected}: {told}")]
        );
    }
    assert_eq!(
        issued(json!({"notBefore": null, "beginRefreshAt": null})),
        [
            "status.notBefore: Required value: must be present and consistent with the issued certificate",
            "status.beginRefreshAt: Required value: must be present and in the range [notbefore+10min, notafter-10min]",
        ]
    );
    assert_eq!(
        issued(json!({"notAfter": "2026-01-03T00:00:00Z"})),
        ["status.notAfter: Invalid value: \"2026-01-03T00:00:00Z\": must be set to the NotAfter time encoded in the \
             leaf certificate"]
    );
    assert_eq!(
        issued(json!({"beginRefreshAt": "2026-01-01T23:55:00Z"})),
        ["status.beginRefreshAt: Invalid value: \"2026-01-01T23:55:00Z\": must be at least 10 minutes before \
             status.notAfter"]
    );
    assert_eq!(
        issued(json!({"certificateChain": SHORT, "notAfter": "2026-01-01T00:30:00Z"})),
        ["status.certificateChain: Invalid value: 1800000000000: leaf certificate lifetime must be >= 1 hour"]
    );
}
