//! That whoever asks for a certificate holds the private key to a public one: a signature over a message.
//!
//! upstream: pkg/apis/certificates/validation (ValidatePodCertificateRequestCreate)

use der::Decode;
use der::oid::ObjectIdentifier;
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs1::der::Decode as _;
use rsa::{Pss, RsaPublicKey};
use rustls::pki_types::{AlgorithmIdentifier, alg_id};
use sha2::Digest;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::contents::verify_by;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// Bits.
const MODULI: [usize; 2] = [3072, 4096];
const DIGEST_BYTES: usize = 32;
const P521_FIELD_BYTES: usize = 66;

/// Why a key or its signature is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    UnreadableKey,
    UnknownKey,
    /// By its name.
    Curve(&'static str),
    /// Of that many bits.
    Modulus(usize),
    Signature,
}

/// Checks a signature of the message by the private key of `key`, a SubjectPublicKeyInfo in DER. What is signed is the
/// message itself with Ed25519, else its SHA-256.
pub fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
    let key = SubjectPublicKeyInfoOwned::from_der(key).map_err(|_| Refusal::UnreadableKey)?;
    let by = |algorithm: AlgorithmIdentifier| {
        verify_by(&key, algorithm, message, signature).then_some(()).ok_or(Refusal::Signature)
    };
    let curve = || key.algorithm.parameters.as_ref().and_then(|named| named.decode_as::<ObjectIdentifier>().ok());
    match key.algorithm.oid {
        ED25519 => by(alg_id::ED25519),
        RSA => verify_rsa(key.subject_public_key.raw_bytes(), message, signature),
        ELLIPTIC => match curve() {
            Some(P256 | P384) => by(alg_id::ECDSA_SHA256),
            Some(P521) => verify_p521(key.subject_public_key.raw_bytes(), message, signature),
            Some(P224) => Err(Refusal::Curve("P-224")),
            _ => Err(Refusal::UnreadableKey),
        },
        _ => Err(Refusal::UnknownKey),
    }
}

fn verify_p521(point: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| Refusal::UnreadableKey)?;
    let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| Refusal::Signature)?;
    let mut digest = [0; P521_FIELD_BYTES];
    digest[P521_FIELD_BYTES - DIGEST_BYTES..].copy_from_slice(&sha2::Sha256::digest(message));
    key.verify_prehash(&digest, &signature).map_err(|_| Refusal::Signature)
}

/// RSASSA-PSS with as much salt as there is room for, which is what Go's library adds, or as much as there is digest.
fn verify_rsa(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
    let parts = rsa::pkcs1::RsaPublicKey::from_der(key).map_err(|_| Refusal::UnreadableKey)?;
    let bytes = parts.modulus.as_bytes().len();
    if !MODULI.contains(&(bytes * 8)) {
        return Err(Refusal::Modulus(bytes * 8));
    }
    let key = RsaPublicKey::from_pkcs1_der(key).map_err(|_| Refusal::UnreadableKey)?;
    let digest = sha2::Sha256::digest(message);
    let with_salt = |bytes| key.verify(Pss::new_with_salt::<rsa::sha2::Sha256>(bytes), &digest, signature).is_ok();
    let verified = with_salt(bytes - DIGEST_BYTES - 2) || with_salt(DIGEST_BYTES);
    verified.then_some(()).ok_or(Refusal::Signature)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// Made by openssl: the kind of a key, the key, and its signature of `uid`.
    const KEYS: &str = include_str!("../../tests/data/possession.txt");

    #[test]
    fn signatures_are_verified_by_the_kind_of_the_key() {
        let bytes = |text: &str| STANDARD.decode(text).unwrap();
        for line in KEYS.lines() {
            let [kind, key, signature] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let verified = |message: &str| verify(&bytes(key), message.as_bytes(), &bytes(signature));
            let expected = match kind {
                "P-224" => [Err(Refusal::Curve("P-224")), Err(Refusal::Curve("P-224"))],
                "RSA-2048" => [Err(Refusal::Modulus(2048)), Err(Refusal::Modulus(2048))],
                "X25519" => [Err(Refusal::UnknownKey), Err(Refusal::UnknownKey)],
                _ => [Ok(()), Err(Refusal::Signature)],
            };
            assert_eq!([verified("uid"), verified("another")], expected, "{kind}");
        }
        assert_eq!(verify(b"key", b"uid", b"signature"), Err(Refusal::UnreadableKey));
    }
}
