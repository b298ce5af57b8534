//! A conversion webhook of the test's own, over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Cluster, DEFINITIONS, WIDGETS, condition, definition, start, support, version, widget};

/// Converts `spec.size`, a number of v1, to `spec.amount`, a text of v1beta1, and back. A Widget's name may say that
/// something goes wrong.
fn convert(review: &Value) -> Value {
    let desired = review["request"]["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = review["request"]["objects"].as_array().cloned().unwrap_or_default();
    let name = objects[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let converted: Vec<Value> = objects.into_iter().map(|object| spoilt(&name, to(desired, object))).collect();
    let mut answer = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {
            "uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": converted,
        },
    });
    match name.as_str() {
        "refused" => answer["response"]["result"] = json!({"status": "Failure", "message": "it stays what it is"}),
        "unsure" => answer["response"]["result"] = json!({"status": "Maybe"}),
        "forged" => answer["response"]["uid"] = json!("1"),
        "other" => answer["kind"] = json!("AdmissionReview"),
        "mute" => answer["response"] = Value::Null,
        "few" => answer["response"]["convertedObjects"] = json!([]),
        _ => {}
    }
    answer
}

fn to(desired: &str, mut object: Value) -> Value {
    let spec = object["spec"].take();
    object["spec"] = match desired.ends_with("/v1") {
        true => match spec["amount"].as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(size) => json!({"size": size}),
            None => json!({}),
        },
        false => match &spec["size"] {
            Value::Null => json!({}),
            size => json!({"amount": size.to_string()}),
        },
    };
    object["apiVersion"] = json!(desired);
    object["metadata"]["labels"]["converted"] = json!("yes");
    object["metadata"]["generation"] = json!(99);
    object
}

fn spoilt(name: &str, mut object: Value) -> Value {
    match name {
        "version" => object["apiVersion"] = json!("example.com/v3"),
        "kind" => object["kind"] = json!("Gadget"),
        "renamed" => object["metadata"]["name"] = json!("else"),
        "moved" => object["metadata"]["namespace"] = json!("kube-system"),
        "reborn" => object["metadata"]["uid"] = json!("1"),
        "bare" => drop(object.as_object_mut().unwrap().remove("metadata")),
        "text" => object["metadata"] = json!("none"),
        "list" => object["metadata"]["labels"] = json!(["a"]),
        "number" => object["metadata"]["annotations"] = json!({"a": 1}),
        "label" => object["metadata"]["labels"] = json!({"a": "-"}),
        _ => {}
    }
    object
}

/// What comes of asking for a Widget of this name in the version that the webhook makes of it.
const FAULTS: &[(&str, &str)] = &[
    ("refused", "failed: it stays what it is"),
    ("unsure", "failed: response.result.status was 'Maybe', not 'Success'"),
    (
        "other",
        "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got \
         apiextensions.k8s.io/v1, Kind=AdmissionReview",
    ),
    ("mute", "failed: no response provided"),
    ("few", "returned 0 objects, expected 1"),
    (
        "version",
        "returned invalid object at index 0: invalid groupVersion (expected example.com/v1beta1, received example.com/v3)",
    ),
    ("kind", "returned invalid object at index 0: invalid kind (expected Widget, received Gadget)"),
    ("renamed", "returned invalid object: must have the same name: renamed != else"),
    ("moved", "returned invalid object: must have the same namespace: default != kube-system"),
    ("bare", "returned invalid object: must have the same name: bare != "),
    ("text", "returned invalid object: must have the same name: text != "),
    ("list", "returned invalid metadata: invalid metadata.labels of type []interface {} in converted object"),
    ("number", "returned invalid metadata: metadata.annotations[a] must be a string, but is int64 in converted object"),
    (
        "label",
        "returned invalid metadata: metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist \
         of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
         'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ),
];

/// Serves the webhook and answers with its URL and how often it is called.
async fn serve(cluster: &Cluster) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/convert", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(support::server_tls(&cluster.api.authority, false));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, calls) = (acceptor.clone(), counted.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = |request: Request<Incoming>| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    answered(request)
                };
                let service = hyper::service::service_fn(answer);
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that goes away is no fault of the webhook's.
                drop(served.await);
            });
        }
    });
    (url, calls)
}

