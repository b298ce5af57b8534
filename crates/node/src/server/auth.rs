//! Who may call the node's API: holders of client certificates of certain groups.

use der::Decode;
use der::asn1::{PrintableStringRef, Utf8StringRef};
use der::oid::ObjectIdentifier;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// Groups whose members may do everything here.
const GROUPS: &[&str] = &["system:masters", "system:monitoring"];

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Allowed,
    /// It showed no certificate.
    Anonymous,
    /// It is this user, who may not.
    Denied(String),
}

/// The access of whoever showed these certificates, which TLS has verified.
pub fn access(certificates: Option<&[CertificateDer<'_>]>) -> Access {
    let Some(leaf) = certificates.and_then(|certificates| certificates.first()) else { return Access::Anonymous };
    let Ok(certificate) = Certificate::from_der(leaf) else { return Access::Anonymous };
    let (user, groups) = identity(&certificate);
    if groups.iter().any(|group| GROUPS.contains(&group.as_str())) { Access::Allowed } else { Access::Denied(user) }
}

/// Common name and organizations of the subject.
fn identity(certificate: &Certificate) -> (String, Vec<String>) {
    let (mut user, mut groups) = (String::new(), Vec::new());
    for attribute in certificate.tbs_certificate().subject().iter() {
        let utf8 = attribute.value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_string());
        let printable = || attribute.value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_string());
        let Ok(text) = utf8.or_else(|_| printable()) else { continue };
        match attribute.oid {
            COMMON_NAME => user = text,
            ORGANIZATION => groups.push(text),
            _ => {}
        }
    }
    (user, groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_certificate_a_caller_is_anonymous() {
        assert_eq!(access(None), Access::Anonymous);
        assert_eq!(access(Some(&[])), Access::Anonymous);
        assert_eq!(access(Some(&[CertificateDer::from(vec![1, 2, 3])])), Access::Anonymous);
    }
}
