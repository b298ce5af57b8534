//! Opens what keeps the state of the cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use auth::pki::Summary;
use auth::tls::{self, Identity, Trust};
use store::{Etcd, Expect, Sqlite, Store, Write, etcd};

use crate::flags;
use crate::paths::Paths;

/// The Leases by which servers are known.
const SERVERS: &str = "/registry/leases/kube-system/apiserver-";

/// In a datastore that is being filled.
pub const MARK: &str = "/keelson/migrating";
/// What the mark says while something is missing.
pub const BEGUN: &[u8] = b"from another datastore";

/// An open datastore.
pub struct Datastore {
    pub store: Arc<dyn Store>,
    /// The same, if it is one.
    pub etcd: Option<Arc<Etcd>>,
    /// By which the etcd is spoken to, where that is by TLS.
    pub certificates: Option<Certificates>,
    /// Keeps other servers out of the data directory, whatever the datastore.
    _lock: Option<File>,
}

impl Datastore {
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store, etcd: None, certificates: None, _lock: None }
    }
}

pub async fn open(flags: &flags::Datastore, paths: &Paths) -> anyhow::Result<Datastore> {
    if !flags.is_shared() {
        return Ok(Datastore::of(Arc::new(Sqlite::open(&paths.store())?)));
    }
    let lock = store::lock(&paths.store())?;
    let certificates = Certificates::read(&flags.datastore, &flags.tls)?;
    let etcd = Arc::new(dial(&flags.datastore, certificates.as_ref(), Some(seen(paths))).await?);
    Ok(Datastore { store: etcd.clone(), etcd: Some(etcd), certificates, _lock: Some(lock) })
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
    dial(urls, Certificates::read(urls, flags)?.as_ref(), None).await
}

/// An error says by which certificates the etcd was spoken to: it may be that they are the wrong ones.
async fn dial(urls: &[String], certificates: Option<&Certificates>, seen: Option<PathBuf>) -> anyhow::Result<Etcd> {
    let tls = certificates.map(Certificates::client).transpose()?;
    Etcd::connect(etcd::Config { endpoints: urls.to_vec(), tls, seen }).await.with_context(|| match certificates {
        None => "cannot use the etcd".to_owned(),
        Some(certificates) => {
            // Not the key.
            let files: Vec<String> = certificates.files().take(2).map(|file| file.display().to_string()).collect();
            format!("cannot use the etcd by the certificates of {}", files.join(" and "))
        }
    })
}

/// By which an etcd is known, and what is shown to it. New connections are made by what the files hold at the time.
pub struct Certificates {
    authority: PathBuf,
    trust: Trust,
    /// Files of a certificate and its key, and what they hold.
    own: Option<((PathBuf, PathBuf), Arc<Identity>)>,
}

impl Certificates {
    /// Nothing where the URLs ask for no TLS.
    fn read(urls: &[String], flags: &flags::DatastoreTls) -> anyhow::Result<Option<Self>> {
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
        let authority = flags.datastore_cafile.clone().context("an etcd with https:// needs --datastore-cafile")?;
        let trust = Trust::new(read(&authority)?);
        let trust = trust.with_context(|| format!("{} holds no authority", authority.display()))?;
        let own = flags.datastore_certfile.clone().zip(flags.datastore_keyfile.clone()).map(|(certificate, key)| {
            let (text, key_text) = read_pair(&certificate, &key)?;
            let identity = Identity::from_pem(&text, &key_text);
            let identity = identity.with_context(|| format!("{} and {}", certificate.display(), key.display()))?;
            anyhow::Ok(((certificate, key), identity))
        });
        Ok(Some(Self { authority, trust, own: own.transpose()? }))
    }

    fn client(&self) -> anyhow::Result<rustls::ClientConfig> {
        Ok(tls::following(&self.trust, self.own.as_ref().map(|(_, identity)| identity.clone()))?)
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().flat_map(|((certificate, key), _)| [certificate, key]);
        std::iter::once(&self.authority).chain(own).map(PathBuf::as_path)
    }

    /// Takes over what the files hold whenever one of them changes. Runs until it is dropped, which is safe.
    pub async fn follow(self) {
        let take_over = || {
            if let Err(error) = self.read_again() {
                tracing::error!(error = format!("{error:#}"), "the certificates for the etcd stay as they were");
            }
        };
        files::follow(&self.files().collect::<Vec<_>>(), take_over).await;
    }

