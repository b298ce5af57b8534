//! The cluster's certificate authority, the certificates it issues, and the files both live in.
//!
//! Keys are ECDSA P-256, but that of an authority which was brought along. A subject may carry several organizations,
//! which are groups to the API: each goes into a relative distinguished name of its own, in order.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use der::asn1::{Any, Ia5String, ObjectIdentifier, SetOfVec, Utf8StringRef};
use der::{Decode, Encode, EncodePem};
use p256::ecdsa::SigningKey;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use crate::authn::client_certificate::Subject;
use crate::signer::{Signature, Signer};

pub const AUTHORITY_DAYS: u32 = 3650;
pub const LEAF_DAYS: u32 = 365;

/// Certificates are valid from a little before they are made, for hosts whose clocks lag.
const BACKDATE: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
pub(crate) const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("certificate: {0}")]
    Der(#[from] der::Error),
    #[error("certificate: {0}")]
    Build(#[from] x509_cert::builder::Error),
    #[error("public key: {0}")]
    PublicKey(#[from] spki::Error),
    #[error("private key: {0}")]
    Key(#[from] p256::pkcs8::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("TLS: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("PEM: {0}")]
    Pem(String),
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

/// What a leaf certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    ServerAuth,
    ClientAuth,
}

impl Usage {
    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ServerAuth => ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"),
            Self::ClientAuth => ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"),
        }
    }
}

/// A certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafSpec {
    /// The user name, when the certificate identifies a client.
    pub common_name: String,
    /// The groups, when the certificate identifies a client.
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usages: Vec<Usage>,
    pub days: u32,
}

impl LeafSpec {
    /// A client certificate for a year.
    pub fn client(user: impl Into<String>, groups: &[&str]) -> Self {
        Self {
            common_name: user.into(),
            organizations: groups.iter().map(|group| (*group).to_owned()).collect(),
            dns_names: Vec::new(),
            ips: Vec::new(),
            usages: vec![Usage::ClientAuth],
            days: LEAF_DAYS,
        }
    }

    /// A server certificate for a year.
    pub fn server(name: impl Into<String>, dns_names: Vec<String>, ips: Vec<IpAddr>) -> Self {
        Self {
            common_name: name.into(),
            organizations: Vec::new(),
            dns_names,
            ips,
            usages: vec![Usage::ServerAuth],
            days: LEAF_DAYS,
        }
    }
}

/// A certificate authority: its certificate and its key.
pub struct Authority {
    certificate: Certificate,
    key: Signer,
}

impl Authority {
    /// A new, self-signed authority, valid for ten years.
    pub fn create(common_name: &str) -> Result<Self, Error> {
        Self::of_key(Signer::from_pem(&key_pem(&generate_key())?)?, common_name)
    }

    /// The same with a key that there is already.
    pub(crate) fn of_key(key: Signer, common_name: &str) -> Result<Self, Error> {
        let subject = subject_name(common_name, &[])?;
        let profile = AuthorityProfile { issuer: subject.clone(), subject };
        let public_key = key.public_key().clone();
        let builder = CertificateBuilder::new(profile, serial()?, validity(AUTHORITY_DAYS)?, public_key)?;
        let certificate = builder.build::<_, Signature>(&key)?;
        Ok(Self { certificate, key })
    }

    /// A certificate of another authority for those who know this one alone; it ends with this one.
    pub(crate) fn vouch_for(&self, other: &Self) -> Result<Certificate, Error> {
        let (own, other) = (self.certificate.tbs_certificate(), other.certificate.tbs_certificate());
        let profile = AuthorityProfile { issuer: own.subject().clone(), subject: other.subject().clone() };
        let validity = Validity::new(validity(0)?.not_before, own.validity().not_after);
        let public_key = other.subject_public_key_info().clone();
        let builder = CertificateBuilder::new(profile, serial()?, validity, public_key)?;
        Ok(builder.build::<_, Signature>(&self.key)?)
    }