async fn answered(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let (status, answer) = match review["request"]["objects"][0]["metadata"]["name"].as_str() {
        Some("hangs") => std::future::pending().await,
        Some("broken") => (500, "out of order".to_owned()),
        Some("rubbish") => (200, "}".to_owned()),
        _ => (200, convert(&review).to_string()),
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(answer))).unwrap())
}

fn schema(properties: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})
}

fn two_versions(cluster: &Cluster, url: &str) -> Value {
    let versions = json!([
        version("v1", schema(json!({"size": {"type": "integer"}}))),
        version("v1beta1", schema(json!({"amount": {"type": "string"}}))),
    ]);
    let mut defined = definition(versions);
    defined["spec"]["versions"][1]["selectableFields"] = json!([{"jsonPath": ".spec.amount"}]);
    let bundle = STANDARD.encode(cluster.api.authority.certificate_pem().unwrap());
    defined["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": {"url": url, "caBundle": bundle},
    }});
    defined
}

fn beta() -> String {
    WIDGETS.replace("/v1/", "/v1beta1/")
}

fn old(name: &str, amount: &str) -> Value {
    json!({"apiVersion": "example.com/v1beta1", "kind": "Widget", "metadata": {"name": name}, "spec": {"amount": amount}})
}

#[tokio::test]
async fn a_webhook_makes_one_version_of_another() {
    let cluster = start().await;
    let (url, calls) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    let made = cluster.api.post(&beta(), &old("a", "3")).await.expect(201);
    assert_eq!((&made["apiVersion"], &made["spec"]), (&json!("example.com/v1beta1"), &json!({"amount": "3"})));
    let stored = cluster.api.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!((&stored["apiVersion"], &stored["spec"]), (&json!("example.com/v1"), &json!({"size": 3})));
    // Labels are the webhook's to change, other metadata is not.
    assert_eq!(
        (&stored["metadata"]["labels"]["converted"], &stored["metadata"]["generation"]),
        (&json!("yes"), &json!(1))
    );
    cluster
        .api
        .post(
            WIDGETS,
            &json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "b"}, "spec": {"size": 4}}),
        )
        .await
        .expect(201);

    let before = calls.load(Ordering::Relaxed);
    let list = cluster.api.get(&beta()).await.expect(200);
    let amounts: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["spec"]["amount"]).collect();
    assert_eq!(amounts, [&json!("3"), &json!("4")]);
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1, "a list is converted at once");
    let merge = "application/merge-patch+json";
    let patched =
        cluster.api.patch(&format!("{}/b", beta()), merge, &json!({"spec": {"amount": "5"}})).await.expect(200);
    assert_eq!(patched["spec"], json!({"amount": "5"}));
    assert_eq!(cluster.api.get(&format!("{WIDGETS}/b")).await.expect(200)["spec"], json!({"size": 5}));
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let watched = cluster.api.get(&format!("{}?watch=1&resourceVersion={version}&timeoutSeconds=1", beta())).await;
    let event: Value = serde_json::from_str(watched.text().lines().next().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["spec"]), (&json!("MODIFIED"), &json!({"amount": "5"})));
    let deleted = cluster.api.delete(&format!("{}/a", beta())).await;
    assert_eq!(deleted.status, 200);
}

