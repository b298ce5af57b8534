//! What the agent has decided about a process before the supervisor sees it: image and pod joined, nothing left to look up
//! but users, which only the container's own files name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::api::Mount;

/// Everything that makes a container, kept beside its record for later exec calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Directories of the unpacked layers, the topmost first.
    pub layers: Vec<PathBuf>,
    pub process: ProcessPlan,
    pub mounts: Vec<Mount>,
    /// Host devices: path on the host, path inside, permissions such as `rwm`.
    pub devices: Vec<(PathBuf, PathBuf, String)>,
    pub privileged: bool,
    pub read_only_rootfs: bool,
    pub unmasked_proc: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    /// Number of the signal that asks the process to stop.
    pub stop_signal: i32,
    /// Join the PID namespace of this container of the pod.
    pub target_container: Option<String>,
}

/// How a process runs: the same for a container's first process and for every exec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_dir: PathBuf,
    pub user: User,
    /// `CAP_CHOWN` and the like; the bounding, permitted and effective sets.
    pub capabilities: Vec<String>,
    pub no_new_privs: bool,
    pub seccomp: Filter,
    pub oom_score_adj: i32,
    pub tty: bool,
}

/// A seccomp profile; one from a file travels as its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    #[default]
    RuntimeDefault,
    Unconfined,
    Profile(String),
}

/// A user as images and pods name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `1000`, `1000:100`, `www-data`, `www-data:adm`; empty for root.
    pub name: String,
    /// Wins over the group in `name`.
    pub group: Option<u32>,
    pub supplemental_groups: Vec<u32>,
}

/// Namespaces and shared files of a container, by path; nothing means the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPlan {
    pub network: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub pid: PidNamespace,
    /// Mounted at `/dev/shm`.
    pub shm: PathBuf,
    pub resolv_conf: Option<PathBuf>,
    pub hostname: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidNamespace {
    #[default]
    Own,
    Host,
    Path(PathBuf),
}

/// What the process that makes a container reads: `create.json` in the container's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePlan {
    pub id: String,
    pub container: ContainerPlan,
    pub sandbox: SandboxPlan,
    /// Below every hierarchy's root: `keelson-1a2b3c4d/burstable/podUID/ID`.
    pub cgroup: String,
}

/// What the process that joins a container reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecPlan {
    pub command: Vec<String>,
    pub tty: bool,
    /// First process of the container and its start time, against reuse of the number.
    pub pid: i32,
    pub start_time: u64,
}
