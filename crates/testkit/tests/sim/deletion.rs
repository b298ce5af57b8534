//! What goes when something is deleted, and in which order.

use expect_test::expect;
use serde_json::json;
use testkit::sim::{Cluster, DeleteParams, PropagationPolicy, Seed};

use crate::support::{deleted, keys};

fn propagated(policy: PropagationPolicy) -> DeleteParams {
    DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }
}

#[test]
fn in_the_foreground_pods_go_before_their_owners() {
    let mut c = Cluster::new(Seed::from_name("foreground")).nodes(1);
    c.apply("deployment web replicas=2");
    c.settle();
    c.delete("deployments", "web", propagated(PropagationPolicy::Foreground));
    c.settle();
    c.check(expect![[""]]);
    assert_eq!(deleted(&c.history()), ["pods", "replicasets", "deployments"]);
}

#[test]
fn in_the_background_owners_go_first() {
    let mut c = Cluster::new(Seed::from_name("background")).nodes(1);
    c.apply("deployment web replicas=2");
    c.settle();
    c.delete("deployments", "web", propagated(PropagationPolicy::Background));
    c.settle();
    c.check(expect![[""]]);
    assert_eq!(deleted(&c.history()), ["deployments", "replicasets", "pods"]);
    c.check_no_leaks();
}

#[test]
fn orphans_stay_and_are_adopted_again() {
    let mut c = Cluster::new(Seed::from_name("orphans")).nodes(1);
    c.apply("deployment web replicas=2");
    c.settle();
    c.delete("deployments", "web", propagated(PropagationPolicy::Orphan));
    c.settle();
    c.check_rows("deployments", expect![[""]]);
    c.check(expect![[r#"
        web-a n1 Running
        web-b n1 Running
    "#]]);
    c.apply("deployment web replicas=2");
    c.settle();
    c.check_rows(
        "replicasets",
        expect![[r#"
        web-59cd89bf9 2 2 2
    "#]],
    );
    c.check(expect![[r#"
        web-a n1 Running
        web-b n1 Running
    "#]]);
}

#[test]
fn a_namespace_is_furnished_and_goes_with_all_that_is_in_it() {
    let mut c = Cluster::new(Seed::from_name("namespace")).nodes(1);
    c.apply("namespace shop");
    c.settle();
    let furniture = ["/registry/configmaps/shop/kube-root-ca.crt", "/registry/serviceaccounts/shop/default"];
    assert_eq!(keys(&c.history(), "/shop/"), furniture);
    c.apply("deployment web replicas=2 ns=shop");
    c.apply_object(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "stays-a-while", "namespace": "shop", "finalizers": ["example.com/wait"] },
    }));
    c.settle();
    c.delete("namespaces", "shop", DeleteParams::default());
    c.settle();
    c.check_rows(
        "namespaces",
        expect![[r#"
        default Active
        kube-node-lease Active
        kube-public Active
        kube-system Active
        shop Terminating
    "#]],
    );
    assert_eq!(keys(&c.history(), "/shop/"), ["/registry/configmaps/shop/stays-a-while"]);
    c.apply_object(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "stays-a-while", "namespace": "shop", "finalizers": [] },
    }));
    c.settle();
    assert_eq!(keys(&c.history(), "/shop"), [""; 0]);
    c.check_no_leaks();
}
