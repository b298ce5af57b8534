//! Opens what keeps the state of the cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use auth::pki::Summary;
use auth::tls::{self, Identity};
use store::{Etcd, Sqlite, Store, etcd};

use crate::flags;
use crate::paths::Paths;

/// The Leases by which servers are known.
const SERVERS: &str = "/registry/leases/kube-system/apiserver-";

/// An open datastore.
pub struct Datastore {
    pub store: Arc<dyn Store>,
    /// The same, if it is one.
    pub etcd: Option<Arc<Etcd>>,
    /// Keeps other servers out of the data directory, whatever the datastore.
    _lock: Option<File>,
}

pub async fn open(flags: &flags::Datastore, paths: &Paths) -> anyhow::Result<Datastore> {
    if !flags.is_shared() {
        return Ok(Datastore { store: Arc::new(Sqlite::open(&paths.store())?), etcd: None, _lock: None });
    }
    let lock = store::lock(&paths.store())?;
    let seen = Some(seen(paths));
    let etcd = Arc::new(dial(etcd::Config { seen, ..config(&flags.datastore, &flags.tls)? }, &flags.tls).await?);
    Ok(Datastore { store: etcd.clone(), etcd: Some(etcd), _lock: Some(lock) })
}

/// Where is kept how far the etcd was seen to have come.
fn seen(paths: &Paths) -> PathBuf {
    paths.store().join("etcd")
}

/// The next etcd of the data directory may be another.
pub fn forget(paths: &Paths) -> std::io::Result<()> {
    match std::fs::remove_file(seen(paths)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Connects to an etcd, by the URLs of its members.
pub async fn connect(urls: &[String], flags: &flags::DatastoreTls) -> anyhow::Result<Etcd> {
    dial(config(urls, flags)?, flags).await
}

/// An error says by which certificates the etcd was spoken to: it may be that they are the wrong ones.
async fn dial(config: etcd::Config, flags: &flags::DatastoreTls) -> anyhow::Result<Etcd> {
    let files = [&flags.datastore_cafile, &flags.datastore_certfile].into_iter().flatten();
    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
    Etcd::connect(config).await.with_context(|| match files.as_slice() {
        [] => "cannot use the etcd".to_owned(),
        files => format!("cannot use the etcd by the certificates of {}", files.join(" and ")),
    })
}

fn config(urls: &[String], flags: &flags::DatastoreTls) -> anyhow::Result<etcd::Config> {
    Ok(etcd::Config { endpoints: urls.to_vec(), tls: client_tls(urls, flags)?, seen: None })
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
        (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
        _ => None,
    };
    let config = tls::client_config(&read(authority)?, identity);
    Ok(Some(config.with_context(|| format!("{} holds no authority", authority.display()))?))
}

fn identity(certificate: &Path, key: &Path) -> anyhow::Result<Arc<Identity>> {
    let pem = read(certificate)?;
    let name = || certificate.display().to_string();
    let summary = Summary::of(&pem).with_context(name)?;
    if summary.has_ended() {
        bail!("the certificate of {} has expired: it was valid until {}", name(), summary.not_after);
    }
    Identity::from_pem(&pem, &read(key)?).with_context(|| format!("{} and {}", name(), key.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Fails while a server uses the etcd.
pub async fn refuse_running(store: &dyn Store) -> anyhow::Result<()> {
    let current = current_servers(store).await?;
    if current.is_empty() {
        return Ok(());
    }
    bail!(
        "stop the servers of this datastore first (one that was killed counts for some seconds more): {}",
        current.join(", ")
    );
}

/// The hosts of servers that use the etcd.
pub async fn current_servers(store: &dyn Store) -> store::Result<Vec<String>> {
    let leases = store.range(store::prefix_range(SERVERS), 0, None).await?;
    Ok(leases.items.iter().filter_map(|lease| current_server(&lease.value)).collect())
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
