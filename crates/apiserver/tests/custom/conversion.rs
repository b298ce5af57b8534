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

use crate::{Cluster, DEFINITIONS, WIDGETS, condition, definition, start, support, version};

/// Converts `spec.size`, a number of v1, to `spec.amount`, a text of v1beta1, and back. A Widget named `stuck` is
/// refused; one named `other` comes back under another name.
fn convert(review: &Value) -> Value {
    let desired = review["request"]["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = review["request"]["objects"].as_array().cloned().unwrap_or_default();
    let refused = objects.iter().any(|object| object["metadata"]["name"] == "stuck");
    let converted: Vec<Value> = objects.into_iter().map(|object| to(desired, object)).collect();
    let result = match refused {
        true => json!({"status": "Failure", "message": "stuck stays what it is"}),
        false => json!({"status": "Success"}),
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {"uid": review["request"]["uid"], "result": result, "convertedObjects": converted},
    })
}

fn to(desired: &str, mut object: Value) -> Value {
    let spec = object["spec"].take();
    object["spec"] = match desired.ends_with("/v1") {
        true => json!({"size": spec["amount"].as_str().and_then(|text| text.parse::<i64>().ok())}),
        false => json!({"amount": spec["size"].to_string()}),
    };
    object["apiVersion"] = json!(desired);
    object["metadata"]["labels"]["converted"] = json!("yes");
    object["metadata"]["generation"] = json!(99);
    if object["metadata"]["name"] == "other" {
        object["metadata"]["name"] = json!("renamed");
    }
    object
}

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
                    async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let answer = convert(&serde_json::from_slice(&body).unwrap()).to_string();
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
                    }
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

fn schema(properties: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})
}

fn two_versions(cluster: &Cluster, url: &str) -> Value {
    let versions = json!([
        version("v1", schema(json!({"size": {"type": "integer"}}))),
        version("v1beta1", schema(json!({"amount": {"type": "string"}}))),
    ]);
    let mut defined = definition(versions);
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
    let of = |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1}});
    cluster.api.post(WIDGETS, &of("stuck")).await.expect(201);
    let refused = cluster.api.get(&format!("{}/stuck", beta())).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["message"].as_str().unwrap()),
        (
            500,
            "Internal error occurred: conversion webhook for example.com/v1, Kind=Widget failed: stuck stays what it is"
        )
    );
    cluster.api.delete(&format!("{WIDGETS}/stuck")).await.expect(200);
    cluster.api.post(WIDGETS, &of("other")).await.expect(201);
    let renamed = cluster.api.get(&format!("{}/other", beta())).await.json()["message"].to_string();
    assert!(
        renamed.contains("returned invalid converted object at index 0: must have the same name: other != renamed"),
        "{renamed}"
    );
    // Nobody is there any more.
    let uri = format!("{DEFINITIONS}/widgets.example.com");
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut gone = cluster.api.get(&uri).await.expect(200);
    assert_eq!(condition(&gone, "Established"), "True");
    gone["spec"]["conversion"]["webhook"]["clientConfig"]["url"] = json!(format!("https://127.0.0.1:{unused}/convert"));
    cluster.api.put(&uri, &gone).await.expect(200);
    cluster.until(&format!("{}/other", beta()), |got| got.text().contains("connection refused")).await;
    assert_eq!(cluster.api.get(&format!("{WIDGETS}/other")).await.status, 200);
}
