//! From an open store to an API that can be served, and what keeps it going.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use apiserver::{Audit, AuditLogOptions, Bootstrap, Limits, Proxies, Renewal, Server, ServerConfig, Version};
use auth::authz::{self, Chain, Rbac};
use auth::tokens::legacy;
use auth::{Authorizer, View};
use control::CancellationToken;
use encryption::Encryption;
use futures::future::BoxFuture;
use registry::{Hooks, Registry};
use store::{Revision, Store};
use tokio::task::JoinSet;

use super::authentication::Authentication;
use super::identity::{self, Identities, Kubeconfig, Leaves};
use super::metrics_api::MetricsApi;
use super::{Running, authentication, authorization, configz};
use crate::datastore::{self, Datastore};
use crate::paths::Paths;
use crate::{cluster, flags, rotation, shared};

/// Builds the API on the store.
pub async fn start(
    flags: &flags::Server,
    datastore: Datastore,
    admission: admission::Options,
    paths: &Paths,
    node_name: &str,
    (address, port): (IpAddr, u16),
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    datastore::refuse_unfinished(&*datastore.store).await?;
    let agreed = agree(flags, paths, node_name, &*datastore.store).await?;
    let (identities, leaves) = Identities::load(paths, node_name, address, flags)?;
    let encryption = Arc::new(Encryption::open(encryption_source(flags, paths))?);
    let registry = open_registry(flags, datastore.store.clone(), encryption.clone()).await?;
    let following = follow_keys(flags, paths, node_name, &datastore, encryption, registry.clone());
    let view: Arc<dyn View> = Arc::new(registry.clone());
    let rbac = Arc::new(Rbac::new(view.clone()));
    let chain = authorization::build(&flags.authorization, view.clone(), rbac.clone())?;
    let mut metrics = prometheus_client::registry::Registry::default();
    auth::metrics::register(&mut metrics, &apiserver::identity(node_name));
    let escalation = authz::Escalation::new(rbac.clone(), chain.clone());
    let admission = admission::BuiltIn::new(view.clone(), chain.clone(), escalation).with_options(admission);
    admission.register(&mut metrics);
    registry.set_admission(Arc::new(admission));
    registry.set_converter(Arc::new(admission::ConversionWebhooks::new(view.clone())));
    let bootstrap = bootstrap(flags, &identities, node_name, (address, port));
    apiserver::bootstrap(&registry, &bootstrap).await.context("cannot make the objects of a new cluster")?;
    let url = identity::url(address, port);
    let kubeconfig = Kubeconfig::new(paths, &url);
    kubeconfig.write(leaves.admin())?;
    let metrics_api = MetricsApi::default();
    let authentication = authentication::build(&flags.authentication, &identities, view)?;
    let server = Server::new(ServerConfig {
        authenticator: authentication.authenticator.clone(),
        identity_headers: authentication::header_names(&flags.authentication.request_header),
        authorizer: chain.clone(),
        rbac,
        tokens: Some(identities.issuer.clone()),
        node_tls: Some(Arc::new(identities.node_client_tls()?)),
        proxy_client: Some(identities.proxy_client.clone()),
        version: Version::default(),
        local_apis: vec![metrics_api.local_api()],
        advertised: url.trim_start_matches("https://").to_owned(),
        limits: limits(flags),
        component_configs: configz::of(flags),
        audit: audit(flags)?,
        tracer: tracer(flags)?,
        registry,
    });
    server.metrics().add(metrics);
    let (identities, tasks, authorizer) = (Arc::new(identities), JoinSet::new(), chain.clone() as Arc<dyn Authorizer>);
    let mut running = Running { server, authorizer, identities, bootstrap, metrics_api, datastore, tasks, shutdown };
    running.spawn(following);
    running.keep_certificates(leaves, kubeconfig);
    running.share_keys(paths, agreed);
    running.follow_configurations(flags, chain, authentication);
    running.keep_objects();
    running.end_with_etcd();
    running.hold_lease(flags.datastore.is_shared());
    Ok(running)
}

