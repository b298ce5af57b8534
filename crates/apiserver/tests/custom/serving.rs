use serde_json::{Value, json};

use crate::{DEFINITIONS, WIDGETS, condition, definition, start, version, widget, with_spec};

fn any_spec() -> Value {
    with_spec(json!({"type": "object", "properties": {"size": {"type": "integer"}, "color": {"type": "string"}}}))
}

#[tokio::test]
async fn a_definition_serves_its_objects_until_it_is_deleted() {
    let cluster = start().await;
    assert_eq!(cluster.api.get(WIDGETS).await.status, 404);
    let defined = cluster.define(&any_spec()).await;
    assert_eq!(condition(&defined, "NamesAccepted"), "True");
    assert_eq!(defined["status"]["acceptedNames"]["listKind"], "WidgetList");
    assert_eq!(defined["status"]["storedVersions"], json!(["v1"]));

    let made = cluster.api.post(WIDGETS, &widget("a", json!({"size": 1, "unknown": true}))).await.expect(201);
    assert_eq!((&made["spec"], &made["metadata"]["generation"]), (&json!({"size": 1}), &json!(1)));
    let list = cluster.api.get(WIDGETS).await.expect(200);
    assert_eq!((&list["kind"], &list["items"][0]["metadata"]["name"]), (&json!("WidgetList"), &json!("a")));
    assert_eq!(list["items"][0]["kind"], "Widget");
    let larger = json!({"spec": {"size": 2}});
    let patched = cluster.api.patch(&format!("{WIDGETS}/a"), "application/merge-patch+json", &larger).await;
    assert_eq!(patched.expect(200)["metadata"]["generation"], 2);
    let stale = cluster.api.put(&format!("{WIDGETS}/a"), &widget("a", json!({"size": 3}))).await;
    assert!(stale.problem().contains("metadata.resourceVersion: Invalid value"), "{}", stale.problem());
    let everywhere = cluster.api.get("/apis/example.com/v1/widgets").await.expect(200);
    assert_eq!(everywhere["items"].as_array().map(Vec::len), Some(1));

    let deleted = cluster.api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    assert_eq!(deleted["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    cluster.until(&format!("{DEFINITIONS}/widgets.example.com"), |got| got.status == 404).await;
    assert_eq!(cluster.api.get(WIDGETS).await.status, 404);
    cluster.define(&any_spec()).await;
    assert_eq!(cluster.api.get(WIDGETS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn what_is_served_is_in_discovery_and_gone_with_its_definition() {
    let cluster = start().await;
    let before = cluster.api.get("/apis").await.expect(200);
    cluster.define(&any_spec()).await;
    let list = cluster.api.get("/apis/example.com/v1").await.expect(200);
    let resource = &list["resources"][0];
    assert_eq!((&resource["name"], &resource["shortNames"]), (&json!("widgets"), &json!(["wd"])));
    assert_eq!((&resource["singularName"], &resource["categories"]), (&json!("widget"), &json!(["all"])));
    let group = cluster.api.get("/apis/example.com").await.expect(200);
    assert_eq!(group["preferredVersion"]["groupVersion"], "example.com/v1");
    let document = cluster.api.get("/openapi/v3/apis/example.com/v1").await.expect(200);
    let widget = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(widget["properties"]["spec"]["properties"]["size"]["type"], "integer");
    assert_eq!(widget["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
    let whole = cluster.api.get("/openapi/v2").await.expect(200);
    assert!(whole["definitions"]["com.example.v1.Widget"].is_object());
    assert!(whole["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets"].is_object());
    cluster.api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    cluster.until(&format!("{DEFINITIONS}/widgets.example.com"), |got| got.status == 404).await;
    assert_eq!(cluster.api.get("/apis").await.expect(200), before);
    assert_eq!(cluster.api.get("/openapi/v3/apis/example.com/v1").await.status, 404);
}

/// kubectl before 1.27 checks what it sends against the second version of OpenAPI, and takes what is not told there
/// for unknown.
#[tokio::test]
async fn openapi_2_leaves_open_what_keeps_unknown_fields() {
    let cluster = start().await;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}});
    let spec = json!({"type": "object", "required": ["none", "open"], "properties": {
        "open": open,
        "none": {"type": "string", "nullable": true},
        "template": {
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        "closed": {
            "type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
    }});
    cluster.define(&with_spec(spec)).await;
    let whole = cluster.api.get("/openapi/v2").await.expect(200);
    let spec = &whole["definitions"]["com.example.v1.Widget"]["properties"]["spec"];
    assert_eq!(spec["required"], json!(["open"]));
    let kept = json!({"x-kubernetes-preserve-unknown-fields": true});
    assert_eq!((&spec["properties"]["open"], &spec["properties"]["none"]), (&kept, &json!({})));
    assert_eq!(spec["properties"]["template"]["properties"], Value::Null);
    let closed = &spec["properties"]["closed"];
    assert_eq!(closed["required"], json!(["kind", "apiVersion"]));
    let names: Vec<&String> = closed["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["apiVersion", "kind", "metadata", "spec"]);

    let document = cluster.api.get("/openapi/v3/apis/example.com/v1").await.expect(200);
    let spec = &document["components"]["schemas"]["com.example.v1.Widget"]["properties"]["spec"];
    assert_eq!(spec["properties"]["open"], open);
    assert_eq!(spec["properties"]["template"]["required"], json!(["kind", "apiVersion"]));
}

#[tokio::test]
async fn openapi_tells_nothing_of_objects_without_a_schema_but_that_they_are_objects() {
    let cluster = start().await;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    cluster.define(&definition(json!([version("v1", open)]))).await;
    let whole = cluster.api.get("/openapi/v2").await.expect(200);
    let gvk = json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]);
    let expected = json!({"type": "object", "x-kubernetes-group-version-kind": gvk});
    assert_eq!(whole["definitions"]["com.example.v1.Widget"], expected);
    let document = cluster.api.get("/openapi/v3/apis/example.com/v1").await.expect(200);
    let widget = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert!(widget["properties"]["metadata"].is_object());
}

#[tokio::test]
async fn nothing_is_made_while_a_definition_goes_and_its_objects_wait_for_their_finalizers() {
    let cluster = start().await;
    cluster.define(&any_spec()).await;
    let mut held = widget("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.api.post(WIDGETS, &held).await.expect(201);
    cluster.api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    cluster.until(&format!("{WIDGETS}/held"), |got| got.json()["metadata"]["deletionTimestamp"].is_string()).await;
    let refused = cluster.api.post(WIDGETS, &widget("b", json!({}))).await;
    assert_eq!(
        refused.problem(),
        "403 Forbidden: widgets.example.com \"b\" is forbidden: create not allowed while custom resource definition is \
         terminating"
    );
    let patch = json!({"metadata": {"finalizers": null}});
    cluster.api.patch(&format!("{WIDGETS}/held"), "application/merge-patch+json", &patch).await.expect(200);
    cluster.until(&format!("{DEFINITIONS}/widgets.example.com"), |got| got.status == 404).await;
}

#[tokio::test]
async fn objects_are_there_again_after_a_restart() {
    let cluster = start().await;
    cluster.define(&any_spec()).await;
    cluster.api.post(WIDGETS, &widget("a", json!({"size": 1}))).await.expect(201);
    let again = cluster.api.reopened().await;
    let list = again.get(WIDGETS).await.expect(200);
    assert_eq!(list["items"][0]["spec"], json!({"size": 1}));
}

#[tokio::test]
async fn names_that_are_in_use_are_not_given() {
    let cluster = start().await;
    cluster.define(&any_spec()).await;
    let mut other = any_spec();
    other["metadata"]["name"] = json!("gadgets.example.com");
    other["spec"]["names"] =
        json!({"plural": "gadgets", "singular": "gadget", "kind": "Widget", "listKind": "GadgetList"});
    cluster.api.post(DEFINITIONS, &other).await.expect(201);
    let uri = format!("{DEFINITIONS}/gadgets.example.com");
    let refused = cluster.until(&uri, |got| condition(&got.json(), "NamesAccepted") == "False").await;
    assert_eq!(refused["status"]["conditions"][0]["message"], "\"Widget\" is already in use");
    assert_eq!(cluster.api.get("/apis/example.com/v1/gadgets").await.status, 404);
    cluster.api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    cluster.until(&uri, |got| condition(&got.json(), "Established") == "True").await;
    cluster.api.get("/apis/example.com/v1/gadgets").await.expect(200);
}

#[tokio::test]
async fn forms_that_custom_resources_do_not_have_are_refused() {
    let cluster = start().await;
    cluster.define(&any_spec()).await;
    cluster.api.post(WIDGETS, &widget("a", json!({}))).await.expect(201);
    let uri = format!("{WIDGETS}/a");
    let strategic = cluster.api.patch(&uri, "application/strategic-merge-patch+json", &json!({})).await;
    assert_eq!(
        strategic.problem(),
        "415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
    let protobuf = cluster.api.send("GET", &uri, &[("accept", "application/vnd.kubernetes.protobuf")], "").await;
    assert_eq!(protobuf.status, 406);
    let sent =
        cluster.api.send("POST", WIDGETS, &[("content-type", "application/vnd.kubernetes.protobuf")], "k8s").await;
    assert_eq!(
        sent.problem(),
        "415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml"
    );
    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    assert_eq!(cluster.api.send("GET", &uri, &[("accept", metadata)], "").await.status, 200);
    assert_eq!(
        cluster.api.get(&format!("{uri}/status")).await.problem(),
        "404 NotFound: widgets.example.com \"a\" not found"
    );
}

#[tokio::test]
async fn what_is_applied_merges_by_the_schema() {
    let cluster = start().await;
    let list = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}},
    });
    cluster
        .define(&with_spec(json!({"type": "object", "properties": {"ports": list, "size": {"type": "integer"}}})))
        .await;
    let apply = |manager: &'static str, spec: Value| {
        let (cluster, uri) = (&cluster, format!("{WIDGETS}/a?fieldManager={manager}"));
        async move { cluster.api.patch(&uri, "application/apply-patch+yaml", &widget("a", spec)).await }
    };
    apply("one", json!({"ports": [{"name": "x", "n": 1}], "size": 1})).await.expect(201);
    let both = apply("two", json!({"ports": [{"name": "y", "n": 2}]})).await.expect(200);
    assert_eq!(both["spec"]["ports"], json!([{"name": "x", "n": 1}, {"name": "y", "n": 2}]));
    let conflict = apply("two", json!({"size": 2})).await;
    assert_eq!(conflict.problem(), "409 Conflict: Apply failed with 1 conflict: conflict with \"one\": .spec.size");
    let unknown = apply("one", json!({"colour": "red"})).await;
    assert!(unknown.problem().contains(".spec.colour: field not declared in schema"), "{}", unknown.problem());
    let less = apply("one", json!({"size": 1})).await.expect(200);
    assert_eq!(less["spec"], json!({"ports": [{"name": "y", "n": 2}], "size": 1}));
}

/// (upstream: controlplane/controller/crdregistration)
#[tokio::test]
async fn versions_of_definitions_have_api_services_while_they_are_served() {
    let cluster = start().await;
    let server = cluster.api.server.clone();
    let kept = tokio::spawn(async move { server.keep_api_services().await });
    cluster.define(&with_spec(json!({"type": "object"}))).await;
    let uri = "/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com";
    let made = cluster.until(uri, |got| got.text().contains("\"Local\"")).await;
    assert_eq!(
        made["spec"],
        json!({"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100})
    );
    assert_eq!(made["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "true"}));
    cluster.api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    cluster.until(uri, |got| got.status == 404).await;
    kept.abort();
}
