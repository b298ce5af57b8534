//! Webhooks that answer.

use kinds::find;
use machinery::UserInfo;
use registry::{Context, DeleteOptions, ListOptions, Patch, Registry, Target};
use serde_json::{Value, json};

use crate::policies::{BINDINGS, POLICIES};
use crate::server::{Answer, Server};
use crate::{administrator, cluster_with_namespace, create, create_as, kind, named, object, set_up};

pub const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
pub const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

/// A rule by `OPERATIONS GROUP/VERSION/RESOURCES`, each part split at commas.
pub fn rule(text: &str) -> Value {
    let (operations, path) = text.split_once(' ').unwrap();
    let mut parts = path.splitn(3, '/').map(|part| part.split(',').collect::<Vec<_>>());
    let mut next = || parts.next().unwrap();
    let operations: Vec<&str> = operations.split(',').collect();
    json!({"operations": operations, "apiGroups": next(), "apiVersions": next(), "resources": next()})
}

/// A configuration of one webhook; `more` is added to it.
pub fn configuration(name: &str, client: Value, rules: &str, more: Value) -> Value {
    let mut webhook = json!({
        "name": format!("{name}.example.com"), "clientConfig": client, "rules": [rule(rules)],
        "sideEffects": "None", "admissionReviewVersions": ["v1"],
    });
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "webhooks": [webhook]})
}

async fn mutating(registry: &Registry, name: &str, server: &Server, rules: &str, more: Value) {
    set_up(registry, MUTATING, "", configuration(name, server.client_config(), rules, more)).await;
}

async fn validating(registry: &Registry, name: &str, server: &Server, rules: &str, more: Value) {
    set_up(registry, VALIDATING, "", configuration(name, server.client_config(), rules, more)).await;
}

fn add_label(name: &str, value: &str) -> Answer {
    let path = format!("/metadata/labels/{name}");
    Answer::patch(&json!([{"op": "add", "path": path, "value": value}]))
}

fn labelled(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"of": "test"}}})
}

#[tokio::test]
async fn a_webhook_is_shown_the_request_and_changes_the_object() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| add_label("seen", "yes")).await;
    mutating(&registry, "guard", &server, "CREATE /v1/configmaps", json!({})).await;
    let made = create(&registry, "configmaps", "dev", labelled("a")).await.unwrap().object();
    assert_eq!(made.str(&["metadata", "labels", "seen"]), "yes");
    let mut asked = server.asked();
    let mut request = asked.pop().unwrap();
    assert_eq!(asked.len(), 0);
    let kept = |request: &mut Value, field: &str| request[field].take();
    assert_eq!(kept(&mut request, "object")["metadata"]["labels"], json!({"of": "test"}));
    assert_eq!(kept(&mut request, "uid").as_str().map(str::len), Some(36));
    let (kind, resource) = (
        json!({"group": "", "version": "v1", "kind": "ConfigMap"}),
        json!({"group": "", "version": "v1", "resource": "configmaps"}),
    );
    let expected = json!({
        "uid": null, "object": null, "oldObject": null,
        "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
        "name": "a", "namespace": "dev", "operation": "CREATE", "dryRun": false,
        "userInfo": {"username": "root", "groups": ["system:masters", "system:authenticated"]},
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldValidation": "Warn"},
    });
    assert_eq!(request, expected);
}

#[tokio::test]
async fn a_refusal_names_the_webhook() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|request| match request["name"].as_str() {
        Some("bad") => Answer::deny("not today"),
        _ => Answer::allow(),
    })
    .await;
    validating(&registry, "guard", &server, "* */*/*", json!({})).await;
    create(&registry, "configmaps", "dev", named("good")).await.unwrap();
    let error = create(&registry, "configmaps", "dev", named("bad")).await.unwrap_err();
    let message = "admission webhook \"guard.example.com\" denied the request: not today";
    assert_eq!((error.code(), error.message.as_str()), (400, message));
}

#[tokio::test]
async fn connections_are_kept() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| Answer::allow()).await;
    validating(&registry, "guard", &server, "CREATE /v1/configmaps", json!({})).await;
    for name in ["a", "b", "c", "d"] {
        create(&registry, "configmaps", "dev", named(name)).await.unwrap();
    }
    assert_eq!((server.asked().len(), server.connections()), (4, 1));
}