#[tokio::test]
async fn what_a_webhook_does_not_convert_is_told() {
    let cluster = start().await;
    let (url, _) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    for (name, fault) in FAULTS {
        cluster.api.post(WIDGETS, &widget(name, json!({"size": 1}))).await.expect(201);
        let got = cluster.api.get(&format!("{}/{name}", beta())).await;
        assert_eq!(
            got.problem(),
            format!("500 : conversion webhook for example.com/v1, Kind=Widget {fault}"),
            "{name}"
        );
        // Neither is it seen where there are others, nor written in a version that has to be converted.
        assert_eq!(cluster.api.get(&beta()).await.status, 500, "{name}");
        assert_eq!(cluster.api.post(&beta(), &old(&format!("{name}-2"), "1")).await.status, 201);
        cluster.api.delete(&format!("{WIDGETS}/{name}-2")).await.expect(200);
        cluster.api.delete(&format!("{WIDGETS}/{name}")).await.expect(200);
    }
    for (name, told) in [("forged", "failed: expected response.uid="), ("reborn", "must have the same UID: ")] {
        cluster.api.post(WIDGETS, &widget(name, json!({"size": 1}))).await.expect(201);
        let refused = cluster.api.get(&format!("{}/{name}", beta())).await.problem();
        assert!(refused.contains(told), "{refused}");
        cluster.api.delete(&format!("{WIDGETS}/{name}")).await.expect(200);
    }
    assert_eq!(cluster.api.get(&beta()).await.expect(200)["items"], json!([]));
    let refused = cluster.api.post(&beta(), &old("renamed", "1")).await.problem();
    assert_eq!(
        refused,
        "500 : conversion webhook for example.com/v1beta1, Kind=Widget returned invalid object: must have the same name: \
         renamed != else"
    );
}

#[tokio::test]
async fn a_webhook_that_is_broken_or_hangs_holds_up_nothing_but_what_needs_it() {
    let cluster = start().await;
    let (url, _) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    for name in ["broken", "rubbish", "hangs"] {
        cluster.api.post(WIDGETS, &widget(name, json!({"size": 1}))).await.expect(201);
    }
    let told = "500 : conversion webhook for example.com/v1, Kind=Widget failed: ";
    let broken = cluster.api.get(&format!("{}/broken", beta())).await.problem();
    assert_eq!(
        broken,
        format!("{told}an error on the server (\"out of order\") has prevented the request from succeeding")
    );
    let rubbish = cluster.api.get(&format!("{}/rubbish", beta())).await.problem();
    assert!(rubbish.starts_with(told), "{rubbish}");
    let hangs = cluster.api.get(&format!("{}/hangs?timeout=1s", beta())).await;
    assert_eq!(hangs.problem(), "504 Timeout: Timeout: request did not complete within the allotted timeout");
    assert_eq!(cluster.api.get(WIDGETS).await.expect(200)["items"].as_array().map(Vec::len), Some(3));
    cluster.api.delete(&format!("{WIDGETS}/hangs")).await.expect(200);
    // Nobody is there any more.
    let uri = format!("{DEFINITIONS}/widgets.example.com");
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut gone = cluster.api.get(&uri).await.expect(200);
    assert_eq!(condition(&gone, "Established"), "True");
    gone["spec"]["conversion"]["webhook"]["clientConfig"]["url"] = json!(format!("https://127.0.0.1:{unused}/convert"));
    cluster.api.put(&uri, &gone).await.expect(200);
    cluster.until(&format!("{}/broken", beta()), |got| got.text().contains("connection refused")).await;
    assert_eq!(cluster.api.get(&format!("{WIDGETS}/broken")).await.status, 200);
}