    /// The authority in `DIR/NAME.crt`, as the first of its certificates, and `DIR/NAME.key`.
    pub fn load(dir: &Path, name: &str) -> Result<Self, Error> {
        let (cert_path, key_path) = pair_paths(dir, name);
        Self::from_pem(&read(&cert_path)?, &read(&key_path)?)
    }

    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let certificate = first_certificate(certificate)?;
        let key = Signer::from_pem(key)?;
        if public_key(&certificate) != key.public_key() {
            return Err(Error::KeyMismatch);
        }
        Ok(Self { certificate, key })
    }

    pub fn certificate_pem(&self) -> Result<String, Error> {
        certificate_pem(&self.certificate)
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(crate) fn key_pem(&self) -> &str {
        self.key.pem()
    }

    /// Makes a key and signs a certificate for it: certificate and key, both as PEM.
    pub fn issue(&self, spec: &LeafSpec) -> Result<(String, String), Error> {
        self.issue_for(spec, DAY * spec.days)
    }

    /// The same for another time than the days of `spec`.
    pub fn issue_for(&self, spec: &LeafSpec, lifetime: Duration) -> Result<(String, String), Error> {
        let key = generate_key();
        let public_key = SubjectPublicKeyInfoOwned::from_key(key.verifying_key())?;
        let certificate = self.sign(spec, public_key, lifetime)?;
        Ok((certificate, key_pem(&key)?))
    }

    /// Signs a certificate for someone else's key, valid for `lifetime` but no longer than the authority: PEM.
    pub fn sign(
        &self,
        spec: &LeafSpec,
        public_key: SubjectPublicKeyInfoOwned,
        lifetime: Duration,
    ) -> Result<String, Error> {
        let mut validity = validity_of(lifetime)?;
        let own_end = self.certificate.tbs_certificate().validity().not_after;
        if validity.not_after.to_unix_duration() > own_end.to_unix_duration() {
            validity.not_after = own_end;
        }
        let own = self.certificate.tbs_certificate();
        let issuer_id = own.get_extension::<SubjectKeyIdentifier>()?.map(|(_, id)| id);
        let profile = LeafProfile { spec, issuer: own.subject().clone(), issuer_id };
        let builder = CertificateBuilder::new(profile, serial()?, validity, public_key)?;
        Ok(builder.build::<_, Signature>(&self.key)?.to_pem(LineEnding::LF)?)
    }

    /// The pair in `DIR/NAME.crt` and `DIR/NAME.key` if it is one, what `spec` asks for and not due for renewal; else a
    /// new one, which replaces the files.
    pub fn load_or_issue(&self, dir: &Path, name: &str, spec: &LeafSpec) -> Result<(String, String), Error> {
        let (cert_path, key_path) = pair_paths(dir, name);
        if cert_path.exists() && key_path.exists() {
            let (certificate, key) = (read(&cert_path)?, read(&key_path)?);
            if self.still_serves(&certificate, spec) && are_pair(&certificate, &key) {
                return Ok((certificate, key));
            }
        }
        let (certificate, key) = self.issue(spec)?;
        write_pair(dir, name, &certificate, &key)?;
        Ok((certificate, key))
    }

    fn still_serves(&self, certificate_pem: &str, spec: &LeafSpec) -> bool {
        let Ok(certificate) = first_certificate(certificate_pem) else { return false };
        let Ok(extension) = alternative_names(spec) else { return false };
        let tbs = certificate.tbs_certificate();
        let names = tbs.get_extension::<SubjectAltName>().ok().flatten().map(|(_, names)| names);
        tbs.issuer() == self.certificate.tbs_certificate().subject()
            && subject_name(&spec.common_name, &spec.organizations).is_ok_and(|subject| subject == *tbs.subject())
            && names == extension
            && !due(&certificate)
    }
}

