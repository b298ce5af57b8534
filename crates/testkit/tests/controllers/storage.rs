//! What is stored on stays while it is used.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::Cluster;

fn class() -> VolumeAttributesClass {
    serde_json::from_value(
        json!({ "metadata": { "name": "gold" }, "driverName": "example.com", "parameters": { "iops": "9" } }),
    )
    .expect("a class")
}

fn volume() -> PersistentVolume {
    let spec = json!({
        "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "gold",
        "csi": { "driver": "example.com", "volumeHandle": "1" },
    });
    serde_json::from_value(json!({ "metadata": { "name": "v1" }, "spec": spec })).expect("a volume")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_is_deleted_when_its_users_are_gone() {
    let cluster = Cluster::start().await;
    let classes = Api::<VolumeAttributesClass>::all(cluster.client.clone());
    let volumes = Api::<PersistentVolume>::all(cluster.client.clone());
    let claims = cluster.api::<PersistentVolumeClaim>();
    let class = classes.create(&PostParams::default(), &class()).await.expect("a class");
    assert_eq!(class.finalizers(), ["kubernetes.io/vac-protection"]);
    let volume = volumes.create(&PostParams::default(), &volume()).await.expect("a volume");
    assert_eq!(volume.finalizers(), ["kubernetes.io/pv-protection"]);
    let claim = json!({ "metadata": { "name": "data" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeAttributesClassName": "gold",
        "resources": { "requests": { "storage": "1Gi" } } } });
    cluster.create::<PersistentVolumeClaim>(claim).await;
    assert_eq!(claims.get("data").await.expect("a claim").finalizers(), ["kubernetes.io/pvc-protection"]);
    cluster
        .until::<PersistentVolumeClaim>("the claim is bound", |all| {
            let claim = all.find("default", "data");
            claim.is_some_and(|claim| claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound"))
        })
        .await;
    let pod = json!({ "metadata": { "name": "web" }, "spec": { "nodeName": "n1",
        "containers": [{ "name": "c", "image": "web:1" }],
        "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }] } });
    cluster.create::<Pod>(pod).await;
    cluster.until::<Pod>("the pod is known", |all| all.find("default", "web").is_some()).await;

    classes.delete("gold", &DeleteParams::default()).await.expect("it is there");
    volumes.delete("v1", &DeleteParams::default()).await.expect("it is there");
    claims.delete("data", &DeleteParams::default()).await.expect("it is there");
    // What nobody uses goes at once, after which the others have been looked at.
    let unused = json!({ "metadata": { "name": "unused" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": { "requests": { "storage": "9Gi" } } } });
    cluster.create::<PersistentVolumeClaim>(unused).await;
    claims.delete("unused", &DeleteParams::default()).await.expect("it is there");
    cluster.until::<PersistentVolumeClaim>("the other goes", |all| all.find("default", "unused").is_none()).await;
    for meta in [
        classes.get("gold").await.expect("it is held").metadata,
        volumes.get("v1").await.expect("it is held").metadata,
        claims.get("data").await.expect("it is held").metadata,
    ] {
        assert!(meta.deletion_timestamp.is_some() && meta.finalizers.is_some(), "{meta:?}");
    }

    cluster.api::<Pod>().delete("web", &DeleteParams::default().grace_period(0)).await.expect("it is there");
    cluster.until::<PersistentVolumeClaim>("the claim goes", |all| all.find("default", "data").is_none()).await;
    cluster.until::<PersistentVolume>("the volume goes", |all| all.find("", "v1").is_none()).await;
    cluster.until::<VolumeAttributesClass>("the class goes", |all| all.find("", "gold").is_none()).await;
}
