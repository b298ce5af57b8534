//! Where things are in a data directory.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Of these there is one at least wherever something has begun, or was made ready for it.
const BEGUN: [&str; 5] = ["store", "pki", "node-pki", "encryption.keys", TOKEN];

/// The file of [`Paths::token`].
pub const TOKEN: &str = "token";

/// A data directory. Its content is for its owner's eyes only.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Makes the directory if there is none, and closes it to others if there was: not one that is in other use.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.with_context(|| format!("cannot make the data directory {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("cannot use {}", root.display()))?;
        close(&root).with_context(|| format!("cannot close {} to others", root.display()))?;
        Ok(Self { root })
    }

    /// The directory, to be removed with all that is in it.
    pub fn open_to_remove(root: &Path) -> anyhow::Result<Self> {
        ensure!(is_own(root)?, "{} is no data directory of Keelson", root.display());
        Self::open(root)
    }

    /// Removes the directory with all that is in it. What tells whose it is goes last: a removal that was cut off can be
    /// begun again.
    pub fn remove(self) -> std::io::Result<()> {
        let entries = fs::read_dir(&self.root)?.collect::<std::io::Result<Vec<_>>>()?;
        for entry in entries.iter().filter(|entry| !BEGUN.iter().any(|name| entry.file_name() == *name)) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        fs::remove_dir_all(self.root)
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
        self.root.join(TOKEN)
    }

    /// Names files of a cluster that its datastore has not got yet.
    pub fn unshared(&self) -> PathBuf {
        self.root.join("unshared")
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

fn close(directory: &Path) -> anyhow::Result<()> {
    let mut permissions = fs::metadata(directory)?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    ensure!(is_own(directory)?, "it holds something else than data of Keelson: choose another, or chmod 700 it");
    permissions.set_mode(0o700);
    Ok(fs::set_permissions(directory, permissions)?)
}

/// Whether a server or an agent has begun in the directory, or nobody has.
fn is_own(directory: &Path) -> std::io::Result<bool> {
    if BEGUN.iter().any(|name| directory.join(name).exists()) {
        return Ok(true);
    }
    let mut others = fs::read_dir(directory)?.flatten().filter(|entry| entry.file_name() != "lost+found");
    Ok(others.next().is_none())
}

fn sha2_prefix(bytes: &[u8]) -> String {
    use sha2::Digest;
    machinery::strconv::hex(&sha2::Sha256::digest(bytes)[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_other_use_is_neither_closed_nor_removed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |mode: u32| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            let opened = Paths::open(directory.path()).is_ok();
            let removable = Paths::open_to_remove(directory.path()).is_ok();
            (opened, removable, fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777)
        };
        assert_eq!(at(0o755), (true, true, 0o700), "an empty one is anybody's");
        fs::write(directory.path().join("letters"), "").unwrap();
        assert_eq!(at(0o755), (false, false, 0o755));
        assert_eq!(at(0o700), (true, false, 0o700), "its owner has closed it");
        fs::create_dir(directory.path().join("pki")).unwrap();
        assert_eq!(at(0o755), (true, true, 0o700));
    }

    #[test]
    fn a_removal_that_was_cut_off_can_be_begun_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("data");
        for name in ["store", "containers", "snapshots"] {
            fs::create_dir_all(root.join(name).join("deep")).unwrap();
        }
        let kept = root.join("containers/kept");
        fs::create_dir(&kept).unwrap();
        let mounted =
            || nix::mount::mount(Some("tmpfs"), &kept, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>);
        mounted().unwrap();
        Paths::open_to_remove(&root).unwrap().remove().unwrap_err();
        nix::mount::umount(&kept).unwrap();
        Paths::open_to_remove(&root).unwrap().remove().unwrap();
        assert!(!root.exists());
    }
}
