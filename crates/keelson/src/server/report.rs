//! What a person sees of a start.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;

use super::identity;
use crate::flags;
use crate::paths::Paths;

pub fn started(paths: &Paths, flags: &flags::Server, address: IpAddr, port: u16, took: Duration) -> anyhow::Result<()> {
    println!("Keelson {} serves the Kubernetes API {}", env!("CARGO_PKG_VERSION"), apiserver::GIT_VERSION);
    println!("  API         {} (listening on {}, up after {took:.1?})", identity::url(address, port), flags.bind);
    println!("  kubeconfig  {}", paths.kubeconfig().display());
    println!("  data        {}", paths.root().display());
    if flags.datastore.is_shared() {
        println!("  datastore   {}", flags.datastore.datastore.join(" "));
        println!("  token       {} (lets further servers in)", paths.token().display());
    }
    println!("  pods        {}    services {}", flags.cluster_cidr, flags.service_cidr);
    Ok(())
}

pub fn is_ready(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
    conditions.into_iter().flatten().any(|of| of.type_ == "Ready" && of.status == "True")
}
