//! Pods with real containers, on one node that has their image.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::idle::MIB;
use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::pods::{Pods, count_ready};
use crate::report::{Aim, Measure};
use crate::stats::{milliseconds, percentile};

const NAMESPACE: &str = "bench-pods";
const LIMIT: Duration = Duration::from_secs(180);

pub async fn run(subject: &Subject, sizes: &Sizes, image: &str) -> anyhow::Result<Vec<Measure>> {
    subject.with_cluster(&[], async |cluster| pods(cluster, sizes, image).await).await
}

async fn pods(cluster: &Cluster<'_>, sizes: &Sizes, image: &str) -> anyhow::Result<Vec<Measure>> {
    if cluster.server.is_some() {
        cluster.until_node_is_ready().await?;
    }
    cluster.import_image().await?;
    cluster.namespace(NAMESPACE).await?;
    let mut watch = Pods::watch(cluster.client.clone(), NAMESPACE, LIMIT).await?;
    let mut measures = one_by_one(cluster, &mut watch, sizes.single_pods, image).await?;
    measures.extend(together(cluster, &mut watch, sizes, image).await?);
    Ok(measures)
}

/// One pod at a time, each gone before the next.
async fn one_by_one(
    cluster: &Cluster<'_>,
    watch: &mut Pods,
    count: usize,
    image: &str,
) -> anyhow::Result<Vec<Measure>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let mut samples = Vec::new();
    for index in 0..count {
        let name = format!("single-{index}");
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec(image)}))?;
        let created = clock::monotonic();
        pods.create(&PostParams::default(), &pod).await?;
        watch.until("running", LIMIT, |states| states.get(&name).is_some_and(|state| state.running)).await?;
        samples.push(created.elapsed());
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        watch.until("gone", LIMIT, |states| !states.contains_key(&name)).await?;
    }
    let at = |percent| percentile(&samples, percent).map(milliseconds).context("no pod");
    Ok(vec![
        Measure::new("pods: one, created to Running, p50", at(50)?, "ms").aim(Aim::AtMost(100.0)),
        Measure::new("pods: one, created to Running, p99", at(99)?, "ms"),
    ])
}

/// A Deployment that is made, grows, and is deleted.
async fn together(cluster: &Cluster<'_>, watch: &mut Pods, sizes: &Sizes, image: &str) -> anyhow::Result<Vec<Measure>> {
    let [first, all] = sizes.replicas;
    let memory = || cluster.server.map(|server| server.usage().map(|usage| usage.pss as f64)).transpose();
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    sleep(sizes.settle).await;
    let before = memory()?;

    let started = clock::monotonic();
    deployments.create(&PostParams::default(), &deployment(first, image)?).await?;
    watch.until("ready", LIMIT, |states| count_ready(states) == first as usize).await?;
    let made = started.elapsed();

    let started = clock::monotonic();
    let replicas = Patch::Merge(json!({"spec": {"replicas": all}}));
    deployments.patch("many", &PatchParams::default(), &replicas).await?;
    watch.until("ready", LIMIT, |states| count_ready(states) == all as usize).await?;
    let grown = started.elapsed();

    sleep(sizes.settle).await;
    let after = memory()?;
    let started = clock::monotonic();
    deployments.delete("many", &DeleteParams::background()).await?;
    watch.until("gone", LIMIT, |states| states.is_empty()).await?;
    let gone = started.elapsed();

    let seconds = |name: String, time: Duration, aim| Measure::new(name, time.as_secs_f64(), "s").aim(Aim::AtMost(aim));
    let memory = before.zip(after).map(|(before, after)| (after - before) / f64::from(all) / MIB);
    let memory = memory.map(|each| Measure::new("pods: memory for each", each, "MiB").aim(Aim::AtMost(0.5)));
    let times = [
        seconds(format!("pods: {first} of a Deployment until Ready"), made, 1.0),
        seconds(format!("pods: {} more until Ready", all - first), grown, 3.0),
        seconds(format!("pods: {all} deleted, 1 s of grace"), gone, 3.0),
    ];
    Ok(times.into_iter().chain(memory).collect())
}

fn deployment(replicas: u32, image: &str) -> anyhow::Result<Deployment> {
    let labels = json!({"app": "many"});
    Ok(serde_json::from_value(json!({
        "metadata": {"name": "many"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": spec(image)}},
    }))?)
}

/// The default image drains for longer than its grace: each deletion takes the whole second.
fn spec(image: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": image, "imagePullPolicy": "IfNotPresent"}],
    })
}
