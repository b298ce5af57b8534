//! Creates that the cluster's own rules decide about, against the same creates without them.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::sleep;

use super::CONNECTIONS;
use super::requests::{REQUESTS_MAX, create};
use crate::cluster::{Cluster, LABEL, Subject};
use crate::flags::Sizes;
use crate::load::Bound;
use crate::report::{Aim, Measure};

const POLICIES: [&str; 2] = ["bench-first", "bench-second"];
/// Until policies and quotas are in force.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_cluster(&["--no-agent"], async |cluster| measure(cluster, sizes).await).await
}

async fn measure(cluster: &Cluster<'_>, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let [plain, admitted] = ["bench-plain", "bench-admitted"];
    for namespace in [plain, admitted] {
        cluster.namespace(namespace).await?;
    }
    let bound = Bound { requests: REQUESTS_MAX, time: sizes.load };
    let without = create(cluster, plain, bound).await?.rate();
    let quota = quota(cluster, admitted).await?;
    for policy in POLICIES {
        apply_policy(cluster, admitted, policy).await?;
    }
    let with = create(cluster, admitted, bound).await?;
    let used = quota.get_status("bench").await?.status.and_then(|status| status.used?.remove("count/configmaps"));
    let used: usize = used.map_or(Ok(0), |used| used.0.parse())?;
    ensure!(used >= with.latencies.len(), "the quota counted {used} of {}", with.latencies.len());
    let name = "api: admitted creates";
    let rate = with.rate();
    Ok(vec![
        Measure::new(format!("{name}, {CONNECTIONS} connections"), rate, "a second"),
        Measure::new(format!("{name}, cost of plain ones"), without / rate, "times").aim(Aim::AtMost(1.5)),
    ])
}

async fn quota(cluster: &Cluster<'_>, namespace: &str) -> anyhow::Result<Api<ResourceQuota>> {
    let quotas = Api::namespaced(cluster.client.clone(), namespace);
    let hard = json!({"count/configmaps": (10 * REQUESTS_MAX).to_string()});
    let quota = json!({"metadata": {"name": "bench"}, "spec": {"hard": hard}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    Ok(quotas)
}

/// Makes a policy that lets everything pass but an object of its own name, and waits until it is in force.
async fn apply_policy(cluster: &Cluster<'_>, namespace: &str, name: &str) -> anyhow::Result<()> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.client.clone());
    let metadata = json!({"name": name, "labels": {LABEL: ""}});
    let rule = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]});
    let policy = json!({"metadata": metadata, "spec": {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": format!("object.metadata.name != '{name}'")}],
    }});
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let binding = json!({"metadata": metadata, "spec": {
        "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector},
    }});
    policies.create(&PostParams::default(), &serde_json::from_value(policy)?).await?;
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;

    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let refused = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let begun = clock::monotonic();
    while config_maps.create(&dry, &refused).await.is_ok() {
        ensure!(begun.elapsed() < LIMIT, "policy {name} is not in force after {LIMIT:?}");
        sleep(PAUSE).await;
    }
    Ok(())
}