/// Whether the key is that of the certificate, which may have been written without the other; both are PEM.
pub fn are_pair(certificate: &str, key: &str) -> bool {
    first_certificate(certificate)
        .is_ok_and(|of| Signer::from_pem(key).is_ok_and(|key| public_key(&of) == key.public_key()))
}

/// All certificates of a PEM text, of which there must be one.
pub(crate) fn read_certificates(pem: &str) -> Result<Vec<Certificate>, Error> {
    let read = Certificate::load_pem_chain(pem.as_bytes())?;
    if read.is_empty() { Err(Error::Pem("holds no certificate".to_owned())) } else { Ok(read) }
}

fn first_certificate(pem: &str) -> Result<Certificate, Error> {
    Ok(read_certificates(pem)?.swap_remove(0))
}

pub(crate) fn certificate_pem(certificate: &Certificate) -> Result<String, Error> {
    Ok(certificate.to_pem(LineEnding::LF)?)
}

pub(crate) fn public_key(certificate: &Certificate) -> &SubjectPublicKeyInfoOwned {
    certificate.tbs_certificate().subject_public_key_info()
}

/// The public key of a certificate, both in DER.
pub fn public_key_of(certificate: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(public_key(&Certificate::from_der(certificate)?).to_der()?)
}

/// Since when, without what was added for clocks that lag, and until when it is valid.
pub(crate) fn life(certificate: &Certificate) -> (jiff::Timestamp, jiff::Timestamp) {
    let validity = certificate.tbs_certificate().validity();
    (timestamp(validity.not_before.to_unix_duration() + BACKDATE), timestamp(validity.not_after.to_unix_duration()))
}

fn timestamp(since_epoch: Duration) -> jiff::Timestamp {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).expect("certificates end before the year 10000")
}

/// Whether less than a third of the certificate's life is left, or the text holds no certificate.
pub fn needs_renewal(certificate_pem: &str) -> bool {
    first_certificate(certificate_pem).map_or(true, |certificate| due(&certificate))
}

/// The instant from which [`needs_renewal`] answers yes.
pub fn renewal_time(certificate_pem: &str) -> Result<jiff::Timestamp, Error> {
    Ok(renewal(&first_certificate(certificate_pem)?))
}

pub(crate) fn renewal(certificate: &Certificate) -> jiff::Timestamp {
    timestamp(renewal_after_epoch(certificate))
}

/// Which of the authorities signed the certificate, going by names; texts are PEM.
pub fn signer_of(certificate: &str, authorities: &str) -> Option<usize> {
    let certificate = first_certificate(certificate).ok()?;
    let issuer = certificate.tbs_certificate().issuer();
    let authorities = read_certificates(authorities).ok()?;
    authorities.iter().position(|of| of.tbs_certificate().subject() == issuer)
}

/// What one wants to know of a certificate at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The common name.
    pub subject: String,
    pub not_after: jiff::Timestamp,
    pub is_authority: bool,
    due: bool,
}

impl Summary {
    /// Of the first certificate of a PEM text.
    pub fn of(pem: &str) -> Result<Self, Error> {
        let certificate = first_certificate(pem)?;
        let tbs = certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
        Ok(Self {
            subject: Subject::of(tbs.subject()).common_name,
            not_after: life(&certificate).1,
            is_authority: constraints.is_some_and(|(_, of)| of.ca),
            due: due(&certificate),
        })
    }

    pub fn has_ended(&self) -> bool {
        self.not_after <= clock::now()
    }

    /// Whether it is time for a new one.
    pub fn is_due(&self) -> bool {
        self.due
    }
}

