//! The runtime's verbs and their terms. They mirror CRI v1, so that a CRI client can stand in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};

/// An error that answers what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} not found")]
    NotFound(String),
    #[error("{0} already exists")]
    AlreadyExists(String),
    #[error("{0}")]
    InvalidArgument(String),
    /// The image is not here and could not be pulled.
    #[error("{0}")]
    Image(String),
    #[error("no space left on device: {0}")]
    NoSpace(String),
    #[error("deadline exceeded: {0}")]
    DeadlineExceeded(String),
    /// The supervisor is not there; a later call may find it again.
    #[error("the supervisor does not answer: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Runtime(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Which pod a sandbox is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodMetadata {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// How many sandboxes the pod had before this one.
    pub attempt: u32,
}

/// CPU in shares, quota and period (µs); memory and pids as limits. Nothing means: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    pub cpu_shares: Option<u64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub memory_limit: Option<i64>,
    pub pids_limit: Option<i64>,
    pub oom_score_adj: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConfig {
    pub metadata: PodMetadata,
    pub hostname: String,
    /// The text of the pod's `/etc/resolv.conf`; containers get it when they do not use the host's.
    pub resolv_conf: String,
    /// Where container logs go: `LOG_DIR/CONTAINER/ATTEMPT.log`.
    pub log_directory: PathBuf,
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// One PID namespace for all containers.
    pub share_process_namespace: bool,
    pub sysctls: BTreeMap<String, String>,
    /// Parent of the containers' cgroups, below the runtime's root: `burstable/podUID`.
    pub cgroup_parent: String,
    /// Limits of the pod as a whole.
    pub resources: Resources,
    pub port_mappings: Vec<PortMapping>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub protocol: String,
    pub container_port: u16,
    pub host_port: u16,
    pub host_ip: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    Ready,
    NotReady,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    pub id: String,
    pub metadata: PodMetadata,
    pub state: SandboxState,
    pub created_at: Timestamp,
    /// Empty in the host's network.
    pub ips: Vec<IpAddr>,
    pub host_network: bool,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    pub read_only: bool,
    pub propagation: Propagation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityContext {
    pub privileged: bool,
    pub run_as_user: Option<u32>,
    pub run_as_group: Option<u32>,
    /// A user name, as images may give it; used when `run_as_user` is not set.
    pub run_as_username: Option<String>,
    pub supplemental_groups: Vec<u32>,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub read_only_rootfs: bool,
    pub no_new_privs: bool,
    pub seccomp: Seccomp,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    RuntimeDefault,
    Unconfined,
    /// An OCI seccomp profile in JSON.
    Localhost(PathBuf),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// The container's name in its pod.
    pub name: String,
    pub attempt: u32,
    /// The image's id, as `ensure_image` answered it.
    pub image: String,
    /// Replaces the image's entry point when not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments when not empty, or when `command` is not.
    pub args: Vec<String>,
    pub working_dir: Option<String>,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    /// Host devices: path on the host, path inside, permissions such as `rwm`.
    pub devices: Vec<(PathBuf, PathBuf, String)>,
    pub resources: Resources,
    pub security: SecurityContext,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    /// Join the PID namespace of this container of the pod (ephemeral containers).
    pub target_container: Option<String>,
    /// The signal that asks it to stop, when it is not the image's.
    pub stop_signal: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    pub attempt: u32,
    pub state: ContainerState,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// 128 plus the signal for a container that a signal ended.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, `StartError`.
    pub reason: String,
    pub message: String,
    pub image: String,
    pub log_path: PathBuf,
    /// The first process, while the container runs.
    pub pid: Option<u32>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// Something that happened to a container without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Started {
        sandbox_id: String,
        container_id: String,
    },
    Exited {
        sandbox_id: String,
        container_id: String,
    },
    /// Events were lost: list again.
    Lagged,
}

/// The processes' own streams of an exec or attach.
///
/// Without a terminal, `stdin`, `stdout` and `stderr` are pipes; with one, `tty` is its controlling end, to write to and to
/// [resize](Streams::resize). Read from `stdout` where it is given, else from `tty`: attached clients get a copy of the output.
#[derive(Debug)]
pub struct Streams {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub tty: Option<OwnedFd>,
    /// The exit code, once; closed without one when the process was lost. Attach never sends one.
    pub exit: tokio::sync::oneshot::Receiver<i32>,
}

impl Streams {
    /// Tells the terminal its size; nothing happens without one.
    pub fn resize(&self, width: u16, height: u16) -> std::io::Result<()> {
        self.tty.as_ref().map_or(Ok(()), |tty| resize(tty, width, height))
    }
}

