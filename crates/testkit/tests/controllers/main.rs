//! All controllers against a real API server over the memory store, with a stand-in for kubelets.

mod garbage;
mod quota;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use control::{CancellationToken, Informer, Informers, Metrics, Shell, Watched, pods};
use controllers::ControllersConfig;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use machinery::UserInfo;
use serde_json::{Value, json};
use testkit::api::{self, Setup};

/// Nothing here takes longer; a test that waits for more has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    client: Client,
    informers: Informers,
    shutdown: CancellationToken,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Cluster {
    async fn start() -> Self {
        let user = UserInfo::new("system:kube-controller-manager", &[UserInfo::MASTERS]);
        let server = api::serve(Setup::new(Arc::new(store::Memory::new()))).await;
        let client = Client::new(server.client(user), "default");
        let shutdown = CancellationToken::new();
        let shell = Shell::new(client.clone(), Metrics::default(), shutdown.clone());
        let config = ControllersConfig {
            shell: shell.clone(),
            ca_pem: tokio::sync::watch::channel("the authority".to_owned()).1,
            mint: Arc::new(|of| Ok(format!("of {}", of.account))),
            token_clean_up: std::time::Duration::from_secs(365 * 24 * 60 * 60),
            cluster_cidr: "10.42.0.0/16".parse().expect("a range"),
            node_mask: 24,
            node_ports: 30000..=32767,
        };
        tokio::spawn(controllers::run(config));
        let informers = shell.informers.clone();
        tokio::spawn(kubelets(client.clone(), informers.get(), shutdown.clone()));
        Self { client, informers, shutdown }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn create<K>(&self, object: Value)
    where
        K: Watched + serde::Serialize + kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    {
        let object: K = serde_json::from_value(object).expect("an object of the kind");
        self.api::<K>().create(&PostParams::default(), &object).await.expect("it is valid");
    }

    /// Waits until the cache of the kind satisfies `what`.
    async fn until<K: Watched>(&self, told: &str, what: impl Fn(&Informer<K>) -> bool) {
        let informer = self.informers.get::<K>();
        let mut version = informer.version();
        let wait = async {
            while !(informer.is_synced() && what(&informer)) {
                version.changed().await.expect("the informer lives");
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{told}: {:#?}", informer.list());
        }
    }
}

/// Makes every pod ready, or finished if it is a job's, and gives it an address.
async fn kubelets(client: Client, pods: Informer<Pod>, shutdown: CancellationToken) {
    let mut version = pods.version();
    let mut address = 1;
    while !shutdown.is_cancelled() {
        for pod in pods.list().iter().filter(|pod| pods::phase(pod) == "Pending" && !pods::is_terminating(pod)) {
            address += 1;
            let is_job = control::meta::controller_of_kind::<Job>(&pod.metadata).is_some();
            let (phase, ready) = if is_job { ("Succeeded", "False") } else { ("Running", "True") };
            let ip = format!("10.42.0.{address}");
            let now = clock::format_time(clock::now());
            let condition = json!({ "type": "Ready", "status": ready, "lastTransitionTime": now });
            let status = json!({ "phase": phase, "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": [condition] });
            let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            // A pod may go before its status comes.
            let patched = control::write::merge_status(&api, &pod.name_any(), None, &status).await;
            control::error::ignore_not_found(patched).expect("a status is written or the pod is gone");
        }
        tokio::select! {
            changed = version.changed() => changed.expect("the informer lives"),
            () = shutdown.cancelled() => {}
        }
    }
}

fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app } },
        "spec": { "containers": [{ "name": "c", "image": image, "ports": [{ "name": "http", "containerPort": 80 }] }] },
    })
}

fn workload(app: &str, replicas: i32) -> Value {
    json!({
        "metadata": { "name": app },
        "spec": {
            "replicas": replicas, "serviceName": app, "selector": { "matchLabels": { "app": app } },
            "template": template(app, "web:1"),
        },
    })
}