/// What would be issued again in place of this certificate.
pub fn spec_of(pem: &str) -> Result<LeafSpec, Error> {
    let certificate = first_certificate(pem)?;
    let tbs = certificate.tbs_certificate();
    let subject = Subject::of(tbs.subject());
    let (mut dns_names, mut ips) = (Vec::new(), Vec::new());
    for name in tbs.get_extension::<SubjectAltName>()?.map(|(_, names)| names.0).unwrap_or_default() {
        match name {
            GeneralName::DnsName(name) => dns_names.push(name.to_string()),
            GeneralName::IpAddress(bytes) => ips.extend(ip_of(bytes.as_bytes())),
            _ => {}
        }
    }
    let usages = tbs.get_extension::<ExtendedKeyUsage>()?.map(|(_, usages)| usages.0).unwrap_or_default();
    let known = [Usage::ServerAuth, Usage::ClientAuth].into_iter();
    Ok(LeafSpec {
        common_name: subject.common_name,
        organizations: subject.organizations,
        dns_names,
        ips,
        usages: known.filter(|usage| usages.contains(&usage.oid())).collect(),
        days: LEAF_DAYS,
    })
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

fn due(certificate: &Certificate) -> bool {
    since_epoch() >= renewal_after_epoch(certificate)
}

fn renewal_after_epoch(certificate: &Certificate) -> Duration {
    let validity = certificate.tbs_certificate().validity();
    let (start, end) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    end - (end.saturating_sub(start)) / 3
}

/// A kubeconfig with one cluster, one user and one context, all named `default`.
///
/// The three PEM texts are embedded.
pub fn kubeconfig(server_url: &str, ca_pem: &str, cert_pem: &str, key_pem: &str) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: default\n  \
           cluster:\n    \
             server: {server_url}\n    \
             certificate-authority-data: {ca}\n\
         users:\n\
         - name: default\n  \
           user:\n    \
             client-certificate-data: {cert}\n    \
             client-key-data: {key}\n\
         contexts:\n\
         - name: default\n  \
           context:\n    \
             cluster: default\n    \
             user: default\n\
         current-context: default\n",
        ca = encode(ca_pem),
        cert = encode(cert_pem),
        key = encode(key_pem),
    )
}

/// A new P-256 key.
pub(crate) fn generate_key() -> SigningKey {
    loop {
        let mut scalar = [0; 32];
        clock::fill_random(&mut scalar);
        // All but a few in 2^32 draws are below the order of the curve.
        if let Ok(key) = SigningKey::from_slice(&scalar) {
            return key;
        }
    }
}

pub(crate) fn key_pem(key: &SigningKey) -> Result<String, Error> {
    Ok(key.to_pkcs8_pem(LineEnding::LF)?.to_string())
}

/// Writes `NAME.crt` and, readable by its owner alone, `NAME.key`.
pub fn write_pair(dir: &Path, name: &str, certificate: &str, key: &str) -> Result<(), Error> {
    let (cert_path, key_path) = pair_paths(dir, name);
    write_private(&key_path, key)?;
    write_file(&cert_path, certificate, 0o644)
}

/// Replaces a file as a whole, readable by its owner alone.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    write_file(path, text, 0o600)
}

pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    files::replace(path, text, mode).map_err(|source| Error::File { path: path.to_owned(), source })
}

pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

pub(crate) fn pair_paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")))
}

struct AuthorityProfile {
    issuer: Name,
    subject: Name,
}

impl BuilderProfile for AuthorityProfile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let usages = KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign;
        let mut extensions = Vec::new();
        for extension in [
            (&BasicConstraints { ca: true, path_len_constraint: None }).to_extension(tbs.subject(), &extensions)?,
            (&KeyUsage(usages)).to_extension(tbs.subject(), &extensions)?,
            (&SubjectKeyIdentifier::try_from(key)?).to_extension(tbs.subject(), &extensions)?,
        ] {
            extensions.push(extension);
        }
        Ok(extensions)
    }
}

struct LeafProfile<'a> {
    spec: &'a LeafSpec,
    issuer: Name,
    /// How the issuer's certificate names its key, which need not be as we would.
    issuer_id: Option<SubjectKeyIdentifier>,
}