#[tokio::test]
async fn a_webhook_is_reached_through_its_service() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| Answer::deny("by service")).await;
    create(&registry, "namespaces", "", named("shop")).await.unwrap();
    let service = json!({"metadata": {"name": "guard"}, "spec": {"ports": [{"port": 443, "targetPort": 8443}]}});
    set_up(&registry, "services", "shop", service).await;
    let mut client =
        json!({"caBundle": server.authorities, "service": {"namespace": "shop", "name": "guard", "path": "/x"}});
    set_up(&registry, VALIDATING, "", configuration("guard", client.clone(), "CREATE /v1/configmaps", json!({}))).await;
    let attempt = async || create(&registry, "configmaps", "dev", named("a")).await.unwrap_err().message;
    assert_eq!(
        attempt().await,
        "Internal error occurred: failed calling webhook \"guard.example.com\": failed to call webhook: \
         Post \"https://guard.shop.svc:443/x?timeout=10s\": no endpoints available for service \"guard\""
    );
    // Endpoints may not lie on the loopback, where the test's server is; names outside of the cluster may.
    registry.delete(&administrator(), kind("services"), "shop", "guard", &DeleteOptions::default()).await.unwrap();
    let outside = json!({"metadata": {"name": "guard"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    set_up(&registry, "services", "shop", outside).await;
    registry.delete(&administrator(), kind(VALIDATING), "", "guard", &DeleteOptions::default()).await.unwrap();
    client["service"]["port"] = json!(server.port);
    set_up(&registry, VALIDATING, "", configuration("guard", client, "CREATE /v1/configmaps", json!({}))).await;
    assert_eq!(attempt().await, "admission webhook \"guard.example.com\" denied the request: by service");
}

#[tokio::test]
async fn every_operation_has_its_objects() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| Answer::allow()).await;
    mutating(&registry, "guard", &server, "* /v1/configmaps", json!({})).await;
    validating(&registry, "guard", &server, "DELETE /v1/configmaps", json!({})).await;
    let (cx, maps) = (administrator(), kind("configmaps"));
    let seen = |server: &Server| -> Vec<String> {
        let shown = |request: &Value| {
            let data = |field: &str| request[field]["data"]["k"].as_str().unwrap_or("-").to_owned();
            let operation = request["operation"].as_str().unwrap_or_default();
            format!("{operation} {} {} {}", data("object"), data("oldObject"), request["options"]["kind"])
        };
        server.asked().iter().map(shown).collect()
    };
    for name in ["a", "b", "c"] {
        create(&registry, "configmaps", "dev", json!({"metadata": {"name": name}, "data": {"k": "1"}})).await.unwrap();
    }
    assert_eq!(seen(&server), ["CREATE 1 - \"CreateOptions\""; 3]);
    let patch = Patch::Merge(json!({"data": {"k": "2"}}));
    registry.patch(&cx, maps, "dev", "a", Target::Main, &patch).await.unwrap();
    assert_eq!(seen(&server), ["UPDATE 2 1 \"UpdateOptions\""]);
    let options = DeleteOptions { grace_seconds: Some(3), ..DeleteOptions::default() };
    registry.delete(&cx, maps, "dev", "a", &options).await.unwrap();
    assert_eq!(seen(&server), ["DELETE - 2 \"DeleteOptions\""; 2]);
    registry.delete_collection(&cx, maps, "dev", &ListOptions::default(), &options).await.unwrap();
    assert_eq!(seen(&server), ["DELETE - 1 \"DeleteOptions\""; 4]);
}

