use serde_json::{Value, json};

use crate::{DEFINITIONS, WIDGETS, definition, start, version, widget};

fn schema(properties: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}, "status": {"type": "object", "properties": {"ready": {"type": "integer"}, "selector": {"type": "string"}}}}})
}

#[tokio::test]
async fn objects_are_seen_in_every_version() {
    let cluster = start().await;
    let mut old = version("v1beta1", schema(json!({"size": {"type": "integer"}})));
    old["deprecated"] = json!(true);
    let new = version("v1", schema(json!({"size": {"type": "integer"}, "color": {"type": "string"}})));
    cluster.define(&definition(json!([old, new]))).await;
    cluster.api.post(WIDGETS, &widget("a", json!({"size": 1, "color": "red"}))).await.expect(201);
    let other = WIDGETS.replace("/v1/", "/v1beta1/");
    let seen = cluster.api.get(&format!("{other}/a")).await;
    assert_eq!(
        seen.headers["warning"],
        "299 - \"example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget\""
    );
    let seen = seen.expect(200);
    assert_eq!((&seen["apiVersion"], &seen["spec"]), (&json!("example.com/v1beta1"), &json!({"size": 1})));
    let list = cluster.api.get(&other).await.expect(200);
    assert_eq!(list["items"][0]["apiVersion"], "example.com/v1beta1");
    // The storage version moves; what is stored stays readable.
    let uri = format!("{DEFINITIONS}/widgets.example.com");
    let mut moved = cluster.api.get(&uri).await.expect(200);
    moved["spec"]["versions"][0]["storage"] = json!(true);
    moved["spec"]["versions"][1]["storage"] = json!(false);
    let moved = cluster.api.put(&uri, &moved).await.expect(200);
    assert_eq!(moved["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    assert_eq!(cluster.api.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"]["color"], "red");
    let mut cut = moved.clone();
    cut["spec"]["versions"] = json!([moved["spec"]["versions"][0]]);
    let refused = cluster.api.put(&uri, &cut).await.problem();
    assert!(refused.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version"), "{refused}");
}

#[tokio::test]
async fn status_and_scale_have_paths_of_their_own() {
    let cluster = start().await;
    let mut of = version("v1", schema(json!({"replicas": {"type": "integer"}, "size": {"type": "integer"}})));
    of["subresources"] = json!({"status": {}, "scale": {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.ready", "labelSelectorPath": ".status.selector",
    }});
    of["additionalPrinterColumns"] = json!([
        {"name": "Ready", "type": "integer", "jsonPath": ".status.ready"}, {"name": "Size", "type": "string", "jsonPath": ".spec.size"},
    ]);
    of["selectableFields"] = json!([{"jsonPath": ".spec.size"}]);
    cluster.define(&definition(json!([of]))).await;
    let mut made = widget("a", json!({"replicas": 2, "size": 7}));
    made["status"] = json!({"ready": 5});
    let made = cluster.api.post(WIDGETS, &made).await.expect(201);
    assert_eq!(made["status"], Value::Null);
    let uri = format!("{WIDGETS}/a");
    let merge = "application/merge-patch+json";
    let patch = json!({"spec": {"size": 9}, "status": {"ready": 1, "selector": "a=b"}});
    let written = cluster.api.patch(&format!("{uri}/status"), merge, &patch).await.expect(200);
    assert_eq!(
        (&written["spec"]["size"], &written["status"]["ready"], &written["metadata"]["generation"]),
        (&json!(7), &json!(1), &json!(1))
    );
    let scale = cluster.api.get(&format!("{uri}/scale")).await.expect(200);
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]), (&json!(2), &json!({"replicas": 1, "selector": "a=b"})));
    cluster.api.patch(&format!("{uri}/scale"), merge, &json!({"spec": {"replicas": 4}})).await.expect(200);
    assert_eq!(cluster.api.get(&uri).await.expect(200)["spec"]["replicas"], 4);
    let table = cluster
        .api
        .send("GET", WIDGETS, &[("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")], "")
        .await
        .expect(200);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 1, "7"]));
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    let selected = |size: i64| format!("{WIDGETS}?fieldSelector=spec.size%3D{size}");
    assert_eq!(cluster.api.get(&selected(7)).await.expect(200)["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(cluster.api.get(&selected(8)).await.expect(200)["items"], json!([]));
    let unknown = cluster.api.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dred")).await;
    assert_eq!(unknown.problem(), "400 BadRequest: field label not supported: spec.color");
    let negative = cluster.api.patch(&uri, merge, &json!({"spec": {"replicas": -1}})).await.problem();
    assert!(negative.ends_with(".spec.replicas: Invalid value: -1: should be a non-negative integer"), "{negative}");
}

#[tokio::test]
async fn a_write_that_changes_nothing_stores_what_a_narrower_schema_left() {
    let cluster = start().await;
    let wide = json!({"size": {"type": "integer"}, "color": {"type": "string"}});
    let define = |properties: &Value| definition(json!([version("v1", schema(properties.clone()))]));
    cluster.define(&define(&wide)).await;
    let uri = format!("{WIDGETS}/a");
    let made = cluster.api.post(WIDGETS, &widget("a", json!({"size": 1, "color": "red"}))).await.expect(201);
    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let redefine = async |properties: &Value, spec: &Value| {
        let path = format!("{DEFINITIONS}/widgets.example.com");
        let mut changed = cluster.api.get(&path).await.expect(200);
        changed["spec"]["versions"] = define(properties)["spec"]["versions"].clone();
        cluster.api.put(&path, &changed).await.expect(200);
        cluster.until(&uri, |got| got.json()["spec"] == *spec).await
    };
    let same = cluster.api.put(&uri, &made).await.expect(200);
    assert_eq!(revision(&same), revision(&made));
    let narrow = redefine(&json!({"size": {"type": "integer"}}), &json!({"size": 1})).await;
    assert_eq!(revision(&narrow), revision(&made), "what is read is not written");
    let written = cluster.api.put(&uri, &narrow).await.expect(200);
    assert_ne!(revision(&written), revision(&made));
    assert_eq!(revision(&cluster.api.put(&uri, &written).await.expect(200)), revision(&written));
    // A wider schema brings nothing back, and new defaults are stored in the same way.
    let defaulted = json!({"size": {"type": "integer"}, "color": {"type": "string", "default": "blue"}});
    let read = redefine(&defaulted, &json!({"size": 1, "color": "blue"})).await;
    assert_eq!(revision(&read), revision(&written));
    assert_ne!(revision(&cluster.api.put(&uri, &read).await.expect(200)), revision(&written));
}
