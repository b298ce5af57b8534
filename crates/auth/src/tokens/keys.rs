//! Keys that sign tokens of service accounts, and those that are believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use jsonwebtoken::EncodingKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use p521::ecdsa::signature::Signer as _;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};
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
    key: Signer,
    pub(super) public: PublicKey,
}

enum Signer {
    P521(Box<p521::ecdsa::SigningKey>),
    Other(EncodingKey),
}

impl SigningKey {
    /// RSA, or ECDSA over P-256, P-384 or P-521, in PEM: PKCS#8, PKCS#1 or SEC1.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let (section, der) = sections(text)?.into_iter().next().ok_or_else(none)?;
        let private = Private::read(section, &der)?.ok_or_else(none)?;
        let public = of_spki(&private.public()?)?;
        let ec = |pem: &str| EncodingKey::from_ec_pem(pem.as_bytes()).map(Signer::Other).map_err(unreadable);
        let key = match private {
            Private::Rsa(_) => Signer::Other(EncodingKey::from_rsa_pem(text.as_bytes()).map_err(unreadable)?),
            Private::P256(key) => ec(&key.to_pkcs8_pem(Default::default()).map_err(unreadable)?)?,
            Private::P384(key) => ec(&key.to_pkcs8_pem(Default::default()).map_err(unreadable)?)?,
            Private::P521(key) => Signer::P521(Box::new(p521::ecdsa::SigningKey::from(&key))),
        };
        Ok(Self { key, public })
    }

    /// The signature as tokens carry it.
    pub(super) fn sign(&self, message: &str) -> Result<String, Error> {
        match &self.key {
            Signer::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign(message.as_bytes());
                Ok(URL_SAFE_NO_PAD.encode(signature.to_bytes()))
            }
            Signer::Other(key) => {
                let algorithm = self.public.algorithm().parse().map_err(unreadable)?;
                jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).map_err(unreadable)
            }
        }
    }
}

/// A private key of a kind that may sign.
enum Private {
    Rsa(Box<rsa::RsaPrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
}

impl Private {
    /// Nothing where a section of PEM holds no private key.
    fn read(section: SectionKind, der: &[u8]) -> Result<Option<Self>, Error> {
        let rsa = match section {
            SectionKind::RsaPrivateKey => rsa::RsaPrivateKey::from_pkcs1_der(der).map_err(unreadable),
            SectionKind::PrivateKey => rsa::RsaPrivateKey::from_pkcs8_der(der).map_err(unreadable),
            SectionKind::EcPrivateKey => Err(none()),
            _ => return Ok(None),
        };
        // Lengths tell the curves apart where nothing else does.
        let key = match section {
            SectionKind::EcPrivateKey => p256::SecretKey::from_sec1_der(der)
                .map(Self::P256)
                .or_else(|_| p384::SecretKey::from_sec1_der(der).map(Self::P384))
                .or_else(|_| p521::SecretKey::from_sec1_der(der).map(Self::P521))
                .map_err(unreadable),
            _ => p256::SecretKey::from_pkcs8_der(der)
                .map(Self::P256)
                .or_else(|_| p384::SecretKey::from_pkcs8_der(der).map(Self::P384))
                .or_else(|_| p521::SecretKey::from_pkcs8_der(der).map(Self::P521))
                .map_err(unreadable),
        };
        match (rsa, key) {
            (Ok(rsa), _) => Ok(Some(Self::Rsa(Box::new(rsa)))),
            (_, Ok(key)) => Ok(Some(key)),
            (Err(why), Err(_)) if section != SectionKind::EcPrivateKey => Err(why),
            (_, Err(why)) => Err(why),
        }
    }

    /// Its SubjectPublicKeyInfo.
    fn public(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der().map(|key| key.into_vec()).map_err(unreadable),
            Self::P256(key) => key.public_key().to_public_key_der().map(|key| key.into_vec()).map_err(unreadable),
            Self::P384(key) => key.public_key().to_public_key_der().map(|key| key.into_vec()).map_err(unreadable),
            Self::P521(key) => key.public_key().to_public_key_der().map(|key| key.into_vec()).map_err(unreadable),
        }
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
    Ok(match section {
        SectionKind::PublicKey => Some(der.to_vec()),
        SectionKind::Certificate => Some(pki::public_key(&Certificate::from_der(der)?).to_der()?),
        _ => Private::read(section, der)?.map(|key| key.public()).transpose()?,
    })
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
