//! An API server wired as the product's, over a store of the test's choice.

use std::sync::Arc;

use apiserver::{Bootstrap, Limits, Server, ServerConfig, Version};
use async_trait::async_trait;
use auth::authn::HeaderNames;
use auth::authz::escalation::Escalation;
use auth::authz::{Rbac, Union};
use auth::tokens::TokenIssuer;
use auth::{Authenticator, Authorizer, Credentials, Refused, View};
use machinery::UserInfo;
use registry::{Config, Registry};
use store::Store;

/// Whoever comes by network is an administrator: TLS has asked for a certificate.
struct Everyone;

#[async_trait]
impl Authenticator for Everyone {
    async fn authenticate(&self, _: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        Ok(Some(UserInfo::new("admin", &[UserInfo::MASTERS])))
    }
}

/// What tests differ in.
pub struct Setup {
    pub store: Arc<dyn Store>,
    /// Without it there are no service account tokens.
    pub tokens: Option<Arc<TokenIssuer>>,
    /// Without it there is no way to nodes' own APIs.
    pub node_tls: Option<Arc<rustls::ClientConfig>>,
    pub client_ca: String,
}

impl Setup {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, tokens: None, node_tls: None, client_ca: String::new() }
    }
}

/// A server with the roles, namespaces and services of a new cluster, and all built-in admission.
///
/// # Panics
/// If the store cannot be used.
pub async fn serve(setup: Setup) -> Server {
    let Setup { store, tokens, node_tls, client_ca } = setup;
    let transformer = Arc::new(registry::Identity);
    let config = Config { store, kinds: kinds::all(), transformer, hooks: registry::Hooks::default() };
    let registry = Registry::open(config).await.expect("the store opens");
    let view: Arc<dyn View> = Arc::new(registry.clone());
    let rbac = Arc::new(Rbac::new(view.clone()));
    let authorizer: Arc<dyn Authorizer> = Arc::new(Union::standard(view.clone(), rbac.clone()));
    let escalation = Escalation::new(rbac.clone(), authorizer.clone());
    registry.set_converter(Arc::new(admission::ConversionWebhooks::new(view.clone())));
    registry.set_admission(Arc::new(admission::BuiltIn::new(view, authorizer.clone(), escalation)));
    let address = "192.0.2.1".parse().expect("an address");
    let bootstrap =
        Bootstrap { address, port: 6443, service_port: 443, client_ca, host: "sim".to_owned(), proxies: None };
    apiserver::bootstrap(&registry, &bootstrap).await.expect("the first objects are made");
    Server::new(ServerConfig {
        rbac,
        registry,
        authenticator: Arc::new(Everyone),
        identity_headers: HeaderNames::default(),
        authorizer,
        tokens,
        node_tls,
        proxy_client: None,
        version: Version::default(),
        local_apis: Vec::new(),
        advertised: "192.0.2.1:6443".to_owned(),
        limits: Limits::default(),
        component_configs: serde_json::Value::Null,
        audit: None,
        tracer: None,
    })
}
