//! Pods that cannot run yet, and what is said of them.

use crate::support::Cluster;
use crate::support::manifests::{pod, server};

#[test]
fn a_missing_image_is_reported_and_tried_again() {
    let cluster = Cluster::start();
    cluster.apply(&pod("web", "containers: [{name: main, image: '127.0.0.1:1/absent:v1'}]"));
    cluster.until_field("pod web", ".status.containerStatuses[0].state.waiting.reason", "ImagePullBackOff");
    let failed = cluster.until_event("web", "Failed");
    assert!(failed.contains("Failed to pull image \"127.0.0.1:1/absent:v1\""), "{failed}");
    assert!(failed.contains("Error: ErrImagePull"), "{failed}");
    let backoff = cluster.until_event("web", "BackOff");
    assert!(backoff.contains("Back-off pulling image \"127.0.0.1:1/absent:v1\""), "{backoff}");
    assert!(cluster.kubectl("get pods").contains("ImagePullBackOff"));

    cluster.apply(&pod("never", "containers: [{name: main, image: '127.0.0.1:1/absent:v1', imagePullPolicy: Never}]"));
    cluster.until_field("pod never", ".status.containerStatuses[0].state.waiting.reason", "ErrImageNeverPull");
    let text = "Container image \"127.0.0.1:1/absent:v1\" is not present with pull policy of Never";
    assert_eq!(cluster.until_event("never", "ErrImageNeverPull"), text);
}

#[test]
fn a_pod_that_fits_nowhere_waits_and_says_why() {
    let cluster = Cluster::start();
    cluster.apply(&pod("big", &format!("containers: [{}]", server("resources: {requests: {cpu: '1000'}}"))));
    let text = cluster.until_event("big", "FailedScheduling");
    assert!(text.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{text}");
    assert_eq!(cluster.field("pod big", ".status.conditions[?(@.type==\"PodScheduled\")].reason"), "Unschedulable");

    cluster.apply(&pod("picky", &format!("nodeSelector: {{disk: fast}}, containers: [{}]", server(""))));
    let text = cluster.until_event("picky", "FailedScheduling");
    assert!(
        text.starts_with("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        "{text}"
    );
    cluster.kubectl("label node n1 disk=fast");
    cluster.kubectl("wait pod/picky --for=condition=Ready --timeout 60s");

    cluster.kubectl("cordon n1");
    cluster.apply(&pod("late", &format!("containers: [{}]", server(""))));
    let text = cluster.until_event("late", "FailedScheduling");
    assert!(text.contains("1 node(s) were unschedulable"), "{text}");
    cluster.kubectl("uncordon n1");
    cluster.kubectl("wait pod/late --for=condition=Ready --timeout 60s");
}
