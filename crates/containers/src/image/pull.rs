//! Pulling from registries. Pulls of one image at one time share the work; it goes on when a caller leaves.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, TryStreamExt};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth as OciAuth;
use oci_client::{Client, Reference};
use parking_lot::Mutex;

use super::reference::is_loopback;
use super::store::{parse_config, to_api};
use super::{ImageError, Name, Store};
use crate::api::{Error, Image, RegistryAuth, Result};

/// Layers of one image that are downloaded at one time.
const LAYERS_AT_ONCE: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a registry may send nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("keelson/", env!("CARGO_PKG_VERSION"));

type Outcome = std::result::Result<Image, Cause>;

/// What went wrong, for every caller that waits for it.
#[derive(Clone, Debug)]
enum Cause {
    /// The name leads to nothing.
    Resolve(String),
    Fetch(String),
    NoSpace(String),
}

type Flight = Shared<BoxFuture<'static, Outcome>>;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// Those (`host:port`) that are spoken to without TLS, besides those on loopback.
    pub insecure: Vec<String>,
    /// A directory whose files `HOST[:PORT]/ca.crt` hold the authorities of registries, in PEM. They are trusted
    /// beside the system's, and a registry that has one is spoken to with TLS wherever it is.
    pub certificates: Option<PathBuf>,
}

impl Registries {
    /// The authority of a registry, read anew for each pull so that it may change.
    fn authority(&self, registry: &str) -> Option<Vec<u8>> {
        let file = self.certificates.as_ref()?.join(registry).join("ca.crt");
        match std::fs::read(&file) {
            Ok(pem) => Some(pem),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the authority of a registry can not be read");
                None
            }
        }
    }
}

pub struct Puller {
    store: Arc<Store>,
    registries: Mutex<Registries>,
    in_flight: Arc<Mutex<HashMap<(String, String), Flight>>>,
}

impl Puller {
    pub fn new(store: Arc<Store>) -> Puller {
        install_tls_provider();
        Puller { store, registries: Mutex::default(), in_flight: Arc::default() }
    }

    pub fn configure(&self, registries: Registries) {
        *self.registries.lock() = registries;
    }

    /// Dropping the future leaves the pull running.
    pub async fn pull(&self, name: &Name, auth: Option<&RegistryAuth>) -> Result<Image> {
        let whole = name.whole();
        self.flight(name, auth).await.map_err(|cause| match cause {
            Cause::NoSpace(text) => Error::NoSpace(text),
            Cause::Resolve(text) => Error::Image(format!(
                "failed to pull and unpack image \"{whole}\": failed to resolve reference \"{whole}\": {text}"
            )),
            Cause::Fetch(text) => Error::Image(format!("failed to pull and unpack image \"{whole}\": {text}")),
        })
    }

    fn flight(&self, name: &Name, auth: Option<&RegistryAuth>) -> Flight {
        let user = auth.map(|auth| auth.username.clone()).unwrap_or_default();
        let key = (name.whole(), user);
        let mut flights = self.in_flight.lock();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let task = tokio::spawn(pull(self.store.clone(), self.client(name), name.clone(), credentials(auth)));
        let (all, own) = (self.in_flight.clone(), key.clone());
        let flight = async move {
            let outcome = task.await.unwrap_or_else(|error| Err(Cause::Fetch(error.to_string())));
            all.lock().remove(&own);
            outcome
        }
        .boxed()
        .shared();
        flights.insert(key, flight.clone());
        // Somebody must poll it to its end, even when every caller has left.
        tokio::spawn(flight.clone());
        flight
    }

    fn client(&self, name: &Name) -> Client {
        let registry = name.reference().resolve_registry();
        let known = self.registries.lock().clone();
        let authority = known.authority(registry);
        let plain = authority.is_none() && (is_loopback(registry) || known.insecure.iter().any(|of| of == registry));
        let protocol = if plain { ClientProtocol::Http } else { ClientProtocol::Https };
        let trusted = authority.map(|data| Certificate { encoding: CertificateEncoding::Pem, data });
        Client::new(ClientConfig {
            protocol,
            user_agent: USER_AGENT,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            extra_root_certificates: trusted.into_iter().collect(),
            ..ClientConfig::default()
        })
    }
}

