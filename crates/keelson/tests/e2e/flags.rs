//! What flags of the server change.

use std::fs;
use std::net::TcpListener;

use trace::otlp::{Span, Value};

use crate::collector::Collector;
use crate::support::manifests::{deployment, pod};
use crate::support::{Cluster, Machine, Output, until};

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

#[test]
fn pods_and_controllers_are_left_to_programs_beside_the_server() {
    let (machine, other) = (Machine::new(), Machine::new());
    machine.connect("10.99.0.1", &other, "10.99.0.2");
    let flags = ["--node-ip", "10.99.0.1", "--disable-scheduler", "--disable-controller-manager"];
    let cluster = Cluster::start_with(machine, &flags);
    // No controller has made the account or given the node its addresses: what stands for them may.
    let controller = |name: &str| format!("--as system:serviceaccount:kube-system:{name}");
    let ipam = controller("node-controller");
    cluster.kubectl(&format!("patch node n1 -p {{\"spec\":{{\"podCIDR\":\"10.42.0.0/24\"}}}} {ipam}"));
    cluster.kubectl(&format!("create serviceaccount default {}", controller("service-account-controller")));
    for (lease, user) in
        [("kube-scheduler", "system:kube-scheduler"), ("kube-controller-manager", "system:kube-controller-manager")]
    {
        let lease = format!(
            "---\n{{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {{name: {lease}, namespace: kube-system}}}}"
        );
        cluster.kubectl_stdin(&format!("create -f - --as {user}"), &lease).succeeds();
    }
    cluster.apply(&deployment("web", 1, "{name: c, image: none}", ""));
    let name = "pod left";
    cluster.apply(&pod(
        "left",
        "automountServiceAccountToken: false, containers: [{name: c, image: none, imagePullPolicy: Never}]",
    ));
    let binding =
        "---\n{apiVersion: v1, kind: Binding, metadata: {name: left}, target: {apiVersion: v1, kind: Node, name: n1}}";
    assert_eq!(cluster.field(name, ".spec.nodeName"), "");
    cluster.kubectl_stdin("create --validate=false -f - --as system:kube-scheduler", binding).succeeds();
    cluster.until_field(name, ".status.containerStatuses[0].state.waiting.reason", "ErrImageNeverPull");
    // What kube-apiserver does by itself goes on.
    cluster.apply(DEFINITION);
    cluster.kubectl("wait --for condition=Established crd/things.example.com --timeout 60s");
    assert_eq!(cluster.field("deployment web", ".status.observedGeneration"), "");
    assert_eq!(cluster.kubectl("get replicasets -o name"), "");
}

const DEFINITION: &str = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, \
                          metadata: {name: things.example.com}, spec: {group: example.com, scope: Cluster, \
                          names: {plural: things, kind: Thing}, versions: [{name: v1, served: true, storage: true, \
                          schema: {openAPIV3Schema: {type: object}}}]}}";

const PLUGINS: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- {name: PodSecurity, path: standards}
- name: PodNodeSelector
  configuration: {podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: disk=none}}
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes: [{scopeName: PriorityClass, operator: In, values: [system-cluster-critical]}]
";
const STANDARDS: &str = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, \
                         defaults: {enforce: baseline}}";
const LIMITS: &str = "{apiVersion: v1, kind: LimitRange, metadata: {name: small}, spec: {limits: \
                      [{type: Container, default: {memory: 10Mi}}]}}";

#[test]
fn admission_plugins_are_switched_and_configured() {
    let files = tempfile::tempdir().expect("there is a place for files");
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, text: &str| fs::write(path(name), text).expect("a small file is written");
    write("plugins", PLUGINS);
    write("standards", STANDARDS);
    let mut cluster = Cluster::start_without_image();
    cluster.apply(LIMITS);
    cluster.kill_server();
    cluster.start_server(&[
        "--enable-admission-plugins=NamespaceAutoProvision,PodNodeSelector",
        "--disable-admission-plugins=LimitRanger",
        "--admission-control-config-file",
        &path("plugins"),
    ]);

    cluster.kubectl("create configmap first -n made");
    assert_eq!(cluster.field("namespace made", ".status.phase"), "Active");
    let run = |name: &str, spec: &str| cluster.kubectl_stdin("create -f -", &format!("---\n{}", pod(name, spec)));
    run("plain", "containers: [{name: c, image: none}]").succeeds();
    assert_eq!(cluster.field("pod plain", ".spec.nodeSelector.disk"), "none");
    assert_eq!(cluster.field("pod plain", ".spec.containers[0].resources.limits.memory"), "");
    for (spec, why) in [
        (
            "nodeSelector: {disk: ssd}, containers: [{name: c, image: none}]",
            "conflicts with its namespace node label selector",
        ),
        ("hostNetwork: true, containers: [{name: c, image: none}]", "violates PodSecurity \"baseline:latest\""),
        (
            "priorityClassName: system-cluster-critical, containers: [{name: c, image: none}]",
            "insufficient quota to match these scopes: [{PriorityClass In [system-cluster-critical]}]",
        ),
    ] {
        let refused = run("refused", spec).fails();
        assert!(refused.contains(why), "{refused}");
    }
    let metrics = cluster.kubectl("get --raw /metrics");
    assert!(
        metrics.contains("apiserver_admission_controller_admission_duration_seconds_count{name=\"PodNodeSelector\"")
    );
    assert!(!metrics.contains("apiserver_admission_controller_admission_duration_seconds_count{name=\"LimitRanger\""));

    cluster.kill_server();
    write("broken", &PLUGINS.replace("resource: pods", "resource: ''"));
    for (flags, why) in [
        (["--enable-admission-plugins", "Nothing"], "enable-admission-plugins plugin \"Nothing\" is unknown"),
        (["--disable-admission-plugins", "Nothing"], "disable-admission-plugins plugin \"Nothing\" is unknown"),
        (
            ["--admission-control-config-file", &path("broken")],
            "couldn't init admission plugin \"ResourceQuota\": limitedResources[0].resource: Required value",
        ),
        (
            ["--admission-control-config-file", &path("none")],
            "failed to read plugin config: unable to read admission control configuration from",
        ),
    ] {
        let refused =
            Output::of(cluster.program().args(["server", "--no-agent", "--data-dir", &path("data")]).args(flags));
        let refused = refused.fails();
        assert!(refused.contains(why), "{refused}");
    }
}
