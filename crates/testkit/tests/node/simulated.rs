//! Containers that are only remembered.

use std::sync::Arc;
use std::time::Duration;

use containers::Runtime;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use node::simulated::{Behaviour, Containers};
use serde_json::json;

use crate::support::{Cluster, condition, phase, restarts, waiting};

fn web() -> serde_json::Value {
    json!({"containers": [{"name": "web", "image": "web:1"}]})
}

#[tokio::test]
async fn a_pod_runs_and_goes() {
    let cluster = Cluster::new().await;
    let containers = Containers::new();
    let agent = cluster.agent(Arc::new(containers.clone()), false);
    let node = cluster.node_ready().await;
    let labels = node.metadata.labels.unwrap();
    assert_eq!(labels["kubernetes.io/os"], "linux");
    assert!(labels.contains_key("node-role.kubernetes.io/control-plane"));

    cluster.create("web", web()).await;
    let pod = cluster.ready("web").await;
    let status = pod.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.host_ip.as_deref(), Some("127.0.0.1"));
    assert!(status.pod_ip.unwrap().starts_with("10.42.0."));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert!(status.container_statuses.unwrap()[0].container_id.as_ref().unwrap().starts_with("keelson://container-"));

    cluster.delete("web", 5).await;
    cluster.until_gone("web").await;
    agent.stop().await;
    assert!(containers.list_containers().await.unwrap().is_empty());
    let events = cluster.events("web").await;
    for expected in [
        "Pulling Pulling image \"web:1\"",
        "Created Created container: web",
        "Started Started container web",
        "Killing Stopping container web",
    ] {
        assert!(events.iter().any(|event| event == expected), "{expected} is not among {events:#?}");
    }
}

#[tokio::test]
async fn an_image_that_is_missing_and_a_container_that_crashes_show() {
    let cluster = Cluster::new().await;
    let containers = Containers::new();
    containers.behave("none:1", Behaviour { missing: true, ..Behaviour::default() });
    containers.behave("crash:1", Behaviour { ends: Some((Duration::from_millis(10), 3)), ..Behaviour::default() });
    let _agent = cluster.agent(Arc::new(containers.clone()), false);
    cluster.create("none", json!({"containers": [{"name": "c", "image": "none:1"}]})).await;
    cluster.create("crash", json!({"containers": [{"name": "c", "image": "crash:1"}]})).await;
    cluster.create("job", json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "crash:1"}]})).await;
    cluster.until("none", "backing off", |pod| waiting(pod) == "ImagePullBackOff").await;
    let crashed = cluster.until("crash", "backing off", |pod| waiting(pod) == "CrashLoopBackOff").await;
    assert_eq!(restarts(&crashed), 1);
    let job = cluster.until("job", "failed", |pod| phase(pod) == "Failed").await;
    assert_eq!(
        job.status.unwrap().container_statuses.unwrap()[0]
            .state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .exit_code,
        3
    );
    cluster.delete("job", 0).await;
    cluster.delete("none", 30).await;
    cluster.until_gone("none").await;
}

#[tokio::test]
async fn a_config_map_that_comes_late_starts_the_pod() {
    let cluster = Cluster::new().await;
    let containers = Containers::new();
    let _agent = cluster.agent(Arc::new(containers.clone()), false);
    let from = json!({"configMapKeyRef": {"name": "settings", "key": "color"}});
    let spec = json!({"containers": [{"name": "c", "image": "i:1", "env": [{"name": "COLOR", "valueFrom": from}]}]});
    cluster.create("late", spec).await;
    cluster.until("late", "waiting", |pod| waiting(pod) == "CreateContainerConfigError").await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "default");
    let map = serde_json::from_value(json!({"metadata": {"name": "settings"}, "data": {"color": "red"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    cluster.ready("late").await;
    let id = containers.list_containers().await.unwrap()[0].id.clone();
    assert!(containers.config(&id).unwrap().env.contains(&("COLOR".to_string(), "red".to_string())));
}

#[tokio::test]
async fn a_new_agent_adopts_what_runs_and_removes_what_nobody_wants() {
    let cluster = Cluster::new().await;
    let containers = Containers::new();
    let agent = cluster.agent(Arc::new(containers.clone()), false);
    cluster.create("stays", web()).await;
    cluster.create("goes", web()).await;
    let before = cluster.ready("stays").await;
    cluster.ready("goes").await;
    agent.stop().await;
    cluster.delete("goes", 0).await;

    let _agent = cluster.agent(Arc::new(containers.clone()), false);
    cluster.create("new", web()).await;
    cluster.ready("new").await;
    let after = cluster.pods().get("stays").await.unwrap();
    assert_eq!(before.status, after.status);
    assert_eq!(condition(&after, "Ready"), "True");
    let mut names: Vec<String> =
        containers.list_sandboxes().await.unwrap().into_iter().map(|sandbox| sandbox.metadata.name).collect();
    names.sort();
    assert_eq!(names, ["new", "stays"]);
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_refused() {
    let cluster = Cluster::new().await;
    let _agent = cluster.agent(Arc::new(Containers::new()), false);
    let resources = json!({"requests": {"cpu": "10000"}});
    cluster.create("huge", json!({"containers": [{"name": "c", "image": "i:1", "resources": resources}]})).await;
    let pod = cluster.until("huge", "refused", |pod| phase(pod) == "Failed").await;
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("OutOfcpu"));
}

#[tokio::test]
async fn fifty_pods_come_and_go_in_moments() {
    let cluster = Cluster::new().await;
    let containers = Containers::new();
    let _agent = cluster.agent(Arc::new(containers.clone()), false);
    for index in 0..50 {
        cluster.create(&format!("p{index}"), web()).await;
    }
    for index in 0..50 {
        cluster.ready(&format!("p{index}")).await;
    }
    for index in 0..50 {
        cluster.delete(&format!("p{index}"), 1).await;
    }
    for index in 0..50 {
        cluster.until_gone(&format!("p{index}")).await;
    }
}