#[tokio::test]
async fn a_webhook_sees_the_version_that_it_knows() {
    let registry = cluster_with_namespace().await;
    let server =
        Server::start(|_| Answer::patch(&json!([{"op": "replace", "path": "/spec/maxReplicas", "value": 7}]))).await;
    mutating(&registry, "guard", &server, "CREATE autoscaling/v2/horizontalpodautoscalers", json!({})).await;
    let exact = Server::start(|_| Answer::deny("never asked")).await;
    let policy = json!({"matchPolicy": "Exact"});
    validating(&registry, "exact", &exact, "CREATE autoscaling/v2/horizontalpodautoscalers", policy).await;
    let v1 = find("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
    let body = json!({
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
            "maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
        },
    });
    let made = create_as(&registry, &administrator(), v1, "dev", body).await.unwrap().object();
    assert_eq!((made.api_version(), made.int(&["spec", "maxReplicas"])), ("autoscaling/v1", Some(7)));
    assert_eq!(made.int(&["spec", "targetCPUUtilizationPercentage"]), Some(50));
    let request = server.asked().pop().unwrap();
    assert_eq!(request["object"]["apiVersion"], "autoscaling/v2");
    assert_eq!(request["object"]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    assert_eq!((&request["kind"]["version"], &request["requestKind"]["version"]), (&json!("v2"), &json!("v1")));
    assert_eq!(exact.asked().len(), 0);
}

#[tokio::test]
async fn who_was_asked_before_a_change_is_asked_again_if_it_wants_to() {
    let registry = cluster_with_namespace().await;
    let first = Server::start(|request| match request["object"]["metadata"]["labels"]["late"].as_str() {
        Some(_) => add_label("again", "yes"),
        None => Answer::allow(),
    })
    .await;
    let second = Server::start(|_| add_label("late", "yes")).await;
    let never = Server::start(|_| Answer::allow()).await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    mutating(&registry, "a", &first, "CREATE /v1/configmaps", again.clone()).await;
    mutating(&registry, "b", &second, "CREATE /v1/configmaps", again).await;
    mutating(&registry, "c", &never, "CREATE /v1/configmaps", json!({})).await;
    let made = create(&registry, "configmaps", "dev", labelled("a")).await.unwrap().object();
    assert_eq!(made.labels().keys().collect::<Vec<_>>(), ["again", "late", "of"]);
    assert_eq!([first, second, never].map(|server| server.asked().len()), [2, 2, 1]);
}

#[tokio::test]
async fn scales_and_calls_below_objects_are_shown_as_what_they_are() {
    let registry = cluster_with_namespace().await;
    let server =
        Server::start(|_| Answer::patch(&json!([{"op": "replace", "path": "/spec/replicas", "value": 2}]))).await;
    mutating(&registry, "guard", &server, "UPDATE apps/v1/deployments/scale", json!({})).await;
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    });
    create(&registry, "deployments.apps", "dev", deployment).await.unwrap();
    let (cx, kind) = (administrator(), kind("deployments.apps"));
    let scale = object(json!({"metadata": {"name": "web"}, "spec": {"replicas": 9}}));
    registry.update(&cx, kind, "dev", "web", Target::Scale, scale).await.unwrap();
    let made = registry.get(kind, "dev", "web", "").await.unwrap().object();
    assert_eq!(made.int(&["spec", "replicas"]), Some(2));
    let request = server.asked().pop().unwrap();
    assert_eq!(request["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!((&request["subResource"], &request["resource"]["resource"]), (&json!("scale"), &json!("deployments")));
    assert_eq!(
        (&request["object"]["spec"]["replicas"], &request["oldObject"]["spec"]["replicas"]),
        (&json!(9), &json!(1))
    );
}

#[tokio::test]
async fn what_selectors_and_conditions_leave_out_is_not_asked_about() {
    let registry = cluster_with_namespace().await;
    let marked = json!({"metadata": {"name": "marked", "labels": {"guard": "on"}}});
    create(&registry, "namespaces", "", marked).await.unwrap();
    let server = Server::start(|_| Answer::allow()).await;
    let on = json!({"matchLabels": {"guard": "on"}});
    for (name, more, asked) in [
        ("namespace", json!({"namespaceSelector": on}), [false, true, false]),
        ("object", json!({"objectSelector": on}), [false, false, true]),
        (
            "condition",
            json!({"matchConditions": [{"name": "user", "expression": "request.userInfo.username == 'root' && object.metadata.name != 'plain'"}]}),
            [false, true, true],
        ),
        (
            "authorizer",
            json!({"matchConditions": [{"name": "may", "expression": "!authorizer.group('').resource('pods').namespace('dev').check('get').allowed()"}]}),
            [false, false, false],
        ),
    ] {
        validating(&registry, name, &server, "CREATE /v1/configmaps", more).await;
        let objects = [
            ("dev", named("plain")),
            ("marked", named("other")),
            ("dev", json!({"metadata": {"name": "labelled", "labels": {"guard": "on"}}})),
        ];
        for ((namespace, object), asked) in objects.into_iter().zip(asked) {
            let cx = Context { dry_run: true, ..administrator() };
            create_as(&registry, &cx, kind("configmaps"), namespace, object.clone()).await.unwrap();
            assert_eq!(server.asked().len(), usize::from(asked), "{name} {object}");
        }
        registry.delete(&administrator(), kind(VALIDATING), "", name, &DeleteOptions::default()).await.unwrap();
    }
}

#[tokio::test]
async fn what_webhooks_say_is_collected() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| {
        Answer::Response(json!({
            "allowed": true, "warnings": ["mind the gap"], "auditAnnotations": {"rule": "7"},
            "patchType": "JSONPatch", "patch": "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2RhdGEiLCJ2YWx1ZSI6eyJhIjoiYiJ9fV0=",
        }))
    })
    .await;
    mutating(&registry, "guard", &server, "CREATE /v1/configmaps", json!({})).await;
    let cx = Context { user: UserInfo::new("jane", &[]), ..Context::default() };
    create_as(&registry, &cx, kind("configmaps"), "dev", named("a")).await.unwrap();
    assert_eq!(cx.warnings.take(), ["mind the gap"]);
    let annotations = cx.annotations.take();
    let said: Vec<(&str, &str, bool)> =
        annotations.iter().map(|(key, said)| (key.as_str(), said.value.as_str(), said.of_body)).collect();
    let patch = r#"{"configuration":"guard","patch":[{"op":"add","path":"/data","value":{"a":"b"}}],"patchType":"JSONPatch","webhook":"guard.example.com"}"#;
    assert_eq!(
        said,
        [
            ("guard.example.com/rule", "7", false),
            (
                "mutation.webhook.admission.k8s.io/round_0_index_0",
                r#"{"configuration":"guard","mutated":true,"webhook":"guard.example.com"}"#,
                false
            ),
            ("patch.webhook.admission.k8s.io/round_0_index_0", patch, true),
        ]
    );
}