/// Agrees with the other servers of a shared datastore on what they have in common; answers which write that is.
async fn agree(
    flags: &flags::Server,
    paths: &Paths,
    node_name: &str,
    store: &dyn Store,
) -> anyhow::Result<Option<Revision>> {
    if !flags.datastore.is_shared() {
        shared::settle(paths)?;
        return Ok(None);
    }
    rotation::announce(store, node_name).await?;
    shared::agree(store, paths, flags.token.as_deref(), || make_shared(flags, paths)).await.map(Some)
}

async fn open_registry(
    flags: &flags::Server,
    store: Arc<dyn Store>,
    encryption: Arc<Encryption>,
) -> anyhow::Result<Registry> {
    let kinds::Selection { served, unserved } = kinds::select(&flags.runtime_config).map_err(anyhow::Error::msg)?;
    // The lists live as long as the process.
    let config = registry::Config {
        store,
        kinds: Vec::leak(served),
        transformer: encryption,
        hooks: Hooks {
            service_cidr: flags.service_cidr.to_string(),
            event_ttl: flags.event_ttl,
            unserved: Vec::leak(unserved),
            ..Hooks::default()
        },
    };
    Ok(Registry::open(config).await?)
}

fn bootstrap(
    flags: &flags::Server,
    identities: &Identities,
    node_name: &str,
    (address, port): (IpAddr, u16),
) -> Bootstrap {
    let proxies = Proxies {
        authorities: identities.proxies.pem(),
        allowed_names: flags.authentication.request_header.requestheader_allowed_names.clone(),
        headers: authentication::header_names(&flags.authentication.request_header),
    };
    let (client_ca, host) = (identities.users.pem(), node_name.to_owned());
    Bootstrap { address, port, service_port: 443, client_ca, proxies: Some(proxies), host }
}

fn limits(flags: &flags::Server) -> Limits {
    Limits {
        requests: flags.max_requests_inflight,
        request_timeout: flags.request_timeout,
        shutdown_delay: flags.shutdown_delay_duration,
        ..Limits::default()
    }
}

impl Running {
    fn keep_certificates(&mut self, leaves: Leaves, kubeconfig: Kubeconfig) {
        self.spawn(self.identities.keep());
        let identities = self.identities.clone();
        self.spawn(async move { identities.follow_files().await });
        self.spawn(leaves.keep(kubeconfig));
        if let Some(certificates) = self.datastore.certificates.take() {
            self.spawn(certificates.follow());
        }
    }

    fn share_keys(&mut self, paths: &Paths, agreed: Option<Revision>) {
        let Some(agreed) = agreed else { return };
        let (store, identities, paths) = (self.datastore.store.clone(), self.identities.clone(), paths.clone());
        self.spawn(async move { shared::follow(&*store, &paths, agreed, || identities.changed()).await });
    }

    fn follow_configurations(&mut self, flags: &flags::Server, chain: Arc<Chain>, authentication: Authentication) {
        if flags.authorization.authorization_config.is_some() {
            self.spawn(chain.follow());
        }
        if let Some(configured) = authentication.configured {
            self.spawn(configured.follow());
        }
        self.spawn(legacy::track(self.server.registry().clone(), authentication.uses));
    }

    fn keep_objects(&mut self) {
        let registry = self.server.registry().clone();
        self.spawn(async move { registry.keep_time().await });
        let server = self.server.clone();
        self.spawn(async move { server.keep_api_services().await });
        let server = self.server.clone();
        self.spawn(async move { server.follow_flow_control().await });
    }

    /// What was read from an etcd is in the caches: where that is another than it was, only another process can go on.
    fn end_with_etcd(&mut self) {
        let Some(etcd) = self.datastore.etcd.clone() else { return };
        let ends = self.shutdown.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = ends.cancelled() => Ok(()),
                why = etcd.condemned() => bail!(why),
            }
        });
    }

    /// Keeps the Lease by which the server is known to be there.
    fn hold_lease(&mut self, is_shared: bool) {
        let (server, bootstrap, ends) = (self.server.clone(), self.bootstrap.clone(), self.shutdown.clone());
        let renewal = if is_shared { Renewal::AMONG_OTHERS } else { Renewal::ALONE };
        self.tasks.spawn(async move {
            tokio::select! {
                () = ends.cancelled() => {}
                () = server.hold_identity_lease(&bootstrap, renewal) => {}
            }
            // Others need not wait until it has run out.
            if is_shared {
                server.release_identity_lease(&bootstrap).await;
            }
            Ok(())
        });
    }
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
