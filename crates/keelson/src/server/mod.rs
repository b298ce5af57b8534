//! `keelson server`: what starts in which order, and how it ends.
//!
//! The store opens first, as it holds the lock of the data directory; then what servers of one cluster share,
//! certificates, the registry with its cache, the API; then the loops, which speak to the API through clients of
//! this process; the node last.

mod api;
mod authentication;
mod authorization;
mod configz;
mod egress;
mod identity;
#[cfg(test)]
mod killed;
mod loops;
mod metrics_api;
mod objects;
mod report;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use apiserver::{Bootstrap, Server};
use auth::Authorizer;
use control::{CancellationToken, Informers};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Node;
use machinery::UserInfo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::datastore::{self, Datastore};
use crate::flags;
use crate::paths::Paths;
use crate::{agent, cluster, signals, snapshots};
use identity::Identities;
use metrics_api::MetricsApi;

/// Wait before the cluster is told again of its authorities.
const TELL_RETRY: Duration = Duration::from_secs(5);

/// Everything that a running server is made of.
struct Running {
    server: Server,
    authorizer: Arc<dyn Authorizer>,
    identities: Arc<Identities>,
    /// What is told to those who ask whom the server trusts.
    bootstrap: Bootstrap,
    metrics_api: MetricsApi,
    datastore: Datastore,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

pub async fn run(flags: flags::Server) -> anyhow::Result<()> {
    signals::start_logging();
    let started = clock::monotonic();
    let shutdown = signals::shutdown()?;
    let paths = Paths::open(&flags.data.data_dir)?;
    let node_name = flags.node.node_name.clone().map_or_else(cluster::host_name, Ok)?;
    // Without any address of its own the machine is reached by its pods where its DNS is.
    let local = IpAddr::V4(cluster::dns_ip(flags.service_cidr));
    let address = flags.node.node_ip.or_else(cluster::own_address).unwrap_or(local);

    // Before anything is taken: what is wrong with flags and their files should not look like something else.
    let admission = admission(&flags)?;
    let egress = flags.egress_selector_config_file.as_deref();
    egress.map_or(Ok(()), egress::check)?;
    authentication::terms(&flags.authentication)?;
    let listener = TcpListener::bind(flags.bind).await;
    let listener = listener.with_context(|| format!("cannot listen on {} (is another server running?)", flags.bind))?;
    let port = listener.local_addr()?.port();
    let datastore = datastore::open(&flags.datastore, &paths).await?;
    let place = (address, port);
    let mut running = api::start(&flags, datastore, admission, &paths, &node_name, place, shutdown.clone()).await?;
    serve(&mut running, listener)?;
    report::started(&paths, &flags, address, port, started.elapsed())?;
    let flags = Arc::new(flags);
    tell_authorities(&mut running, &flags).await?;
    schedule_snapshots(&mut running, &flags, &paths);
    let informers = loops::start(&mut running, &flags, &node_name)?;
    if !flags.no_agent {
        start_node(&mut running, &flags, &paths, &node_name, address, informers).await?;
        follow_node(&mut running, node_name, started);
    }
    wait(running).await
}

impl Running {
    /// A client of this process: no socket, but the rights of `user` and no more.
    fn client(&self, user: &str, groups: &[&str]) -> kube::Client {
        kube::Client::new(self.server.client(UserInfo::new(user, groups)), "default")
    }

    /// Runs a part that ends by itself at shutdown, or is dropped then.
    fn spawn(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = part => {}
            }
            Ok(())
        });
    }
}

