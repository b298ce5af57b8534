//! Service account tokens: signed JSON web tokens, bound to an account and often to a pod.

pub mod request;

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use p256::ecdsa::SigningKey;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pki;

/// Who issues the tokens of a cluster whose domain is `cluster.local`. It is the default audience too.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

const KEY_FILE: &str = "service-account.key";

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

/// Signs and verifies the tokens of one cluster.
pub struct TokenIssuer {
    issuer: String,
    key_id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    public: Value,
    /// Claims by the digest of their token: a signature is verified once.
    remembered: Mutex<HashMap<[u8; 32], Claims>>,
}

impl TokenIssuer {
    /// The issuer whose key is in `dir`, made first if it is not there.
    pub fn load_or_create(dir: &Path, issuer: &str) -> Result<Self, pki::Error> {
        let path = dir.join(KEY_FILE);
        if !path.exists() {
            pki::write_private(&path, &pki::key_pem(&pki::generate_key())?)?;
        }
        Self::from_pem(&pki::read(&path)?, issuer)
    }

    /// `key` is a P-256 key as PKCS#8 in PEM.
    pub fn from_pem(key: &str, issuer: &str) -> Result<Self, pki::Error> {
        let pair = SigningKey::from_pkcs8_pem(key)?;
        let point = pair.verifying_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&_>| {
            bytes.map(|bytes: &p256::FieldBytes| URL_SAFE_NO_PAD.encode(bytes)).expect("an uncompressed point has both")
        };
        let (x, y) = (coordinate(point.x()), coordinate(point.y()));
        let public_der =
            pair.verifying_key().to_public_key_der().map_err(|error| pki::Error::Pem(error.to_string()))?;
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(public_der.as_bytes()));
        let jwt = |error: jsonwebtoken::errors::Error| pki::Error::Pem(error.to_string());
        Ok(Self {
            issuer: issuer.to_owned(),
            signing: EncodingKey::from_ec_pem(key.as_bytes()).map_err(jwt)?,
            verifying: DecodingKey::from_ec_components(&x, &y).map_err(jwt)?,
            public: json!({"use": "sig", "kty": "EC", "kid": key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}),
            key_id,
            remembered: Mutex::default(),
        })
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token for a service account that lives for `seconds` from now.
    pub fn mint(&self, private: Private, audiences: Vec<String>, seconds: i64) -> Result<(String, Claims), pki::Error> {
        let now = clock::now().as_second();
        let sub = username(&private.namespace, &private.serviceaccount.name);
        let claims = Claims {
            aud: audiences,
            exp: now + seconds,
            iat: now,
            iss: self.issuer.clone(),
            jti: clock::uuid(),
            kubernetes: private,
            nbf: now,
            sub,
        };
        let header = Header { kid: Some(self.key_id.clone()), typ: None, ..Header::new(Algorithm::ES256) };
        let token = jsonwebtoken::encode(&header, &claims, &self.signing);
        Ok((token.map_err(|error| pki::Error::Pem(error.to_string()))?, claims))
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

    fn decode(&self, token: &str) -> Result<Claims, Invalid> {
        if unverified_issuer(token).as_deref() != Some(&self.issuer) {
            return Err(Invalid::Foreign);
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claims) = self.remembered.lock().get(&digest) {
            return Ok(claims.clone());
        }
        // Times are compared by the caller, who takes the present from `clock`.
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[&self.issuer]);
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation);
        let claims = decoded.map_err(|_| Invalid::Forged)?.claims;
        if claims.sub != username(&claims.kubernetes.namespace, &claims.kubernetes.serviceaccount.name) {
            return Err(Invalid::Forged);
        }
        self.remember(digest, &claims);
        Ok(claims)
    }

    fn remember(&self, digest: [u8; 32], claims: &Claims) {
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, claims.clone());
    }

    /// `/openid/v1/jwks`
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.public]})
    }

    /// `/.well-known/openid-configuration`; `jwks_uri` is where clients reach [`TokenIssuer::jwks`].
    pub fn discovery(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }
}

/// `system:serviceaccount:NAMESPACE:NAME`
pub fn username(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// What the token says of its issuer, not to be believed.
fn unverified_issuer(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["iss"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn issuer() -> TokenIssuer {
        TokenIssuer::from_pem(&pki::key_pem(&pki::generate_key()).unwrap(), ISSUER).unwrap()
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
        let first = TokenIssuer::load_or_create(dir.path(), ISSUER).unwrap();
        let (token, _) = first.mint(private(), audiences("api"), 600).unwrap();
        let second = TokenIssuer::load_or_create(dir.path(), ISSUER).unwrap();
        assert!(second.verify(&token, &audiences("api")).is_ok());
        assert_eq!(first.jwks(), second.jwks());
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn published_keys_verify_tokens() {
        let issuer = issuer();
        let (token, claims) = issuer.mint(private(), audiences("api"), 600).unwrap();
        let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(issuer.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&["api"]);
        assert_eq!(jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap().claims, claims);
    }
}
