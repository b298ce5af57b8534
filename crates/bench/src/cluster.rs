//! The cluster under measurement: a fresh one of our own, or a given one.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use crate::load::Target;
use crate::server::{NODE, Server};

const READY_LIMIT: Duration = Duration::from_secs(60);
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(120);
/// What a measurement made carries this label.
pub const LABEL: &str = "keelson.dev/bench";

/// What is measured.
pub enum Subject {
    Own { keelson: PathBuf, archive: PathBuf },
    Given { kubeconfig: PathBuf, url: Option<String> },
}

pub struct Cluster<'a> {
    pub client: Client,
    pub target: Arc<Target>,
    /// None of a given cluster.
    pub server: Option<&'a Server>,
    archive: Option<&'a Path>,
}

impl Subject {
    /// Measures on a server that has just been started; it is removed whatever comes of that.
    pub async fn with_server<T>(
        &self,
        flags: &[&str],
        measure: impl AsyncFnOnce(&mut Server) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Subject::Own { keelson, .. } = self else {
            bail!("this needs a server of our own: leave out --kubeconfig");
        };
        let mut server = Server::start(keelson, flags)?;
        let measured = interruptible(measure(&mut server)).await;
        finish(measured, server.remove().await)
    }

    /// Measures on a cluster whose API is ready; what the measurement made is removed whatever comes of it.
    pub async fn with_cluster<T>(
        &self,
        flags: &[&str],
        measure: impl AsyncFnOnce(&Cluster<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        match self {
            Subject::Own { archive, .. } => {
                let with_server = async |server: &mut Server| {
                    server.until_ready().await?;
                    let cluster = Cluster::connect(&server.kubeconfig(), None).await?;
                    measure(&Cluster { server: Some(server), archive: Some(archive), ..cluster }).await
                };
                self.with_server(flags, with_server).await
            }
            Subject::Given { kubeconfig, url } => {
                let cluster = Cluster::connect(kubeconfig, url.as_deref()).await?;
                let measured = interruptible(measure(&cluster)).await;
                finish(measured, cluster.clean_up().await)
            }
        }
    }
}

/// Nothing more is to be measured.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Ends early, so that everything is removed, when asked to from the keyboard.
async fn interruptible<T>(measure: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        measured = measure => measured,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(Interrupted.into())
        }
    }
}

/// The measurement's error comes before that of removing.
fn finish<T>(measured: anyhow::Result<T>, removed: anyhow::Result<()>) -> anyhow::Result<T> {
    if let (Err(_), Err(error)) = (&measured, &removed) {
        eprintln!("cannot remove everything: {error:#}");
    }
    let measured = measured?;
    removed.context("cannot remove everything")?;
    Ok(measured)
}

impl<'a> Cluster<'a> {
    pub async fn connect(kubeconfig: &Path, url: Option<&str>) -> anyhow::Result<Cluster<'a>> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        if let Some(url) = url {
            config.cluster_url = url.parse().context("--url is no URL")?;
        }
        let target = Arc::new(Target::new(&config)?);
        Ok(Cluster { client: Client::try_from(config)?, target, server: None, archive: None })
    }

    /// Waits until the node of our own server is Ready.
    pub async fn until_node_is_ready(&self) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        timeout(READY_LIMIT, await_condition(nodes, NODE, is_ready)).await.context("the node is not Ready")??;
        Ok(())
    }

    /// Gives the image of the measured pods to the node of our own server.
    pub async fn import_image(&self) -> anyhow::Result<()> {
        let Some((server, archive)) = self.server.zip(self.archive) else { return Ok(()) };
        server.command(&["image".as_ref(), "import".as_ref(), archive.as_os_str()]).await
    }

    /// Makes a namespace in which pods can be made.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({"metadata": {"name": name, "labels": {LABEL: ""}}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let there = await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some());
        timeout(READY_LIMIT, there).await.context("the namespace has no service account")??;
        Ok(())
    }

    /// Deletes what the measurement made.
    async fn clean_up(&self) -> anyhow::Result<()> {
        let ours = ListParams::default().labels(LABEL);
        self.delete_all::<Node>(&ours).await?;
        self.delete_all::<ValidatingAdmissionPolicyBinding>(&ours).await?;
        self.delete_all::<ValidatingAdmissionPolicy>(&ours).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for namespace in namespaces.list_metadata(&ours).await?.items {
            let name = namespace.metadata.name.unwrap_or_default();
            namespaces.delete(&name, &DeleteParams::default()).await?;
            let gone = await_condition(namespaces.clone(), &name, |namespace: Option<&Namespace>| namespace.is_none());
            timeout(CLEAN_UP_LIMIT, gone).await.with_context(|| format!("namespace {name} stays"))??;
        }
        Ok(())
    }

    async fn delete_all<K>(&self, which: &ListParams) -> anyhow::Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let all: Api<K> = Api::all(self.client.clone());
        all.delete_collection(&DeleteParams::default(), which).await?;
        Ok(())
    }
}

pub fn is_ready(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
