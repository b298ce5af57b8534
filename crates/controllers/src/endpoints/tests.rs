use control::Informer;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use serde_json::json;

use super::backends::{Backend, Port, backends};
use super::decide::{Action, SLICE_MAX, SliceView, decide};
use super::legacy::compile;

fn port(number: i32) -> Port {
    Port { port: number, protocol: "TCP".to_owned(), ..Port::default() }
}

/// `"a+ b-"`: backends that are ready or not.
fn wanted(line: &str) -> Vec<Backend> {
    line.split_whitespace().map(|word| backend(&word[..word.len() - 1], word.ends_with('+'))).collect()
}

fn backend(address: &str, ready: bool) -> Backend {
    Backend { address: address.to_owned(), ready, serving: ready, ports: vec![port(80)], ..Backend::default() }
}

fn slice(name: &str, line: &str) -> SliceView {
    SliceView { name: name.to_owned(), ports: vec![port(80)], backends: wanted(line), stale: false }
}

fn say(actions: &[Action]) -> String {
    let list = |backends: &[Backend]| {
        let sign = |backend: &Backend| if backend.ready { '+' } else { '-' };
        backends.iter().map(|backend| format!("{}{}", backend.address, sign(backend))).collect::<Vec<_>>().join(" ")
    };
    let words = actions.iter().map(|action| match action {
        Action::Create { backends, .. } => format!("create [{}]", list(backends)),
        Action::Update { slice, backends, .. } => format!("{slice} becomes [{}]", list(backends)),
        Action::Delete { slice } => format!("delete {slice}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(backends: &str, slices: &[SliceView], expected: &str) {
    assert_eq!(say(&decide(wanted(backends), slices)), expected);
}

#[test]
fn slices_follow_the_pods_with_few_writes() {
    check("", &[], "create []");
    check("a+ b-", &[], "create [a+ b-]");
    check("a+ b-", &[slice("s1", "a+ b-")], "");
    check("a+ b+", &[slice("s1", "a+ b-")], "s1 becomes [a+ b+]");
    check("a+ c+", &[slice("s1", "a+"), slice("s2", "b+")], "s2 becomes [c+]");
    check("a+", &[slice("s1", "a+"), slice("s2", "b+")], "delete s2");
    check("", &[slice("s1", "a+")], "s1 becomes []");
}

#[test]
fn a_full_slice_is_left_alone() {
    let full: Vec<String> = (0..SLICE_MAX).map(|i| format!("p{i}+")).collect();
    let full = full.join(" ");
    check(&format!("{full} new+"), &[slice("s1", &full)], "create [new+]");
    check(&format!("{full} new+"), &[slice("s1", &full), slice("s2", "old+")], "s2 becomes [new+]");
}

#[test]
fn pods_with_other_ports_get_their_own_slice() {
    let mut other = backend("b", true);
    other.ports = vec![port(81)];
    let actions = decide(vec![backend("a", true), other], &[slice("s1", "a+")]);
    assert_eq!(say(&actions), "create [b+]");
}

#[test]
fn stale_labels_are_repaired() {
    let stale = SliceView { stale: true, ..slice("s1", "a+") };
    check("a+", &[stale], "s1 becomes [a+]");
}

fn pods() -> Informer<Pod> {
    let pods = Informer::detached();
    let pod = |name: &str, ip: &str, ready: &str, extra: serde_json::Value| {
        let mut pod = json!({
            "metadata": { "name": name, "namespace": "shop", "uid": name, "labels": { "app": "web" } },
            "spec": { "nodeName": "n1", "containers": [
                { "name": "c", "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }] },
            ] },
            "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
                "conditions": [{ "type": "Ready", "status": ready }] },
        });
        if let (Some(to), Some(from)) = (pod["metadata"].as_object_mut(), extra.as_object()) {
            to.extend(from.clone());
        }
        serde_json::from_value(pod).expect("a pod")
    };
    pods.apply(pod("up", "10.42.0.2", "True", json!({})));
    pods.apply(pod("starting", "10.42.0.3", "False", json!({})));
    pods.apply(pod("leaving", "10.42.0.4", "True", json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" })));
    pods.apply(pod("other", "10.42.0.5", "True", json!({ "labels": { "app": "db" } })));
    pods
}

fn service(spec: serde_json::Value) -> Service {
    let mut spec = spec;
    spec["selector"] = json!({ "app": "web" });
    serde_json::from_value(json!({ "metadata": { "name": "web", "namespace": "shop" }, "spec": spec }))
        .expect("a service")
}

fn nodes() -> Informer<Node> {
    let nodes = Informer::detached();
    let labels = json!({ "topology.kubernetes.io/zone": "z1" });
    nodes.apply(serde_json::from_value(json!({ "metadata": { "name": "n1", "labels": labels } })).expect("a node"));
    nodes
}

#[test]
fn conditions_tell_ready_serving_and_terminating_apart() {
    let service = service(json!({ "ports": [{ "port": 80, "targetPort": "http" }] }));
    let found = backends(&service, &pods(), &nodes(), "IPv4");
    let facts: Vec<_> = found.iter().map(|b| (b.address.as_str(), b.ready, b.serving, b.terminating)).collect();
    let expected =
        [("10.42.0.4", false, true, true), ("10.42.0.3", false, false, false), ("10.42.0.2", true, true, false)];
    assert_eq!(facts, expected);
    assert_eq!(found[0].ports, [port(8080)]);
    assert_eq!(found[0].zone.as_deref(), Some("z1"));
}

#[test]
fn endpoints_part_ready_from_unready_and_leave_out_what_goes() {
    let service = service(json!({ "clusterIP": "None", "ports": [{ "port": 80 }] }));
    let found = backends(&service, &pods(), &nodes(), "IPv4");
    let endpoints = compile(&service, found);
    let subset = &endpoints.subsets.as_ref().expect("subsets")[0];
    let ips = |addresses: &Option<Vec<k8s_openapi::api::core::v1::EndpointAddress>>| {
        addresses.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ips(&subset.addresses), ["10.42.0.2"]);
    assert_eq!(ips(&subset.not_ready_addresses), ["10.42.0.3"]);
    assert_eq!(subset.ports.as_ref().expect("ports")[0].port, 80);
    assert!(endpoints.metadata.labels.expect("labels").contains_key("service.kubernetes.io/headless"));
}

#[test]
fn a_service_may_publish_pods_that_are_not_ready() {
    let service = service(json!({ "publishNotReadyAddresses": true, "ports": [{ "port": 80 }] }));
    let found = backends(&service, &pods(), &nodes(), "IPv4");
    assert!(found.iter().all(|backend| backend.ready));
    assert_eq!(found.iter().filter(|backend| backend.serving).count(), 2);
}
