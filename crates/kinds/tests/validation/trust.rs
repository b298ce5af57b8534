//! Bundles of authorities, candidates for leases, and migrations of what is stored.

use serde_json::{Value, json};

use super::{check, check_updates, subresource_errors};

const AUTHORITY: &str = include_str!("../data/authority.pem");
const NO_AUTHORITY: &str = include_str!("../data/pod.pem");
const OMITTED: &str = r#"spec.trustBundle: Invalid value: "<value omitted>":"#;

#[test]
fn bundles_hold_authorities() {
    let bundle = |name: &str, signer: &str, pem: &str| json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": pem}});
    let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let told = |text: &str| format!("{OMITTED} {text}");
    let rows: Vec<(Value, Vec<String>)> = vec![
        (bundle("a", "", AUTHORITY), vec![]),
        (bundle("example.com:web:a", "example.com/web", &format!("before\n{AUTHORITY}after")), vec![]),
        (bundle("a", "", ""), vec![told("at least one trust anchor must be provided")]),
        (bundle("a", "", &AUTHORITY.repeat(2)), vec![told("duplicate trust anchor (indices [0 1])")]),
        (
            bundle("a", "", &[NO_AUTHORITY, AUTHORITY, &block("CERTIFICATE", "eA=="), &block("KEY", "eA==")].concat()),
            vec![
                told("entry 0 does not have the CA bit set"),
                told("entry 2 does not parse as X.509"),
                told("entry 3 has bad block type: KEY"),
            ],
        ),
        (
            bundle("a", "", &block("CERTIFICATE", "a: b\n\neA==")),
            vec![told("entry 0 has PEM block headers")],
        ),
        (
            bundle("a:b", "", AUTHORITY),
            vec![
                r#"metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name"#
                    .to_owned(),
            ],
        ),
        (
            bundle("a", "example.com/web", AUTHORITY),
            vec![
                "metadata.name: Invalid value: \"a\": ClusterTrustBundle for signerName example.com/web must be named \
                 with prefix example.com:web:"
                    .to_owned(),
            ],
        ),
    ];
    for (object, expected) in rows {
        let expected = expected.iter().map(String::as_str).collect();
        check("certificates.k8s.io", vec![("clustertrustbundles", object, expected)]);
    }
    check_updates(
        "certificates.k8s.io",
        vec![
            ("clustertrustbundles", bundle("a", "", "x"), bundle("a", "", "x"), vec![]),
            (
                "clustertrustbundles",
                bundle("a", "", "x"),
                bundle("a", "example.com/web", "y"),
                vec![
                    &told("at least one trust anchor must be provided"),
                    r#"spec.signerName: Invalid value: "example.com/web": field is immutable"#,
                ],
            ),
        ],
    );
}

#[test]
fn candidates_say_which_versions_they_are() {
    let candidate = |binary: &str, emulation: &str, strategy: &str| {
        json!({"metadata": {"name": "a"}, "spec": {
            "leaseName": "l", "binaryVersion": binary, "emulationVersion": emulation, "strategy": strategy}})
    };
    check(
        "coordination.k8s.io",
        vec![
            ("leasecandidates", candidate("1.35.0", "1.34.0", "OldestEmulationVersion"), vec![]),
            ("leasecandidates", candidate("1.35.0", "", "example.com/mine"), vec![]),
            (
                "leasecandidates",
                json!({"metadata": {"name": "a"}}),
                vec![
                    "spec.leaseName: Required value",
                    "spec.binaryVersion: Required value",
                    "spec.strategy: Required value",
                ],
            ),
            (
                "leasecandidates",
                candidate("1.34.0", "1.35.0", "Newest"),
                vec![
                    r#"spec.binaryVersion: Invalid value: "1.34.0": must be greater than or equal to `emulationVersion`"#,
                    r#"spec.strategy.strategy: Unsupported value: "Newest": supported values: "OldestEmulationVersion""#,
                ],
            ),
            (
                "leasecandidates",
                candidate("v1", "x", "OldestEmulationVersion"),
                vec![
                    r#"spec.emulationVersion: Invalid value: "x": must be a valid semantic version"#,
                    r#"spec.binaryVersion: Invalid value: "v1": must be a valid semantic version"#,
                    "spec.emulationVersion: Required value: must be specified when `strategy` is 'OldestEmulationVersion'",
                ],
            ),
        ],
    );
    check_updates(
        "coordination.k8s.io",
        vec![(
            "leasecandidates",
            json!({"spec": {"leaseName": "a"}}),
            json!({"spec": {"leaseName": "b"}}),
            vec![r#"spec.leaseName: Invalid value: "b": field is immutable"#],
        )],
    );
}

#[test]
fn migrations_run_and_end_once() {
    let group = "storagemigration.k8s.io";
    check(
        group,
        vec![
            (
                "storageversionmigrations",
                json!({"spec": {"resource": {"group": "apps", "resource": "deployments"}}}),
                vec![],
            ),
            (
                "storageversionmigrations",
                json!({"spec": {"resource": {"group": "a.b"}}}),
                vec!["spec.resource.resource: Required value: resource is required to be set"],
            ),
        ],
    );
    check_updates(
        group,
        vec![(
            "storageversionmigrations",
            json!({"spec": {"resource": {"resource": "a"}}}),
            json!({"spec": {"resource": {"resource": "b"}}}),
            vec![r#"spec: Invalid value: {"resource":{"resource":"b"}}: field is immutable"#],
        )],
    );
    let of = |version: &str, conditions: &[(&str, &str)]| {
        let condition = |(of_type, status): &(&str, &str)| json!({"type": of_type, "status": status, "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let conditions: Vec<Value> = conditions.iter().map(condition).collect();
        json!({"status": {"resourceVersion": version, "conditions": conditions}})
    };
    let faults = |old: Value, new: Value| subresource_errors(group, "storageversionmigrations", "status", &old, &new);
    assert_eq!(faults(of("", &[]), of("7", &[("Running", "True")])), Vec::<String>::new());
    assert_eq!(
        faults(of("7", &[]), of("08", &[])),
        [
            r#"status.resourceVersion: Invalid value: "08": resource version is not well formed: 08"#,
            r#"status.resourceVersion: Invalid value: "08": field is immutable"#,
        ]
    );
    let told = faults(of("7", &[("Succeeded", "True")]), of("7", &[("Failed", "True"), ("Running", "True")]));
    let texts = [
        "Running condition cannot be true when failed condition is true",
        "Success condition cannot be set to false once it is true",
    ];
    assert_eq!(told.len(), texts.len(), "{told:?}");
    for (told, text) in told.iter().zip(texts) {
        assert!(told.starts_with("status.conditions: Invalid value: [{") && told.ends_with(text), "{told}");
    }
}
