//! TLS settings of servers and clients, with certificates that can be replaced while connections run.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::pki::Error;

const HTTP_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The one place that names the cryptography behind TLS.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    // Four rounds of AES less for each block; the sort is stable.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// A certificate and its key, as shown to peers; replacing it touches new handshakes only.
#[derive(Debug)]
pub struct Identity(ArcSwap<CertifiedKey>);

impl Identity {
    /// `certificate` may hold a chain, the leaf first.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(certificate, key)?))))
    }

    pub fn replace(&self, certificate: &str, key: &str) -> Result<(), Error> {
        self.0.store(Arc::new(certified(certificate, key)?));
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Authorities that are trusted, for servers and clients; replacing them touches new handshakes only.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ArcSwap<Trusted>>);

/// The authorities of one time.
#[derive(Debug)]
pub(crate) struct Trusted {
    pem: String,
    of_clients: Arc<dyn ClientCertVerifier>,
    of_servers: Arc<dyn ServerCertVerifier>,
}

impl Trusted {
    fn read(pem: String) -> Result<Self, Error> {
        let roots = Arc::new(roots(&pem)?);
        let of_clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), crypto_provider()).build()?;
        let of_servers = WebPkiServerVerifier::builder_with_provider(roots, crypto_provider()).build()?;
        Ok(Self { pem, of_clients, of_servers })
    }
}

impl Trust {
    /// `pem` holds the certificates of all of them.
    pub fn new(pem: impl Into<String>) -> Result<Self, Error> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Trusted::read(pem.into())?))))
    }

    pub fn replace(&self, pem: String) -> Result<(), Error> {
        if self.0.load().pem != pem {
            self.0.store(Arc::new(Trusted::read(pem)?));
        }
        Ok(())
    }

    pub fn pem(&self) -> String {
        self.0.load().pem.clone()
    }

    /// Those of now, by which one can tell whether they are others later.
    pub(crate) fn now(&self) -> Arc<Trusted> {
        self.0.load_full()
    }

    /// Whether one of them signed the chain, the leaf first, for a client, and it is valid now.
    pub fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, rest)) = chain.split_first() else { return false };
        let now = u64::try_from(clock::now().as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        self.0.load().of_clients.verify_client_cert(leaf, rest, now).is_ok()
    }
}

/// What both traits ask of signatures.
macro_rules! signatures_by {
    ($verifier:ident) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.0.load().$verifier.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.0.load().$verifier.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.load().$verifier.supported_verify_schemes()
        }
    };
}

impl ClientCertVerifier for Trust {
    /// None: those of the future are not known.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.load().of_clients.verify_client_cert(leaf, rest, now)
    }

    signatures_by!(of_clients);
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.load().of_servers.verify_server_cert(leaf, rest, name, stapled, now)
    }

    signatures_by!(of_servers);
}

/// What a server asks of its clients.
#[derive(Clone, Copy, Debug)]
pub enum ClientAuth<'a> {
    None,
    /// A certificate is checked if the client shows one. The text holds the trusted authorities as PEM.
    Optional(&'a str),
    /// The same by authorities that may be replaced.
    Following(&'a Trust),
    Required(&'a str),
}

/// A server that speaks HTTP/2 and HTTP/1.1.
pub fn server_config(identity: Arc<Identity>, clients: ClientAuth<'_>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(crypto_provider()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(ca) => builder.with_client_cert_verifier(verifier(ca)?.allow_unauthenticated().build()?),
        ClientAuth::Following(trust) => builder.with_client_cert_verifier(Arc::new(trust.clone())),
        ClientAuth::Required(ca) => builder.with_client_cert_verifier(verifier(ca)?.build()?),
    };
    let mut config = builder.with_cert_resolver(identity);
    // As Go's servers do: the order of the suites is the server's.
    config.ignore_client_order = true;
    config.alpn_protocols = HTTP_PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// A client that trusts the authorities in `ca_pem` and shows `identity` when asked. It offers no protocol
/// by ALPN: the caller sets `alpn_protocols` as its HTTP stack wants them.
pub fn client_config(ca_pem: &str, identity: Option<Arc<Identity>>) -> Result<ClientConfig, Error> {
    following(&Trust::new(ca_pem)?, identity)
}

/// The same with authorities that may be replaced.
pub fn following(trust: &Trust, identity: Option<Arc<Identity>>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust.clone()));
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    })
}

