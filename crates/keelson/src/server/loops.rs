//! The loops of the control plane, each with an identity of its own, all on one set of caches.
//!
//! On a shared datastore the loops of one server run at a time: of the one that holds the Lease. Flags leave some of
//! them to programs beside the server.

use std::sync::Arc;

use auth::tokens::{TokenIssuer, legacy};
use autoscale::Sampler;
use control::lease::{self, Candidate};
use control::{CancellationToken, Informers, Metrics, Shell};
use controllers::ControllersConfig;
use controllers::accounttokens::{Holder, Mint};
use futures::future::BoxFuture;
use machinery::UserInfo;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use super::Running;
use crate::{cluster, flags};

/// The Lease of who runs the loops, named as upstream's of the largest of them.
const LEASE: &str = "kube-controller-manager";
/// The same where that one belongs to a program beside the servers.
const LEASE_BESIDE_MANAGER: &str = "keelson-server";
const LEASE_NAMESPACE: &str = "kube-system";

/// What a run of the loops is made of.
#[derive(Clone)]
struct Loops {
    controllers: ControllersConfig,
    scheduler: (kube::Client, scheduler::Metrics),
    signer: (registry::Registry, Arc<auth::lineage::Lineage>, Arc<dyn auth::Authorizer>),
    sampler: Arc<Sampler>,
    here: Here,
}

/// What runs here, and not in a program beside the server.
#[derive(Clone, Copy)]
struct Here {
    scheduler: bool,
    controller_manager: bool,
}

/// Starts all of them, here or where the Lease says, and answers caches that last as long as the server.
pub fn start(running: &mut Running, flags: &flags::Server, node_name: &str) -> anyhow::Result<Informers> {
    let mut metrics = Registry::default();
    let informers = Informers::local(running.client("system:kube-controller-manager", &[]));
    // Reading what nodes use is for administrators alone.
    let administrator = running.client("system:metrics-server", &[UserInfo::MASTERS]);
    let sampler = Arc::new(Sampler::new(administrator, &informers));
    running.metrics_api.set(autoscale::service(sampler.clone(), &informers));
    let shell = Shell {
        informers: informers.clone(),
        metrics: Metrics::register(&mut metrics),
        shutdown: running.shutdown.clone(),
    };
    let controllers = ControllersConfig {
        shell,
        ca_pem: running.identities.authority_pem.subscribe(),
        mint: mint(running.identities.issuer.clone()),
        token_clean_up: flags.legacy_service_account_token_clean_up_period,
        cluster_cidr: flags.cluster_cidr.to_string().parse().map_err(anyhow::Error::msg)?,
        node_mask: cluster::NODE_MASK,
        node_ports: running.server.registry().node_ports(),
    };
    let (registry, authority) = (running.server.registry().clone(), running.identities.authority.clone());
    let loops = Loops {
        controllers,
        scheduler: (running.client("system:kube-scheduler", &[]), scheduler::Metrics::register(&mut metrics)),
        signer: (registry, authority, running.authorizer.clone()),
        sampler,
        here: Here { scheduler: !flags.disable_scheduler, controller_manager: !flags.disable_controller_manager },
    };
    running.server.metrics().add(metrics);
    if flags.datastore.is_shared() {
        let identity = format!("{node_name}_{}", clock::uuid());
        let lease = if loops.here.controller_manager { LEASE } else { LEASE_BESIDE_MANAGER }.to_owned();
        let candidate = Candidate { namespace: LEASE_NAMESPACE.to_owned(), lease, identity };
        let client = running.client("system:apiserver", &[UserInfo::MASTERS]);
        let shutdown = running.shutdown.clone();
        // It gives the Lease back at shutdown, and must not be dropped before it has.
        running.tasks.spawn(async move {
            let lead = |term| loops.clone().run_for(term);
            lease::run(client, &candidate, &shutdown, lead).await;
            Ok(())
        });
    } else {
        let shutdown = running.shutdown.clone();
        running.spawn(loops.run(shutdown));
    }
    Ok(informers)
}

fn mint(issuer: Arc<TokenIssuer>) -> Mint {
    Arc::new(move |of: &Holder<'_>| {
        let claims = legacy::Claims::new(of.namespace, of.account, of.account_uid, of.secret);
        issuer.mint_legacy(&claims).map_err(|error| error.to_string())
    })
}

impl Loops {
    /// One term of the Lease: on caches of its own, which go with it.
    async fn run_for(mut self, term: CancellationToken) {
        let client = self.controllers.shell.client();
        self.controllers.shell.informers = Informers::local(client);
        self.run(term).await;
    }

    /// Until `term` ends. May be dropped at any time: what runs then finishes the keys it is at.
    async fn run(mut self, term: CancellationToken) {
        self.controllers.shell.shutdown = term.clone();
        let mut parts = JoinSet::new();
        for part in self.parts() {
            let term = term.clone();
            parts.spawn(async move {
                tokio::select! {
                    () = term.cancelled() => {}
                    () = part => {}
                }
            });
        }
        while let Some(ended) = parts.join_next().await {
            match ended {
                Ok(()) if term.is_cancelled() => {}
                Ok(()) => tracing::warn!("a loop of the control plane ended by itself"),
                Err(panic) => tracing::error!(%panic, "a loop of the control plane ended"),
            }
        }
    }

    fn parts(self) -> Vec<BoxFuture<'static, ()>> {
        let Loops { controllers, scheduler, signer: (registry, authority, authorizer), sampler, here } = self;
        let shell = controllers.shell.clone();
        let mut parts: Vec<BoxFuture<'static, ()>> = Vec::new();
        if here.scheduler {
            let ((client, metrics), informers, shutdown) = (scheduler, shell.informers.clone(), shell.shutdown.clone());
            parts.push(Box::pin(scheduler::run(client, informers, metrics, shutdown)));
        }
        if here.controller_manager {
            parts.push(Box::pin(auth::csr::clean::run(registry.clone())));
            parts.push(Box::pin(auth::csr::run::run(registry, authority, authorizer)));
            parts.push(Box::pin(controllers::run(controllers)));
            parts.push(Box::pin(autoscale::run(shell, sampler)));
        } else {
            parts.push(Box::pin(controllers::run_beside_manager(controllers)));
        }
        parts
    }
}
