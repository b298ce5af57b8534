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

#[test]
fn a_claim_outlasts_the_pod_that_uses_it_and_its_volume_both() {
    let mut c = Cluster::new(Seed::from_name("claims")).nodes(1);
    c.apply_object(json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v1" },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
            "hostPath": { "path": "/", "type": "Directory" },
        },
    }));
    c.apply_object(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "default" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": { "requests": { "storage": "1Gi" } },
        },
    }));
    c.settle();
    c.apply_object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "automountServiceAccountToken": false, "containers": [{ "name": "c", "image": "web:1" }],
            "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    }));
    c.settle();
    c.delete("persistentvolumes", "v1", DeleteParams::default());
    c.delete("persistentvolumeclaims", "data", DeleteParams::default());
    c.settle();
    c.check_rows(
        "pods",
        expect![[r#"
        web 1/1 Running 0
    "#]],
    );
    c.check_rows(
        "persistentvolumeclaims",
        expect![[r#"
        data Terminating v1 1Gi RWO  <unset>
    "#]],
    );
    c.check_rows(
        "persistentvolumes",
        expect![[r#"
        v1 1Gi RWO Retain Terminating default/data  <unset> 
    "#]],
    );
    c.delete("pods", "web", DeleteParams::default());
    c.settle();
    assert_eq!(deleted(&c.history()), ["pods", "persistentvolumeclaims", "persistentvolumes"]);
}