/// The certificates of a PEM text, in order.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = read.map_err(|error| Error::Pem(error.to_string()))?;
    if certificates.is_empty() { Err(Error::Pem("holds no certificate".to_owned())) } else { Ok(certificates) }
}

fn verifier(ca_pem: &str) -> Result<rustls::server::ClientCertVerifierBuilder, Error> {
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), crypto_provider()))
}

fn roots(ca_pem: &str) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(ca_pem)? {
        store.add(certificate)?;
    }
    Ok(store)
}

fn certified(certificate: &str, key: &str) -> Result<CertifiedKey, Error> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| Error::Pem(error.to_string()))?;
    Ok(CertifiedKey::from_der(certificates(certificate)?, key, &crypto_provider())?)
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::pki::{Authority, LeafSpec};

    struct Fixture {
        authority: Authority,
        ca: String,
        server: Arc<Identity>,
    }

    fn fixture() -> Fixture {
        let authority = Authority::create("ca").unwrap();
        let server = Identity::from_pem(&server_pair(&authority, "api").0, &server_pair(&authority, "api").1);
        assert!(server.is_err(), "a key of another certificate is refused");
        let (certificate, key) = server_pair(&authority, "api");
        let server = Identity::from_pem(&certificate, &key).unwrap();
        Fixture { ca: authority.certificate_pem().unwrap(), authority, server }
    }

    fn server_pair(authority: &Authority, name: &str) -> (String, String) {
        authority.issue(&LeafSpec::server(name, vec![name.to_owned()], vec!["127.0.0.1".parse().unwrap()])).unwrap()
    }

    fn client(authority: &Authority, user: &str) -> Arc<Identity> {
        let (certificate, key) = authority.issue(&LeafSpec::client(user, &["dev", "ops"])).unwrap();
        Identity::from_pem(&certificate, &key).unwrap()
    }

    /// Shakes hands in memory; the answer is the subject the server saw, if the client showed a certificate.
    fn handshake(server: ServerConfig, mut client: ClientConfig, name: &str) -> Result<Option<usize>, rustls::Error> {
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
        Ok(server.peer_certificates().map(<[_]>::len))
    }

    #[test]
    fn clients_may_show_a_certificate_of_the_authority() {
        let fixture = fixture();
        let server = || server_config(fixture.server.clone(), ClientAuth::Optional(&fixture.ca)).unwrap();
        let config = |identity| client_config(&fixture.ca, identity).unwrap();
        assert_eq!(handshake(server(), config(None), "api"), Ok(None));
        assert_eq!(handshake(server(), config(Some(client(&fixture.authority, "jane"))), "127.0.0.1"), Ok(Some(1)));
        let stranger = client(&Authority::create("ca").unwrap(), "jane");
        assert!(handshake(server(), config(Some(stranger)), "api").is_err());
        assert!(handshake(server(), config(None), "other").is_err());
        let required = server_config(fixture.server.clone(), ClientAuth::Required(&fixture.ca)).unwrap();
        assert!(handshake(required, config(None), "api").is_err());
    }

    #[test]
    fn a_replaced_certificate_serves_the_next_handshake() {
        let fixture = fixture();
        let (certificate, key) = server_pair(&fixture.authority, "renamed");
        fixture.server.replace(&certificate, &key).unwrap();
        let server = server_config(fixture.server.clone(), ClientAuth::None).unwrap();
        assert_eq!(handshake(server, client_config(&fixture.ca, None).unwrap(), "renamed"), Ok(None));
    }
}
