//! MutatingAdmissionPolicies and their bindings, where they are served.

use auth::csr;
use auth::pki::LeafSpec;
use machinery::{ApiError, Object, UserInfo};
use registry::{Context, Registry};
use serde_json::{Value, json};

use crate::webhooks::rule;
use crate::{administrator, cluster_of, create, create_as, kind, named, set_up};

const GROUP: &str = "admissionregistration.k8s.io";

async fn cluster() -> Registry {
    let kinds = kinds::select(&["admissionregistration.k8s.io/v1beta1=true".to_owned()]).unwrap();
    let registry = cluster_of(Vec::leak(kinds.served)).await;
    create(&registry, "namespaces", "", named("dev")).await.unwrap();
    set_up(&registry, "serviceaccounts", "dev", named("default")).await;
    registry
}

async fn make(registry: &Registry, resource: &str, body: Value) {
    let kind = registry.kinds().find(GROUP, "v1beta1", resource).unwrap();
    let made = create_as(registry, &administrator(), kind, "", body).await.unwrap();
    registry.get(kind, "", made.name(), "").await.unwrap();
}

/// A policy about pods of one mutation, and its binding; `more` is added to the policy.
async fn policy(registry: &Registry, name: &str, mutation: Value, more: Value) {
    let mut spec = json!({
        "matchConstraints": {"resourceRules": [rule("CREATE /v1/pods")]},
        "mutations": [mutation], "reinvocationPolicy": "IfNeeded", "failurePolicy": "Fail",
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    make(registry, "mutatingadmissionpolicies", json!({"metadata": {"name": name}, "spec": spec})).await;
    let binding = json!({"metadata": {"name": format!("{name}-binding")}, "spec": {"policyName": name}});
    make(registry, "mutatingadmissionpolicybindings", binding).await;
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

async fn pod(registry: &Registry) -> Result<Object, ApiError> {
    let body = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    create(registry, "pods", "dev", body).await.map(|entry| entry.object())
}

#[tokio::test]
async fn configurations_are_laid_over_the_object_and_patches_applied() {
    for (mutation, more, path, expected) in [
        (
            apply("Object{metadata: Object.metadata{labels: {'made': object.metadata.name}}}"),
            json!({}),
            "/metadata/labels",
            json!({"made": "a"}),
        ),
        (
            apply(
                "Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: 'init', image: 'j', restartPolicy: 'Always'}]}}",
            ),
            json!({}),
            "/spec/initContainers/0/restartPolicy",
            json!("Always"),
        ),
        (
            apply(
                "Object{spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, image: 'mirror/' + c.image})}}",
            ),
            json!({}),
            "/spec/containers/0/image",
            json!("mirror/i"),
        ),
        (
            patch("[JSONPatch{op: 'add', path: '/metadata/labels', value: {'from': variables.name}}]"),
            json!({"variables": [{"name": "name", "expression": "namespaceObject.metadata.name"}]}),
            "/metadata/labels",
            json!({"from": "dev"}),
        ),
        (
            patch(
                "[JSONPatch{op: 'test', path: '/metadata/name', value: 'other'}, JSONPatch{op: 'remove', path: '/spec/containers'}]",
            ),
            json!({}),
            "/spec/containers/0/name",
            json!("c"),
        ),
        (
            patch(
                "[JSONPatch{op: 'add', path: '/metadata/labels', value: {}}, JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a.io/b'), value: 'x'}]",
            ),
            json!({}),
            "/metadata/labels",
            json!({"a.io/b": "x"}),
        ),
        (
            apply("Object{metadata: Object.metadata{labels: {'made': 'never'}}}"),
            json!({"matchConditions": [{"name": "never", "expression": "object.metadata.name == 'b'"}]}),
            "/metadata/name",
            json!("a"),
        ),
    ] {
        let registry = cluster().await;
        policy(&registry, "rule", mutation.clone(), more).await;
        let made = pod(&registry).await.unwrap().into_value();
        assert_eq!(made.pointer(path), Some(&expected), "{mutation}");
    }
}

#[tokio::test]
async fn what_can_not_be_applied_refuses_in_upstreams_words() {
    for (mutation, expected) in [
        (
            apply("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', command: ['x']}]}}"),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].command",
        ),
        (
            apply("Object{spec: Object.metadata{labels: {'a': 'b'}}}"),
            "type mismatch: unexpected type name \"Object.metadata\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
        (
            apply("Object{spec: Object.spec{none: 'x'}}"),
            "error applying patch: failed to convert patch object to typed object: .spec.none: field not declared in schema",
        ),
        (
            patch("[JSONPatch{op: 'remove', path: '/metadata/labels/none'}]"),
            "JSON Patch: the server rejected our request due to an error in our request",
        ),
        (
            patch("[JSONPatch{op: 'add', path: '/spec/x', value: object.none.x}]"),
            "expression '[JSONPatch{op: 'add', path: '/spec/x', value: object.none.x}]' resulted in error: no such key: none",
        ),
        (
            patch("[JSONPatch{op: 'replace', path: '/kind', value: 'Secret'}]"),
            "Internal error occurred: expected the patched object to be v1, Kind=Pod, got v1, Kind=Secret",
        ),
    ] {
        let registry = cluster().await;
        policy(&registry, "rule", mutation.clone(), json!({})).await;
        let error = pod(&registry).await.unwrap_err();
        let expected = format!("policy 'rule' with binding 'rule-binding' denied request: {expected}");
        assert_eq!((error.code(), error.message.as_str()), (403, expected.as_str()), "{mutation}");
        assert_eq!(error.status()["reason"], "Invalid");
        let ignoring = cluster().await;
        policy(&ignoring, "rule", mutation, json!({"failurePolicy": "Ignore"})).await;
        pod(&ignoring).await.unwrap();
    }
}

#[tokio::test]
async fn a_policy_is_asked_again_after_a_later_one_changed_the_object() {
    let registry = cluster().await;
    let copies =
        "Object{metadata: Object.metadata{labels: {'seen': has(object.metadata.annotations) ? 'late' : 'early'}}}";
    policy(&registry, "a", apply(copies), json!({})).await;
    policy(&registry, "b", apply("Object{metadata: Object.metadata{annotations: {'x': 'y'}}}"), json!({})).await;
    assert_eq!(pod(&registry).await.unwrap().str(&["metadata", "labels", "seen"]), "late");
    let never = cluster().await;
    policy(&never, "a", apply(copies), json!({"reinvocationPolicy": "Never"})).await;
    policy(&never, "b", apply("Object{metadata: Object.metadata{annotations: {'x': 'y'}}}"), json!({})).await;
    assert_eq!(pod(&never).await.unwrap().str(&["metadata", "labels", "seen"]), "early");
}

#[tokio::test]
async fn nobody_says_for_another_who_asks_for_a_certificate() {
    let registry = cluster().await;
    let path = "CREATE certificates.k8s.io/v1/certificatesigningrequests";
    let forged = patch(
        "[JSONPatch{op: 'add', path: '/spec/username', value: 'root'}, JSONPatch{op: 'add', path: '/spec/groups', value: ['system:masters']}]",
    );
    policy(&registry, "forger", forged, json!({"matchConstraints": {"resourceRules": [rule(path)]}})).await;
    let (pem, _) = csr::new_request(&LeafSpec::client("jane", &[])).unwrap();
    let request = csr::object("a", csr::CLIENT_SIGNER, &pem);
    let (cx, kind) = (
        Context { user: UserInfo::new("jane", &[]), ..Context::default() },
        kind("certificatesigningrequests.certificates.k8s.io"),
    );
    let made = registry.create(&cx, kind, "", request).await.unwrap().object();
    assert_eq!((made.str(&["spec", "username"]), made.list(&["spec", "groups"]).len()), ("jane", 1));
}
