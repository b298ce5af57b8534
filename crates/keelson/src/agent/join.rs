//! `keelson agent`: joins a machine to a cluster, and runs its node.
//!
//! The first time, the token's fingerprint shows that the server is the right one, and the token lets the
//! machine ask for its own certificates. From then on it is known by them alone.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use auth::csr;
use auth::pki::{self, Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity, Trust};
use control::Informers;
use http::Uri;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use network::links::Cidr;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::NodeConfig;
use super::client::{self, Connections};
use super::renew::Renewal;
use super::servers::{Servers, host_and_port};
use crate::paths::Paths;
use crate::token::{self, JoinToken};
use crate::{cluster, flags, signals};

/// How long a certificate may take to be signed.
const SIGN_WAIT: Duration = Duration::from_secs(60);
pub(super) const CLIENT: &str = "node-client";
pub(super) const SERVING: &str = "node-serving";
/// Who vouches for the server and for those who call the node.
pub(super) const AUTHORITIES: &str = "ca.crt";
const TOKEN_NEEDED: &str = "--token is needed to join";

pub async fn run(flags: flags::Agent) -> anyhow::Result<()> {
    signals::start_logging();
    let shutdown = signals::shutdown()?;
    let paths = Paths::open(&flags.data.data_dir)?;
    // Kept while the agent runs.
    let _lock = store::lock(&paths.node_pki())?;
    let name = flags.node.node_name.clone().map_or_else(cluster::host_name, Ok)?;
    let address = flags.node.node_ip.or_else(cluster::own_address);
    let address = address.context("this machine has no address; name one by --node-ip")?;
    let servers = Servers::open(&flags.server, paths.node_pki().join("servers"))?;
    let (joined, renewal) = join(&flags, &servers, &paths, &name, address).await?;
    println!("Keelson {} joined {} as node {name}", env!("CARGO_PKG_VERSION"), flags.server.join(" "));
    let (cluster, services) = ranges(&joined.client).await?;
    let mut tasks = JoinSet::new();
    let informers = Informers::new(joined.client.clone());
    servers.follow(&informers);
    let node = NodeConfig {
        informers,
        client: joined.client,
        control_plane: None,
        name,
        address,
        port: flags.node.node_port,
        tls: joined.serving,
        cluster,
        services,
        registries: flags.node.registries(),
    };
    super::start(node, &paths, &mut tasks, shutdown.clone()).await?;
    tasks.spawn({
        let shutdown = shutdown.clone();
        async move {
            tokio::select! {
                () = renewal.run() => {}
                () = shutdown.cancelled() => {}
            }
            Ok(())
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.context("a part of the node panicked")??;
        if !shutdown.is_cancelled() {
            tracing::warn!("a part of the node ended by itself");
        }
    }
    Ok(())
}

/// What a machine has once it belongs to the cluster.
struct Joined {
    client: Client,
    serving: Arc<rustls::ServerConfig>,
}

async fn join(
    flags: &flags::Agent,
    servers: &Servers,
    paths: &Paths,
    name: &str,
    address: IpAddr,
) -> anyhow::Result<(Joined, Renewal)> {
    let directory = paths.node_pki();
    let token = flags.token.as_deref().map(JoinToken::parse).transpose()?;
    let read = |name: &str, authorities: &str| {
        let text = |extension: &str| std::fs::read_to_string(directory.join(format!("{name}.{extension}"))).ok();
        let is_good = |certificate: &str, key: &str| holds(certificate, authorities) && pki::are_pair(certificate, key);
        text("crt").zip(text("key")).filter(|(certificate, key)| is_good(certificate, key))
    };
    let held = std::fs::read_to_string(directory.join(AUTHORITIES)).ok();
    let authority = match (held, &token) {
        (Some(held), None) => held,
        (Some(held), Some(token)) if vouched_by(&held, token) => held,
        // The authority may have changed while the machine was away, or since the token was made.
        (Some(held), Some(token)) if read(CLIENT, &held).is_some() => {
            learn_authority(servers, token, &directory).await.unwrap_or(held)
        }
        (_, token) => learn_authority(servers, token.as_ref().context(TOKEN_NEEDED)?, &directory).await?,
    };
    let trust = Trust::new(authority.clone())?;
    let entry = Entry { servers: servers.clone(), token, trust: trust.clone() };
    let own = match read(CLIENT, &authority) {
        Some(pair) => pair,
        None => {
            let spec = csr::node_client_spec(name);
            obtain(entry.client()?.context(TOKEN_NEEDED)?, &directory, CLIENT, csr::KUBELET_CLIENT_SIGNER, &spec)
                .await?
        }
    };
    let connections = Connections::new(&trust, &own, servers.clone())?;
    let client = connections.client();
    let spec = csr::node_serving_spec(name, vec![address]);
    let serving = read(SERVING, &authority);
    let identity = match &serving {
        Some((certificate, key)) => Identity::from_pem(certificate, key)?,
        // Until the cluster signs one, which it does once the node has registered.
        None => provisional(&spec)?,
    };
    let tls = Arc::new(tls::server_config(identity.clone(), ClientAuth::Following(&trust))?);
    let renewal = Renewal {
        client: client.clone(),
        connections,
        entry,
        directory,
        node: name.to_owned(),
        own: own.0,
        serving: serving.map(|(certificate, _)| certificate),
        serving_spec: spec,
        identity,
    };
    Ok((Joined { client, serving: tls }, renewal))
}

/// How a machine that the server does not know comes in.
pub(super) struct Entry {
    servers: Servers,
    token: Option<JoinToken>,
    /// Who vouches for the server.
    pub trust: Trust,
}

impl Entry {
    /// A client that shows the token; nothing where there is none.
    pub fn client(&self) -> anyhow::Result<Option<Client>> {
        let token = self.token.as_ref().map(|token| token.bootstrap.as_str());
        token.map(|token| client::by_token(&self.trust, token, &self.servers)).transpose()
    }
}

/// Whether the token is of one of the authorities.
fn vouched_by(authorities: &str, token: &JoinToken) -> bool {
    let certificates = tls::certificates(authorities).unwrap_or_default();
    certificates.iter().any(|of| token::fingerprint(of).is_ok_and(|fingerprint| fingerprint == token.fingerprint))
}

/// A certificate that nobody trusts.
fn provisional(spec: &LeafSpec) -> anyhow::Result<Arc<Identity>> {
    let (certificate, key) = Authority::create("provisional")?.issue(spec)?;
    Ok(Identity::from_pem(&certificate, &key)?)
}

/// Whether it has not ended, and is of one of the authorities.
fn holds(certificate: &str, authorities: &str) -> bool {
    let ended = pki::Summary::of(certificate).map_or(true, |summary| summary.has_ended());
    !ended && pki::signer_of(certificate, authorities).is_some()
}

/// Asks for a certificate over a new key, waits for it, and keeps both.
pub(super) async fn obtain(
    client: Client,
    directory: &std::path::Path,
    name: &str,
    signer: &str,
    spec: &LeafSpec,
) -> anyhow::Result<(String, String)> {
    let (request, key) = csr::new_request(spec)?;
    let object_name = format!("{name}-{}", clock::name_suffix(8));
    let object = csr::object(&object_name, signer, &request).into_value();
    let requests: Api<CertificateSigningRequest> = Api::all(client);
    let created = requests.create(&PostParams::default(), &serde_json::from_value(object)?).await;
    created.context("the server does not let this machine ask for a certificate (is the token right?)")?;
    let certificate_of = |request: &CertificateSigningRequest| request.status.as_ref()?.certificate.clone();
    let is_signed = |request: Option<&CertificateSigningRequest>| request.and_then(certificate_of).is_some();
    let signed = tokio::time::timeout(SIGN_WAIT, cluster::until(requests, &object_name, is_signed)).await;
    let signed = signed.with_context(|| format!("request {object_name} was not signed in {SIGN_WAIT:?}"))?;
    let certificate = signed.as_ref().and_then(certificate_of).context("the signed request holds no certificate")?;
    let certificate = String::from_utf8(certificate.0)?;
    pki::write_pair(directory, name, &certificate, &key)?;
    Ok((certificate, key))
}

/// The cluster's ranges, which every node must agree on.
async fn ranges(client: &Client) -> anyhow::Result<(Cidr, Cidr)> {
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), cluster::RANGES_NAMESPACE);
    let config = configs.get(cluster::RANGES).await.context("cannot read the cluster's address ranges")?;
    let data = config.data.unwrap_or_default();
    let range = |key: &str| -> anyhow::Result<Cidr> {
        let text = data.get(key).with_context(|| format!("ConfigMap {} has no {key}", cluster::RANGES))?;
        Ok(text.parse()?)
    };
    Ok((range("clusterCIDR")?, range("serviceCIDR")?))
}

