//! Webhooks that hang, answer rubbish or can not be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth::pki::Authority;
use auth::tls::ClientAuth;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use registry::{DeleteOptions, Registry};
use serde_json::{Value, json};
use webhook::testing;

use crate::server::{Answer, Server, tls_of};
use crate::webhooks::configuration;
use crate::{administrator, cluster_with_namespace, create, kind, named, set_up};

const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const CALLING: &str = "Internal error occurred: failed calling webhook \"guard.example.com\": ";

async fn outcome(registry: &Registry, client: Value, more: Value) -> Result<(), String> {
    let mut settings = json!({"timeoutSeconds": 1});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    set_up(registry, MUTATING, "", configuration("guard", client, "CREATE /v1/configmaps", settings)).await;
    create(registry, "configmaps", "dev", named("a")).await.map(drop).map_err(|error| error.message)
}

#[tokio::test]
async fn a_failing_webhook_refuses_or_is_ignored_as_its_policy_says() {
    let patch = |operations: Value| Answer::patch(&operations);
    let huge = "x".repeat(6 << 20);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (answer, why) in [
        (Answer::Never, "context deadline exceeded"),
        (
            Answer::Raw(200, "rubbish".to_owned()),
            "failed to call webhook: couldn't get version/kind; json parse error: ",
        ),
        (Answer::Raw(200, String::new()), "json parse error: EOF"),
        (Answer::Raw(200, huge), "the answer is too large"),
        (Answer::Raw(200, deep), "json parse error: "),
        (Answer::Raw(200, "[]".to_owned()), "failed to call webhook: "),
        (Answer::Raw(200, json!({"response": {"allowed": true, "uid": "x"}}).to_string()), "expected response.uid="),
        (
            Answer::Response(json!({"allowed": true, "patch": "W3t9XQ==", "patchType": "Merge"})),
            "unsupported patch type",
        ),
        (
            Answer::Raw(500, "broken".to_owned()),
            "failed to call webhook: an error on the server (\"broken\") has prevented the request from succeeding",
        ),
        (Answer::Raw(404, String::new()), "failed to call webhook: the server could not find the requested resource"),
        (Answer::Raw(301, String::new()), "failed to call webhook: the server responded with the status code 301"),
        (
            Answer::Raw(200, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string()),
            "received invalid webhook response: webhook response was absent",
        ),
        (
            Answer::Response(json!({"allowed": true, "patch": "%%", "patchType": "JSONPatch"})),
            "failed to call webhook: ",
        ),
    ] {
        for (policy, passes) in [("Fail", false), ("Ignore", true)] {
            let (registry, answer) = (cluster_with_namespace().await, answer.clone());
            let server = Server::start(move |_| answer.clone()).await;
            let outcome = outcome(&registry, server.client_config(), json!({"failurePolicy": policy})).await;
            match outcome {
                Ok(()) => assert!(passes, "{why}"),
                Err(text) => assert!(!passes && text.starts_with(CALLING) && text.contains(why), "{text}\n{why}"),
            }
        }
    }
    let doubles = |_| json!({"op": "copy", "from": "/data", "path": "/data/x"});
    let mut growing = vec![json!({"op": "add", "path": "/data", "value": {"k": "v".repeat(64)}})];
    growing.extend((0..40).map(doubles));
    let growing = Value::Array(growing);
    // What a patch does wrong is no failure of the call, and is never ignored.
    for (operations, why) in [
        (json!([{"op": "remove", "path": "/metadata/labels/none"}]), "Internal error occurred: "),
        (json!([{"op": "add", "path": "/data", "value": []}]), "Internal error occurred: "),
        (json!([{"op": "replace", "path": "/kind", "value": "Secret"}]), "expected the patched object to be"),
        (json!([{"op": "replace", "path": "", "value": 1}]), "Internal error occurred: "),
        (json!([{"op": "add", "path": "/metadata/finalizers/7", "value": "a.io/b"}]), "Internal error occurred: "),
        (json!([{"op": "test", "path": "/metadata/name", "value": "b"}]), "Internal error occurred: "),
        (json!([{"op": "move", "from": "/metadata", "path": "/metadata/x"}]), "Internal error occurred: "),
        (json!([{"op": "destroy", "path": "/data"}]), "Internal error occurred: "),
        (json!(["add"]), "Internal error occurred: "),
        (growing, "Internal error occurred: "),
        (json!([{"op": "add", "path": "/metadata/finalizers", "value": ["not qualified"]}]), "metadata.finalizers"),
        (
            json!([{"op": "replace", "path": "/metadata/namespace", "value": "prod"}]),
            "the namespace of the provided object",
        ),
    ] {
        let (registry, answer) = (cluster_with_namespace().await, patch(operations.clone()));
        let server = Server::start(move |_| answer.clone()).await;
        let text = outcome(&registry, server.client_config(), json!({"failurePolicy": "Ignore"})).await.unwrap_err();
        assert!(text.contains(why), "{operations}: {text}");
    }
}

