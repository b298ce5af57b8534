//! What flags of the server change.

use std::fs;
use std::net::TcpListener;

use trace::otlp::{Span, Value};

use crate::collector::Collector;
use crate::support::{Cluster, Machine, until};

#[test]
fn beta_versions_an_audit_log_and_traces_are_had_by_flags() {
    let files = tempfile::tempdir().expect("there is a place for files");
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, text: &str| fs::write(path(name), text).expect("a small file is written");
    write("policy", "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}");
    let (machine, collector) = (Machine::new(), Collector::default());
    let listener = machine.inside(|| TcpListener::bind("127.0.0.1:0").expect("loopback is up"));
    let tracing = format!(
        "{{apiVersion: apiserver.config.k8s.io/v1, kind: TracingConfiguration, endpoint: '{}', \
         samplingRatePerMillion: 1000000}}",
        collector.serve(listener)
    );
    write("traces", &tracing);
    let flags = [
        ("--runtime-config", "networking.k8s.io/v1beta1=true".to_owned()),
        ("--audit-policy-file", path("policy")),
        ("--audit-log-path", path("audit")),
        ("--tracing-config-file", path("traces")),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|(flag, value)| [*flag, value]).collect();
    let cluster = Cluster::start_on(machine, &flags);

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
    until("the collector has a span of the request", || {
        let is = |span: &Span| span.name == "Get" && told(span, "url").contains("servicecidrs/kubernetes");
        collector.spans().iter().any(is).then_some(())
    });
}

/// The text that an attribute of a span holds.
fn told(span: &Span, key: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == key);
    match pair.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

#[test]
fn a_node_says_how_it_is_configured() {
    let cluster = Cluster::start_without_image();
    let said = cluster.kubectl("get --raw /api/v1/nodes/n1/proxy/configz");
    let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    let max_pods = cluster.field("node n1", ".status.capacity.pods");
    assert_eq!(said["kubeletconfig"]["maxPods"].to_string(), max_pods, "{said}");
}

#[test]
fn stable_versions_are_switched_off() {
    let mut cluster = Cluster::start_without_image();
    cluster.kill_server();
    cluster.start_server(&["--runtime-config", "policy/v1=false"]);
    assert!(!cluster.kubectl("api-versions").contains("policy/v1"));
    assert_eq!(cluster.field("node n1", ".metadata.name"), "n1");
}