impl BuilderProfile for LeafProfile<'_> {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        subject_name(&self.spec.common_name, &self.spec.organizations).unwrap_or_default()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let purposes = ExtendedKeyUsage(self.spec.usages.iter().map(|usage| usage.oid()).collect());
        let issuer_id = match &self.issuer_id {
            Some(id) => id.clone(),
            None => SubjectKeyIdentifier::try_from(issuer_key)?,
        };
        let issuer_id =
            AuthorityKeyIdentifier { key_identifier: Some(issuer_id.0), ..AuthorityKeyIdentifier::default() };
        let usages = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment;
        let mut extensions = vec![
            (&KeyUsage(usages)).to_extension(subject, &[])?,
            (&purposes).to_extension(subject, &[])?,
            (&BasicConstraints { ca: false, path_len_constraint: None }).to_extension(subject, &[])?,
            (&issuer_id).to_extension(subject, &[])?,
        ];
        if let Some(names) = alternative_names(self.spec)? {
            extensions.push((&names).to_extension(subject, &extensions)?);
        }
        Ok(extensions)
    }
}

pub(crate) fn alternative_names(spec: &LeafSpec) -> Result<Option<SubjectAltName>, der::Error> {
    let mut names = Vec::new();
    for name in &spec.dns_names {
        names.push(GeneralName::DnsName(Ia5String::new(name)?));
    }
    names.extend(spec.ips.iter().map(|ip| GeneralName::from(*ip)));
    Ok((!names.is_empty()).then_some(SubjectAltName(names)))
}

pub(crate) fn subject_name(common_name: &str, organizations: &[String]) -> Result<Name, der::Error> {
    let mut sequence = RdnSequence::default();
    for organization in organizations {
        sequence.push(attribute(ORGANIZATION, organization)?);
    }
    if !common_name.is_empty() {
        sequence.push(attribute(COMMON_NAME, common_name)?);
    }
    // The type keeps the sequence private; its encoding is the same.
    Name::from_der(&sequence.to_der()?)
}

fn attribute(oid: ObjectIdentifier, text: &str) -> Result<RelativeDistinguishedName, der::Error> {
    let value = Any::encode_from(&Utf8StringRef::new(text)?)?;
    let mut set = SetOfVec::new();
    set.insert(AttributeTypeAndValue { oid, value })?;
    Ok(RelativeDistinguishedName::from(set))
}

fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; 16];
    clock::fill_random(&mut bytes);
    // Positive and of a fixed length.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::new(&bytes)?)
}

fn validity(days: u32) -> Result<Validity, Error> {
    validity_of(DAY * days)
}

fn validity_of(lifetime: Duration) -> Result<Validity, Error> {
    let now = since_epoch();
    Ok(Validity::new(time(now.saturating_sub(BACKDATE))?, time(now + lifetime)?))
}

fn time(since_epoch: Duration) -> Result<Time, Error> {
    Ok(Time::from(der::DateTime::from_unix_duration(since_epoch)?))
}