/// Reads the authority out of a server's handshake, and keeps it if its fingerprint is the token's.
async fn learn_authority(servers: &Servers, token: &JoinToken, directory: &std::path::Path) -> anyhow::Result<String> {
    let authority = servers.first(|server| async move { authority_of(&server, token).await }).await?;
    let text = pem(&authority);
    pki::write_private(&directory.join(AUTHORITIES), &text)?;
    Ok(text)
}

async fn authority_of(server: &Uri, token: &JoinToken) -> anyhow::Result<CertificateDer<'static>> {
    let (host, port) = host_and_port(server);
    let stream = TcpStream::connect((host, port)).await?;
    let seen = Arc::new(Chain::default());
    let provider = tls::crypto_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(seen.clone()).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(host.to_owned())?;
    connector.connect(name, stream).await.context("no TLS with the server")?;
    let chain = std::mem::take(&mut *seen.0.lock().expect("nobody panics with the lock"));
    let meant = |of: &CertificateDer| token::fingerprint(of).is_ok_and(|fingerprint| fingerprint == token.fingerprint);
    let authority = chain.into_iter().find(meant);
    authority.with_context(|| format!("the server {host}:{port} is not of the cluster that the token is for"))
}

fn pem(certificate: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Takes any chain and remembers it. The connection made with it carries nothing.
#[derive(Debug, Default)]
struct Chain(Mutex<Vec<CertificateDer<'static>>>);

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|of| of.clone().into_owned());
        *self.0.lock().expect("nobody panics with the lock") = chain.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        tls::crypto_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_authority_is_learned_from_whichever_server_is_of_the_cluster() {
        let directory = tempfile::tempdir().unwrap();
        let (dead, other, own) = (listen().await, listen().await, listen().await);
        let url = |listener: &TcpListener| format!("https://{}", listener.local_addr().unwrap());
        let urls = [url(&dead), url(&other), url(&own)];
        tokio::spawn(async move {
            while let Ok((connection, _)) = dead.accept().await {
                drop(connection);
            }
        });
        serve(other, &Authority::create("ca").unwrap());
        let authority = Authority::create("ca").unwrap();
        serve(own, &authority);
        let authority = authority.certificate_pem().unwrap();
        let fingerprint = token::fingerprint(&tls::certificates(&authority).unwrap()[0]).unwrap();
        let token = JoinToken { fingerprint, bootstrap: "abcdef.0123456789abcdef".to_owned() };
        let learn = async |urls: &[String]| {
            let servers = Servers::open(urls, directory.path().join("servers")).unwrap();
            learn_authority(&servers, &token, directory.path()).await
        };
        let refused = learn(&urls[..2]).await.unwrap_err().to_string();
        for why in ["no TLS with the server", "is not of the cluster that the token is for"] {
            assert!(refused.contains(why), "{refused}");
        }
        let learned = learn(&urls).await.unwrap();
        assert_eq!(tls::certificates(&learned).unwrap(), tls::certificates(&authority).unwrap());
    }

    async fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    /// Shows a certificate of the authority, and its own.
    fn serve(listener: TcpListener, authority: &Authority) {
        let (certificate, key) = authority.issue(&LeafSpec::server("api", vec!["api".to_owned()], vec![])).unwrap();
        let chain = format!("{certificate}{}", authority.certificate_pem().unwrap());
        let config = tls::server_config(Identity::from_pem(&chain, &key).unwrap(), ClientAuth::None).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                acceptor.accept(connection).await.ok();
            }
        });
    }
}