#[tokio::test]
async fn an_unreachable_webhook_says_how_it_was_called() {
    let server = Server::start(|_| Answer::allow()).await;
    let stranger = Server::start(|_| Answer::allow()).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let post = |port: u16| format!("failed to call webhook: Post \"https://localhost:{port}/check?timeout=1s\": ");
    let client = |url: String, bundle: &str| json!({"url": url, "caBundle": bundle});
    for (client, why) in [
        (
            client(format!("https://localhost:{closed}/check"), &server.authorities),
            post(closed) + "dial tcp localhost:",
        ),
        (
            client(format!("https://localhost:{}/check", server.port), &stranger.authorities),
            post(server.port) + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            client(format!("https://127.0.0.2:{}", server.port), &server.authorities),
            "failed to call webhook: Post ".to_owned(),
        ),
        (
            client("https://localhost".to_owned(), "bm8="),
            "could not get REST client: unable to load root certificates".to_owned(),
        ),
    ] {
        let registry = cluster_with_namespace().await;
        let text = outcome(&registry, client, json!({})).await.unwrap_err();
        assert!(text.starts_with(&format!("{CALLING}{why}")), "{text}");
    }
}

#[tokio::test]
async fn a_condition_that_fails_or_costs_too_much_is_decided_by_the_failure_policy() {
    let broken = "object.spec.nothing == 'x'";
    let endless = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20].all(a, [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20].all(b, \
                   [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20].all(c, [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20].all(d, \
                   a * b * c * d > 0))))";
    let server = Server::start(|_| Answer::allow()).await;
    for (expression, why) in [
        (
            broken,
            "configmaps \"a\" is forbidden: expression 'object.spec.nothing == 'x'' resulted in error: no such key: spec",
        ),
        (endless, "operation cancelled: actual cost limit exceeded"),
    ] {
        for policy in ["Fail", "Ignore"] {
            let registry = cluster_with_namespace().await;
            let conditions = json!([{"name": "c", "expression": expression}]);
            let more = json!({"failurePolicy": policy, "matchConditions": conditions});
            match outcome(&registry, server.client_config(), more).await {
                Ok(()) => assert_eq!(policy, "Ignore"),
                Err(text) => assert!(policy == "Fail" && text.contains(why), "{text}\n{why}"),
            }
            assert_eq!(server.asked().len(), 0, "{expression}");
        }
    }
}

#[tokio::test]
async fn a_webhook_that_sets_itself_off_ends_with_its_timeout() {
    let registry = cluster_with_namespace().await;
    let (within, asked) = (registry.clone(), Arc::new(AtomicUsize::new(0)));
    let (authority, count) = (Authority::create("webhooks").unwrap(), asked.clone());
    // Before it answers it has another made of what it is asked about.
    let server = testing::serve(tls_of(&authority, ClientAuth::None), move |_| {
        let (registry, number) = (within.clone(), count.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            let made = create(&registry, "configmaps", "dev", named(&format!("more-{number}"))).await;
            Response::new(format!("{:?}", made.err().map(|error| error.message)))
        })
    })
    .await;
    let bundle = STANDARD.encode(authority.certificate_pem().unwrap());
    let client = json!({"url": format!("https://localhost:{}/", server.address.port()), "caBundle": bundle});
    let why = outcome(&registry, client, json!({"failurePolicy": "Fail"})).await.unwrap_err();
    assert!(why.starts_with(CALLING) && why.ends_with("context deadline exceeded"), "{why}");
    assert!(asked.load(Ordering::SeqCst) > 1, "it was set off again");
    registry.delete(&administrator(), kind(MUTATING), "", "guard", &DeleteOptions::default()).await.unwrap();
    registry.get(kind(MUTATING), "", "guard", "").await.unwrap_err();
    create(&registry, "configmaps", "dev", named("after")).await.unwrap();
}
