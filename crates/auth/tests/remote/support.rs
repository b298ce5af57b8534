//! An issuer of tokens, and a place for configurations.

use std::sync::Arc;

use auth::authn::{AnonymousRequests, Configured, Union};
use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use auth::{Authenticator, Credentials, Refused};
use http::Response;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use machinery::UserInfo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use webhook::testing::{self, Answering, Asked, Server};

pub const AUDIENCE: &str = "cluster";

/// Starts a server at 127.0.0.1 that `authority` vouches for.
pub async fn serve(authority: &Authority, answer: impl Fn(Asked) -> Answering + Send + Sync + 'static) -> Server {
    let spec = LeafSpec::server("test", vec![], vec!["127.0.0.1".parse().unwrap()]);
    let (certificate, key) = authority.issue(&spec).unwrap();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let ca = authority.certificate_pem().unwrap();
    testing::serve(tls::server_config(identity, ClientAuth::Optional(&ca)).unwrap(), answer).await
}

pub fn answer(status: u16, body: &Value) -> Answering {
    let response = Response::builder().status(status).body(body.to_string()).unwrap();
    Box::pin(std::future::ready(response))
}

/// A key that signs tokens.
pub struct Signer {
    pub id: String,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Signer {
    /// A new key on a curve.
    pub fn new(id: &str) -> Self {
        let (_, key) = Authority::create("x").unwrap().issue(&LeafSpec::client("x", &[])).unwrap();
        let key = EncodingKey::from_ec_pem(key.as_bytes()).unwrap();
        Self { id: id.to_owned(), key, algorithm: Algorithm::ES256 }
    }

    pub fn rsa(id: &str) -> Self {
        let key = EncodingKey::from_rsa_pem(include_bytes!("test-rsa.pem")).unwrap();
        Self { id: id.to_owned(), key, algorithm: Algorithm::RS256 }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    fn public(&self) -> Value {
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.id.clone());
        json!(key)
    }
}

/// What an issuer says.
#[derive(Default)]
pub struct Says {
    /// Its name, if not its own.
    pub issuer: Option<String>,
    pub keys: Vec<Value>,
    pub down: bool,
    /// How often its keys were asked for.
    pub asked: usize,
    /// Told at `/claims` to who shows the token `secret`.
    pub distributed: String,
}

pub struct TestIssuer {
    pub url: String,
    pub ca: String,
    pub says: Arc<Mutex<Says>>,
    _server: Server,
}

impl TestIssuer {
    pub async fn start(signers: &[&Signer]) -> Self {
        let authority = Authority::create("issuer-ca").unwrap();
        let says = Arc::new(Mutex::new(Says::default()));
        let said = says.clone();
        let server = serve(&authority, move |asked| discovery(&mut said.lock(), &asked)).await;
        let issuer = Self {
            url: format!("https://{}", server.address),
            ca: authority.certificate_pem().unwrap(),
            says,
            _server: server,
        };
        issuer.publish(signers);
        issuer
    }

    /// From now on these are its keys.
    pub fn publish(&self, signers: &[&Signer]) {
        self.says.lock().keys = signers.iter().map(|signer| signer.public()).collect();
    }

    /// Claims of a token that holds for an hour.
    pub fn claims(&self, more: Value) -> Value {
        let now = clock::now().as_second();
        let mut claims = json!({"iss": self.url, "aud": AUDIENCE, "sub": "jane", "iat": now, "exp": now + 3600});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    /// An AuthenticationConfiguration that trusts it, with `rest` beside its `issuer`.
    pub fn configuration(&self, rest: &str) -> String {
        let ca = self.ca.replace('\n', "\n      ");
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: {}\n    \
             audiences: [{AUDIENCE}]\n    certificateAuthority: |\n      {ca}\n{rest}\n",
            self.url
        )
    }
}

fn discovery(says: &mut Says, asked: &Asked) -> Answering {
    let own = format!("https://{}", asked.host);
    match asked.path.as_str() {
        _ if says.down => answer(503, &json!("down")),
        "/.well-known/openid-configuration" | "/elsewhere" => answer(
            200,
            &json!({"issuer": says.issuer.clone().unwrap_or_else(|| own.clone()), "jwks_uri": format!("{own}/keys")}),
        ),
        "/keys" => {
            says.asked += 1;
            let mut keys = says.keys.clone();
            keys.push(json!({"kty": "unheard-of", "kid": "x"}));
            answer(200, &json!({"keys": keys}))
        }
        "/claims" if asked.headers.get("authorization").is_some_and(|of| of == "Bearer secret") => {
            Box::pin(std::future::ready(Response::new(says.distributed.clone())))
        }
        "/claims" => answer(401, &json!("who?")),
        _ => answer(404, &json!("not found")),
    }
}

/// Authenticators of a configuration in a file.
pub struct Fixture {
    pub directory: TempDir,
    pub configured: Arc<Configured>,
    pub anonymous: Arc<AnonymousRequests>,
    union: Union,
}

impl Fixture {
    pub fn new(configuration: &str) -> Self {
        Self::try_new(configuration).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_new(configuration: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authentication.yaml");
        std::fs::write(&path, configuration).unwrap();
        let anonymous = Arc::new(AnonymousRequests::default());
        let own = vec!["https://own.test".to_owned()];
        let configured = Configured::read(&path, own, anonymous.clone()).map_err(|error| error.to_string())?;
        let union = Union(vec![configured.clone()]);
        Ok(Self { directory, configured, anonymous, union })
    }

    pub fn write(&self, configuration: &str) {
        std::fs::write(self.directory.path().join("authentication.yaml"), configuration).unwrap();
    }

    pub async fn user(&self, token: &str) -> Result<UserInfo, String> {
        match self.union.authenticate(&Credentials::token(token)).await {
            Ok(user) => Ok(user.expect("a token is known or refused")),
            Err(Refused(why)) => Err(why),
        }
    }

    /// Asks until the answer is as wanted: what changes is taken over a moment later.
    pub async fn until(&self, token: &str, wanted: impl Fn(&Result<UserInfo, String>) -> bool) {
        loop {
            let answer = self.user(token).await;
            if wanted(&answer) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
