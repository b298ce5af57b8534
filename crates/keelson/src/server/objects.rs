//! Objects that this product has beside upstream's: what nodes must agree on, and the DNS Service.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::{cluster, flags};

/// How long the datastore may be away, and the wait before it is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// Makes them, or brings them up to date. `client` must be an administrator's; `authorities` is PEM.
pub async fn publish(client: Client, flags: &flags::Server, authorities: &str) -> anyhow::Result<()> {
    let begun = clock::monotonic();
    loop {
        match write(client.clone(), flags, authorities).await {
            Err(error) if passes(&error) && begun.elapsed() < PATIENCE => {
                tracing::warn!(error = format!("{error:#}"), "the server's own objects are written again");
                tokio::time::sleep(RETRY).await;
            }
            written => return written,
        }
    }
}

/// Whether it may be otherwise in a moment: an etcd elects a leader, say, or another server made the object first.
fn passes(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code >= 500 || status.is_already_exists())
}

async fn write(client: Client, flags: &flags::Server, authorities: &str) -> anyhow::Result<()> {
    let ranges: Api<ConfigMap> = Api::namespaced(client.clone(), cluster::RANGES_NAMESPACE);
    let data = json!({
        "clusterCIDR": flags.cluster_cidr.to_string(),
        "serviceCIDR": flags.service_cidr.to_string(),
        cluster::AUTHORITIES: authorities,
    });
    ensure(&ranges, cluster::RANGES, json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).await?;
    let services: Api<Service> = Api::namespaced(client, "kube-system");
    ensure(&services, "kube-dns", dns_service(flags)).await
}

/// Cluster DNS is answered on each node itself; the Service gives it its address and a name.
fn dns_service(flags: &flags::Server) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}},
        "spec": {
            "clusterIP": cluster::dns_ip(flags.service_cidr).to_string(),
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    })
}

async fn ensure<K>(api: &Api<K>, name: &str, mut object: Value) -> anyhow::Result<()>
where
    K: Resource + Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    object["metadata"]["name"] = json!(name);
    let written = match api.get_opt(name).await? {
        None => api.create(&PostParams::default(), &serde_json::from_value(object)?).await,
        Some(_) => api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await,
    };
    written.map(|_| ()).with_context(|| format!("cannot write {name}"))
}
