//! Certificate signing requests: making one, judging one, signing one.
//!
//! The checks are those of upstream's signers (upstream: pkg/apis/certificates, pkg/controller/certificates).

pub mod approve;
pub mod clean;
pub mod run;

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::{Decode, EncodePem};
use kinds::certificates::parse_request;
use machinery::Object;
use p256::ecdsa::DerSignature;
use p256::pkcs8::LineEnding;
use serde_json::Value;
use x509_cert::builder::Builder;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::request::{CertReq, ExtensionReq, RequestBuilder};

use crate::authn::client_certificate::Subject;
use crate::pki::{self, Authority, LeafSpec, Usage};

pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
pub const KUBELET_CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const DEFAULT_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const MIN_LIFETIME: Duration = Duration::from_secs(600);

/// A new key and a request for a certificate over it: request and key as PEM.
pub fn new_request(spec: &LeafSpec) -> Result<(String, String), pki::Error> {
    let key = pki::generate_key();
    let mut builder = RequestBuilder::new(pki::subject_name(&spec.common_name, &spec.organizations)?)?;
    if let Some(names) = pki::alternative_names(spec)? {
        builder.add_extension(&names)?;
    }
    let request = builder.build::<_, DerSignature>(&key)?;
    Ok((request.to_pem(LineEnding::LF)?, pki::key_pem(&key)?))
}

/// What a node asks for to act as itself towards the API.
pub fn node_client_spec(node: &str) -> LeafSpec {
    LeafSpec::client(format!("{NODE_PREFIX}{node}"), &[NODES])
}

/// What a node asks for to serve its own API.
pub fn node_serving_spec(node: &str, ips: Vec<IpAddr>) -> LeafSpec {
    let spec = LeafSpec::server(format!("{NODE_PREFIX}{node}"), vec![node.to_owned()], ips);
    LeafSpec { organizations: vec![NODES.to_owned()], ..spec }
}

/// A CertificateSigningRequest object for a request made by [`new_request`].
pub fn object(name: &str, signer: &str, request_pem: &str) -> Object {
    let usage = if signer == KUBELET_SERVING_SIGNER { "server auth" } else { "client auth" };
    Object::from_value(serde_json::json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(request_pem), "signerName": signer,
            "usages": ["digital signature", usage],
        },
    }))
    .expect("an object")
}

/// What a CertificateSigningRequest object asks for, its PKCS#10 request taken apart and its signature checked.
#[derive(Clone, Debug)]
pub struct Request {
    pub signer: String,
    /// Who created the object.
    pub username: String,
    pub subject_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub emails: bool,
    pub uris: bool,
    /// Sorted.
    pub usages: Vec<String>,
    lifetime: Duration,
    public_key: spki::SubjectPublicKeyInfoOwned,
}

impl Request {
    /// The error is for the Failed condition.
    pub fn parse(csr: &Object) -> Result<Self, String> {
        let pem = STANDARD.decode(csr.str(&["spec", "request"])).map_err(|error| error.to_string())?;
        let request = parse_request(&pem)?;
        let subject = Subject::of(&request.info.subject);
        let mut usages: Vec<String> = texts(csr.list(&["spec", "usages"]));
        usages.sort();
        let seconds = csr.int(&["spec", "expirationSeconds"]).and_then(|seconds| u64::try_from(seconds).ok());
        let lifetime = seconds.map_or(DEFAULT_LIFETIME, Duration::from_secs);
        let mut parsed = Self {
            signer: csr.str(&["spec", "signerName"]).to_owned(),
            username: csr.str(&["spec", "username"]).to_owned(),
            subject_name: subject.common_name,
            organizations: subject.organizations,
            dns_names: Vec::new(),
            ips: Vec::new(),
            emails: false,
            uris: false,
            usages,
            lifetime: lifetime.clamp(MIN_LIFETIME, DEFAULT_LIFETIME),
            public_key: request.info.public_key.clone(),
        };
        parsed.read_names(&request).map_err(|error| error.to_string())?;
        Ok(parsed)
    }

    fn read_names(&mut self, request: &CertReq) -> Result<(), der::Error> {
        let attributes = request.info.attributes.iter();
        let wanted = attributes.filter(|of| of.oid == <ExtensionReq as der::oid::AssociatedOid>::OID);
        for value in wanted.flat_map(|of| of.values.iter()) {
            for extension in value.decode_as::<Vec<Extension>>()? {
                if extension.extn_id == <SubjectAltName as der::oid::AssociatedOid>::OID {
                    self.add_names(SubjectAltName::from_der(extension.extn_value.as_bytes())?);
                }
            }
        }
        Ok(())
    }

