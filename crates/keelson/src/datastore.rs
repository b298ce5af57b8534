//! Opens what keeps the state of the cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use auth::tls::{self, Identity};
use store::{Etcd, Sqlite, Store, etcd};

use crate::flags;
use crate::paths::Paths;

/// The Leases by which servers are known.
const SERVERS: &str = "/registry/coordination.k8s.io/leases/kube-system/apiserver-";

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
    Ok(Datastore { store: Arc::new(connect(&flags.datastore, &flags.tls).await?), _lock: Some(lock) })
}

/// Connects to an etcd, by the URLs of its members.
pub async fn connect(urls: &[String], flags: &flags::DatastoreTls) -> anyhow::Result<Etcd> {
    let config = etcd::Config { endpoints: urls.to_vec(), tls: client_tls(urls, flags)? };
    Ok(Etcd::connect(config).await?)
}

fn client_tls(urls: &[String], flags: &flags::DatastoreTls) -> anyhow::Result<Option<rustls::ClientConfig>> {
    let secure = urls.iter().filter(|url| url.starts_with("https://")).count();
    if secure == 0 {
        if flags.datastore_cafile.is_some() || flags.datastore_certfile.is_some() {
            bail!("--datastore-cafile and --datastore-certfile are for https:// URLs of an etcd");
        }
        return Ok(None);
    }
    if secure < urls.len() {
        bail!("the URLs of the etcd mix http:// and https://");
    }
    let authority = flags.datastore_cafile.as_deref().context("an etcd with https:// needs --datastore-cafile")?;
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

/// Fails while a server uses the etcd.
pub async fn refuse_running(store: &dyn Store) -> anyhow::Result<()> {
    let leases = store.range(store::prefix_range(SERVERS), 0, None).await?;
    let current = leases.items.iter().filter_map(|lease| current_server(&lease.value)).collect::<Vec<_>>();
    if current.is_empty() {
        return Ok(());
    }
    bail!(
        "stop the servers of this datastore first (one that was killed counts for some seconds more): {}",
        current.join(", ")
    );
}

/// The host of a server whose Lease is current.
fn current_server(lease: &[u8]) -> Option<String> {
    let lease: serde_json::Value = serde_json::from_slice(lease).ok()?;
    let renewed = lease["spec"]["renewTime"].as_str()?.parse().ok()?;
    let lasts = Duration::from_secs(lease["spec"]["leaseDurationSeconds"].as_u64()?);
    // A server that was alone on an embedded store holds its Lease for longer, and is known by the directory's lock.
    let current = lasts < Duration::from_secs(60) && clock::since(renewed) < lasts;
    current.then(|| lease["metadata"]["labels"]["kubernetes.io/hostname"].as_str().unwrap_or("a server").to_owned())
}

/// Where the embedded store of a data directory is, if there is one.
pub fn embedded(paths: &Paths) -> Option<PathBuf> {
    let file = paths.store().join("state.db");
    file.exists().then_some(file)
}
