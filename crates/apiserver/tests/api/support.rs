//! A server over the memory store, and ways to talk to it.

use std::net::SocketAddr;
use std::sync::Arc;

use apiserver::{Body, Bootstrap, Limits, LocalApi, Server, ServerConfig, Version};
use async_trait::async_trait;
use auth::authn::{AnonymousRequests, HeaderNames, OrAnonymous, Union};
use auth::authz::{Masters, Rbac};
use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use auth::tokens::{Terms, TokenIssuer};
use auth::{Attributes, Authenticator, Authorizer, Credentials, Decision, Refused};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use machinery::UserInfo;
use registry::{Config, Registry};
use serde_json::Value;
use store::Store as _;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

/// Takes a token for a user name; `token-bad` is no good. A certificate makes `certified`.
struct ByToken;

#[async_trait]
impl Authenticator for ByToken {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        if credentials.client_certificate.is_some() {
            return Ok(Some(UserInfo::new("certified", &[UserInfo::MASTERS])));
        }
        match credentials.bearer_token.as_deref() {
            None => Ok(None),
            Some("bad") => Err(Refused("invalid bearer token".to_owned())),
            Some("admin") => Ok(Some(UserInfo::new("admin", &[UserInfo::MASTERS]))),
            Some(name) => Ok(Some(UserInfo::new(name, &[]))),
        }
    }
}

/// Masters may do everything; `reader` may read.
pub struct Readers;

impl Authorizer for Readers {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let reads = matches!(attributes.verb.as_str(), "get" | "list" | "watch");
        match attributes.user.name.as_str() {
            "reader" if reads => Decision::Allow(String::new()),
            _ => Masters.authorize(attributes),
        }
    }
}

pub struct Api {
    pub server: Server,
    pub authority: Authority,
    pub store: Arc<store::Memory>,
}

/// What a test may want to be different.
#[derive(Default)]
pub struct Options {
    pub limits: Limits,
    pub local_apis: Vec<LocalApi>,
    /// As `--runtime-config` takes it.
    pub runtime_config: Vec<String>,
    pub audit: Option<apiserver::Audit>,
    pub tracer: Option<trace::Tracer>,
    pub proxy_client: Option<Arc<Identity>>,
    /// In the place of a memory of its own.
    pub store: Option<Arc<dyn store::Store>>,
}

pub async fn start() -> Api {
    start_with(Options::default()).await
}

pub async fn start_with(options: Options) -> Api {
    start_on(Arc::new(store::Memory::new()), options).await
}

/// A server over a store that may hold something.
pub async fn start_on(store: Arc<store::Memory>, options: Options) -> Api {
    let transformer = Arc::new(registry::Identity);
    let kinds::Selection { served, unserved } = kinds::select(&options.runtime_config).unwrap();
    let hooks = registry::Hooks { unserved: Vec::leak(unserved), ..registry::Hooks::default() };
    let used = options.store.unwrap_or_else(|| store.clone());
    let config = Config { store: used, kinds: Vec::leak(served), transformer, hooks };
    let registry = Registry::open(config).await.unwrap();
    let rbac = Arc::new(Rbac::new(Arc::new(registry.clone())));
    let authority = Authority::create("test-ca").unwrap();
    let keys = tempfile::tempdir().unwrap();
    let server = Server::new(ServerConfig {
        registry,
        identity_headers: HeaderNames::default(),
        authenticator: Arc::new(OrAnonymous {
            known: Union(vec![Arc::new(ByToken)]),
            anonymous: Arc::new(AnonymousRequests::default()),
        }),
        authorizer: Arc::new(Readers),
        rbac,
        tokens: Some(Arc::new(TokenIssuer::load_or_create(keys.path(), Terms::of("https://issuer.test")).unwrap())),
        node_tls: Some(Arc::new(client_tls(&authority, "kube-apiserver-kubelet-client"))),
        proxy_client: options.proxy_client,
        version: Version::default(),
        local_apis: options.local_apis,
        advertised: "192.0.2.1:6443".to_owned(),
        limits: options.limits,
        component_configs: serde_json::json!({"kubescheduler.config.k8s.io": {}}),
        audit: options.audit,
        tracer: options.tracer,
    });
    Api { server, authority, store }
}

