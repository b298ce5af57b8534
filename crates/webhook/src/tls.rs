//! Whom a client trusts, and how it shows itself.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WantsClientCert};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Error;

const HTTP_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Which servers are believed to be who they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those whom one of these authorities vouches for, as PEM.
    Authorities(String),
    /// All of them. Only where somebody asked for it by name.
    Anyone,
}

/// A certificate chain and its key, as PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} bytes)", self.certificate.len())
    }
}

/// TLS of a client; `identity` is asked at each handshake for what it shows, `http1` leaves out HTTP/2.
pub fn client_config(
    trust: &Trust,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    http1: bool,
) -> Result<ClientConfig, Error> {
    let builder = trusting(trust)?;
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(identity),
    };
    Ok(with_protocols(config, http1))
}

pub(crate) fn client(trust: &Trust, identity: Option<&Identity>, http1: bool) -> Result<ClientConfig, Error> {
    let problem = |error: &dyn fmt::Display| Error::Config(error.to_string());
    let builder = trusting(trust)?;
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|error| problem(&error))?;
            let chain = certificates(&identity.certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| problem(&error))?
        }
    };
    Ok(with_protocols(config, http1))
}

fn with_protocols(mut config: ClientConfig, http1: bool) -> ClientConfig {
    let protocols = if http1 { &HTTP_PROTOCOLS[1..] } else { &HTTP_PROTOCOLS[..] };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

fn trusting(trust: &Trust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Config(error.to_string()))?;
    Ok(match trust {
        Trust::System => builder.with_root_certificates(SYSTEM.clone()),
        Trust::Authorities(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    })
}

/// Read once: it takes a while.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| tracing::warn!(%error, "an authority of the system cannot be read"));
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    Arc::new(store)
});

fn roots(pem: &str) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| Error::Config(error.to_string()))?;
    }
    Ok(store)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Error::Config("data does not contain any valid RSA or ECDSA certificates".to_owned())),
    }
}

/// Looks at no certificate, only at whether the other side holds the key of the one it shows.
#[derive(Debug)]
pub struct Unverified(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
