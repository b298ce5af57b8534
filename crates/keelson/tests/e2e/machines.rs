//! More than one machine.

use std::time::Duration;

use crate::support::manifests::{IMAGE, all, server};
use crate::support::{Cluster, Machine, Output, until, until_within};

const SERVER: &str = "10.99.0.1";
const OTHER: &str = "10.99.0.2";
/// A node counts as lost after 40 seconds without a word.
const LOSS: Duration = Duration::from_secs(90);

#[test]
fn a_second_machine_joins_runs_pods_and_is_missed_when_it_is_lost() {
    let other = Machine::new();
    let machine = Machine::new();
    machine.connect(SERVER, &other, OTHER);
    let mut cluster = Cluster::start_on(machine, &["--node-ip", SERVER]);
    let joined = cluster.join(&other, "n2", &["--server", &format!("https://{SERVER}:6443"), "--node-ip", OTHER]);
    cluster.until_field("node n2", ".status.conditions[?(@.type==\"Ready\")].status", "True");
    cluster.import("n2");
    assert_eq!(cluster.field("node n2", ".status.addresses[?(@.type==\"InternalIP\")].address"), OTHER);

    let on = |node: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: on-{node}, labels: {{app: both}}}}, spec: {{nodeName: {node},
               terminationGracePeriodSeconds: 1, containers: [{}]}}}}\n",
            server("")
        )
    };
    let service = "{apiVersion: v1, kind: Service, metadata: {name: both}, spec: {selector: {app: both}, ports: [{port: 80, targetPort: 8080}]}}\n";
    // Goes where n2 is, and elsewhere as soon as n2 is lost.
    let moved = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: moved}}, spec: {{replicas: 1, selector: {{matchLabels: {{app: moved}}}},
           template: {{metadata: {{labels: {{app: moved}}}}, spec: {{
             tolerations: [{{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}},
                           {{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}}],
             affinity: {{nodeAffinity: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: 100, preference: {{matchExpressions: [
               {{key: kubernetes.io/hostname, operator: In, values: [n2]}}]}}}}]}}}},
             containers: [{{name: main, image: '{IMAGE}'}}]}}}}}}}}\n"
    );
    cluster.apply(&all(&[&on("n1"), &on("n2"), service, &moved]));
    cluster.kubectl("wait pod/on-n1 pod/on-n2 --for=condition=Ready --timeout 60s");
    cluster.kubectl("rollout status deployment/moved --timeout 60s");
    assert_eq!(cluster.field("pods -l app=moved", ".items[*].spec.nodeName"), "n2");

    for (from, to) in [("on-n1", "on-n2"), ("on-n2", "on-n1")] {
        let address = cluster.field(&format!("pod {to}"), ".status.podIP");
        let answer = cluster.sh(&format!("pod/{from}"), &format!("wget -q -O - http://{address}:8080/")).succeeds();
        assert_eq!(answer, format!("hello from {to} v1\n"));
        let by_name = cluster.sh(&format!("pod/{from}"), "wget -q -O - http://both/healthz").succeeds();
        assert_eq!(by_name, "ok\n");
    }
    assert_eq!(cluster.kubectl("logs on-n2").lines().next(), Some("on-n2 serves on port 8080"));
    assert!(cluster.sh("pod/on-n2", "cat /proc/net/route").code == 0);

    let refused = Output::of(cluster.program().args(["reset", "--data-dir"]).arg(&joined)).fails();
    assert!(refused.contains("is in use by process"), "{refused}");
    cluster.kill(&joined);
    let ready = ".status.conditions[?(@.type==\"Ready\")].status";
    until_within(LOSS, "n2 is lost", || (cluster.field("node n2", ready) == "Unknown").then_some(()));
    assert!(cluster.kubectl("get nodes").contains("NotReady"));
    until("the pod is replaced", || {
        let nodes = cluster.field("pods -l app=moved --field-selector=status.phase=Running", ".items[*].spec.nodeName");
        nodes.contains("n1").then_some(())
    });
}
