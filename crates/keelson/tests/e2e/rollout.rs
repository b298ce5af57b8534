//! New versions of an application, good and bad.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::support::manifests::{all, deployment, server, service};
use crate::support::{Cluster, Load, until};

fn address_of(cluster: &Cluster, service: &str) -> SocketAddr {
    let address = cluster.field(&format!("service {service}"), ".spec.clusterIP");
    format!("{address}:80").parse().expect("a Service has an address")
}

#[test]
fn a_rolling_update_loses_no_request() {
    let cluster = Cluster::start();
    let update = "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}},";
    cluster.apply(&all(&[&deployment("web", 3, &server(""), update), &service("web")]));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    let address = address_of(&cluster, "web");
    until("the Service answers", || {
        cluster.machine.try_http(&format!("http://{address}/")).stdout.contains(" v1").then_some(())
    });

    let load = Load::start(&cluster.machine, address);
    cluster.kubectl("set image deployment/web main=keelson.dev/sample:v2");
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    until("the old pods are gone", || (cluster.kubectl("get pods -o name").lines().count() == 3).then_some(()));
    let tally = load.stop();
    assert!(
        tally.failures.is_empty(),
        "{} of {} requests lost: {:?}",
        tally.failures.len(),
        tally.count(),
        tally.failures
    );
    assert!(tally.with(" v1\n") > 0 && tally.with(" v2\n") > 0, "{tally:?}");
    assert!(tally.count() > 200, "{tally:?}");
    assert!(cluster.machine.http(&format!("http://{address}/")).ends_with(" v2\n"));
}

#[test]
fn a_bad_update_stops_and_is_undone_while_the_old_pods_serve() {
    let cluster = Cluster::start();
    let update = "progressDeadlineSeconds: 4, strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}},";
    cluster.apply(&all(&[&deployment("web", 2, &server(""), update), &service("web")]));
    cluster.kubectl("rollout status deployment/web --timeout 60s");

    // Its server listens elsewhere, so its probe fails.
    cluster.kubectl("set env deployment/web PORT=9999");
    let status = cluster.try_kubectl("rollout status deployment/web --timeout 60s").fails();
    assert!(status.contains("deployment \"web\" exceeded its progress deadline"), "{status}");
    assert_eq!(cluster.field("deployment web", ".status.availableReplicas"), "2");
    assert_eq!(cluster.field("deployment web", ".status.updatedReplicas"), "1");
    assert!(cluster.machine.http(&format!("http://{}/", address_of(&cluster, "web"))).contains(" v1"));

    let history = cluster.kubectl("rollout history deployment/web");
    assert!(history.contains("1 ") && history.contains("2 "), "{history}");
    cluster.kubectl("rollout undo deployment/web");
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    assert_eq!(cluster.field("deployment web", ".spec.template.spec.containers[0].env"), "");
}

#[test]
fn a_paused_rollout_waits_until_it_is_resumed() {
    let cluster = Cluster::start();
    cluster.apply(&deployment("web", 2, &server(""), ""));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    cluster.kubectl("rollout pause deployment/web");
    cluster.kubectl("set image deployment/web main=keelson.dev/sample:v2");
    let generation = cluster.field("deployment web", ".metadata.generation");
    cluster.until_field("deployment web", ".status.observedGeneration", &generation);
    let updated = cluster.field("deployment web", ".status.updatedReplicas");
    assert!(["", "0"].contains(&updated.as_str()), "{updated}");
    cluster.kubectl("rollout resume deployment/web");
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    let images = cluster.field("pods -l app=web", ".items[?(@.status.phase==\"Running\")].spec.containers[0].image");
    assert!(images.contains("keelson.dev/sample:v2"), "{images}");
}

#[test]
fn recreating_ends_the_old_pods_before_new_ones_start() {
    let cluster = Cluster::start();
    let quick = server("env: [{name: DRAIN_MS, value: '200'}]");
    cluster.apply(&deployment("web", 2, &quick, "strategy: {type: Recreate},"));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    cluster.kubectl("set image deployment/web main=keelson.dev/sample:v2");
    // A pod that has ended holds nothing, though its object may stay a moment longer.
    let path = "range .items[*]}{.status.phase} {.spec.containers[0].image}{\"\\n\"}{end";
    until("the new pods are ready", || {
        let pods = cluster.field("pods -l app=web", path);
        let alive = pods.lines().filter(|pod| !pod.starts_with("Succeeded") && !pod.starts_with("Failed"));
        let versions: BTreeSet<&str> = alive.filter_map(|pod| pod.split_whitespace().last()).collect();
        assert!(versions.len() < 2, "old and new pods were there at once: {pods}");
        let ready = cluster.field("deployment web", ".status.updatedReplicas") == "2"
            && cluster.field("deployment web", ".status.readyReplicas") == "2";
        ready.then_some(())
    });
}