/// The workspace builds rustls without a default provider.
fn install_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was installed before");
        }
    });
}

fn credentials(auth: Option<&RegistryAuth>) -> OciAuth {
    auth.map_or(OciAuth::Anonymous, |auth| OciAuth::Basic(auth.username.clone(), auth.password.clone()))
}

async fn pull(store: Arc<Store>, client: Client, name: Name, auth: OciAuth) -> Outcome {
    let reference = name.reference();
    let (manifest, digest, list) = client
        .pull_image_manifest_and_list_digest(reference, &auth)
        .await
        .map_err(|error| resolve_error(reference, &error))?;
    let config = fetch_document(&client, reference, &manifest.config).await?;
    let diff_ids = parse_config(&config).map_err(|error| Cause::Fetch(error.to_string()))?.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(Cause::Fetch(format!(
            "mismatched image rootfs and manifest layers: {} and {}",
            diff_ids.len(),
            manifest.layers.len()
        )));
    }
    stream::iter(diff_ids.into_iter().zip(manifest.layers).map(Ok))
        .try_for_each_concurrent(LAYERS_AT_ONCE, |(diff_id, layer)| {
            pull_layer(&store, &client, reference, diff_id, layer)
        })
        .await?;
    let digest = name.with_digest(name.digest().unwrap_or(list.as_deref().unwrap_or(&digest)));
    let tag = name.tagged();
    in_background(move || store.add_image(&config, tag.as_deref(), Some(&digest))).await
}

async fn fetch_document(
    client: &Client,
    reference: &Reference,
    descriptor: &OciDescriptor,
) -> std::result::Result<Vec<u8>, Cause> {
    let mut bytes = Vec::new();
    client
        .pull_blob(reference, descriptor, &mut bytes)
        .await
        .map_err(|error| fetch_error(&descriptor.digest, &error))?;
    Ok(bytes)
}

/// Downloads into a file, for unpacking must not wait for the network, and the digest is known only at the end.
async fn pull_layer(
    store: &Arc<Store>,
    client: &Client,
    reference: &Reference,
    diff_id: String,
    layer: OciDescriptor,
) -> std::result::Result<(), Cause> {
    if store.claim(&diff_id) {
        return Ok(());
    }
    let scratch = Scratch(store.ingest_path());
    let mut file = tokio::fs::File::create_new(&scratch.0).await.map_err(|error| io_cause(&error))?;
    client.pull_blob(reference, &layer, &mut file).await.map_err(|error| fetch_error(&layer.digest, &error))?;
    drop(file);
    let store = store.clone();
    in_background(move || store.add_layer(&diff_id, std::fs::File::open(&scratch.0)?)).await
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, ImageError> + Send + 'static,
) -> std::result::Result<T, Cause> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ImageError::Io(error))) => Err(io_cause(&error)),
        Ok(Err(error)) => Err(Cause::Fetch(format!("failed to extract layer: {error}"))),
        Err(error) => Err(Cause::Fetch(error.to_string())),
    }
}

fn io_cause(error: &io::Error) -> Cause {
    match to_api(io::Error::new(error.kind(), error.to_string())) {
        Error::NoSpace(text) => Cause::NoSpace(text),
        other => Cause::Fetch(other.to_string()),
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "a temporary file stays until the next start");
        }
    }
}

/// In the words of containerd, which people and tools know.
fn resolve_error(reference: &Reference, error: &OciDistributionError) -> Cause {
    let denied = "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials";
    Cause::Resolve(match error {
        error if is_missing(error) => format!("{reference}: not found"),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            denied.to_owned()
        }
        OciDistributionError::RequestError(error) => format!("failed to do request: {}", chain(error)),
        other => format!("failed to do request: {other}"),
    })
}

fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(error.code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
        }),
        _ => false,
    }
}

fn fetch_error(digest: &str, error: &OciDistributionError) -> Cause {
    match error {
        OciDistributionError::IoError(error) => io_cause(error),
        OciDistributionError::RequestError(error) => Cause::Fetch(format!("failed to copy: {}", chain(error))),
        other => Cause::Fetch(format!("failed to fetch {digest}: {other}")),
    }
}

/// The whole chain of causes: the outermost says only that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