#[tokio::test]
async fn who_owns_a_field_is_told_in_the_version_in_which_he_wrote_it() {
    let cluster = start().await;
    let (url, _) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    let apply = async |collection: &str, manager: &str, config: &Value, force: bool| {
        let name = config["metadata"]["name"].as_str().unwrap();
        let uri = format!("{collection}/{name}?fieldManager={manager}&force={force}");
        cluster.api.patch(&uri, "application/apply-patch+yaml", config).await
    };
    let owners = |object: &Value| {
        let managed = object["metadata"]["managedFields"].as_array().unwrap().iter();
        let spec = |entry: &Value| {
            let version = entry["apiVersion"].as_str().unwrap().trim_start_matches("example.com/").to_owned();
            format!("{} {version} {}", entry["manager"].as_str().unwrap(), entry["fieldsV1"]["f:spec"])
        };
        managed.map(spec).collect::<Vec<_>>().join("; ")
    };
    let made = apply(&beta(), "one", &old("a", "3"), false).await.expect(201);
    assert_eq!(owners(&made), r#"one v1beta1 {"f:amount":{}}"#);
    // Nothing changes for who says the same in another version, and both own it.
    let same = apply(WIDGETS, "two", &widget("a", json!({"size": 3})), false).await.expect(200);
    assert_eq!(owners(&same), r#"one v1beta1 {"f:amount":{}}; two v1 {"f:size":{}}"#);
    let refused = apply(WIDGETS, "two", &widget("a", json!({"size": 4})), false).await.problem();
    assert_eq!(refused, "409 Conflict: Apply failed with 1 conflict: conflict with \"one\": .spec.amount");
    let forced = apply(WIDGETS, "two", &widget("a", json!({"size": 4})), true).await.expect(200);
    assert_eq!((owners(&forced).as_str(), &forced["spec"]), (r#"two v1 {"f:size":{}}"#, &json!({"size": 4})));
    // A write that is no apply takes the field from its owner too.
    let merge = "application/merge-patch+json";
    let uri = format!("{}/a?fieldManager=three", beta());
    let written = cluster.api.patch(&uri, merge, &json!({"spec": {"amount": "5"}})).await.expect(200);
    assert_eq!(owners(&written), r#"three v1beta1 {"f:amount":{}}"#);
    // What somebody applied in one version goes when he applies without it in another.
    apply(&beta(), "four", &old("b", "6"), false).await.expect(201);
    assert_eq!(apply(WIDGETS, "four", &widget("b", json!({})), false).await.expect(200)["spec"], json!({}));
}

#[tokio::test]
async fn selectors_look_at_the_version_that_is_asked_for() {
    let cluster = start().await;
    let (url, calls) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    let begun = cluster.api.get(WIDGETS).await.expect(200)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for (name, size) in [("a", 3), ("b", 4), ("c", 3), ("d", 3)] {
        cluster.api.post(WIDGETS, &widget(name, json!({"size": size}))).await.expect(201);
    }
    let merge = "application/merge-patch+json";
    cluster.api.patch(&format!("{WIDGETS}/a"), merge, &json!({"spec": {"size": 9}})).await.expect(200);
    let names = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect::<String>()
    };
    let list =
        async |collection: &str, query: &str| cluster.api.get(&format!("{collection}?{query}")).await.expect(200);
    assert_eq!(names(&list(&beta(), "fieldSelector=spec.amount%3D3").await), "cd");
    // The webhook labels what it converts.
    assert_eq!(names(&list(&beta(), "labelSelector=converted%3Dyes").await), "abcd");
    assert_eq!(names(&list(WIDGETS, "labelSelector=converted%3Dyes").await), "");
    assert_eq!(names(&list(&beta(), "fieldSelector=metadata.name%3Db").await), "b");
    let first = list(&beta(), "fieldSelector=spec.amount%3D3&limit=1").await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = list(&beta(), &format!("fieldSelector=spec.amount%3D3&limit=1&continue={token}")).await;
    assert_eq!((names(&first).as_str(), names(&second).as_str()), ("c", "d"));
    assert_eq!(second["metadata"]["continue"], Value::Null);
    let unknown = cluster.api.get(&format!("{WIDGETS}?fieldSelector=spec.amount%3D3")).await.problem();
    assert_eq!(unknown, "400 BadRequest: field label not supported: spec.amount");

    let events = async |query: &str| {
        let uri = format!("{}?watch=1&timeoutSeconds=1&resourceVersion={begun}&{query}", beta());
        let got = cluster.api.get(&uri).await;
        let events = got.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = |event: Value| format!("{} {}", event["type"].as_str().unwrap(), event["object"]["spec"]["amount"]);
        events.map(told).collect::<Vec<_>>().join(", ")
    };
    let before = calls.load(Ordering::Relaxed);
    assert_eq!(events("").await, r#"ADDED "3", ADDED "4", ADDED "3", ADDED "3", MODIFIED "9""#);
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1, "what has happened since is converted at once");
    assert_eq!(events("fieldSelector=spec.amount%3D3").await, r#"ADDED "3", ADDED "3", ADDED "3", DELETED "3""#);
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1, "what was converted is kept");
}

/// `matchPolicy: Equivalent`, and parameters of a version that has to be converted.
#[tokio::test]
async fn policies_see_what_the_webhook_makes_of_an_object() {
    let cluster = start().await;
    let registry = cluster.api.server.registry();
    let (view, authorizer) = (Arc::new(registry.clone()), Arc::new(support::Readers));
    let escalation = auth::authz::Escalation::new(Arc::new(auth::authz::Rbac::new(view.clone())), authorizer.clone());
    registry.set_admission(Arc::new(admission::BuiltIn::new(view, authorizer, escalation)));
    let (url, _) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    cluster.api.post(WIDGETS, &widget("limit", json!({"size": 7}))).await.expect(201);
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"},
        "spec": {
            "paramKind": {"apiVersion": "example.com/v1beta1", "kind": "Widget"},
            "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": [{
                "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["widgets"], "operations": ["CREATE"],
            }]},
            "validations": [{
                "expression": "object.spec.size < int(params.spec.amount)",
                "messageExpression": "string(object.spec.size) + ' is too large'",
            }],
        },
    });
    cluster.api.post(policies, &policy).await.expect(201);
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "b"},
        "spec": {
            "policyName": "p", "validationActions": ["Deny"],
            "paramRef": {"name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"},
        },
    });
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    cluster.api.post(bindings, &binding).await.expect(201);
    cluster.api.post(&beta(), &old("small", "6")).await.expect(201);
    assert_eq!(
        cluster.api.post(&beta(), &old("large", "8")).await.problem(),
        "422 Invalid: widgets.example.com \"large\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied \
         request: 8 is too large"
    );
    assert_eq!(
        cluster.api.post(&beta(), &old("refused", "1")).await.problem(),
        "500 InternalError: Internal error occurred: conversion webhook for example.com/v1beta1, Kind=Widget failed: it \
         stays what it is"
    );
}

