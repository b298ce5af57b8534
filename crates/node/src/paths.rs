//! Where the agent keeps what belongs to pods, below its root.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod::spec;

/// The layout of the agent's root directory.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    pub fn new(root: &Path) -> Paths {
        Paths { root: root.to_path_buf() }
    }

    /// All pods' directories, each named by a uid.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// A volume's directory; `plugin` as upstream names it: `kubernetes.io~secret`.
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin).join(name)
    }

    pub fn hosts_file(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// The file behind a run's `terminationMessagePath`.
    pub fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(container).join(attempt.to_string())
    }

    pub fn seccomp_profile(&self, name: &str) -> PathBuf {
        self.root.join("seccomp").join(name)
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs").join("pods")
    }

    /// Where a pod's containers log: `NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log`.
    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs().join(format!("{}_{}_{}", spec::namespace(pod), spec::name(pod), spec::uid(pod)))
    }
}