    fn read_again(&self) -> anyhow::Result<()> {
        self.trust.replace(read(&self.authority)?)?;
        let Some(((certificate, key), identity)) = &self.own else { return Ok(()) };
        let (text, key_text) = read_pair(certificate, key)?;
        Ok(identity.replace(&text, &key_text)?)
    }
}

/// A certificate that has not ended, and what is to be its key.
fn read_pair(certificate: &Path, key: &Path) -> anyhow::Result<(String, String)> {
    let text = read(certificate)?;
    let name = || certificate.display().to_string();
    let summary = Summary::of(&text).with_context(name)?;
    if summary.has_ended() {
        bail!("the certificate of {} has expired: it was valid until {}", name(), summary.not_after);
    }
    Ok((text, read(key)?))
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

/// Marks the datastore until it is whole.
pub async fn mark(store: &dyn Store, told: &[u8]) -> store::Result<()> {
    let held = store.get(MARK, None).await?;
    if held.as_ref().is_some_and(|held| held.value == told) {
        return Ok(());
    }
    let expect = held.map_or(Expect::Absent, |held| Expect::ModRevision(held.mod_revision));
    store.write(Write { key: MARK.into(), value: Some(told.to_vec().into()), expect }).await.map(drop)
}

pub async fn unmark(store: &dyn Store) -> anyhow::Result<()> {
    let mark = store.get(MARK, None).await?.context("somebody else writes to the datastore")?;
    store.write(Write { key: MARK.into(), value: None, expect: Expect::ModRevision(mark.mod_revision) }).await?;
    Ok(())
}

/// Fails where somebody began to fill the datastore and did not end.
pub async fn refuse_unfinished(store: &dyn Store) -> anyhow::Result<()> {
    if store.get(MARK, None).await?.is_some() {
        bail!(
            "the datastore is not whole: `keelson datastore migrate` or `keelson snapshot restore` was cut off, and must \
             be run again"
        );
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use auth::pki::{self, Authority, LeafSpec};
    use auth::tls::ClientAuth;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// Whether a member that has such a certificate, and wants such certificates, is spoken to.
    async fn reaches(certificates: &Certificates, authority: &Authority) -> bool {
        let member = LeafSpec::server("etcd", vec![], vec!["127.0.0.1".parse().unwrap()]);
        let (certificate, key) = authority.issue(&member).unwrap();
        let trusted = authority.certificate_pem().unwrap();
        let identity = Identity::from_pem(&certificate, &key).unwrap();
        let member = TlsAcceptor::from(Arc::new(tls::server_config(identity, ClientAuth::Required(&trusted)).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = tokio::spawn(async move { member.accept(listener.accept().await.unwrap().0).await.is_ok() });
        let connector = TlsConnector::from(Arc::new(certificates.client().unwrap()));
        // The member refuses a certificate after the client is done.
        if let Ok(mut stream) = connector.connect("127.0.0.1".try_into().unwrap(), stream).await {
            stream.read_u8().await.ok();
        }
        accepted.await.unwrap()
    }

    fn write(directory: &Path, authority: &Authority, lasts: Duration) {
        let pair = authority.issue_for(&LeafSpec::client("keelson", &[]), lasts).unwrap();
        pki::write_private(&directory.join("ca.crt"), &authority.certificate_pem().unwrap()).unwrap();
        pki::write_pair(directory, "client", &pair.0, &pair.1).unwrap();
    }

    #[tokio::test]
    async fn certificates_for_the_etcd_are_taken_over_when_their_files_change() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let file = |name: &str| Some(directory.join(name));
        let flags = flags::DatastoreTls {
            datastore_cafile: file("ca.crt"),
            datastore_certfile: file("client.crt"),
            datastore_keyfile: file("client.key"),
        };
        let (old, new) = (Authority::create("etcd").unwrap(), Authority::create("etcd").unwrap());
        let hour = Duration::from_secs(3600);
        write(directory, &old, hour);
        let certificates = Certificates::read(&["https://127.0.0.1:1".to_owned()], &flags).unwrap().unwrap();
        assert!(reaches(&certificates, &old).await && !reaches(&certificates, &new).await);
        write(directory, &new, hour);
        certificates.read_again().unwrap();
        assert!(reaches(&certificates, &new).await && !reaches(&certificates, &old).await);
        write(directory, &new, Duration::ZERO);
        let refused = certificates.read_again().unwrap_err().to_string();
        assert!(refused.contains("has expired"), "{refused}");
        assert!(reaches(&certificates, &new).await);
    }
}