/// Tells a terminal its size, in characters. The processes on it get `SIGWINCH`.
pub fn resize(tty: &OwnedFd, width: u16, height: u16) -> std::io::Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open and the structure lives through the call.
    if unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(tty), libc::TIOCSWINSZ, &raw const size) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[derive(Clone, Debug, Default)]
pub struct ExecConfig {
    pub command: Vec<String>,
    pub stdin: bool,
    pub tty: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

/// Usage of a container or of a whole pod, read from its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub at: Timestamp,
    /// Cumulative CPU time.
    pub cpu: Duration,
    /// Bytes in use without inactive page cache, as eviction and `kubectl top` count it.
    pub memory_working_set: u64,
    pub memory_usage: u64,
    pub memory_rss: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub pids: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:...` of the image's configuration.
    pub id: String,
    /// `docker.io/library/busybox:1.36`.
    pub tags: Vec<String>,
    /// `docker.io/library/busybox@sha256:...`.
    pub digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// The user that its configuration names.
    pub user: Option<String>,
}

/// Credentials for one pull, from an image pull secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryAuth {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryAuth({}, {} bytes)", self.username, self.password.len())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    pub mountpoint: PathBuf,
    pub used_bytes: u64,
    pub capacity_bytes: u64,
    pub available_bytes: u64,
    pub inodes_used: u64,
    pub inodes: u64,
    pub inodes_free: u64,
}

/// Runs containers. Every call may be repeated: what is there already is no error where CRI says so.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and version, as node status shows them: `keelson`, `0.1.0`.
    fn version(&self) -> (String, String);

    /// Makes the pod's namespaces, cgroup and network, and answers the sandbox's id.
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String>;
    /// Kills what still runs in it and takes its network back. No error when it is gone.
    async fn stop_sandbox(&self, id: &str) -> Result<()>;
    /// Removes it and its containers. No error when it is gone.
    async fn remove_sandbox(&self, id: &str) -> Result<()>;
    async fn list_sandboxes(&self) -> Result<Vec<SandboxStatus>>;

    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String>;
    async fn start_container(&self, id: &str) -> Result<()>;
    /// Sends the stop signal, waits for `grace`, then kills. No error when it has ended.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()>;
    /// Removes an ended container, its writable layer and its logs. No error when it is gone.
    async fn remove_container(&self, id: &str) -> Result<()>;
    async fn list_containers(&self) -> Result<Vec<ContainerStatus>>;
    async fn container_status(&self, id: &str) -> Result<ContainerStatus>;
    async fn update_resources(&self, id: &str, resources: &Resources) -> Result<()>;
    /// Starts a new log file under the same path, after the caller moved the old one.
    async fn reopen_log(&self, id: &str) -> Result<()>;

    /// Runs a command in a container and gives its streams to the caller.
    async fn exec(&self, id: &str, config: &ExecConfig) -> Result<Streams>;
    /// Runs a command to its end and collects its output, at most 16 KiB of each stream.
    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutput>;
    /// Joins the streams of a container's first process.
    async fn attach(&self, id: &str) -> Result<Streams>;
    /// A connection to a port on the pod's own loopback.
    async fn connect(&self, sandbox_id: &str, port: u16) -> Result<tokio::net::TcpStream>;

    async fn container_usage(&self, id: &str) -> Result<Usage>;
    async fn sandbox_usage(&self, id: &str) -> Result<Usage>;

    /// Everything that happens from now on.
    fn events(&self) -> broadcast::Receiver<Event>;

    async fn list_images(&self) -> Result<Vec<Image>>;
    /// The image that `reference` (a name, a digest or an id) stands for, if it is here.
    async fn image(&self, reference: &str) -> Result<Option<Image>>;
    async fn pull_image(&self, reference: &str, auth: Option<&RegistryAuth>) -> Result<Image>;
    /// Takes in every image of a Docker or OCI archive; progress is (bytes read, bytes in all).
    async fn import_images(&self, archive: &Path, progress: mpsc::Sender<(u64, u64)>) -> Result<Vec<Image>>;
    async fn remove_image(&self, reference: &str) -> Result<()>;
    async fn image_filesystem(&self) -> Result<FilesystemUsage>;
}

/// Connects sandboxes to the pod network. The `network` crate implements it.
#[async_trait]
pub trait SandboxNetwork: Send + Sync + 'static {
    /// Puts the network namespace at `netns` on the network and answers the pod's addresses.
    /// Repeating it for the same id answers the same addresses.
    async fn attach(&self, sandbox_id: &str, netns: &Path, config: &SandboxConfig) -> Result<Vec<IpAddr>>;
    /// Takes back what `attach` gave. No error when there is nothing.
    async fn detach(&self, sandbox_id: &str) -> Result<()>;
    /// Takes back what sandboxes other than these hold, after a crash.
    async fn retain(&self, sandbox_ids: &[String]) -> Result<()>;
}