#[tokio::test]
async fn watchers_that_wake_together_have_an_event_converted_once() {
    let cluster = start().await;
    let (url, calls) = serve(&cluster).await;
    cluster.define(&two_versions(&cluster, &url)).await;
    let begun = cluster.api.get(WIDGETS).await.expect(200)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watch = format!("{}?watch=1&resourceVersion={begun}&timeoutSeconds=2", beta());
    let watches = futures::future::join_all((0..20).map(|_| cluster.api.get(&watch)));
    let before = calls.load(Ordering::Relaxed);
    let made = widget("a", json!({"size": 3}));
    let made = cluster.api.post(WIDGETS, &made);
    let (watched, made) = tokio::join!(watches, made);
    made.expect(201);
    for got in watched {
        let event: Value = serde_json::from_str(got.text().lines().next().unwrap()).unwrap();
        assert_eq!((&event["type"], &event["object"]["spec"]), (&json!("ADDED"), &json!({"amount": "3"})));
    }
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1);
    // So do those that fail together.
    let before = calls.load(Ordering::Relaxed);
    cluster.api.post(WIDGETS, &widget("broken", json!({"size": 3}))).await.expect(201);
    let uri = format!("{}/broken", beta());
    let failed = futures::future::join_all((0..20).map(|_| cluster.api.get(&uri))).await;
    assert!(failed.iter().all(|got| got.problem().contains("out of order")));
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1);
}
