//! Requests for certificates, and what becomes of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{errors, subresource_errors};

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "certificatesigningrequests";
/// Made by `openssl req -new`, and `openssl req -x509`.
const REQUEST: &str = include_str!("../data/request.base64");
const CERTIFICATE: &str = include_str!("../data/certificate.base64");

fn spec(changes: Value) -> Value {
    let mut spec = json!({"request": REQUEST.trim_end(), "signerName": "example.com/web", "usages": ["client auth"]});
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    spec
}

fn pem(label: &str, body: &str) -> String {
    STANDARD.encode(format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"))
}

#[test]
fn requests() {
    let faults = |changes: Value| errors(GROUP, RESOURCE, json!({"spec": spec(changes)}));
    let no_request = r#"spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST"#;
    let domain = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
        and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
        '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let upper = format!(r#"spec.signerName: Invalid value: "A.b": validating label "A": {domain}"#);
    let rows: [(Value, Vec<&str>); 7] = [
        (json!({}), vec![]),
        (json!({"request": "eA=="}), vec![no_request]),
        (json!({"usages": []}), vec!["spec.usages: Required value"]),
        (
            json!({"expirationSeconds": 1, "signerName": "nobody"}),
            vec![
                r#"spec.signerName: Invalid value: "nobody": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
                "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
            ],
        ),
        (json!({"signerName": ""}), vec!["spec.signerName: Required value"]),
        (
            json!({"signerName": "local/web"}),
            vec![
                r#"spec.signerName: Invalid value: "local": should be a domain with at least two segments separated by dots"#,
            ],
        ),
        (json!({"signerName": "A.b/web"}), vec![&upper]),
    ];
    for (changes, expected) in rows {
        assert_eq!(faults(changes.clone()), expected, "{changes}");
    }
}

#[test]
fn a_request_is_signed_by_its_own_key() {
    let mut der = STANDARD
        .decode(
            String::from_utf8(STANDARD.decode(REQUEST.trim_end()).unwrap())
                .unwrap()
                .lines()
                .filter(|line| !line.starts_with('-'))
                .collect::<String>(),
        )
        .unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    let forged = pem("CERTIFICATE REQUEST", &STANDARD.encode(der));
    let faults = errors(GROUP, RESOURCE, json!({"spec": spec(json!({"request": forged}))}));
    assert_eq!(faults, [format!("spec.request: Invalid value: \"{forged}\": x509: ECDSA verification failure")]);
}

#[test]
fn only_certificates_are_issued() {
    let old = json!({"spec": spec(json!({})), "status": {}});
    let issued = |certificate: &str| {
        let new = json!({"spec": spec(json!({})), "status": {"certificate": certificate}});
        subresource_errors(GROUP, RESOURCE, "status", &old, &new)
    };
    assert_eq!(issued(CERTIFICATE.trim_end()), Vec::<String>::new());
    let text = r#"status.certificate: Invalid value: "<certificate data>":"#;
    assert_eq!(issued("eA=="), [format!("{text} must contain at least one CERTIFICATE PEM block")]);
    let key = pem("PRIVATE KEY", "eA==");
    assert_eq!(issued(&key), [format!("{text} only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\"")]);
    let headed = pem("CERTIFICATE", "a: b\n\neA==");
    assert_eq!(issued(&headed), [format!("{text} no PEM block headers are permitted")]);
}

#[test]
fn conditions_are_given_once_and_by_those_who_may() {
    let with = |conditions: Value| json!({"spec": spec(json!({})), "status": {"conditions": conditions}});
    let faults = |subresource, old: &Value, new: &Value| subresource_errors(GROUP, RESOURCE, subresource, old, new);
    let (none, approved) = (with(json!([])), with(json!([{"type": "Approved", "status": "True"}])));
    assert_eq!(faults("approval", &none, &approved), Vec::<String>::new());
    assert_eq!(
        faults("status", &none, &approved),
        [r#"status.conditions: Forbidden: updates may not add a condition of type "Approved""#]
    );
    assert_eq!(
        faults("approval", &approved, &none),
        [r#"status.conditions: Forbidden: updates may not remove a condition of type "Approved""#]
    );
    let changed = with(json!([{"type": "Approved", "status": "True", "reason": "other"}]));
    assert_eq!(faults("status", &approved, &changed), Vec::<String>::new(), "it stays as it was");
    let wrong = with(json!([{"type": "Approved", "status": "False"}, {"type": "Denied"}, {"status": "True"}]));
    assert_eq!(
        faults("approval", &none, &wrong),
        [
            r#"status.conditions[0].status: Unsupported value: "False": supported values: "True""#,
            "status.conditions[1].status: Required value",
            r#"status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#,
            "status.conditions[2].type: Required value",
        ]
    );
    let issued = json!({"spec": spec(json!({})), "status": {"certificate": CERTIFICATE.trim_end()}});
    assert_eq!(faults("approval", &none, &issued), Vec::<String>::new(), "it writes conditions alone");
    assert_eq!(
        faults("status", &issued, &none),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"]
    );
}
