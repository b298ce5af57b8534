//! The command line.

mod authentication;
mod authorization;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use controllers::cronjob::Schedule;

pub use authentication::{Authentication, Oidc, RequestHeader};
pub use authorization::Authorization;

pub const DATA_DIR: &str = "/var/lib/keelson";

/// Orchestrates containers: a whole Kubernetes cluster in one binary.
#[derive(Parser)]
#[command(name = "keelson", version, about, disable_help_subcommand = true)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a cluster: control plane and, unless --no-agent, the node of this machine
    Server(Box<Server>),
    /// Join this machine to a cluster as a node
    Agent(Agent),
    /// Make tokens with which machines join
    Token(Token),
    /// Look after the keys by which Secrets are encrypted
    Secrets(Secrets),
    /// Look at the certificates of a data directory, or replace them
    Certs(Certs),
    /// Look after what keeps the state of the cluster
    Datastore(DatastoreAdmin),
    /// Save the state of the cluster to files, and bring it back
    Snapshot(Snapshot),
    /// Stop everything of a data directory and remove what it left on this machine
    Reset(Reset),
    /// Print versions
    Version,
    #[command(flatten)]
    Client(cli::Command),
}

#[derive(Args)]
pub struct DataDir {
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = DATA_DIR, env = "KEELSON_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// Where the state of the cluster is kept.
#[derive(Args, Clone, Default)]
pub struct Datastore {
    /// URLs of the members of an etcd, which several servers can share [default: embedded, in DIR]
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "KEELSON_DATASTORE")]
    pub datastore: Vec<String>,
    #[command(flatten)]
    pub tls: DatastoreTls,
}

/// How an etcd is known, and what is shown to it. A server takes the files over whenever they change.
#[derive(Args, Clone, Default)]
pub struct DatastoreTls {
    /// The authority by which the etcd is known
    #[arg(long, value_name = "FILE")]
    pub datastore_cafile: Option<PathBuf>,
    /// The certificate that is shown to the etcd
    #[arg(long, value_name = "FILE", requires = "datastore_keyfile")]
    pub datastore_certfile: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "datastore_certfile")]
    pub datastore_keyfile: Option<PathBuf>,
}

impl Datastore {
    /// Whether further servers may use the same one.
    pub fn is_shared(&self) -> bool {
        !self.datastore.is_empty()
    }
}

#[derive(Args)]
pub struct Server {
    #[command(flatten)]
    pub data: DataDir,
    #[command(flatten)]
    pub node: Node,
    #[command(flatten)]
    pub datastore: Datastore,
    /// What lets this server into the cluster of a shared datastore: the text in DIR/token of the first one
    /// [default: DIR/token; the first server makes one]
    #[arg(long, value_name = "TOKEN", env = "KEELSON_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Where the API listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:6443")]
    pub bind: SocketAddr,
    /// Addresses of pods; each node gets a /24 of it
    #[arg(long, value_name = "CIDR", default_value = "10.42.0.0/16")]
    pub cluster_cidr: network::links::Cidr,
    /// Addresses of Services
    #[arg(long, value_name = "CIDR", default_value = "10.43.0.0/16")]
    pub service_cidr: network::links::Cidr,
    #[command(flatten)]
    pub authentication: Authentication,
    #[command(flatten)]
    pub authorization: Authorization,
    /// How objects are encrypted at rest: a file with an EncryptionConfiguration, taken over whenever it changes
    /// [default: Secrets are encrypted by the cluster's own key]
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Which requests the audit log records: a file with an audit.k8s.io/v1 Policy [default: none]
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where the audit log goes; `-`: standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub audit_log_path: PathBuf,
    /// Megabytes at which the audit log is cut off and a new file begun [default: 100]
    #[arg(long, value_name = "MEGABYTES", default_value_t = 0, hide_default_value = true)]
    pub audit_log_maxsize: u64,
    /// How many files of the audit log that were cut off are kept; 0: all
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub audit_log_maxbackup: usize,
    /// How many days files of the audit log that were cut off are kept; 0: for ever
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub audit_log_maxage: u64,
    /// Which requests are traced, and where to: a file with an apiserver.config.k8s.io/v1 TracingConfiguration
    /// [default: none]
    #[arg(long, value_name = "FILE")]
    pub tracing_config_file: Option<PathBuf>,
    /// Versions of the API that are served besides the stable ones, as KEY=true|false: group/version,
    /// group/version/resource, api/beta or api/all [default: none]
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub runtime_config: Vec<String>,
    /// How long a request may take that is neither a watch nor a connection
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub request_timeout: Duration,
    /// How long the server still serves, no longer ready, after it was told to stop
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub shutdown_delay_duration: Duration,
    /// How long events are kept
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub event_ttl: Duration,
    /// How long a token of a service account that lies in a Secret may go unused before it is marked, and then
    /// removed, where it was made by itself
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = duration)]
    pub legacy_service_account_token_clean_up_period: Duration,
    /// Requests served at once, of all priority levels together
    #[arg(long, value_name = "COUNT", default_value_t = 600)]
    pub max_requests_inflight: usize,
    /// Admission plugins that are on besides those that are by default: AlwaysAdmit, AlwaysDeny, AlwaysPullImages,
    /// DenyServiceExternalIPs, EventRateLimit, ExtendedResourceToleration, LimitPodHardAntiAffinityTopology,
    /// NamespaceAutoProvision, NamespaceExists, OwnerReferencesPermissionEnforcement, PodNodeSelector,
    /// PodTolerationRestriction
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins that are off though they are on by default
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// What admission plugins are configured to: a file with an apiserver.config.k8s.io/v1 AdmissionConfiguration
    /// [default: none]
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// When snapshots are taken: five fields of cron in the time of this machine, or @hourly and its kin [default: never]
    #[arg(long, value_name = "CRON", value_parser = Schedule::parse)]
    pub snapshot_schedule: Option<Schedule>,
    /// How many scheduled snapshots are kept; those saved by hand stay
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub snapshot_retention: usize,
    /// Where snapshots lie [default: DIR/snapshots]
    #[arg(long, value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// How the server reaches nodes, webhooks and the datastore: a file with an apiserver.k8s.io/v1beta1
    /// EgressSelectorConfiguration, whose connections must be direct [default: directly]
    #[arg(long, value_name = "FILE")]
    pub egress_selector_config_file: Option<PathBuf>,
    /// Run the control plane alone
    #[arg(long)]
    pub no_agent: bool,
    /// Leave pods to a scheduler that is run beside this server
    #[arg(long)]
    pub disable_scheduler: bool,
    /// Leave controllers, and signing what CertificateSigningRequests ask for, to a kube-controller-manager that is run
    /// beside this server
    #[arg(long)]
    pub disable_controller_manager: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    machinery::strconv::parse_duration(text).map_err(|_| format!("{text:?} is no duration such as 1m30s"))
}

