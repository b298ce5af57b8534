//! Client certificates: the common name is the user, each organization a group; a uid has an attribute of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use der::Decode;
use der::asn1::ObjectIdentifier;
use machinery::UserInfo;
use machinery::strconv::hex;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::certificate::Certificate;
use x509_cert::name::Name;

use super::{Authenticator, CREDENTIAL_ID, Credentials, Refused};
use crate::pki::{COMMON_NAME, ORGANIZATION};
use crate::tls::{Trust, Trusted};

const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");

/// A chain of certificates, the leaf first, that TLS has verified. It is read once for all requests of its connection,
/// which share it as clones.
#[derive(Clone)]
pub struct ClientCertificate(Arc<Shown>);

struct Shown {
    chain: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judged>>,
}

/// What a certificate says, as long as these authorities are trusted.
struct Judged {
    by: Option<Arc<Trusted>>,
    reading: Result<Option<Reading>, Refused>,
}

#[derive(Clone)]
struct Reading {
    /// Nobody, when the subject has no common name.
    user: Option<UserInfo>,
    /// Since the epoch.
    not_after: Duration,
}

impl From<Vec<CertificateDer<'static>>> for ClientCertificate {
    fn from(chain: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Shown { chain, judged: Mutex::default() }))
    }
}

impl ClientCertificate {
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// Of the leaf's subject; empty if it has none.
    pub(crate) fn common_name(&self) -> String {
        let certificate = self.0.chain.first().and_then(|der| Certificate::from_der(der).ok());
        certificate.map(|of| Subject::of(of.tbs_certificate().subject()).common_name).unwrap_or_default()
    }
}

/// Reads the user from a certificate whose chain TLS has verified.
#[derive(Default)]
pub struct ClientCertificates {
    /// Who vouches for users, where TLS trusts others besides.
    authority: Option<Trust>,
}

impl ClientCertificates {
    pub fn of(authority: Trust) -> Self {
        Self { authority: Some(authority) }
    }

    /// Reads once, and again when other authorities are trusted.
    fn reading(&self, shown: &Shown) -> Result<Option<Reading>, Refused> {
        let now = self.authority.as_ref().map(Trust::now);
        let is_now = |by: &Option<Arc<Trusted>>| by.as_ref().map(Arc::as_ptr) == now.as_ref().map(Arc::as_ptr);
        let mut judged = shown.judged.lock();
        if let Some(Judged { by, reading }) = &*judged
            && is_now(by)
        {
            return reading.clone();
        }
        let reading = self.read(&shown.chain);
        *judged = Some(Judged { by: now, reading: reading.clone() });
        reading
    }

    /// Nothing for a certificate of another authority.
    fn read(&self, chain: &[CertificateDer<'static>]) -> Result<Option<Reading>, Refused> {
        if self.authority.as_ref().is_some_and(|authority| !authority.vouches_for(chain)) {
            return Ok(None);
        }
        let certificate = chain.first().map(|der| Certificate::from_der(der));
        let Some(Ok(certificate)) = certificate else { return Err(Refused("x509: malformed certificate".to_owned())) };
        let certificate = certificate.tbs_certificate();
        let subject = Subject::of(certificate.subject());
        let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
        let user = match subject.common_name.is_empty() {
            true => None,
            false => Some(UserInfo {
                uid: subject.uid()?,
                extra: [(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={}", hex(&Sha256::digest(&chain[0])))])]
                    .into(),
                ..UserInfo::new(&subject.common_name, &groups)
            }),
        };
        Ok(Some(Reading { user, not_after: certificate.validity().not_after.to_unix_duration() }))
    }
}

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let Some(ClientCertificate(shown)) = &credentials.client_certificate else { return Ok(None) };
        let Some(reading) = self.reading(shown)? else { return Ok(None) };
        // TLS looked when the connection was made, which may be long ago.
        let now = u64::try_from(clock::now_seconds().as_second()).unwrap_or_default();
        if reading.not_after < Duration::from_secs(now) {
            return Err(Refused("x509: certificate has expired or is not yet valid".to_owned()));
        }
        Ok(reading.user)
    }
}

/// The parts of a certificate's subject that name a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
    uids: Vec<String>,
}

