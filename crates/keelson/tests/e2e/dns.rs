//! Names of Services and pods.

use crate::support::manifests::{all, deployment, server, service};
use crate::support::{Cluster, Output, until};

#[test]
fn services_have_names_in_the_cluster() {
    let cluster = Cluster::start();
    let headless =
        "{apiVersion: v1, kind: Service, metadata: {name: peers}, spec: {clusterIP: None, selector: {app: web},
                     ports: [{name: http, port: 8080}]}}\n";
    cluster.apply(&all(&[&deployment("web", 2, &server(""), ""), &service("web"), headless]));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    let dns = "10.43.0.10";
    let dig = |line: &str| {
        let words = [format!("@{dns}"), "+short".to_owned(), "+time=2".to_owned()];
        Output::of(cluster.machine.command("dig").args(words).args(line.split(' '))).succeeds()
    };
    let address = cluster.field("service web", ".spec.clusterIP");
    assert_eq!(dig("web.default.svc.cluster.local A").trim(), address);
    assert_eq!(dig("_http._tcp.web.default.svc.cluster.local SRV").trim(), "0 100 80 web.default.svc.cluster.local.");
    assert_eq!(dig(&format!("-x {address}")).trim(), "web.default.svc.cluster.local.");
    assert_eq!(dig("kubernetes.default.svc.cluster.local A").trim(), "10.43.0.1");

    let pods = cluster.field("pods -l app=web", ".items[*].status.podIP");
    let mut pods: Vec<&str> = pods.split(' ').collect();
    pods.sort_unstable();
    until("both pods are behind the headless name", || {
        let answer = dig("peers.default.svc.cluster.local A");
        let mut answer: Vec<&str> = answer.lines().collect();
        answer.sort_unstable();
        (answer == pods).then_some(())
    });
    let dashed = pods[0].replace('.', "-");
    assert_eq!(dig(&format!("{dashed}.default.pod.cluster.local A")).trim(), pods[0]);

    let absent =
        Output::of(cluster.machine.command("dig").args([&format!("@{dns}"), "absent.default.svc.cluster.local"]));
    assert!(absent.stdout.contains("status: NXDOMAIN"), "{}", absent.stdout);
    // By the search list, and from a pod.
    let in_pod = cluster
        .sh("deployment/web", "wget -q -O - http://web/healthz; wget -q -O - http://web.default/healthz")
        .succeeds();
    assert_eq!(in_pod, "ok\nok\n");
}
