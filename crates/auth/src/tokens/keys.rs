//! Keys that sign tokens of service accounts, and those that are believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use jsonwebtoken::EncodingKey;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::certificate::Certificate;

use crate::jwt::PublicKey;
use crate::pki::{self, Error};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// A key that signs, and the public part of it.
pub struct SigningKey {
    pub(super) key: EncodingKey,
    pub(super) public: PublicKey,
}

impl SigningKey {
    /// RSA or ECDSA over P-256, in PEM: PKCS#8, PKCS#1 or SEC1.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let (section, der) = sections(text)?.into_iter().next().ok_or_else(none)?;
        let public = public_part(section, &der)?.ok_or_else(none)?;
        let public = of_spki(&public)?;
        let key = match public.algorithm() {
            "RS256" => EncodingKey::from_rsa_pem(text.as_bytes()),
            _ => EncodingKey::from_ec_pem(pkcs8(section, &der)?.as_bytes()),
        };
        Ok(Self { key: key.map_err(unreadable)?, public })
    }
}

/// All keys of a PEM text that are public, or have a public part: certificates and private keys do.
/// (upstream: client-go/util/keyutil)
pub fn public_keys(text: &str) -> Result<Vec<PublicKey>, Error> {
    let mut keys = Vec::new();
    for (section, der) in sections(text)? {
        if let Some(public) = public_part(section, &der)? {
            keys.push(of_spki(&public)?);
        }
    }
    if keys.is_empty() { Err(none()) } else { Ok(keys) }
}

/// The key of a certificate.
pub(super) fn of_certificate(certificate: &Certificate) -> Result<PublicKey, Error> {
    of_spki(&pki::public_key(certificate).to_der()?)
}

fn sections(text: &str) -> Result<Vec<(SectionKind, Vec<u8>)>, Error> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(unreadable)
}

fn none() -> Error {
    Error::Pem("data does not contain any valid RSA or ECDSA public keys".to_owned())
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Pem(error.to_string())
}

/// The SubjectPublicKeyInfo of what a section of PEM holds, if it holds a key.
fn public_part(section: SectionKind, der: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let of_rsa = |key: rsa::RsaPrivateKey| {
        rsa::pkcs8::EncodePublicKey::to_public_key_der(&key.to_public_key())
            .map(|key| key.into_vec())
            .map_err(unreadable)
    };
    let of_ec =
        |key: p256::SecretKey| key.public_key().to_public_key_der().map(|key| key.into_vec()).map_err(unreadable);
    let public = match section {
        SectionKind::PublicKey => der.to_vec(),
        SectionKind::Certificate => pki::public_key(&Certificate::from_der(der)?).to_der()?,
        SectionKind::RsaPrivateKey => of_rsa(rsa::RsaPrivateKey::from_pkcs1_der(der).map_err(unreadable)?)?,
        SectionKind::EcPrivateKey => of_ec(p256::SecretKey::from_sec1_der(der).map_err(unreadable)?)?,
        SectionKind::PrivateKey => match p256::SecretKey::from_pkcs8_der(der) {
            Ok(key) => of_ec(key)?,
            Err(_) => {
                let key: Result<rsa::RsaPrivateKey, _> = rsa::pkcs8::DecodePrivateKey::from_pkcs8_der(der);
                of_rsa(key.map_err(unreadable)?)?
            }
        },
        _ => return Ok(None),
    };
    Ok(Some(public))
}

/// An ECDSA key in the one form that tokens can be signed with.
fn pkcs8(section: SectionKind, der: &[u8]) -> Result<String, Error> {
    let key = match section {
        SectionKind::EcPrivateKey => p256::SecretKey::from_sec1_der(der).map_err(unreadable)?,
        _ => p256::SecretKey::from_pkcs8_der(der)?,
    };
    pki::key_pem(&key.into())
}

/// The key as JWKs tell it. Its id is that of upstream. (upstream: pkg/serviceaccount/jwt.go)
fn of_spki(der: &[u8]) -> Result<PublicKey, Error> {
    let info = SubjectPublicKeyInfoOwned::from_der(der)?;
    let bits = info.subject_public_key.raw_bytes();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = if info.algorithm.oid == RSA {
        let key = rsa::RsaPublicKey::from_pkcs1_der(bits).map_err(unreadable)?;
        let (n, e) = (encode(&key.n().to_bytes_be()), encode(&key.e().to_bytes_be()));
        json!({"kty": "RSA", "alg": "RS256", "n": n, "e": e})
    } else {
        let curve = info.algorithm.parameters.as_ref().and_then(|of| of.decode_as::<ObjectIdentifier>().ok());
        let (crv, alg) = match curve {
            Some(P256) => ("P-256", "ES256"),
            Some(P384) => ("P-384", "ES384"),
            Some(P521) => ("P-521", "ES512"),
            _ => return Err(none()),
        };
        // Uncompressed: a byte that says so, and both coordinates.
        let (x, y) = bits.get(1..).unwrap_or_default().split_at(bits.len() / 2);
        json!({"kty": "EC", "alg": alg, "crv": crv, "x": encode(x), "y": encode(y)})
    };
    jwk["use"] = Value::from("sig");
    jwk["kid"] = Value::from(encode(&Sha256::digest(der)));
    PublicKey::from_jwk(jwk).ok_or_else(none)
}