/// Tells the cluster which authorities it has, now and whenever they change.
async fn tell_authorities(running: &mut Running, flags: &Arc<flags::Server>) -> anyhow::Result<()> {
    let client = running.client("system:apiserver", &[UserInfo::MASTERS]);
    let (identities, server, mut bootstrap) =
        (running.identities.clone(), running.server.clone(), running.bootstrap.clone());
    let mut changed = identities.changed();
    let authorities = identities.authority_pem.borrow().clone();
    objects::publish(client.clone(), flags, &authorities).await?;
    let flags = flags.clone();
    running.spawn(async move {
        loop {
            changed.await;
            changed = identities.changed();
            let told = async {
                identities.refresh()?;
                bootstrap.client_ca = identities.users.pem();
                if let Some(proxies) = &mut bootstrap.proxies {
                    proxies.authorities = identities.proxies.pem();
                }
                apiserver::tell_authorities(server.registry(), &bootstrap).await?;
                let authorities = identities.authority_pem.borrow().clone();
                objects::publish(client.clone(), &flags, &authorities).await
            };
            if let Err(error) = told.await {
                tracing::warn!(error = format!("{error:#}"), "the cluster is not told of its authorities");
                changed = tokio::time::sleep(TELL_RETRY).boxed();
            }
        }
    });
    Ok(())
}

fn admission(flags: &flags::Server) -> anyhow::Result<admission::Options> {
    let (on, off) = (&flags.enable_admission_plugins, &flags.disable_admission_plugins);
    admission::Options::new(on, off, flags.admission_control_config_file.as_deref()).map_err(anyhow::Error::msg)
}

fn serve(running: &mut Running, listener: TcpListener) -> anyhow::Result<()> {
    let (server, shutdown) = (running.server.clone(), running.shutdown.clone());
    let tls = Arc::new(running.identities.server_tls()?);
    running.tasks.spawn(async move { Ok(server.serve(listener, Some(tls), shutdown).await?) });
    Ok(())
}

fn schedule_snapshots(running: &mut Running, flags: &flags::Server, paths: &Paths) {
    let Some(schedule) = flags.snapshot_schedule.clone() else { return };
    let directory = snapshots::directory(flags.snapshot_dir.as_deref(), paths);
    let store = running.datastore.store.clone();
    let files = if flags.datastore.is_shared() { None } else { Some(paths.clone()) };
    running.spawn(snapshots::follow(schedule, flags.snapshot_retention, store, files, directory));
}

async fn start_node(
    running: &mut Running,
    flags: &flags::Server,
    paths: &Paths,
    node_name: &str,
    address: IpAddr,
    informers: Informers,
) -> anyhow::Result<()> {
    let node = agent::NodeConfig {
        client: running.client(&format!("system:node:{node_name}"), &["system:nodes"]),
        control_plane: Some(running.client("system:apiserver", &[UserInfo::MASTERS])),
        informers,
        name: node_name.to_owned(),
        address,
        port: flags.node.node_port,
        tls: Arc::new(running.identities.node_server_tls()?),
        cluster: flags.cluster_cidr,
        services: flags.service_cidr,
        registries: flags.node.registries(),
    };
    agent::start(node, paths, &mut running.tasks, running.shutdown.clone()).await
}

/// Tells when the own node is Ready, without holding anything up when it never is.
fn follow_node(running: &mut Running, node_name: String, started: tokio::time::Instant) {
    let client = running.client("system:apiserver", &[UserInfo::MASTERS]);
    running.spawn(async move {
        cluster::until(kube::Api::<Node>::all(client), &node_name, report::is_ready).await;
        println!("  node        {node_name} is Ready after {:.1?}", started.elapsed());
        std::future::pending().await
    });
}

/// Until a signal, or until something that should not end does.
async fn wait(mut running: Running) -> anyhow::Result<()> {
    while let Some(ended) = running.tasks.join_next().await {
        match ended {
            Ok(Ok(())) if running.shutdown.is_cancelled() => {}
            Ok(Ok(())) => tracing::warn!("a part of the server ended by itself"),
            Ok(Err(error)) => {
                running.shutdown.cancel();
                return Err(error);
            }
            Err(panic) => tracing::error!(%panic, "a part of the server ended"),
        }
    }
    Ok(())
}
