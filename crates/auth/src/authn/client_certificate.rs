//! Client certificates: the common name is the user, each organization a group.

use async_trait::async_trait;
use der::Decode;
use machinery::{ApiError, UserInfo};
use x509_cert::certificate::Certificate;
use x509_cert::name::Name;

use super::{Authenticator, Credentials};
use crate::pki::{COMMON_NAME, ORGANIZATION};

/// Reads the user from a certificate whose chain TLS has verified.
pub struct ClientCertificates;

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<UserInfo>, ApiError> {
        let Some(der) = &credentials.client_certificate else { return Ok(None) };
        let certificate = Certificate::from_der(der).map_err(|_| ApiError::unauthorized())?;
        let subject = Subject::of(certificate.tbs_certificate().subject());
        if subject.common_name.is_empty() {
            return Ok(None);
        }
        let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
        Ok(Some(UserInfo::new(subject.common_name, &groups)))
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

    #[tokio::test]
    async fn every_organization_is_a_group() {
        let authority = Authority::create("test").unwrap();
        let (certificate, _) = authority.issue(&LeafSpec::client("jane", &["dev", "ops"])).unwrap();
        let credentials = Credentials {
            client_certificate: Some(tls::certificates(&certificate).unwrap().remove(0)),
            ..Credentials::default()
        };
        let user = ClientCertificates.authenticate(&credentials).await.unwrap();
        assert_eq!(user, Some(UserInfo::new("jane", &["dev", "ops"])));
    }
}
