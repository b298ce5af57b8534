//! Admission as writes meet it: in a registry over a memory store.

mod breaker;
mod built_in;
mod credentials;
mod failing_webhooks;
mod mutating_policies;
mod policies;
mod server;
mod webhooks;

use std::sync::Arc;

use admission::{BuiltIn, Options};
use auth::authz::{Escalation, Rbac, Union};
use kinds::KindDef;
use machinery::{ApiError, Object, UserInfo};
use registry::{Config, Context, Entry, Hooks, Identity, Registry};
use serde_json::{Value, json};

pub async fn cluster() -> Registry {
    cluster_of(kinds::all()).await
}

/// One that serves these kinds.
pub async fn cluster_of(kinds: &'static [&'static KindDef]) -> Registry {
    cluster_with(kinds, Options::default()).await
}

/// One whose plugins are configured so.
pub async fn cluster_with(kinds: &'static [&'static KindDef], options: Options) -> Registry {
    let config = Config {
        store: Arc::new(store::Memory::new()),
        kinds,
        transformer: Arc::new(Identity),
        hooks: Hooks::default(),
    };
    let registry = Registry::open(config).await.unwrap();
    let view = Arc::new(registry.clone());
    let rbac = Arc::new(Rbac::new(view.clone()));
    let authorizer = Arc::new(Union::standard(view.clone(), rbac.clone()));
    let escalation = Escalation::new(rbac, authorizer.clone());
    registry.set_admission(Arc::new(BuiltIn::new(view, authorizer, escalation).with_options(options)));
    registry
}

/// The same with the namespace `dev`.
pub async fn cluster_with_namespace() -> Registry {
    let registry = cluster().await;
    create(&registry, "namespaces", "", named("dev")).await.unwrap();
    registry
}

/// `resource` may be followed by its group: `leases.coordination.k8s.io`.
pub fn kind(resource: &str) -> &'static KindDef {
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    kinds::find(group, "v1", resource).unwrap()
}

pub fn administrator() -> Context {
    Context { user: UserInfo::new("root", &[UserInfo::MASTERS]), ..Context::default() }
}

pub async fn create(registry: &Registry, resource: &str, namespace: &str, body: Value) -> Result<Arc<Entry>, ApiError> {
    create_as(registry, &administrator(), kind(resource), namespace, body).await
}

pub async fn create_as(
    registry: &Registry,
    cx: &Context,
    kind: &'static KindDef,
    namespace: &str,
    body: Value,
) -> Result<Arc<Entry>, ApiError> {
    registry.create(cx, kind, namespace, object(body)).await
}

pub fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

pub fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

/// Makes what the cache, from which admission reads, has seen when this returns.
pub async fn set_up(registry: &Registry, resource: &str, namespace: &str, body: Value) {
    let made = create(registry, resource, namespace, body).await.unwrap();
    registry.get(kind(resource), namespace, made.name(), "").await.unwrap();
}
