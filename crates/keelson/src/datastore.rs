//! Opens what keeps the state of the cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use auth::tls::{self, Identity};
use store::{Etcd, Sqlite, Store, etcd};

use crate::flags;
use crate::paths::Paths;

/// An open datastore.
pub struct Datastore {
    pub store: Arc<dyn Store>,
    /// Keeps other servers out of the data directory, whatever the datastore.
    _lock: Option<File>,
}

pub async fn open(flags: &flags::Datastore, paths: &Paths) -> anyhow::Result<Datastore> {
    if !flags.is_shared() {
        return Ok(Datastore { store: Arc::new(Sqlite::open(&paths.store())?), _lock: None });
    }
    let lock = store::lock(&paths.store())?;
    Ok(Datastore { store: Arc::new(connect(flags).await?), _lock: Some(lock) })
}

/// Connects to an etcd.
pub async fn connect(flags: &flags::Datastore) -> anyhow::Result<Etcd> {
    let config = etcd::Config { endpoints: flags.datastore.clone(), tls: client_tls(flags)? };
    Ok(Etcd::connect(config).await?)
}

fn client_tls(flags: &flags::Datastore) -> anyhow::Result<Option<rustls::ClientConfig>> {
    let secure = flags.datastore.iter().filter(|url| url.starts_with("https://")).count();
    if secure == 0 {
        if flags.datastore_cafile.is_some() || flags.datastore_certfile.is_some() {
            bail!("--datastore-cafile and --datastore-certfile are for https:// URLs of --datastore");
        }
        return Ok(None);
    }
    if secure < flags.datastore.len() {
        bail!("--datastore mixes http:// and https://");
    }
    let authority = flags.datastore_cafile.as_deref().context("--datastore with https:// needs --datastore-cafile")?;
    let identity = match (&flags.datastore_certfile, &flags.datastore_keyfile) {
        (Some(certificate), Some(key)) => Some(Identity::from_pem(&read(certificate)?, &read(key)?)?),
        _ => None,
    };
    let config = tls::client_config(&read(authority)?, identity);
    Ok(Some(config.with_context(|| format!("{} holds no authority", authority.display()))?))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where the embedded store of a data directory is, if there is one.
pub fn embedded(paths: &Paths) -> Option<PathBuf> {
    let file = paths.store().join("state.db");
    file.exists().then_some(file)
}