#[derive(Args)]
pub struct Agent {
    #[command(flatten)]
    pub data: DataDir,
    #[command(flatten)]
    pub node: Node,
    /// URLs of servers of the cluster; one suffices, the others are learned from it
    #[arg(long, value_name = "URL", value_delimiter = ',', required = true)]
    pub server: Vec<String>,
    /// What `keelson token create` printed; needed until the machine has joined
    #[arg(long, value_name = "TOKEN", env = "KEELSON_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// What a machine says of itself as a node.
#[derive(Args, Clone)]
pub struct Node {
    /// The node's name [default: the machine's host name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The node's address [default: that of the default route]
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// Port of the node's own API
    #[arg(long, value_name = "PORT", default_value_t = node::config::DEFAULT_PORT)]
    pub node_port: u16,
    /// Registries that are spoken to without TLS, as HOST[:PORT]; those on the loopback always are
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
    /// Directory with the authorities of registries that the system does not trust, as HOST[:PORT]/ca.crt
    #[arg(long, value_name = "DIR", default_value = "/etc/keelson/certs.d")]
    pub registry_certs: PathBuf,
}

impl Node {
    pub fn registries(&self) -> containers::Registries {
        let certificates = Some(self.registry_certs.clone());
        containers::Registries { insecure: self.insecure_registry.clone(), certificates }
    }
}

#[derive(Args)]
pub struct Token {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Print a new token with which machines can join
    Create {
        #[command(flatten)]
        data: DataDir,
        /// How long it lets machines join; 0: for ever
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        hours: u32,
    },
}

#[derive(Args)]
pub struct Secrets {
    #[command(subcommand)]
    pub command: SecretsCommand,
}

#[derive(Subcommand)]
pub enum SecretsCommand {
    /// Make a new key, have all Secrets encrypted by it, and drop the old one; servers may run
    RotateKeys {
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        datastore: Datastore,
    },
}

#[derive(Args)]
pub struct Certs {
    #[command(subcommand)]
    pub command: CertsCommand,
}

#[derive(Subcommand)]
pub enum CertsCommand {
    /// Tell how long each certificate lasts; fail if one has ended
    Check {
        #[command(flatten)]
        data: DataDir,
    },
    /// Replace all certificates of a server, which may be running
    Rotate {
        #[command(flatten)]
        data: DataDir,
        /// Take the next step of replacing the authorities instead: a successor is trusted, then it signs, then its
        /// predecessor is trusted no more
        #[arg(long)]
        ca: bool,
        /// The same for the key that signs tokens of service accounts
        #[arg(long)]
        service_account_key: bool,
    },
}

#[derive(Args)]
pub struct DatastoreAdmin {
    #[command(subcommand)]
    pub command: DatastoreCommand,
}

#[derive(Subcommand)]
pub enum DatastoreCommand {
    /// Copy everything from one datastore to another, while no server runs
    Migrate(Migrate),
}

#[derive(Args)]
pub struct Migrate {
    #[command(flatten)]
    pub data: DataDir,
    /// `embedded`, for that of the data directory, or the URLs of an etcd's members
    #[arg(long, value_name = "DATASTORE", value_delimiter = ',', required = true)]
    pub from: Vec<String>,
    /// Where to; it must be empty, or have been left half-way by a migration
    #[arg(long, value_name = "DATASTORE", value_delimiter = ',', required = true)]
    pub to: Vec<String>,
    #[command(flatten)]
    pub tls: DatastoreTls,
    /// The token of the cluster of a shared datastore [default: DIR/token; one is made where there is none]
    #[arg(long, value_name = "TOKEN", env = "KEELSON_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

#[derive(Args)]
pub struct Snapshot {
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

#[derive(Args)]
pub struct Snapshots {
    #[command(flatten)]
    pub data: DataDir,
    #[command(flatten)]
    pub datastore: Datastore,
    /// Where snapshots lie [default: DIR/snapshots]
    #[arg(long, value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum SnapshotCommand {
    /// Save the present state; servers may run
    Save {
        #[command(flatten)]
        place: Snapshots,
    },
    /// Show which snapshots there are
    List {
        #[command(flatten)]
        place: Snapshots,
    },
    /// Bring the state of a snapshot back, while no server runs
    Restore {
        #[command(flatten)]
        place: Snapshots,
        /// The name of a snapshot, or its file
        #[arg(value_name = "NAME")]
        name: PathBuf,
    },
}

#[derive(Args)]
pub struct Reset {
    #[command(flatten)]
    pub data: DataDir,
}