    fn add_names(&mut self, names: SubjectAltName) {
        for name in names.0 {
            match name {
                GeneralName::DnsName(name) => self.dns_names.push(name.to_string()),
                GeneralName::IpAddress(bytes) => self.ips.extend(ip(bytes.as_bytes())),
                GeneralName::Rfc822Name(_) => self.emails = true,
                GeneralName::UniformResourceIdentifier(_) => self.uris = true,
                _ => {}
            }
        }
    }

    /// Whether the request is what its signer signs; the error says what is not.
    pub fn check(&self) -> Result<(), String> {
        match self.signer.as_str() {
            KUBELET_CLIENT_SIGNER => self.check_kubelet_client(),
            KUBELET_SERVING_SIGNER => self.check_kubelet_serving(),
            CLIENT_SIGNER => self.check_client(),
            other => Err(format!("signer {other:?} is not served")),
        }
    }

    fn check_kubelet_client(&self) -> Result<(), String> {
        self.check_node_subject()?;
        for (present, what) in [
            (!self.dns_names.is_empty(), "DNS"),
            (self.emails, "Email"),
            (!self.ips.is_empty(), "IP"),
            (self.uris, "URI"),
        ] {
            if present {
                return Err(format!("{what} subjectAltNames are not allowed"));
            }
        }
        self.check_common_name()?;
        self.check_usages("client auth")
    }

    fn check_kubelet_serving(&self) -> Result<(), String> {
        self.check_node_subject()?;
        if self.dns_names.is_empty() && self.ips.is_empty() {
            return Err("DNS or IP subjectAltName is required".to_owned());
        }
        for (present, what) in [(self.emails, "Email"), (self.uris, "URI")] {
            if present {
                return Err(format!("{what} subjectAltNames are not allowed"));
            }
        }
        self.check_common_name()?;
        self.check_usages("server auth")
    }

    fn check_node_subject(&self) -> Result<(), String> {
        if self.organizations == [NODES] { Ok(()) } else { Err("subject organization is not system:nodes".to_owned()) }
    }

    fn check_common_name(&self) -> Result<(), String> {
        match self.subject_name.strip_prefix(NODE_PREFIX) {
            Some(node) if !node.is_empty() => Ok(()),
            _ => Err("subject common name does not begin with system:node:".to_owned()),
        }
    }

    /// Key encipherment is for RSA keys alone, and may be left out.
    fn check_usages(&self, purpose: &str) -> Result<(), String> {
        let mut wanted = vec!["digital signature", "key encipherment", purpose];
        wanted.sort_unstable();
        let needed: Vec<&str> = wanted.iter().copied().filter(|usage| *usage != "key encipherment").collect();
        if self.usages == wanted || self.usages == needed {
            return Ok(());
        }
        Err(format!("usages did not match [{}]", wanted.join(" ")))
    }

    fn check_client(&self) -> Result<(), String> {
        if self.organizations.iter().any(|group| group == machinery::UserInfo::MASTERS) {
            return Err(
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed".to_owned()
            );
        }
        for usage in &self.usages {
            if !["digital signature", "key encipherment", "client auth"].contains(&usage.as_str()) {
                return Err(format!("invalid usage for client certificate: {usage}"));
            }
        }
        if self.usages.iter().any(|usage| usage == "client auth") {
            Ok(())
        } else {
            Err("missing required usage for client certificate: client auth".to_owned())
        }
    }

    /// The certificate as PEM. Call it for requests that are approved and pass [`Request::check`].
    pub fn sign(&self, authority: &Authority) -> Result<String, pki::Error> {
        let usage = if self.signer == KUBELET_SERVING_SIGNER { Usage::ServerAuth } else { Usage::ClientAuth };
        let spec = LeafSpec {
            common_name: self.subject_name.clone(),
            organizations: self.organizations.clone(),
            dns_names: self.dns_names.clone(),
            ips: self.ips.clone(),
            usages: vec![usage],
            days: pki::LEAF_DAYS,
        };
        authority.sign(&spec, self.public_key.clone(), self.lifetime)
    }
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use der::DecodePem;
    use rustls::pki_types::CertificateDer;

