//! The service proxy: nftables maps that lead service traffic to endpoints.

mod program;
mod rules;

use std::net::Ipv4Addr;
use std::time::Duration;

use control::{CancellationToken, Informers};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::{Result, nft};
pub use program::Program;
pub use rules::{Rules, compile, protocol_number};

/// Changes that come closer together than this are applied as one.
const BATCH_WINDOW: Duration = Duration::from_millis(20);
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Keeps the node's rules as Services and EndpointSlices say, until `shutdown`. Rules stay when it ends, so
/// that traffic flows on while the agent restarts.
///
/// `reserved` addresses, such as the cluster DNS, are served on the node itself.
pub async fn run(informers: Informers, node: String, reserved: Vec<Ipv4Addr>, shutdown: CancellationToken) {
    let services = informers.get::<Service>();
    let slices = informers.get::<EndpointSlice>();
    let (mut services_changed, mut slices_changed) = (services.version(), slices.version());
    services.synced().await;
    slices.synced().await;
    let mut program = Program::default();
    loop {
        let (services, slices) = (services.list(), slices.list());
        let (services, slices) = (services.iter().map(AsRef::as_ref), slices.iter().map(AsRef::as_ref));
        let rules = compile(services, slices, &node, &reserved);
        let applying = tokio::task::spawn_blocking(move || (program.apply(rules), program));
        let (applied, returned) = applying.await.expect("applying rules does not panic");
        program = returned;
        let wait = applied.is_err().then_some(RETRY_WAIT);
        if let Err(error) = applied {
            tracing::warn!(%error, "service rules could not be applied; all will be replaced");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            changed = services_changed.changed() => if changed.is_err() { return },
            changed = slices_changed.changed() => if changed.is_err() { return },
        }
        tokio::time::sleep(BATCH_WINDOW).await;
        services_changed.mark_unchanged();
        slices_changed.mark_unchanged();
    }
}

/// Removes all rules of the proxy.
pub async fn remove() -> Result<()> {
    let applied = tokio::task::spawn_blocking(|| nft::apply(program::remove())).await;
    Ok(applied.expect("applying a batch does not panic")?)
}

#[cfg(test)]
mod tests;
