//! Service account tokens: signed JSON web tokens, bound to an account and often to a pod.

mod keys;
pub mod legacy;
pub mod request;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::jwt::{PublicKey, Token};
use crate::lineage::{Generation, SERVICE_ACCOUNTS};
use crate::pki;
pub use keys::{SigningKey, public_keys};

/// Who issues the tokens of a cluster whose domain is `cluster.local`. It is the default audience too.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Verified tokens remembered at most; the memory starts anew when it is full.
const REMEMBERED_MAX: usize = 4096;

/// What a token claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub aud: Vec<String>,
    /// Seconds since 1970, as are the other times.
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    /// The token's own id.
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Private,
    pub nbf: i64,
    pub sub: String,
}

impl Claims {
    /// How the token is named in audit logs.
    pub fn credential_id(&self) -> String {
        format!("JTI={}", self.jti)
    }
}

/// The claims that are Kubernetes' own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
    /// From when on, in seconds since 1970, who shows the token should have read a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object that must exist, with this uid, for the token to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    pub uid: String,
}

/// Why a token does not hold. None of the texts holds any part of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a token of this issuer at all: another authenticator may know it.
    #[error("not a token of this issuer")]
    Foreign,
    #[error("invalid signature or claims")]
    Forged,
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    NotYet,
    #[error("token audiences {0:?} is invalid for the target audiences {1:?}")]
    Audience(Vec<String>, Vec<String>),
}

/// Whom tokens are from and for, and how long they hold.
#[derive(Clone, Debug)]
pub struct Terms {
    /// At least one. The first issues, all are believed.
    pub issuers: Vec<String>,
    /// What tokens name that are for the API server.
    pub audiences: Vec<String>,
    /// Where others find the keys, if not at this server.
    pub jwks_uri: Option<String>,
    /// The longest life of a token that is asked for.
    pub max_seconds: Option<i64>,
    /// Whether tokens that pods are given hold for a year, for programs that do not read them again.
    pub extended: bool,
}

impl Terms {
    /// Those of one issuer whose name is the API server's too.
    pub fn of(issuer: &str) -> Self {
        let issuers = vec![issuer.to_owned()];
        Self { audiences: issuers.clone(), issuers, jwks_uri: None, max_seconds: None, extended: true }
    }
}

/// Signs and verifies the tokens of one cluster.
pub struct TokenIssuer {
    terms: Terms,
    keys: ArcSwap<Keys>,
}

/// Keys of one time.
struct Keys {
    signing: SigningKey,
    /// Those that are believed besides.
    others: Vec<PublicKey>,
    /// Claims by the digest of their token: a signature is verified once.
    remembered: Mutex<HashMap<[u8; 32], Claims>>,
}

impl Keys {
    fn new(signing: SigningKey, mut others: Vec<PublicKey>) -> Self {
        others.retain(|key| key.id() != signing.public.id());
        Self { signing, others, remembered: Mutex::default() }
    }

    fn signed(&self, token: &Token<'_>) -> bool {
        let mut candidates = self.public().filter(|key| token.may_be_signed_by(key));
        candidates.any(|key| key.signed(token, token.algorithm()))
    }

    /// The one that signs first.
    fn public(&self) -> impl Iterator<Item = &PublicKey> {
        std::iter::once(&self.signing.public).chain(&self.others)
    }
}

impl TokenIssuer {
    /// The issuer whose key is in `dir`, made first if it is not there.
    pub fn load_or_create(dir: &Path, terms: Terms) -> Result<Self, pki::Error> {
        let generation = SERVICE_ACCOUNTS.load(dir)?;
        let made = Self::from_pem(generation.signer().key_pem(), terms)?;
        made.follow(&generation, &[])?;
        Ok(made)
    }

    /// `key` signs.
    pub fn from_pem(key: &str, terms: Terms) -> Result<Self, pki::Error> {
        Ok(Self::new(SigningKey::from_pem(key)?, Vec::new(), terms))
    }

