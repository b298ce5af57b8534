//! What flags of the server change.

use std::fs;

use crate::support::{Cluster, Machine, until};

#[test]
fn beta_versions_an_audit_log_and_traces_are_had_by_flags() {
    let files = tempfile::tempdir().expect("there is a place for files");
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, text: &str| fs::write(path(name), text).expect("a small file is written");
    write("policy", "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}");
    // Nobody listens there: what is traced is lost, and no request waits for it.
    write(
        "traces",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: TracingConfiguration, endpoint: '127.0.0.1:4317', \
         samplingRatePerMillion: 1000000}",
    );
    let flags = [
        ("--runtime-config", "networking.k8s.io/v1beta1=true".to_owned()),
        ("--audit-policy-file", path("policy")),
        ("--audit-log-path", path("audit")),
        ("--tracing-config-file", path("traces")),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|(flag, value)| [*flag, value]).collect();
    let cluster = Cluster::start_on(Machine::new(), &flags);

    let versions = cluster.kubectl("api-versions");
    assert!(versions.contains("networking.k8s.io/v1beta1"), "{versions}");
    assert!(!versions.contains("storage.k8s.io/v1beta1"), "{versions}");
    let range = "servicecidrs.v1beta1.networking.k8s.io kubernetes";
    assert_eq!(cluster.field(range, ".apiVersion"), "networking.k8s.io/v1beta1");
    until("the audit log tells of it", || {
        let log = fs::read_to_string(path("audit")).unwrap_or_default();
        log.lines().any(|line| line.contains("networking.k8s.io/v1beta1/servicecidrs/kubernetes")).then_some(())
    });
    assert!(cluster.kubectl("get --raw /configz").contains("kubescheduler.config.k8s.io"));
}