fn client_tls(authority: &Authority, user: &str) -> rustls::ClientConfig {
    let (certificate, key) = authority.issue(&LeafSpec::client(user, &[UserInfo::MASTERS])).unwrap();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    tls::client_config(&authority.certificate_pem().unwrap(), Some(identity)).unwrap()
}

/// TLS settings of a server at 127.0.0.1 that asks clients for a certificate of `authority`.
pub fn server_tls(authority: &Authority, required: bool) -> Arc<rustls::ServerConfig> {
    let spec = LeafSpec::server("test", vec!["localhost".to_owned()], vec!["127.0.0.1".parse().unwrap()]);
    let (certificate, key) = authority.issue(&spec).unwrap();
    let ca = authority.certificate_pem().unwrap();
    let clients = if required { ClientAuth::Required(&ca) } else { ClientAuth::Optional(&ca) };
    Arc::new(tls::server_config(Identity::from_pem(&certificate, &key).unwrap(), clients).unwrap())
}

/// A status and a body.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {:?}", self.bytes))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// `409 Conflict: message`
    pub fn problem(&self) -> String {
        let status = self.json();
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", status["code"], text("reason"), text("message"))
    }

    /// The body of an answer that must be this one.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.bytes);
        self.json()
    }
}

pub async fn collect(response: Response<Body>) -> Got {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Got { status: parts.status, headers: parts.headers, bytes }
}

impl Api {
    /// Another server over the same store.
    pub async fn reopened(&self) -> Self {
        start_on(self.store.clone(), Options::default()).await
    }

    /// The newest revision, which the cache may yet have to see.
    pub async fn revision(&self) -> u64 {
        self.store.revision().await.unwrap()
    }

    pub async fn raw(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        self.server.service().oneshot(request).await.unwrap()
    }

    /// A request of the user `admin`, with headers `("name", "value")`.
    pub async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Got {
        let mut request = Request::builder().method(method).uri(uri).header("authorization", "Bearer admin");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        collect(self.raw(request.body(Full::from(Bytes::copy_from_slice(body.as_ref()))).unwrap()).await).await
    }

    pub async fn get(&self, uri: &str) -> Got {
        self.send("GET", uri, &[], "").await
    }

    pub async fn post(&self, uri: &str, body: &Value) -> Got {
        self.send("POST", uri, &[], body.to_string()).await
    }

    pub async fn put(&self, uri: &str, body: &Value) -> Got {
        self.send("PUT", uri, &[], body.to_string()).await
    }

    pub async fn patch(&self, uri: &str, of: &str, body: &Value) -> Got {
        self.send("PATCH", uri, &[("content-type", of)], body.to_string()).await
    }

    pub async fn delete(&self, uri: &str) -> Got {
        self.send("DELETE", uri, &[], "").await
    }

    pub async fn as_user(&self, token: &str, method: &str, uri: &str) -> Got {
        let mut request = Request::builder().method(method).uri(uri);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        collect(self.raw(request.body(Full::default()).unwrap()).await).await
    }

    /// Namespaces and what else a cluster starts with.
    pub async fn bootstrapped(self) -> Self {
        apiserver::bootstrap(self.server.registry(), &self.bootstrap("host", "192.0.2.1")).await.unwrap();
        self
    }

    pub fn bootstrap(&self, host: &str, address: &str) -> Bootstrap {
        Bootstrap {
            address: address.parse().unwrap(),
            port: 6443,
            service_port: 443,
            client_ca: self.authority.certificate_pem().unwrap(),
            host: host.to_owned(),
            proxies: None,
        }
    }

    /// Serves TLS on a free port of loopback until the guard is dropped.
    pub async fn listen(&self) -> (SocketAddr, DropGuard) {
        self.listen_with(Some(server_tls(&self.authority, false))).await
    }

    /// The same without TLS.
    pub async fn listen_plain(&self) -> (SocketAddr, DropGuard) {
        self.listen_with(None).await
    }

    async fn listen_with(&self, tls: Option<Arc<rustls::ServerConfig>>) -> (SocketAddr, DropGuard) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, shutdown) = (self.server.clone(), CancellationToken::new());
        let stop = shutdown.clone();
        tokio::spawn(async move { server.serve(listener, tls, stop).await.unwrap() });
        (address, shutdown.drop_guard())
    }
}