impl Subject {
    pub(crate) fn of(name: &Name) -> Self {
        let mut subject = Self::default();
        for attribute in name.iter() {
            let Ok(text) = std::str::from_utf8(attribute.value.value()) else { continue };
            match attribute.oid {
                COMMON_NAME => subject.common_name = text.to_owned(),
                ORGANIZATION => subject.organizations.push(text.to_owned()),
                UID => subject.uids.push(text.to_owned()),
                _ => {}
            }
        }
        subject
    }

    /// Empty where there is none.
    fn uid(&self) -> Result<String, Refused> {
        match self.uids.as_slice() {
            [] => Ok(String::new()),
            [uid] if uid.is_empty() => Err(Refused("UID cannot be an empty string".to_owned())),
            [uid] => Ok(uid.clone()),
            uids => Err(Refused(format!("expected 1 UID, but found multiple: [{}]", uids.join(" ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, LeafSpec};
    use crate::tls;

    fn shown(authority: &Authority, spec: &LeafSpec) -> ClientCertificate {
        let (certificate, _) = authority.issue(spec).unwrap();
        tls::certificates(&certificate).unwrap().into()
    }

    fn credentials(certificate: ClientCertificate) -> Credentials<'static> {
        Credentials { client_certificate: Some(certificate), ..Credentials::default() }
    }

    #[tokio::test]
    async fn every_organization_is_a_group() {
        let authority = Authority::create("test").unwrap();
        let credentials = credentials(shown(&authority, &LeafSpec::client("jane", &["dev", "ops"])));
        let user = ClientCertificates::default().authenticate(&credentials).await.unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", ""));
        assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
        let id = &user.extra[CREDENTIAL_ID][0];
        assert!(id.strip_prefix("X509SHA256=").is_some_and(|digest| digest.len() == 64), "{id}");
    }

    #[tokio::test]
    async fn only_the_authority_of_users_vouches_for_them() {
        let (users, proxies) = (Authority::create("users").unwrap(), Authority::create("proxies").unwrap());
        let certificates = ClientCertificates::of(Trust::new(users.certificate_pem().unwrap()).unwrap());
        for (signer, expected) in [(&users, Some("jane".to_owned())), (&proxies, None)] {
            let credentials = credentials(shown(signer, &LeafSpec::client("jane", &[])));
            let user = certificates.authenticate(&credentials).await.unwrap();
            assert_eq!(user.map(|user| user.name), expected);
        }
    }

    #[test]
    fn a_certificate_says_one_uid_at_most() {
        for (uids, expected) in [
            (&[][..], Ok("")),
            (&["u1"], Ok("u1")),
            (&[""], Err("UID cannot be an empty string")),
            (&["u1", "u2"], Err("expected 1 UID, but found multiple: [u1 u2]")),
        ] {
            let subject = Subject { uids: uids.iter().map(|uid| (*uid).to_owned()).collect(), ..Subject::default() };
            let said = subject.uid().map_err(|refused| refused.to_string());
            assert_eq!(said.as_deref().map_err(String::as_str), expected);
        }
    }

    #[tokio::test]
    async fn a_certificate_that_expired_on_an_open_connection_is_refused() {
        let certificate = shown(&Authority::create("test").unwrap(), &LeafSpec::client("jane", &[]));
        let reading = Reading { user: Some(UserInfo::new("jane", &[])), not_after: Duration::from_secs(1) };
        *certificate.0.judged.lock() = Some(Judged { by: None, reading: Ok(Some(reading)) });
        let refused = ClientCertificates::default().authenticate(&credentials(certificate)).await.unwrap_err();
        assert_eq!(refused.to_string(), "x509: certificate has expired or is not yet valid");
    }

    #[tokio::test]
    async fn an_authority_that_is_trusted_no_more_vouches_for_nobody_on_open_connections_either() {
        let (old, new) = (Authority::create("old").unwrap(), Authority::create("new").unwrap());
        let trust = Trust::new(old.certificate_pem().unwrap()).unwrap();
        let certificates = ClientCertificates::of(trust.clone());
        let credentials = credentials(shown(&old, &LeafSpec::client("jane", &[])));
        for (trusted, known) in [(&old, true), (&new, false), (&old, true)] {
            trust.replace(trusted.certificate_pem().unwrap()).unwrap();
            assert_eq!(certificates.authenticate(&credentials).await.unwrap().is_some(), known);
        }
    }
}
