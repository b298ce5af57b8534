//! Starts all controllers.

use std::ops::RangeInclusive;
use std::time::Duration;

use control::{Controller, Shell};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, ReplicationController};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use tokio::task::JoinSet;
use tracing::{Instrument, info_span};

use crate::accounttokens::{LegacyTokenCleaner, Mint, TokensController};
use crate::addresses::AddressRepair;
use crate::aggregation::ClusterRoleAggregation;
use crate::cronjob::CronJobController;
use crate::daemonset::DaemonSetController;
use crate::definitions::DefinitionController;
use crate::deployment::DeploymentController;
use crate::disruption::DisruptionController;
use crate::endpoints::{EndpointSliceController, EndpointsController};
use crate::garbage::GarbageCollector;
use crate::job::JobController;
use crate::migration::MigrationController;
use crate::namespace::NamespaceController;
use crate::nodes::{Cidr, NodeIpam, NodeLifecycle, TaintEviction};
use crate::podgc::PodGc;
use crate::policystatus::PolicyStatusController;
use crate::protection::Protection;
use crate::publish::{RootCaController, ServiceAccountController, TokenCleaner};
use crate::quota::QuotaController;
use crate::replicaset::ReplicaController;
use crate::servicecidr::ServiceCidrController;
use crate::statefulset::StatefulSetController;
use crate::storage::VolumeBinder;
use crate::ttl::TtlAfterFinished;

/// What the controllers need to know.
#[derive(Clone)]
pub struct ControllersConfig {
    /// Acts as `system:kube-controller-manager`; its informers may be shared with other loops.
    pub shell: Shell,
    /// The cluster's CA certificates, for `kube-root-ca.crt`.
    pub ca_pem: tokio::sync::watch::Receiver<String>,
    /// Makes tokens of service accounts for Secrets.
    pub mint: Mint,
    /// How long such a token may go unused before it is cleaned up.
    pub token_clean_up: Duration,
    /// The range that nodes get their pod addresses from: `10.42.0.0/16`.
    pub cluster_cidr: Cidr,
    /// The prefix length of each node's part of it: 24.
    pub node_mask: u8,
    /// The ports that Services are given on nodes: 30000 to 32767.
    pub node_ports: RangeInclusive<u16>,
}

/// Reconciles at once, by controller. (upstream: --concurrent-*-syncs)
const WORKERS: usize = 5;
/// (upstream: --concurrent-gc-syncs)
const GARBAGE_WORKERS: usize = 20;

struct Started {
    shell: Shell,
    tasks: JoinSet<()>,
}

impl Started {
    /// Begins with those that belong to the API server, which kube-apiserver runs itself.
    fn with_api_servers(shell: &Shell, node_ports: RangeInclusive<u16>) -> Self {
        let mut all = Self { shell: shell.clone(), tasks: JoinSet::new() };
        all.add(AddressRepair::new(shell, node_ports), 1);
        all.add(DefinitionController::new(shell), 1);
        all
    }

    fn add<C: Controller>(&mut self, controller: C, workers: usize) {
        let span = info_span!("controller", name = controller.name());
        let shell = self.shell.clone();
        self.tasks.spawn(async move { shell.run(controller, workers).await }.instrument(span));
    }
}

/// Runs what is left to do where a kube-controller-manager runs beside the server, until the shell is shut down.
pub async fn run_beside_manager(config: ControllersConfig) {
    Started::with_api_servers(&config.shell, config.node_ports).tasks.join_all().await;
}

/// Runs all controllers until the shell is shut down.
pub async fn run(config: ControllersConfig) {
    let shell = config.shell;
    let mut all = Started::with_api_servers(&shell, config.node_ports);
    all.add(ReplicaController::<ReplicaSet>::new(&shell), WORKERS);
    all.add(ReplicaController::<ReplicationController>::new(&shell), WORKERS);
    all.add(DeploymentController::new(&shell), WORKERS);
    all.add(DaemonSetController::new(&shell), WORKERS);
    all.add(StatefulSetController::new(&shell), WORKERS);
    all.add(JobController::new(&shell), WORKERS);
    all.add(CronJobController::new(&shell), WORKERS);
    all.add(TtlAfterFinished::new(&shell), 1);
    all.add(DisruptionController::new(&shell), 1);
    all.add(QuotaController::new(&shell), WORKERS);
    all.add(VolumeBinder::new(&shell), 1);
    all.add(Protection::<PersistentVolumeClaim>::new(&shell), 1);
    all.add(Protection::<PersistentVolume>::new(&shell), 1);
    all.add(Protection::<VolumeAttributesClass>::new(&shell), 1);
    all.add(EndpointSliceController::new(&shell), WORKERS);
    all.add(EndpointsController::new(&shell), WORKERS);
    all.add(ServiceCidrController::new(&shell), 1);
    all.add(ServiceAccountController::new(&shell), 1);
    all.add(RootCaController::new(&shell, config.ca_pem.clone()), 1);
    all.add(TokensController::new(&shell, config.mint, config.ca_pem), WORKERS);
    all.add(LegacyTokenCleaner::new(&shell, config.token_clean_up), 1);
    all.add(TokenCleaner::new(&shell), 1);
    all.add(ClusterRoleAggregation::new(&shell), 1);
    all.add(PolicyStatusController::new(&shell), 1);
    all.add(NodeIpam::new(&shell, config.cluster_cidr, config.node_mask), 1);
    all.add(NodeLifecycle::new(&shell), WORKERS);
    all.add(TaintEviction::new(&shell), WORKERS);
    all.add(PodGc::new(&shell), 1);
    all.add(NamespaceController::new(&shell), WORKERS);
    all.add(GarbageCollector::new(&shell), GARBAGE_WORKERS);
    if MigrationController::is_needed(&shell).await {
        all.add(MigrationController::new(&shell), WORKERS);
    }
    all.tasks.join_all().await;
}