    use super::*;
    use crate::authn::{Authenticator, ClientCertificates, Credentials};
    use crate::tls;

    fn request(spec: &LeafSpec, signer: &str) -> Request {
        let (pem, _) = new_request(spec).unwrap();
        Request::parse(&object("a", signer, &pem)).unwrap()
    }

    #[tokio::test]
    async fn a_node_gets_the_certificate_it_asks_for() {
        let authority = Authority::create("ca").unwrap();
        let request = request(&node_client_spec("n1"), KUBELET_CLIENT_SIGNER);
        request.check().unwrap();
        let certificate = request.sign(&authority).unwrap();
        let der: CertificateDer<'static> = tls::certificates(&certificate).unwrap().remove(0);
        let credentials = Credentials { client_certificate: Some(vec![der].into()), ..Credentials::default() };
        let user = ClientCertificates::default().authenticate(&credentials).await.unwrap().unwrap();
        assert_eq!(user.node_name(), Some("n1"));
    }

    #[test]
    fn signers_refuse_what_is_not_theirs() {
        let ips = vec!["10.0.0.1".parse().unwrap()];
        let client = node_client_spec("n1");
        let serving = node_serving_spec("n1", ips.clone());
        for (spec, signer, expected) in [
            (serving.clone(), KUBELET_SERVING_SIGNER, Ok(())),
            (LeafSpec { ips, ..client.clone() }, KUBELET_CLIENT_SIGNER, Err("IP subjectAltNames are not allowed")),
            (client.clone(), KUBELET_SERVING_SIGNER, Err("DNS or IP subjectAltName is required")),
            (
                LeafSpec::client("system:node:n1", &["system:nodes", "system:masters"]),
                KUBELET_CLIENT_SIGNER,
                Err("subject organization is not system:nodes"),
            ),
            (
                LeafSpec::client("jane", &["system:nodes"]),
                KUBELET_CLIENT_SIGNER,
                Err("subject common name does not begin with system:node:"),
            ),
            (
                LeafSpec { dns_names: vec!["kubernetes".to_owned()], ..client.clone() },
                KUBELET_CLIENT_SIGNER,
                Err("DNS subjectAltNames are not allowed"),
            ),
            (
                LeafSpec::client("system:node:n1", &[]),
                KUBELET_CLIENT_SIGNER,
                Err("subject organization is not system:nodes"),
            ),
            (
                LeafSpec { organizations: vec!["system:masters".to_owned()], ..serving.clone() },
                KUBELET_SERVING_SIGNER,
                Err("subject organization is not system:nodes"),
            ),
            (
                client.clone(),
                "kubernetes.io/legacy-unknown",
                Err("signer \"kubernetes.io/legacy-unknown\" is not served"),
            ),
            (LeafSpec::client("jane", &["dev"]), CLIENT_SIGNER, Ok(())),
            (
                LeafSpec::client("jane", &["dev", "system:masters"]),
                CLIENT_SIGNER,
                Err("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"),
            ),
            (
                LeafSpec::client("jane", &["system:masters"]),
                CLIENT_SIGNER,
                Err("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"),
            ),
        ] {
            assert_eq!(request(&spec, signer).check(), expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn usages_are_exact() {
        let mut of = request(&node_client_spec("n1"), KUBELET_CLIENT_SIGNER);
        of.usages = vec!["client auth".into(), "digital signature".into(), "key encipherment".into()];
        assert_eq!(of.check(), Ok(()));
        of.usages.push("server auth".into());
        let expected = "usages did not match [client auth digital signature key encipherment]";
        assert_eq!(of.check(), Err(expected.to_owned()));
    }

    #[test]
    fn a_request_over_another_key_is_refused() {
        let (mine, _) = new_request(&node_client_spec("n1")).unwrap();
        let (other, _) = new_request(&node_client_spec("n1")).unwrap();
        let mut forged = CertReq::from_pem(&mine).unwrap();
        forged.info.public_key = CertReq::from_pem(&other).unwrap().info.public_key;
        let pem = forged.to_pem(LineEnding::LF).unwrap();
        let error = Request::parse(&object("a", KUBELET_CLIENT_SIGNER, &pem)).unwrap_err();
        assert_eq!(error, "x509: ECDSA verification failure");
    }
}