#[tokio::test]
async fn nobody_is_asked_about_the_configurations_themselves() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| Answer::deny("all mine")).await;
    mutating(&registry, "one", &server, "* */*/*", json!({})).await;
    validating(&registry, "two", &server, "* */*/*", json!({})).await;
    let constraints = json!({"resourceRules": [rule("* */*/*")]});
    let spec = json!({"matchConstraints": constraints, "validations": [{"expression": "false"}]});
    set_up(&registry, POLICIES, "", json!({"metadata": {"name": "three"}, "spec": spec})).await;
    let spec = json!({"policyName": "three", "validationActions": ["Deny"]});
    set_up(&registry, BINDINGS, "", json!({"metadata": {"name": "four"}, "spec": spec})).await;
    for (resource, name) in [(MUTATING, "one"), (VALIDATING, "two"), (POLICIES, "three"), (BINDINGS, "four")] {
        registry.delete(&administrator(), kind(resource), "", name, &DeleteOptions::default()).await.unwrap();
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn dry_runs_are_refused_by_webhooks_with_effects() {
    let registry = cluster_with_namespace().await;
    let server = Server::start(|_| Answer::allow()).await;
    let mut effects = configuration("guard", server.client_config(), "CREATE /v1/configmaps", json!({}));
    effects["webhooks"][0]["sideEffects"] = json!("NoneOnDryRun");
    set_up(&registry, VALIDATING, "", effects).await;
    let cx = Context { dry_run: true, ..administrator() };
    create_as(&registry, &cx, kind("configmaps"), "dev", named("a")).await.unwrap();
    assert_eq!(server.asked()[0]["dryRun"], true);
}
