//! Policy and signing over a real registry with a memory store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auth::authz::{Rbac, Union};
use auth::csr::{self, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER};
use auth::lineage::{CLUSTER, Lineage};
use auth::{Attributes, Authorizer};
use base64::Engine;
use bytes::Bytes;
use machinery::{Object, UserInfo};
use registry::{Config, Context, Hooks, Identity, Registry, TransformError, Transformer, WatchEvent, WatchOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

async fn open() -> Registry {
    open_with(Arc::new(Identity)).await
}

async fn open_with(transformer: Arc<dyn Transformer>) -> Registry {
    let config =
        Config { store: Arc::new(store::Memory::new()), kinds: kinds::all(), transformer, hooks: Hooks::default() };
    Registry::open(config).await.unwrap()
}

fn authorizer(registry: &Registry) -> Arc<dyn Authorizer> {
    let view = Arc::new(registry.clone());
    Arc::new(Union::standard(view.clone(), Arc::new(Rbac::new(view))))
}

fn may(authorizer: &dyn Authorizer, user: &UserInfo, question: &str) -> bool {
    let words: Vec<&str> = question.split(' ').collect();
    let (resource, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (namespace, name) = words[2].split_once('/').unwrap_or((words[2], ""));
    let attributes = Attributes {
        user: user.clone(),
        verb: words[0].to_owned(),
        namespace: namespace.to_owned(),
        api_group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: name.to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    authorizer.authorize(&attributes).allowed()
}

/// Reads the newest of something, which waits until the cache has seen all writes.
async fn settle(registry: &Registry) {
    registry.get(kinds::find("", "v1", "namespaces").unwrap(), "", "kube-system", "").await.unwrap();
}

#[tokio::test]
async fn the_policy_gives_components_what_they_need() {
    let registry = open().await;
    auth::policy::reconcile(&registry).await.unwrap();
    settle(&registry).await;
    let authorizer = authorizer(&registry);
    let scheduler = UserInfo::new("system:kube-scheduler", &[]);
    let controllers = UserInfo::new("system:kube-controller-manager", &[]);
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let root = UserInfo::new("root", &["system:masters"]);
    let jane = UserInfo::new("jane", &[]);
    for (user, question, expected) in [
        (&scheduler, "create pods/binding dev", true),
        (&scheduler, "create pods dev", false),
        (&controllers, "create pods dev", true),
        (&controllers, "update deployments.apps/status dev", true),
        (&controllers, "patch jobs.batch/status dev", true),
        (&controllers, "create endpointslices.discovery.k8s.io dev", true),
        (&controllers, "create roles.rbac.authorization.k8s.io dev", false),
        (&node, "list services ", true),
        (&node, "patch nodes/status /n1", true),
        (&node, "get secrets dev/any", false),
        (&root, "delete anything.example.com dev", true),
        (&jane, "create selfsubjectaccessreviews.authorization.k8s.io ", true),
        (&jane, "list pods dev", false),
    ] {
        assert_eq!(may(&*authorizer, user, question), expected, "{} {question}", user.name);
    }
}

#[tokio::test]
async fn reconciling_twice_writes_nothing_and_repairs_what_was_taken_away() {
    let registry = open().await;
    auth::policy::reconcile(&registry).await.unwrap();
    settle(&registry).await;
    let before = registry.revision();
    auth::policy::reconcile(&registry).await.unwrap();
    settle(&registry).await;
    assert_eq!(registry.revision(), before);

    let kind = kinds::find("rbac.authorization.k8s.io", "v1", "clusterroles").unwrap();
    let cx = Context::default();
    let empty = |role: &mut Object| {
        role.set(&["rules"], json!([]));
        Ok(())
    };
    registry.mutate(&cx, kind, "", "system:kube-scheduler", "", empty).await.unwrap();
    auth::policy::reconcile(&registry).await.unwrap();
    let role = registry.get(kind, "", "system:kube-scheduler", "").await.unwrap().object();
    assert!(!role.list(&["rules"]).is_empty());
}

/// The certificate once the request has one.
async fn certificate(registry: &Registry, name: &str) -> String {
    let kind = kinds::find("certificates.k8s.io", "v1", "certificatesigningrequests").unwrap();
    let mut watch = registry.watch(kind, "", &WatchOptions::default()).await.unwrap();
    loop {
        let Some(WatchEvent::Added(entry) | WatchEvent::Modified(entry)) = watch.next().await else { continue };
        let csr = entry.object();
        let encoded = csr.str(&["status", "certificate"]).to_owned();
        if csr.name() == name && !encoded.is_empty() {
            return String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap();
        }
    }
}

async fn submit(registry: &Registry, name: &str, signer: &str, pem: &str, user: &UserInfo) {
    let kind = kinds::find("certificates.k8s.io", "v1", "certificatesigningrequests").unwrap();
    let mut csr = csr::object(name, signer, pem);
    csr.set(&["spec", "username"], user.name.clone());
    csr.set(&["spec", "groups"], json!(user.groups));
    let cx = Context { user: user.clone(), ..Context::default() };
    registry.create(&cx, kind, "", csr).await.unwrap();
}

/// Begins to approve and sign by the default roles and a new authority, whose files are in the directory.
async fn sign(registry: &Registry) -> (tempfile::TempDir, JoinHandle<()>) {
    auth::policy::reconcile(registry).await.unwrap();
    settle(registry).await;
    let directory = tempfile::tempdir().unwrap();
    let authority = Lineage::open(directory.path(), CLUSTER).unwrap();
    let signer = tokio::spawn(csr::run::run(registry.clone(), authority, authorizer(registry)));
    (directory, signer)
}

#[tokio::test]
async fn a_machine_joins_by_signing_requests() {
    let registry = open().await;
    let (_directory, signer) = sign(&registry).await;
    let (pem, _) = csr::new_request(&csr::node_client_spec("n1")).unwrap();
    let joining = UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]);
    submit(&registry, "client", KUBELET_CLIENT_SIGNER, &pem, &joining).await;
    assert!(certificate(&registry, "client").await.starts_with("-----BEGIN CERTIFICATE-----"));

    // The serving certificate waits until the node has registered with its addresses.
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let spec = csr::node_serving_spec("n1", vec!["10.0.0.1".parse().unwrap()]);
    let (pem, _) = csr::new_request(&spec).unwrap();
    submit(&registry, "serving", KUBELET_SERVING_SIGNER, &pem, &node).await;
    let nodes = kinds::find("", "v1", "nodes").unwrap();
    let body: Value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    let cx = Context { user: node, ..Context::default() };
    registry.create(&cx, nodes, "", Object::from_value(body).unwrap()).await.unwrap();
    let addressed = |node: &mut Object| {
        node.set(&["status", "addresses"], json!([{"type": "InternalIP", "address": "10.0.0.1"}]));
        Ok(())
    };
    registry.mutate(&cx, nodes, "", "n1", "status", addressed).await.unwrap();
    assert!(certificate(&registry, "serving").await.starts_with("-----BEGIN CERTIFICATE-----"));
    signer.abort();
}

/// Does not let the first approval of a request be written.
#[derive(Default)]
struct RefusesOnce(AtomicBool);

impl Transformer for RefusesOnce {
    fn to_storage(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError> {
        let approval = value.windows(8).any(|word| word == b"Approved");
        let refused = approval && !self.0.swap(true, Ordering::Relaxed);
        if refused { Err(TransformError::Encrypt { key: key.to_owned() }) } else { Ok(value) }
    }

    fn from_storage(&self, _: &str, stored: Bytes) -> Result<Bytes, TransformError> {
        Ok(stored)
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_to_a_request_is_tried_again() {
    let refuses = Arc::new(RefusesOnce::default());
    let registry = open_with(refuses.clone()).await;
    let (_directory, signer) = sign(&registry).await;
    let (pem, _) = csr::new_request(&csr::node_client_spec("n1")).unwrap();
    let joining = UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]);
    submit(&registry, "client", KUBELET_CLIENT_SIGNER, &pem, &joining).await;
    certificate(&registry, "client").await;
    assert!(refuses.0.load(Ordering::Relaxed), "it was refused first");
    signer.abort();
}
