//! Signatures of JSON web tokens, by the algorithms that upstream allows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use p521::ecdsa::signature::Verifier;
use serde_json::Value;

/// Algorithms that a token may be signed by.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

/// A key of which a JWK tells.
pub struct PublicKey {
    jwk: Value,
    key: Key,
}

enum Key {
    P521(Box<p521::ecdsa::VerifyingKey>),
    Other(DecodingKey),
}

impl PublicKey {
    /// Nothing for a kind of key that is not known here.
    pub fn from_jwk(jwk: Value) -> Option<Self> {
        let key = match (jwk["kty"].as_str()?, jwk["crv"].as_str()) {
            ("EC", Some("P-521")) => Key::P521(Box::new(p521_key(&jwk)?)),
            ("EC" | "RSA", _) => Key::Other(DecodingKey::from_jwk(&serde_json::from_value(jwk.clone()).ok()?).ok()?),
            _ => return None,
        };
        Some(Self { jwk, key })
    }

    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Empty if the JWK names none.
    pub fn id(&self) -> &str {
        self.jwk["kid"].as_str().unwrap_or_default()
    }

    /// The one algorithm that the key is for; empty if the JWK names none.
    pub fn algorithm(&self) -> &str {
        self.jwk["alg"].as_str().unwrap_or_default()
    }

    /// Whether the key signed the token by this algorithm.
    pub fn signed(&self, token: &Token<'_>, algorithm: &str) -> bool {
        let meant = self.algorithm().is_empty() || self.algorithm() == algorithm;
        if !meant || !ALGORITHMS.contains(&algorithm) || self.jwk["use"] == "enc" {
            return false;
        }
        let message = token.signed.as_bytes();
        match &self.key {
            Key::P521(key) => {
                let signature = URL_SAFE_NO_PAD.decode(token.signature).ok();
                let signature = signature.and_then(|bytes| p521::ecdsa::Signature::from_slice(&bytes).ok());
                algorithm == "ES512" && signature.is_some_and(|signature| key.verify(message, &signature).is_ok())
            }
            Key::Other(key) => {
                let verified = algorithm
                    .parse::<Algorithm>()
                    .and_then(|algorithm| jsonwebtoken::crypto::verify(token.signature, message, key, algorithm));
                verified.unwrap_or(false)
            }
        }
    }
}

fn p521_key(jwk: &Value) -> Option<p521::ecdsa::VerifyingKey> {
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
    let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
    p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()
}

/// A token taken apart; nothing in it is to be believed yet.
pub struct Token<'a> {
    pub header: Value,
    pub claims: serde_json::Map<String, Value>,
    /// What the signature is of.
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// Nothing for what does not look like a token.
    pub fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = serde_json::from_slice(&decoded(header)?).ok()?;
        Some(Self { header, claims: serde_json::from_slice(&decoded(claims)?).ok()?, signed, signature })
    }

    pub fn is_from(&self, issuer: &str) -> bool {
        self.claims.get("iss").and_then(Value::as_str) == Some(issuer)
    }

    pub fn algorithm(&self) -> &str {
        self.header["alg"].as_str().unwrap_or_default()
    }

    /// Whether it may be the key by which the token was signed: the one that it names, or any.
    pub fn may_be_signed_by(&self, key: &PublicKey) -> bool {
        self.header["kid"].as_str().is_none_or(|id| id == key.id())
    }
}
