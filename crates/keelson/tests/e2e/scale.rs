//! What pods use, and scaling by it.

use std::time::Duration;

use crate::support::manifests::{all, deployment, server, service};
use crate::support::{Cluster, Load, until, until_within};

/// The autoscaler looks every 15 seconds, at usage that is averaged over some more.
const SCALING: Duration = Duration::from_secs(120);

#[test]
fn usage_is_shown_and_an_autoscaler_follows_it() {
    let cluster = Cluster::start();
    let busy = server("resources: {requests: {cpu: 20m}, limits: {cpu: 300m}}");
    cluster.apply(&all(&[&deployment("web", 1, &busy, ""), &service("web")]));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    cluster.kubectl("autoscale deployment web --min 1 --max 3 --cpu-percent 50");
    let node = until("the node's usage is known", || {
        let top = cluster.try_kubectl("top node --no-headers");
        (top.code == 0 && top.stdout.starts_with("n1 ")).then_some(top.stdout)
    });
    assert!(node.contains("m ") && node.contains("Mi "), "{node}");
    let pod = until("the pod's usage is known", || {
        let top = cluster.try_kubectl("top pod --no-headers --containers");
        (top.code == 0 && top.stdout.starts_with("web-")).then_some(top.stdout)
    });
    assert!(pod.contains(" main ") && pod.trim_end().ends_with("Mi"), "{pod}");

    let address = cluster.field("service web", ".spec.clusterIP");
    let load = Load::start_at(&cluster.machine, format!("{address}:80").parse().expect("an address"), "/burn?ms=100");
    until_within(SCALING, "the application grows", || {
        let replicas: u32 = cluster.field("deployment web", ".spec.replicas").parse().expect("a number");
        (replicas > 1).then_some(())
    });
    assert!(load.stop().count() > 0);
    assert!(cluster.until_event("web", "SuccessfulRescale").contains("cpu resource utilization"));
    let conditions = cluster.field("hpa web", ".status.conditions[?(@.type==\"ScalingActive\")].status");
    assert_eq!(conditions, "True");
    assert!(cluster.kubectl("get hpa web").contains("%/50%"));
}
