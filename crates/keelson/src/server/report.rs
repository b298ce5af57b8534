//! What a person sees of a start.

use std::net::IpAddr;
use std::time::Duration;

use control::CancellationToken;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::wait::{await_condition, Condition};
use machinery::UserInfo;
use tokio::time::Instant;

use super::{Running, identity};
use crate::flags;
use crate::paths::Paths;

pub fn started(
    paths: &Paths,
    flags: &flags::Server,
    address: IpAddr,
    port: u16,
    took: Duration,
) -> anyhow::Result<()> {
    println!("Keelson {} serves the Kubernetes API {}", env!("CARGO_PKG_VERSION"), apiserver::GIT_VERSION);
    println!("  API         {} (listening on {}, up after {took:.1?})", identity::url(address, port), flags.bind);
    println!("  kubeconfig  {}", paths.kubeconfig().display());
    println!("  data        {}", paths.root().display());
    println!("  pods        {}    services {}", flags.cluster_cidr, flags.service_cidr);
    Ok(())
}

/// Says when the node is Ready, without holding anything up when it never is.
pub async fn wait_until_ready(running: &mut Running, node: &str, started: Instant) -> anyhow::Result<()> {
    let admin = UserInfo::new("system:apiserver", &[UserInfo::MASTERS]);
    let nodes: kube::Api<Node> = kube::Api::all(kube::Client::new(running.server.client(admin), "default"));
    let (node, shutdown): (String, CancellationToken) = (node.to_owned(), running.shutdown.clone());
    running.tasks.spawn(async move {
        let ready = await_condition(nodes, &node, is_ready());
        tokio::select! {
            () = shutdown.cancelled() => {}
            outcome = ready => {
                outcome?;
                println!("  node        {node} is Ready after {:.1?}", started.elapsed());
            }
        }
        shutdown.cancelled().await;
        Ok(())
    });
    Ok(())
}

fn is_ready() -> impl Condition<Node> {
    |node: Option<&Node>| {
        let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|of| of.type_ == "Ready" && of.status == "True")
    }
}