    /// `others` are believed besides the key that signs.
    pub fn new(signing: SigningKey, others: Vec<PublicKey>, terms: Terms) -> Self {
        Self { terms, keys: ArcSwap::from_pointee(Keys::new(signing, others)) }
    }

    /// Signs as this generation does, and believes all whom it trusts, and the keys of `more`: PEM.
    pub fn follow(&self, generation: &Generation, more: &[String]) -> Result<(), pki::Error> {
        let signing = SigningKey::from_pem(generation.signer().key_pem())?;
        let mut others = generation.others().map(keys::of_certificate).collect::<Result<Vec<_>, _>>()?;
        for text in more {
            others.extend(public_keys(text)?);
        }
        self.keys.store(Arc::new(Keys::new(signing, others)));
        Ok(())
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// A token for a service account that lives for `seconds` from now.
    pub fn mint(&self, private: Private, audiences: Vec<String>, seconds: i64) -> Result<(String, Claims), pki::Error> {
        let now = clock::now().as_second();
        let sub = username(&private.namespace, &private.serviceaccount.name);
        let claims = Claims {
            aud: audiences,
            exp: now + seconds,
            iat: now,
            iss: self.terms.issuers[0].clone(),
            jti: clock::uuid(),
            kubernetes: private,
            nbf: now,
            sub,
        };
        Ok((self.sign(&claims)?, claims))
    }

    /// A token that lies in a Secret.
    pub fn mint_legacy(&self, claims: &legacy::Claims) -> Result<String, pki::Error> {
        self.sign(claims)
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, pki::Error> {
        let signing = &self.keys.load().signing;
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": signing.public.algorithm(), "kid": signing.public.id()});
        let claims = serde_json::to_value(claims).map_err(|error| pki::Error::Pem(error.to_string()))?;
        let message = format!("{}.{}", part(header), part(claims));
        let signature = signing.sign(&message)?;
        Ok(format!("{message}.{signature}"))
    }

    /// The claims of a token that this issuer signed, that is valid now and meant for one of `audiences`.
    /// Whether what it is bound to still exists is for the caller to look up.
    pub fn verify(&self, token: &str, audiences: &[String]) -> Result<Claims, Invalid> {
        let claims = self.decode(token)?;
        let now = clock::now().as_second();
        if now >= claims.exp {
            return Err(Invalid::Expired);
        }
        if now < claims.nbf {
            return Err(Invalid::NotYet);
        }
        if !claims.aud.iter().any(|of| audiences.contains(of)) {
            return Err(Invalid::Audience(claims.aud, audiences.to_vec()));
        }
        Ok(claims)
    }

    /// The claims of a token that lies in a Secret. Whether it still does is for the caller to look up.
    pub(crate) fn verify_legacy(&self, text: &str) -> Result<legacy::Claims, Invalid> {
        let token = Token::read(text).filter(|token| token.is_from(legacy::ISSUER)).ok_or(Invalid::Foreign)?;
        if !self.keys.load().signed(&token) {
            return Err(Invalid::Forged);
        }
        serde_json::from_value(Value::Object(token.claims)).map_err(|_| Invalid::Forged)
    }

    fn decode(&self, text: &str) -> Result<Claims, Invalid> {
        let token = Token::read(text).filter(|token| self.issued(token)).ok_or(Invalid::Foreign)?;
        let keys = self.keys.load();
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some(claims) = keys.remembered.lock().get(&digest) {
            return Ok(claims.clone());
        }
        if !keys.signed(&token) {
            return Err(Invalid::Forged);
        }
        let claims: Claims = serde_json::from_value(Value::Object(token.claims)).map_err(|_| Invalid::Forged)?;
        if claims.sub != username(&claims.kubernetes.namespace, &claims.kubernetes.serviceaccount.name) {
            return Err(Invalid::Forged);
        }
        let mut remembered = keys.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, claims.clone());
        Ok(claims)
    }

    fn issued(&self, token: &Token<'_>) -> bool {
        self.terms.issuers.iter().any(|issuer| token.is_from(issuer))
    }

    /// `/openid/v1/jwks`
    pub fn jwks(&self) -> Value {
        json!({"keys": self.keys.load().public().map(PublicKey::jwk).collect::<Vec<_>>()})
    }

    /// Whether others may learn by OpenID Connect how tokens are verified.
    pub fn is_discoverable(&self) -> bool {
        let issuer = &self.terms.issuers[0];
        issuer.starts_with("https://") && !issuer.contains(['?', '#'])
    }

    /// `/.well-known/openid-configuration`; clients reach [`TokenIssuer::jwks`] at `here` unless the terms say where.
    pub fn discovery(&self, here: &str) -> Value {
        let keys = self.keys.load();
        let algorithms: BTreeSet<&str> = keys.public().map(PublicKey::algorithm).collect();
        json!({
            "issuer": self.terms.issuers[0],
            "jwks_uri": self.terms.jwks_uri.as_deref().unwrap_or(here),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })
    }
}

/// `system:serviceaccount:NAMESPACE:NAME`
pub fn username(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use p256::pkcs8::EncodePrivateKey as _;
    use rsa::pkcs8::EncodePrivateKey as _;

    use super::*;

    fn issuer() -> TokenIssuer {
        TokenIssuer::from_pem(&pki::key_pem(&pki::generate_key()).unwrap(), Terms::of(ISSUER)).unwrap()
    }

    fn private() -> Private {
        Private {
            namespace: "dev".to_owned(),
            serviceaccount: Reference { name: "bot".to_owned(), uid: "u1".to_owned() },
            ..Private::default()
        }
    }

    fn audiences(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    #[test]
    fn a_token_says_who_signed_it_for_whom() {
        let issuer = issuer();
        let (token, minted) = issuer.mint(private(), audiences("api"), 600).unwrap();
        let claims = issuer.verify(&token, &audiences("api")).unwrap();
        assert_eq!(claims, minted);
        assert_eq!((claims.sub.as_str(), claims.exp - claims.iat), ("system:serviceaccount:dev:bot", 600));
        assert_eq!(issuer.verify(&token, &audiences("api")), Ok(claims), "from memory");
        let body: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
        assert_eq!(body["kubernetes.io"], json!({"namespace": "dev", "serviceaccount": {"name": "bot", "uid": "u1"}}));
    }

    #[test]
    fn forged_foreign_and_misdirected_tokens_fail() {
        let issuer = issuer();
        let (token, _) = issuer.mint(private(), audiences("api"), 600).unwrap();
        let api = audiences("api");
        let (stranger, _) = super::tests::issuer().mint(private(), audiences("api"), 600).unwrap();
        assert_eq!(issuer.verify(&stranger, &api), Err(Invalid::Forged));
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[1]).unwrap()).unwrap();
        claims["sub"] = json!("system:serviceaccount:kube-system:admin");
        parts[1] = URL_SAFE_NO_PAD.encode(claims.to_string());
        assert_eq!(issuer.verify(&parts.join("."), &api), Err(Invalid::Forged));
        parts[0] = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert_eq!(issuer.verify(&parts.join("."), &api), Err(Invalid::Forged));
        assert_eq!(issuer.verify("abcdef.0123456789abcdef", &api), Err(Invalid::Foreign));
        assert!(matches!(issuer.verify(&token, &audiences("other")), Err(Invalid::Audience(..))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_expires() {
        let _guard = clock::simulate(1);
        let issuer = issuer();
        let (token, _) = issuer.mint(private(), audiences("api"), 600).unwrap();
        tokio::time::advance(Duration::from_secs(599)).await;
        assert!(issuer.verify(&token, &audiences("api")).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(issuer.verify(&token, &audiences("api")), Err(Invalid::Expired));
    }

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = TokenIssuer::load_or_create(dir.path(), Terms::of(ISSUER)).unwrap();
        let (token, _) = first.mint(private(), audiences("api"), 600).unwrap();
        let second = TokenIssuer::load_or_create(dir.path(), Terms::of(ISSUER)).unwrap();
        assert!(second.verify(&token, &audiences("api")).is_ok());
        assert_eq!(first.jwks(), second.jwks());
        let mode = std::fs::metadata(dir.path().join("service-account.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn who_is_no_https_url_is_not_discovered() {
        let discoverable = |issuer: &str| {
            let key = pki::key_pem(&pki::generate_key()).unwrap();
            TokenIssuer::from_pem(&key, Terms::of(issuer)).unwrap().is_discoverable()
        };
        assert!(discoverable(ISSUER));
        for issuer in ["me", "http://me.example", "https://me.example?a=b", "https://me.example#a"] {
            assert!(!discoverable(issuer), "{issuer}");
        }
    }

    #[test]
    fn published_keys_verify_tokens() {
        let issuer = issuer();
        let (token, claims) = issuer.mint(private(), audiences("api"), 600).unwrap();
        let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(issuer.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&["api"]);
        assert_eq!(jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap().claims, claims);
    }

    #[test]
    fn tokens_of_a_key_hold_while_it_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let issuer = TokenIssuer::load_or_create(dir.path(), Terms::of(ISSUER)).unwrap();
        let api = audiences("api");
        let key_of = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let ids = || -> Vec<String> {
            let keys = issuer.jwks()["keys"].as_array().cloned().unwrap_or_default();
            keys.iter().map(|key| key["kid"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let (old, _) = issuer.mint(private(), api.clone(), 600).unwrap();
        // Announced, in use, and the old one retired.
        for (known, fresh, old_holds) in [(2, false, true), (2, true, true), (1, true, false)] {
            let (_, generation) = SERVICE_ACCOUNTS.advance(dir.path()).unwrap();
            issuer.follow(&generation, &[]).unwrap();
            let (token, _) = issuer.mint(private(), api.clone(), 600).unwrap();
            assert_eq!(issuer.verify(&old, &api).is_ok(), old_holds);
            assert!(issuer.verify(&token, &api).is_ok());
            assert_eq!((ids().len(), key_of(&token) != key_of(&old)), (known, fresh));
            assert_eq!(ids()[0], key_of(&token), "who signs is told first");
        }
    }

    #[test]
    fn keys_that_upstream_takes_sign_and_are_believed() {
        let rsa = include_str!("../../tests/remote/test-rsa.pem").to_owned();
        let sec1 = p256::SecretKey::from(pki::generate_key()).to_sec1_pem(Default::default()).unwrap().to_string();
        // Some numbers below the order of their curves.
        let (p384, p521) = (p384::SecretKey::from_slice(&[7; 48]), p521::SecretKey::from_slice(&[1; 66]));
        let p384 = p384.unwrap().to_pkcs8_pem(Default::default()).unwrap().to_string();
        let p521 = p521.unwrap().to_pkcs8_pem(Default::default()).unwrap().to_string();
        for (key, algorithm) in [(&rsa, "RS256"), (&sec1, "ES256"), (&p384, "ES384"), (&p521, "ES512")] {
            let signer = TokenIssuer::from_pem(key, Terms::of(ISSUER)).unwrap();
            let (token, _) = signer.mint(private(), audiences("api"), 600).unwrap();
            assert_eq!(Token::read(&token).unwrap().algorithm(), algorithm);
            let own = SigningKey::from_pem(&pki::key_pem(&pki::generate_key()).unwrap()).unwrap();
            let believes = TokenIssuer::new(own, public_keys(key).unwrap(), Terms::of(ISSUER));
            assert!(believes.verify(&token, &audiences("api")).is_ok());
            assert_eq!(signer.discovery("")["id_token_signing_alg_values_supported"], json!([algorithm]));
        }
        let refused = public_keys("").err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some("PEM: data does not contain any valid RSA or ECDSA public keys"));
    }
}