fn available(deployments: &Informer<Deployment>, updated: i32) -> bool {
    deployments.find("default", "web").is_some_and(|web| {
        let status = web.status.clone().unwrap_or_default();
        let counts = [status.replicas, status.updated_replicas, status.available_replicas];
        status.observed_generation == web.metadata.generation && counts == [Some(updated); 3]
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls_out_serves_and_is_collected() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(workload("web", 3)).await;
    cluster
        .create::<Service>(json!({
            "metadata": { "name": "web" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": "http" }] },
        }))
        .await;
    cluster.until::<Deployment>("the first rollout", |all| available(all, 3)).await;
    let ready = |slice: &EndpointSlice| {
        slice.endpoints.iter().filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true))).count()
    };
    let of_web =
        |slice: &EndpointSlice| control::meta::label(&slice.metadata, "kubernetes.io/service-name") == Some("web");
    cluster
        .until::<EndpointSlice>("three endpoints", |all| {
            all.list().iter().filter(|slice| of_web(slice)).map(|slice| ready(slice)).sum::<usize>() == 3
        })
        .await;
    cluster
        .until::<Endpoints>("three addresses", |all| {
            let subsets = all.find("default", "web").and_then(|web| web.subsets.clone()).unwrap_or_default();
            subsets.iter().map(|subset| subset.addresses.as_ref().map_or(0, Vec::len)).sum::<usize>() == 3
        })
        .await;
    cluster
        .until::<Event>("the event of the rollout", |all| {
            all.list().iter().any(|event| {
                let message = event.message.as_deref().unwrap_or_default();
                event.reason.as_deref() == Some("ScalingReplicaSet") && message.ends_with("from 0 to 3")
            })
        })
        .await;

    let patch = json!({ "spec": { "template": template("web", "web:2") } });
    let web = cluster.api::<Deployment>();
    web.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("a new template");
    cluster
        .until::<Deployment>("the second rollout", |all| {
            let revision = all
                .find("default", "web")
                .and_then(|web| web.annotations().get("deployment.kubernetes.io/revision").cloned());
            available(all, 3) && revision.as_deref() == Some("2")
        })
        .await;
    cluster.until::<ReplicaSet>("two sets", |all| all.len() == 2).await;

    web.delete("web", &DeleteParams::background()).await.expect("it is there");
    cluster.until::<ReplicaSet>("the sets are collected", Informer::is_empty).await;
    cluster.until::<Pod>("the pods are collected", Informer::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreground_deletion_removes_the_pods_first() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(workload("web", 2)).await;
    cluster.until::<Deployment>("the rollout", |all| available(all, 2)).await;
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    cluster.api::<Deployment>().delete("web", &foreground).await.expect("it is there");
    cluster.until::<Deployment>("the deployment goes", Informer::is_empty).await;
    cluster.until::<Pod>("the pods went", Informer::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_stay_when_asked_for() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(workload("web", 1)).await;
    cluster.until::<Deployment>("the rollout", |all| available(all, 1)).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    cluster.api::<Deployment>().delete("web", &orphan).await.expect("it is there");
    cluster.until::<Deployment>("the deployment goes", Informer::is_empty).await;
    cluster
        .until::<ReplicaSet>("its set stays without an owner", |all| {
            all.list().iter().any(|set| set.owner_references().is_empty())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_furnished_and_emptied() {
    let cluster = Cluster::start().await;
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let shop: Namespace = serde_json::from_value(json!({ "metadata": { "name": "shop" } })).expect("a namespace");
    namespaces.create(&PostParams::default(), &shop).await.expect("it is new");
    cluster.until::<ServiceAccount>("its account", |all| all.find("shop", "default").is_some()).await;
    cluster.until::<ConfigMap>("its root CA", |all| all.find("shop", "kube-root-ca.crt").is_some()).await;
    let web: Deployment = serde_json::from_value(workload("web", 2)).expect("a deployment");
    let api = Api::<Deployment>::namespaced(cluster.client.clone(), "shop");
    api.create(&PostParams::default(), &web).await.expect("it is valid");
    cluster.until::<Pod>("its pods", |all| all.in_namespace("shop").len() == 2).await;

    namespaces.delete("shop", &DeleteParams::default()).await.expect("it is there");
    cluster.until::<Namespace>("the namespace goes", |all| all.find("", "shop").is_none()).await;
    cluster.until::<Pod>("its pods went", |all| all.in_namespace("shop").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_complete_and_sets_are_filled() {
    let cluster = Cluster::start().await;
    let mut pod = template("pi", "pi:1");
    pod["spec"]["restartPolicy"] = json!("Never");
    let job = json!({ "metadata": { "name": "pi" }, "spec": { "completions": 3, "parallelism": 2, "template": pod } });
    cluster.create::<Job>(job).await;
    cluster
        .until::<Job>("the job completes", |all| {
            let status = all.find("default", "pi").and_then(|job| job.status.clone()).unwrap_or_default();
            let complete = status.conditions.iter().flatten().any(|c| c.type_ == "Complete" && c.status == "True");
            complete && status.succeeded == Some(3)
        })
        .await;

    cluster.create::<StatefulSet>(workload("db", 3)).await;
    cluster
        .until::<StatefulSet>("three numbered pods", |all| {
            let status = all.find("default", "db").and_then(|set| set.status.clone()).unwrap_or_default();
            status.ready_replicas == Some(3) && status.current_revision == status.update_revision
        })
        .await;
    cluster
        .until::<Pod>("their names", |all| (0..3).all(|at| all.find("default", &format!("db-{at}")).is_some()))
        .await;

    let node: Node = serde_json::from_value(json!({ "metadata": { "name": "n1" } })).expect("a node");
    Api::<Node>::all(cluster.client.clone()).create(&PostParams::default(), &node).await.expect("it is new");
    cluster
        .until::<Node>("its addresses", |all| {
            let cidr = all.find("", "n1").and_then(|node| node.spec.as_ref()?.pod_cidr.clone());
            cidr.as_deref() == Some("10.42.0.0/24")
        })
        .await;
    let mut daemon = workload("log", 0);
    daemon["spec"] = json!({ "selector": { "matchLabels": { "app": "log" } }, "template": template("log", "log:1") });
    cluster.create::<DaemonSet>(daemon).await;
    cluster
        .until::<DaemonSet>("a daemon on the node", |all| {
            let status = all.find("default", "log").and_then(|set| set.status.clone()).unwrap_or_default();
            (status.desired_number_scheduled, status.number_ready) == (1, 1)
        })
        .await;
}

#[tokio::test]
async fn the_record_of_a_services_address_comes_back_and_its_range_stays_while_it_is_needed() {
    use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
    let cluster = Cluster::start().await;
    let ready = |range: &ServiceCIDR, status: &str| {
        let conditions = range.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|of| of.type_ == "Ready" && of.status == status)
    };
    let range = |ranges: &Informer<ServiceCIDR>| ranges.find("", "kubernetes");
    cluster
        .until::<ServiceCIDR>("the range is ready and protected", |ranges| {
            range(ranges).is_some_and(|range| ready(&range, "True") && !range.finalizers().is_empty())
        })
        .await;
    cluster.create::<Service>(json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})).await;
    let address = cluster.api::<Service>().get("web").await.unwrap().spec.unwrap().cluster_ip.unwrap();
    let addresses = Api::<IPAddress>::all(cluster.client.clone());
    let before = addresses.get(&address).await.expect("the address is an object").uid();
    addresses.delete(&address, &DeleteParams::default()).await.expect("anyone may delete it");
    cluster
        .until::<IPAddress>("the address is recorded again", |addresses| {
            addresses.find("", &address).is_some_and(|found| found.uid() != before)
        })
        .await;
    cluster
        .until::<Event>("people are told", |events| {
            events.list().iter().any(|event| event.reason.as_deref() == Some("ClusterIPNotAllocated"))
        })
        .await;
    let ranges = Api::<ServiceCIDR>::all(cluster.client.clone());
    ranges.delete("kubernetes", &DeleteParams::default()).await.expect("it may be deleted");
    cluster
        .until::<ServiceCIDR>("the range is in use", |ranges| range(ranges).is_some_and(|range| ready(&range, "False")))
        .await;
}