fn since_epoch() -> Duration {
    Duration::from_secs(clock::now().as_second().max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (Authority::create("a").unwrap(), Authority::create("b").unwrap());
        let result = Authority::from_pem(&one.certificate_pem().unwrap(), other.key_pem());
        assert!(matches!(result, Err(Error::KeyMismatch)));
    }

    #[test]
    fn an_authority_that_was_brought_along_signs_by_its_own_kind_of_key() {
        for kind in ["rsa", "p384"] {
            let file = |extension: &str| {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authorities");
                fs::read_to_string(path.join(format!("{kind}.{extension}"))).unwrap()
            };
            let authority = Authority::from_pem(&file("crt"), &file("key")).unwrap();
            let (certificate, _) =
                authority.issue(&LeafSpec::server("s", vec!["localhost".to_owned()], vec![])).unwrap();
            let leaf = crate::tls::certificates(&certificate).unwrap().remove(0);
            let leaf = rustls::server::ParsedCertificate::try_from(&leaf).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(crate::tls::certificates(&file("crt")).unwrap().remove(0)).unwrap();
            let provider = rustls::crypto::ring::default_provider();
            let now = rustls::pki_types::UnixTime::since_unix_epoch(since_epoch());
            let algorithms = provider.signature_verification_algorithms.all;
            rustls::client::verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms)
                .unwrap_or_else(|error| panic!("{kind}: {error}"));
            let (own, theirs) = (authority.certificate().tbs_certificate(), first_certificate(&certificate).unwrap());
            let theirs = theirs.tbs_certificate().get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap().1;
            let own = own.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap().1;
            assert_eq!(theirs.key_identifier, Some(own.0), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let _guard = clock::simulate(1);
        let authority = Authority::create("ca").unwrap();
        let (certificate, _) = authority.issue(&LeafSpec { days: 90, ..LeafSpec::client("jane", &[]) }).unwrap();
        let days = |days| tokio::time::advance(DAY * days);
        days(59).await;
        assert!(!needs_renewal(&certificate));
        days(2).await;
        assert!(needs_renewal(&certificate));
        assert!(renewal_time(&certificate).unwrap() < clock::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stored_certificate_is_replaced_when_it_is_old_or_not_what_is_wanted() {
        let _guard = clock::simulate(1);
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("ca").unwrap();
        let spec =
            LeafSpec::server("kube-apiserver", vec!["kubernetes".to_owned()], vec!["10.43.0.1".parse().unwrap()]);
        let load = |spec: &LeafSpec| authority.load_or_issue(dir.path(), "apiserver", spec).unwrap().0;
        let first = load(&spec);
        assert_eq!(load(&spec), first);
        let wider = LeafSpec { dns_names: vec!["kubernetes".to_owned(), "host".to_owned()], ..spec };
        let second = load(&wider);
        assert_ne!(second, first);
        // Of a write that was cut off between the two.
        write_private(&dir.path().join("apiserver.key"), &key_pem(&generate_key()).unwrap()).unwrap();
        let third = load(&wider);
        assert!(third != second && load(&wider) == third);
        tokio::time::advance(DAY * 300).await;
        assert_ne!(load(&wider), third);
    }

    #[test]
    fn a_certificate_tells_what_it_was_issued_for() {
        let authority = Authority::create("ca").unwrap();
        let server = LeafSpec::server(
            "api",
            vec!["a.test".to_owned()],
            vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        );
        for spec in [LeafSpec::client("jane", &["dev", "ops"]), server] {
            let (certificate, _) = authority.issue(&spec).unwrap();
            assert_eq!(spec_of(&certificate).unwrap(), spec);
            let summary = Summary::of(&certificate).unwrap();
            assert_eq!((summary.subject.as_str(), summary.is_authority), (spec.common_name.as_str(), false));
            assert!(!summary.is_due() && !summary.has_ended());
        }
        assert!(Summary::of(&authority.certificate_pem().unwrap()).unwrap().is_authority);
    }

    #[test]
    fn a_leaf_does_not_outlive_its_authority() {
        let authority = Authority::create("ca").unwrap();
        let (pem, _) = authority.issue(&LeafSpec { days: 5000, ..LeafSpec::client("a", &[]) }).unwrap();
        let leaf = first_certificate(&pem).unwrap();
        let end = |certificate: &Certificate| certificate.tbs_certificate().validity().not_after.to_unix_duration();
        assert_eq!(end(&leaf), end(&authority.certificate));
    }

    #[test]
    fn a_kubeconfig_holds_all_that_a_client_needs() {
        let config: serde_json::Value =
            serde_saphyr::from_str(&kubeconfig("https://127.0.0.1:6443", "CA", "CERT", "KEY")).unwrap();
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "Q0E=");
        assert_eq!(config["users"][0]["user"]["client-key-data"], "S0VZ");
        assert_eq!(config["contexts"][0]["context"]["user"], config["users"][0]["name"]);
        assert_eq!(config["current-context"], config["contexts"][0]["name"]);
    }
}
