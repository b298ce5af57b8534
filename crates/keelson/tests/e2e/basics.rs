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
