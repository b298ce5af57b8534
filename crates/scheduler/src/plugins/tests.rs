use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::pods::PodInfo;
use crate::schedule::schedule;

/// A node with 4 cores and 8 GiB, changed by `with`.
fn node(name: &str, with: Value) -> Node {
    let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    merge(&mut node, &with);
    serde_json::from_value(node).unwrap()
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut pod = json!({"metadata": {"name": name, "uid": name, "namespace": "d", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    merge(&mut pod, &json!({ "spec": spec }));
    serde_json::from_value(pod).unwrap()
}

fn asking(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "64"}}}]})
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

fn cluster(nodes: Vec<Node>, running: Vec<Pod>) -> Cache {
    let mut cache = Cache::default();
    nodes.into_iter().for_each(|node| cache.set_node(Arc::new(node)));
    running.into_iter().for_each(|pod| cache.set_pod(Arc::new(pod)));
    cache
}

/// The chosen node, or upstream's text of why there is none.
fn place(cache: &Cache, pod: Pod) -> String {
    let pod = PodInfo::new(Arc::new(pod));
    schedule(&pod, cache.snapshot(), &mut 0).unwrap_or_else(|error| error.to_string())
}

#[test]
fn a_cluster_without_nodes_says_so() {
    assert_eq!(place(&Cache::default(), pod("a", json!({}))), "no nodes available to schedule pods");
}

#[test]
fn requests_count_and_limits_do_not() {
    let cache = cluster(vec![node("n1", json!({}))], vec![pod("b", json!({"nodeName": "n1"}))]);
    assert_eq!(place(&cache, pod("a", asking("4"))), "n1");
    let refused = "0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(place(&cache, pod("a", asking("4001m"))), refused);
}

#[test]
fn reasons_are_counted_over_the_nodes() {
    let tainted = json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}});
    let nodes = vec![
        node("n1", json!({})),
        node("n2", json!({})),
        node("n3", tainted),
        node("n4", json!({"spec": {"unschedulable": true}})),
    ];
    let full = |name: &str, node: &str| {
        let mut pod = pod(name, asking("4"));
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        pod
    };
    let cache = cluster(nodes, vec![full("x", "n1"), full("y", "n2")]);
    assert_eq!(
        place(&cache, pod("a", asking("1"))),
        "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable, \
         2 Insufficient cpu."
    );
}

#[test]
fn a_toleration_lets_a_pod_onto_a_tainted_node() {
    let tainted = json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}});
    let cache = cluster(vec![node("n1", tainted)], vec![]);
    for toleration in [
        json!({"key": "gpu", "operator": "Exists"}),
        json!({"key": "gpu", "value": "yes"}),
        json!({"operator": "Exists"}),
    ] {
        assert_eq!(place(&cache, pod("a", json!({"tolerations": [toleration]}))), "n1");
    }
    let wrong = json!({"tolerations": [{"key": "gpu", "value": "no"}]});
    assert!(place(&cache, pod("a", wrong)).contains("untolerated taint"));
}

#[test]
fn selectors_and_affinity_choose_among_nodes() {
    let nodes = vec![node("n1", json!({})), node("n2", json!({"metadata": {"labels": {"disk": "ssd", "gen": "3"}}}))];
    let cache = cluster(nodes, vec![]);
    assert_eq!(place(&cache, pod("a", json!({"nodeSelector": {"disk": "ssd"}}))), "n2");
    let newer = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["2"]}]}]}}}});
    assert_eq!(place(&cache, pod("a", newer)), "n2");
    let none = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";
    assert_eq!(place(&cache, pod("a", json!({"nodeSelector": {"disk": "tape"}}))), none);
}

#[test]
fn a_host_port_is_given_once() {
    let port = json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]}]});
    let mut running = pod("b", port.clone());
    running.spec.as_mut().unwrap().node_name = Some("n1".to_owned());
    let cache = cluster(vec![node("n1", json!({}))], vec![running]);
    let refused = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    assert_eq!(place(&cache, pod("a", port)), refused);
}

#[test]
fn pods_of_one_owner_spread_over_nodes() {
    let owned = |name: &str, node: Option<&str>| {
        let mut pod = pod(name, json!({}));
        pod.metadata.owner_references = serde_json::from_value(
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true}]),
        )
        .unwrap();
        pod.spec.as_mut().unwrap().node_name = node.map(str::to_owned);
        pod
    };
    let nodes = vec![node("n1", json!({})), node("n2", json!({})), node("n3", json!({}))];
    let cache = cluster(nodes, vec![owned("a", Some("n1")), owned("b", Some("n3"))]);
    assert_eq!(place(&cache, owned("c", None)), "n2");
}

#[test]
fn a_hard_spread_constraint_bounds_the_skew() {
    let constraint = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let on = |name: &str, node: &str| {
        let mut pod = pod(name, json!({}));
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        pod
    };
    let full = json!({"spec": {"unschedulable": true}});
    let cache = cluster(vec![node("n1", json!({})), node("n2", full)], vec![on("x", "n1")]);
    assert_eq!(
        place(&cache, pod("a", constraint)),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable."
    );
}

#[test]
fn anti_affinity_keeps_pods_apart_in_both_directions() {
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    let mut lonely = pod("x", apart.clone());
    lonely.spec.as_mut().unwrap().node_name = Some("n1".to_owned());
    let cache = cluster(vec![node("n1", json!({})), node("n2", json!({}))], vec![lonely]);
    assert_eq!(place(&cache, pod("a", apart)), "n2");
    assert_eq!(place(&cache, pod("b", json!({}))), "n2");
}

#[test]
fn affinity_lets_the_first_pod_of_a_group_start_anywhere() {
    let together = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    let mut cache = cluster(vec![node("n1", json!({})), node("n2", json!({}))], vec![]);
    let first = place(&cache, pod("a", together.clone()));
    let mut placed = pod("a", together.clone());
    placed.spec.as_mut().unwrap().node_name = Some(first.clone());
    cache.set_pod(Arc::new(placed));
    assert_eq!(place(&cache, pod("b", together)), first);
}

#[test]
fn an_idle_node_is_better_than_a_busy_one() {
    let mut busy = pod("x", asking("3"));
    busy.spec.as_mut().unwrap().node_name = Some("n1".to_owned());
    let cache = cluster(vec![node("n1", json!({})), node("n2", json!({}))], vec![busy]);
    assert_eq!(place(&cache, pod("a", asking("500m"))), "n2");
}

#[test]
fn a_node_with_the_image_is_better() {
    let image = json!({"status": {"images": [{"names": ["i:latest"], "sizeBytes": 900_000_000}]}});
    let cache = cluster(vec![node("n1", json!({})), node("n2", image)], vec![]);
    assert_eq!(place(&cache, pod("a", json!({}))), "n2");
}

#[test]
fn init_containers_count_by_their_greediest_moment() {
    let spec = json!({"initContainers": [
        {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
        {"name": "i", "image": "i", "resources": {"requests": {"cpu": "2"}}}],
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]});
    assert_eq!(PodInfo::new(Arc::new(pod("a", spec))).requests.milli_cpu, 3000);
}
