//! Client certificates: the common name is the user, each organization a group.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use der::Decode;
use machinery::{ApiError, UserInfo};
use rustls::pki_types::CertificateDer;
use x509_cert::certificate::Certificate;
use x509_cert::name::Name;

use super::{Authenticator, Credentials};
use crate::pki::{COMMON_NAME, ORGANIZATION};

/// A leaf certificate whose chain TLS has verified. It is read once for all requests of its connection, which
/// share it as clones.
#[derive(Clone)]
pub struct ClientCertificate(Arc<Shown>);

struct Shown {
    der: CertificateDer<'static>,
    reading: OnceLock<Option<Reading>>,
}

struct Reading {
    /// Nobody, when the subject has no common name.
    user: Option<UserInfo>,
    /// Since the epoch.
    not_after: Duration,
}

impl From<CertificateDer<'static>> for ClientCertificate {
    fn from(der: CertificateDer<'static>) -> Self {
        Self(Arc::new(Shown { der, reading: OnceLock::new() }))
    }
}

impl ClientCertificate {
    fn reading(&self) -> Option<&Reading> {
        self.0.reading.get_or_init(|| read(&self.0.der)).as_ref()
    }
}

fn read(der: &CertificateDer<'_>) -> Option<Reading> {
    let certificate = Certificate::from_der(der).ok()?;
    let certificate = certificate.tbs_certificate();
    let subject = Subject::of(certificate.subject());
    let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
    let user = (!subject.common_name.is_empty()).then(|| UserInfo::new(&subject.common_name, &groups));
    Some(Reading { user, not_after: certificate.validity().not_after.to_unix_duration() })
}

/// Reads the user from a certificate whose chain TLS has verified.
pub struct ClientCertificates;

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<UserInfo>, ApiError> {
        let Some(certificate) = &credentials.client_certificate else { return Ok(None) };
        let reading = certificate.reading().ok_or_else(ApiError::unauthorized)?;
        // TLS looked when the connection was made, which may be long ago.
        let now = u64::try_from(clock::now_seconds().as_second()).unwrap_or_default();
        if reading.not_after < Duration::from_secs(now) {
            return Err(ApiError::unauthorized());
        }
        Ok(reading.user.clone())
    }
}

/// The parts of a certificate's subject that name a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
}

impl Subject {
    pub(crate) fn of(name: &Name) -> Self {
        let mut subject = Self::default();
        for attribute in name.iter() {
            let Ok(text) = std::str::from_utf8(attribute.value.value()) else { continue };
            match attribute.oid {
                COMMON_NAME => subject.common_name = text.to_owned(),
                ORGANIZATION => subject.organizations.push(text.to_owned()),
                _ => {}
            }
        }
        subject
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, LeafSpec};
    use crate::tls;

    fn shown(spec: &LeafSpec) -> Credentials {
        let (certificate, _) = Authority::create("test").unwrap().issue(spec).unwrap();
        let certificate = tls::certificates(&certificate).unwrap().remove(0);
        Credentials { client_certificate: Some(certificate.into()), ..Credentials::default() }
    }

    #[tokio::test]
    async fn every_organization_is_a_group() {
        let credentials = shown(&LeafSpec::client("jane", &["dev", "ops"]));
        let user = ClientCertificates.authenticate(&credentials).await.unwrap();
        assert_eq!(user, Some(UserInfo::new("jane", &["dev", "ops"])));
    }

    #[tokio::test]
    async fn a_certificate_that_expired_on_an_open_connection_is_refused() {
        let mut certificate = shown(&LeafSpec::client("jane", &[])).client_certificate.unwrap();
        let reading =
            certificate.reading().map(|of| Reading { user: of.user.clone(), not_after: Duration::from_secs(1) });
        certificate.0 = Arc::new(Shown { der: certificate.0.der.clone(), reading: OnceLock::from(reading) });
        let credentials = Credentials { client_certificate: Some(certificate), ..Credentials::default() };
        let error = ClientCertificates.authenticate(&credentials).await.unwrap_err();
        assert_eq!(error.code(), 401);
    }
}
