//! The sample application, from its manifest to its answers.

use crate::support::{Cluster, until};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop/shop.yaml");

#[test]
fn the_sample_application_comes_up_and_answers() {
    let cluster = Cluster::start();
    cluster.kubectl(&format!("apply -f {SHOP}"));
    cluster.kubectl("rollout status -n shop deployment/back --timeout 60s");
    cluster.kubectl("rollout status -n shop deployment/front --timeout 60s");

    let by_node_port = until("the node port answers", || {
        let answer = cluster.machine.try_http("http://127.0.0.1:30080/");
        (answer.code == 0).then_some(answer.stdout)
    });
    assert!(by_node_port.starts_with("Welcome from front-"), "{by_node_port}");
    assert!(by_node_port.contains("back end: Fresh fish from back-"), "{by_node_port}");

    let address = cluster.field("service/back -n shop", ".spec.clusterIP");
    let refused = cluster.machine.try_http(&format!("http://{address}/"));
    assert_eq!(refused.stdout, "wrong password\n");

    let in_pod = cluster.sh("-n shop deployment/front", "wget -q -O - http://back.shop.svc.cluster.local/healthz");
    assert_eq!(in_pod.succeeds(), "ok\n");
}

#[test]
fn the_programs_own_commands_do_the_same_without_kubectl() {
    let cluster = Cluster::start();
    cluster.keelson(&["apply", "-f", SHOP]).succeeds();
    cluster.keelson(&["rollout", "status", "deployment/front", "-n", "shop", "--timeout", "60s"]).succeeds();
    let pods = cluster.keelson(&["get", "pods", "-n", "shop"]).succeeds();
    assert_eq!(pods.lines().filter(|line| line.starts_with("front-") && line.contains("1/1")).count(), 3, "{pods}");
    let log = cluster.keelson(&["logs", "deployment/front", "-n", "shop"]).succeeds();
    assert!(log.contains("serves on port 8080"), "{log}");
    cluster.keelson(&["scale", "deployment/back", "--replicas", "1", "-n", "shop"]).succeeds();
    cluster.until_field("deployment back -n shop", ".status.replicas", "1");
    let images = cluster.keelson(&["image", "list"]).succeeds();
    assert!(images.contains("keelson.dev/sample:v1") && images.contains("keelson.dev/sample:v2"), "{images}");
    assert!(cluster.keelson(&["describe", "deployment", "front", "-n", "shop"]).succeeds().contains("front"));
    cluster.keelson(&["delete", "-f", SHOP]).succeeds();
    until("the namespace is gone", || (cluster.try_kubectl("get namespace shop").code != 0).then_some(()));
}
