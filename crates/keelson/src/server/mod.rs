//! `keelson server`: what starts in which order, and how it ends.
//!
//! The store opens first, as it holds the lock of the data directory; then what servers of one cluster share,
//! certificates, the registry with its cache, the API; then the loops, which speak to the API through clients of
//! this process; the node last.

mod authentication;
mod authorization;
mod configz;
mod egress;
mod identity;
mod loops;
mod metrics_api;
mod objects;
mod report;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use apiserver::{Audit, AuditLogOptions, Bootstrap, Limits, Proxies, Renewal, Server, ServerConfig, Version};
use auth::Authorizer;
use auth::authz::{self, Rbac};
use auth::tokens::legacy;
use control::{CancellationToken, Informers};
use encryption::Encryption;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;
use machinery::UserInfo;
use registry::{Hooks, Registry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::datastore::{self, Datastore};
use crate::flags;
use crate::paths::Paths;
use crate::{agent, cluster, rotation, shared, signals, snapshots};
use identity::{Identities, Kubeconfig};
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
    let listener = TcpListener::bind(flags.bind).await;
    let listener = listener.with_context(|| format!("cannot listen on {} (is another server running?)", flags.bind))?;
    let port = listener.local_addr()?.port();
    let mut running = start(&flags, admission, &paths, &node_name, (address, port), shutdown.clone()).await?;
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

/// Opens the store and builds the API on it.
async fn start(
    flags: &flags::Server,
    admission: admission::Options,
    paths: &Paths,
    node_name: &str,
    (address, port): (IpAddr, u16),
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    let datastore = datastore::open(&flags.datastore, paths).await?;
    let agreed = if flags.datastore.is_shared() {
        rotation::announce(&*datastore.store, node_name).await?;
        let make = || make_shared(flags, paths);
        Some(shared::agree(&*datastore.store, paths, flags.token.as_deref(), make).await?)
    } else {
        None
    };
    let (identities, leaves) = Identities::load(paths, node_name, address, flags)?;
    let encryption = Arc::new(Encryption::open(encryption_source(flags, paths))?);
    let kinds::Selection { served, unserved } = kinds::select(&flags.runtime_config).map_err(anyhow::Error::msg)?;
    // The lists live as long as the process.
    let config = registry::Config {
        store: datastore.store.clone(),
        kinds: Vec::leak(served),
        transformer: encryption.clone(),
        hooks: Hooks {
            service_cidr: flags.service_cidr.to_string(),
            event_ttl: flags.event_ttl,
            unserved: Vec::leak(unserved),
            ..Hooks::default()
        },
    };
    let registry = Registry::open(config).await?;
    let following = follow_keys(flags, paths, node_name, &datastore, encryption, registry.clone());
    let view: Arc<dyn auth::View> = Arc::new(registry.clone());
    let rbac = Arc::new(Rbac::new(view.clone()));
    let chain = authorization::build(&flags.authorization, view.clone(), rbac.clone())?;
    let authorizer: Arc<dyn Authorizer> = chain.clone();
    let escalation = authz::Escalation::new(rbac.clone(), authorizer.clone());
    registry.set_converter(Arc::new(admission::ConversionWebhooks::new(view.clone())));
    let admission = admission::BuiltIn::new(view.clone(), authorizer.clone(), escalation).with_options(admission);
    let mut metrics = prometheus_client::registry::Registry::default();
    admission.register(&mut metrics);
    auth::metrics::register(&mut metrics, &apiserver::identity(node_name));
    registry.set_admission(Arc::new(admission));
    let bootstrap = Bootstrap {
        address,
        port,
        service_port: 443,
        client_ca: identities.users.pem(),
        proxies: Some(Proxies {
            authorities: identities.proxies.pem(),
            allowed_names: flags.authentication.request_header.requestheader_allowed_names.clone(),
            headers: authentication::header_names(&flags.authentication.request_header),
        }),
        host: node_name.to_owned(),
    };
    apiserver::bootstrap(&registry, &bootstrap).await.context("cannot make the objects of a new cluster")?;
    let url = identity::url(address, port);
    let kubeconfig = Kubeconfig::new(paths, &url);
    kubeconfig.write(leaves.admin())?;
    let metrics_api = MetricsApi::default();
    let authentication = authentication::build(&flags.authentication, &identities, view)?;
    let server = Server::new(ServerConfig {
        authenticator: authentication.authenticator,
        identity_headers: authentication::header_names(&flags.authentication.request_header),
        authorizer: authorizer.clone(),
        rbac,
        tokens: Some(identities.issuer.clone()),
        node_tls: Some(Arc::new(identities.node_client_tls()?)),
        proxy_client: Some(identities.proxy_client.clone()),
        version: Version::default(),
        local_apis: vec![metrics_api.local_api()],
        advertised: url.trim_start_matches("https://").to_owned(),
        limits: Limits {
            requests: flags.max_requests_inflight,
            request_timeout: flags.request_timeout,
            shutdown_delay: flags.shutdown_delay_duration,
            ..Limits::default()
        },
        component_configs: configz::of(flags),
        audit: audit(flags)?,
        tracer: tracer(flags)?,
        registry,
    });
    server.metrics().add(metrics);
    let (identities, tasks) = (Arc::new(identities), JoinSet::new());
    let mut running = Running { server, authorizer, identities, bootstrap, metrics_api, datastore, tasks, shutdown };
    running.spawn(following);
    let registry = running.server.registry().clone();
    running.spawn(async move { registry.keep_time().await });
    running.spawn(legacy::track(running.server.registry().clone(), authentication.uses));
    running.spawn(running.identities.keep());
    let identities = running.identities.clone();
    running.spawn(async move { identities.follow_files().await });
    running.spawn(leaves.keep(kubeconfig));
    if let Some(agreed) = agreed {
        let (store, identities, paths) = (running.datastore.store.clone(), running.identities.clone(), paths.clone());
        running.spawn(async move { shared::follow(&*store, &paths, agreed, || identities.changed()).await });
    }
    let server = running.server.clone();
    running.spawn(async move { server.keep_api_services().await });
    if flags.authorization.authorization_config.is_some() {
        running.spawn(chain.follow());
    }
    if let Some(configured) = authentication.configured {
        running.spawn(configured.follow());
    }
    let server = running.server.clone();
    running.spawn(async move { server.follow_flow_control().await });
    if let Some(certificates) = running.datastore.certificates.take() {
        running.spawn(certificates.follow());
    }
    let server = running.server.clone();
    let renewal = if flags.datastore.is_shared() { Renewal::AMONG_OTHERS } else { Renewal::ALONE };
    if let Some(etcd) = running.datastore.etcd.clone() {
        let ends = running.shutdown.clone();
        // What was read from it is in the caches: only another process can go on.
        running.tasks.spawn(async move {
            tokio::select! {
                () = ends.cancelled() => Ok(()),
                why = etcd.condemned() => bail!(why),
            }
        });
    }
    let bootstrap = running.bootstrap.clone();
    let (ends, shared) = (running.shutdown.clone(), flags.datastore.is_shared());
    running.tasks.spawn(async move {
        tokio::select! {
            () = ends.cancelled() => {}
            () = server.hold_identity_lease(&bootstrap, renewal) => {}
        }
        // Others need not wait until it has run out.
        if shared {
            server.release_identity_lease(&bootstrap).await;
        }
        Ok(())
    });
    Ok(running)
}

/// Where the keys of Secrets come from while the server runs.
fn follow_keys(
    flags: &flags::Server,
    paths: &Paths,
    node_name: &str,
    datastore: &Datastore,
    encryption: Arc<Encryption>,
    registry: Registry,
) -> BoxFuture<'static, ()> {
    match shared::own_token(paths).filter(|_| flags.datastore.is_shared()) {
        Some(token) if flags.encryption_provider_config.is_none() => {
            let (store, paths, host) = (datastore.store.clone(), paths.clone(), node_name.to_owned());
            Box::pin(rotation::Follower { store, registry, encryption, paths, token, host }.run())
        }
        _ => Box::pin(encryption::follow(encryption, registry)),
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

fn audit(flags: &flags::Server) -> anyhow::Result<Option<Audit>> {
    let options = AuditLogOptions {
        path: flags.audit_log_path.clone(),
        max_megabytes: flags.audit_log_maxsize,
        max_backups: flags.audit_log_maxbackup,
        max_age_days: flags.audit_log_maxage,
    };
    Ok(flags.audit_policy_file.as_deref().map(|policy| Audit::open(policy, options)).transpose()?)
}

/// Must run inside the runtime, on which traces are sent.
fn tracer(flags: &flags::Server) -> anyhow::Result<Option<trace::Tracer>> {
    let Some(path) = &flags.tracing_config_file else { return Ok(None) };
    let config = trace::Config::read(path)?;
    let instance = apiserver::identity(&cluster::host_name()?);
    Ok(Some(trace::Tracer::start(&config, "apiserver", &instance)))
}

fn admission(flags: &flags::Server) -> anyhow::Result<admission::Options> {
    let (on, off) = (&flags.enable_admission_plugins, &flags.disable_admission_plugins);
    admission::Options::new(on, off, flags.admission_control_config_file.as_deref()).map_err(anyhow::Error::msg)
}

fn encryption_source(flags: &flags::Server, paths: &Paths) -> encryption::Source {
    match &flags.encryption_provider_config {
        Some(path) => encryption::Source::Config(path.clone()),
        None if flags.datastore.is_shared() => encryption::Source::SharedKeys(paths.encryption_keys()),
        None => encryption::Source::OwnKeys(paths.encryption_keys()),
    }
}

/// What servers of one cluster have in common, made by the first of them.
fn make_shared(flags: &flags::Server, paths: &Paths) -> anyhow::Result<()> {
    Identities::make_shared(paths)?;
    if flags.encryption_provider_config.is_none() {
        Encryption::open(encryption_source(flags, paths))?;
    }
    Ok(())
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
