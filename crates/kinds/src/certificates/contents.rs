//! What is inside of requests and certificates: PEM blocks, the PKCS#10 request and its signature, X.509.
//!
//! upstream: pkg/apis/certificates (ParseCSR), pkg/apis/certificates/validation

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::asn1::Any;
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm};
use x509_cert::Certificate;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::request::CertReq;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

const REQUEST: &str = "CERTIFICATE REQUEST";
pub const CERTIFICATE: &str = "CERTIFICATE";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const RSA_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| rustls::crypto::ring::default_provider().signature_verification_algorithms);

/// One block of a PEM text.
struct Block<'a> {
    label: &'a str,
    headers: bool,
    der: Vec<u8>,
}

/// The blocks that can be read; what is around them does not matter.
fn blocks(mut text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    while let Some((_, rest)) = text.split_once(BEGIN) {
        text = rest;
        let Some((label, body)) = rest.split_once(DASHES) else { break };
        let Some((body, after)) = body.split_once(&format!("{END}{label}{DASHES}")) else { continue };
        let (headers, data): (Vec<&str>, Vec<&str>) = body.lines().partition(|line| line.contains(':'));
        let data: String = data.concat().split_whitespace().collect();
        if let Ok(der) = STANDARD.decode(data) {
            blocks.push(Block { label, headers: !headers.is_empty(), der });
            text = after;
        }
    }
    blocks
}

/// The request in a PEM text, which must be signed by the key that it is about: whoever made it holds that key.
pub fn parse_request(pem: &[u8]) -> Result<CertReq, String> {
    let text = String::from_utf8_lossy(pem);
    let first = blocks(&text).into_iter().next().filter(|block| block.label == REQUEST);
    let block = first.ok_or_else(|| format!("PEM block type must be {REQUEST}"))?;
    let request = CertReq::from_der(&block.der).map_err(|error| error.to_string())?;
    verify_signature(&request)?;
    Ok(request)
}

fn verify_signature(request: &CertReq) -> Result<(), String> {
    let bad = |error: der::Error| error.to_string();
    let message = request.info.to_der().map_err(bad)?;
    let key = &request.info.public_key;
    let known = known(key, &algorithm_id(&request.algorithm).map_err(bad)?);
    let known = known.ok_or("x509: cannot verify signature: algorithm unimplemented")?;
    let verified = known.verify_signature(key.subject_public_key.raw_bytes(), &message, request.signature.raw_bytes());
    verified.map_err(|_| failure(key.algorithm.oid).to_owned())
}

/// What verifies signatures by a key that are made by an algorithm, if there is such a thing.
fn known(key: &SubjectPublicKeyInfoOwned, algorithm: &[u8]) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let of_key = algorithm_id(&key.algorithm).ok()?;
    let fits = |known: &&&dyn SignatureVerificationAlgorithm| {
        *known.public_key_alg_id() == *of_key && *known.signature_alg_id() == *algorithm
    };
    ALGORITHMS.all.iter().find(fits).copied()
}

fn failure(key: ObjectIdentifier) -> &'static str {
    match key {
        RSA_KEY => "crypto/rsa: verification error",
        ED25519 => "x509: Ed25519 verification failure",
        _ => "x509: ECDSA verification failure",
    }
}

/// The contents of the algorithm's encoding, without its header.
fn algorithm_id(algorithm: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, der::Error> {
    let encoded = Any::from_der(&algorithm.to_der()?)?;
    Ok(encoded.value().to_vec())
}

/// What is wrong with a block that is to hold the certificate of an authority.
pub enum Flaw {
    Label(String),
    Headers,
    Unreadable,
    NoAuthority,
}

/// The certificates of authorities in a PEM text, in DER, block by block.
pub fn authorities(pem: &str) -> Vec<Result<Vec<u8>, Flaw>> {
    blocks(pem).into_iter().map(authority).collect()
}

fn authority(block: Block<'_>) -> Result<Vec<u8>, Flaw> {
    if block.label != CERTIFICATE {
        return Err(Flaw::Label(block.label.to_owned()));
    }
    if block.headers {
        return Err(Flaw::Headers);
    }
    let certificate = Certificate::from_der(&block.der).map_err(|_| Flaw::Unreadable)?;
    let constraints =
        certificate.tbs_certificate().get_extension::<BasicConstraints>().map_err(|_| Flaw::Unreadable)?;
    if constraints.is_some_and(|(_, constraints)| constraints.ca) { Ok(block.der) } else { Err(Flaw::NoAuthority) }
}

/// The certificates of a PEM text, that for a key first; nothing stands for a block that holds none.
pub fn chain(pem: &str) -> Vec<(&str, Option<Certificate>)> {
    blocks(pem).into_iter().map(|block| (block.label, Certificate::from_der(&block.der).ok())).collect()
}

/// Whether the signature of a message is that of the key, by an algorithm that ring has.
pub fn verify_by(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: AlgorithmIdentifier,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let verify = |known: &dyn SignatureVerificationAlgorithm| {
        known.verify_signature(key.subject_public_key.raw_bytes(), message, signature)
    };
    known(key, &algorithm).is_some_and(|known| verify(known).is_ok())
}

/// Checks a text that is to hold certificates and nothing else in PEM.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(pem);
    let blocks = blocks(&text);
    if blocks.is_empty() {
        return Err(format!("must contain at least one {CERTIFICATE} PEM block"));
    }
    blocks.iter().try_for_each(|block| match block {
        Block { label, .. } if *label != CERTIFICATE => {
            Err(format!("only {CERTIFICATE} PEM blocks are allowed, found {label:?}"))
        }
        Block { headers: true, .. } => Err("no PEM block headers are permitted".to_owned()),
        Block { der, .. } if der.is_empty() => Err(format!("found {CERTIFICATE} PEM block containing 0 certificates")),
        Block { der, .. } => Certificate::from_der(der).map(drop).map_err(|error| error.to_string()),
    })
}
