//! Where things are in a data directory.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A data directory. Its content is for its owner's eyes only.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Makes the directory if there is none, and closes it to others if there was.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.with_context(|| format!("cannot make the data directory {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("cannot use {}", root.display()))?;
        close(&root).with_context(|| format!("cannot close {} to others", root.display()))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// How an administrator reaches the cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// What lets a further server into the cluster of a shared datastore.
    pub fn token(&self) -> PathBuf {
        self.root.join("token")
    }

    /// What all servers of a cluster have in common, within the directory.
    pub fn shared(&self) -> [&'static str; 13] {
        [
            "pki/ca.crt",
            "pki/ca.key",
            "pki/ca-next.crt",
            "pki/ca-next.key",
            "pki/front-proxy-ca.crt",
            "pki/front-proxy-ca.key",
            "pki/front-proxy-ca-next.crt",
            "pki/front-proxy-ca-next.key",
            "pki/service-account.crt",
            "pki/service-account.key",
            "pki/service-account-next.crt",
            "pki/service-account-next.key",
            "encryption.keys",
        ]
    }

    pub fn encryption_keys(&self) -> PathBuf {
        self.root.join("encryption.keys")
    }

    /// Volumes, logs and hosts files of pods.
    pub fn pods(&self) -> PathBuf {
        self.root.join("node")
    }

    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub fn leases(&self) -> PathBuf {
        self.root.join("network")
    }

    /// Certificates of a node that joined.
    pub fn node_pki(&self) -> PathBuf {
        self.root.join("node-pki")
    }

    /// Sockets and namespaces, on a tmpfs; another place for each data directory.
    pub fn run(&self) -> PathBuf {
        let digest = sha2_prefix(self.root.as_os_str().as_encoded_bytes());
        Path::new("/run/keelson").join(digest)
    }
}

fn close(directory: &Path) -> std::io::Result<()> {
    let mut permissions = fs::metadata(directory)?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    permissions.set_mode(0o700);
    fs::set_permissions(directory, permissions)
}

fn sha2_prefix(bytes: &[u8]) -> String {
    use sha2::Digest;
    machinery::strconv::hex(&sha2::Sha256::digest(bytes)[..6])
}
