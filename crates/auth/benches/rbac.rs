//! How long RBAC takes to decide beside 10,000 bindings, at rest and while bindings change:
//! `cargo bench --package auth`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use auth::authz::Rbac;
use auth::{Attributes, Authorizer};
use machinery::{Object, UserInfo};
use registry::{Config, Context, Hooks, Identity, Registry};
use serde_json::json;

const BINDINGS: usize = 10_000;
const NAMESPACES: usize = 100;
const DECISIONS: usize = 100_000;
/// While bindings change, one does before so many decisions.
const DECISIONS_PER_CHANGE: usize = 20;

#[tokio::main]
async fn main() {
    let config = Config {
        store: Arc::new(store::Memory::new()),
        kinds: kinds::all(),
        transformer: Arc::new(Identity),
        hooks: Hooks::default(),
    };
    let registry = Registry::open(config).await.expect("an empty store opens");
    create(&registry, "clusterroles", role()).await;
    for index in 0..BINDINGS {
        create(&registry, "rolebindings", binding(index)).await;
    }
    let rbac = Rbac::new(Arc::new(registry.clone()));
    decide(&rbac, 0);
    report("at rest", (0..DECISIONS).map(|index| decide(&rbac, index)).collect());
    let mut times = Vec::new();
    for index in 0..DECISIONS {
        if index % DECISIONS_PER_CHANGE == 0 {
            create(&registry, "rolebindings", binding(BINDINGS + index)).await;
        }
        times.push(decide(&rbac, index));
    }
    report("while bindings come", times);
}

fn role() -> Object {
    object(json!({
        "metadata": {"name": "reader"},
        "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}],
    }))
}

fn namespace(index: usize) -> String {
    format!("n{}", index % NAMESPACES)
}

fn binding(index: usize) -> Object {
    object(json!({
        "metadata": {"name": format!("b{index}"), "namespace": namespace(index)},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("u{index}")}],
    }))
}

fn object(value: serde_json::Value) -> Object {
    Object::from_value(value).expect("an object")
}

async fn create(registry: &Registry, resource: &str, object: Object) {
    let kind = kinds::find("rbac.authorization.k8s.io", "v1", resource).expect("it is served");
    let namespace = object.namespace().to_owned();
    registry.create(&Context::default(), kind, &namespace, object).await.expect("it can be made");
}

/// Asks whether somebody who is bound may do what they may, and then what they may not; the longer of the two.
fn decide(rbac: &Rbac, index: usize) -> Duration {
    let ask = |verb: &str, expected: bool| {
        let attributes = Attributes {
            user: UserInfo::new(format!("u{}", index % BINDINGS), &["system:authenticated"]),
            verb: verb.to_owned(),
            namespace: namespace(index),
            resource: "pods".to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        let begun = clock::monotonic();
        let decision = black_box(rbac.authorize(&attributes));
        let took = begun.elapsed();
        assert_eq!(decision.allowed(), expected);
        took
    };
    ask("list", true).max(ask("delete", false))
}

fn report(when: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!(
        "{BINDINGS} bindings, {when}: median {:?}, p99 {:?}, longest {:?}",
        at(50),
        at(99),
        times[times.len() - 1]
    );
}
