use serde_json::{Value, json};

use crate::support::{Api, start};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": name}}, "data": {"a": "1"}})
}

async fn ready() -> Api {
    start().await.bootstrapped().await
}

#[tokio::test]
async fn an_object_lives_its_life() {
    let api = ready().await;
    let made = api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    assert!(!made["metadata"]["uid"].as_str().unwrap().is_empty());
    let path = format!("{CONFIG_MAPS}/web");
    let got = api.get(&path).await.expect(200);
    assert_eq!(got, made);
    let mut changed = got.clone();
    changed["data"]["a"] = json!("2");
    let updated = api.put(&path, &changed).await.expect(200);
    assert_ne!(updated["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(
        api.put(&path, &changed).await.problem(),
        "409 Conflict: Operation cannot be fulfilled on configmaps \"web\": the object has been modified; please apply \
         your changes to the latest version and try again"
    );
    let gone = api.delete(&path).await.expect(200);
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(gone["details"], json!({"name": "web", "kind": "configmaps", "uid": made["metadata"]["uid"]}));
    assert_eq!(api.get(&path).await.problem(), "404 NotFound: configmaps \"web\" not found");
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    let again = api.post(CONFIG_MAPS, &config_map("web")).await;
    assert_eq!(again.problem(), "409 AlreadyExists: configmaps \"web\" already exists");
}

#[tokio::test]
async fn patches_work_by_their_type() {
    let api = ready().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({
        "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]},
    });
    api.post(pods, &pod).await.expect(201);
    let path = format!("{pods}/web");
    let merge = json!({"metadata": {"labels": {"tier": "front"}}});
    let merged = api.patch(&path, "application/merge-patch+json", &merge).await.expect(200);
    assert_eq!(merged["metadata"]["labels"]["tier"], "front");
    let strategic = json!({"spec": {"containers": [{"name": "a", "image": "x:2"}]}});
    let patched = api.patch(&path, "application/strategic-merge-patch+json", &strategic).await.expect(200);
    let images: Vec<&Value> = patched["spec"]["containers"].as_array().unwrap().iter().map(|c| &c["image"]).collect();
    assert_eq!(images, ["x:2", "y"]);
    let by_path = json!([{"op": "replace", "path": "/metadata/labels/tier", "value": "back"}]);
    let patched = api.patch(&path, "application/json-patch+json", &by_path).await.expect(200);
    assert_eq!(patched["metadata"]["labels"]["tier"], "back");
    let unknown = api.patch(&path, "text/plain", &merge).await;
    assert_eq!(unknown.status.as_u16(), 415);
    assert_eq!(unknown.problem(), "415 UnsupportedMediaType: 415: Unsupported Media Type");
}

#[tokio::test]
async fn lists_are_selected_and_cut_into_pages() {
    let api = ready().await;
    for name in ["a", "b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.expect(201);
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let selected = api.get(&format!("{CONFIG_MAPS}?labelSelector=app%20in%20(a,c)")).await.expect(200);
    assert_eq!(names(&selected), ["a", "c"]);
    assert_eq!((&selected["kind"], &selected["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["c"]);
    let everywhere = api.get("/api/v1/configmaps?fieldSelector=metadata.name%3Db").await.expect(200);
    assert_eq!(names(&everywhere), ["b"]);
    api.delete(CONFIG_MAPS).await.expect(200);
    assert_eq!(names(&api.get(CONFIG_MAPS).await.expect(200)), [""; 0]);
}

#[tokio::test]
async fn tables_and_metadata_are_given_where_asked_for() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let list = api.send("GET", CONFIG_MAPS, &table, "").await.expect(200);
    assert_eq!(list["kind"], "Table");
    assert_eq!(list["rows"][0]["cells"][0], "web");
    assert_eq!(list["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = api.send("GET", &format!("{CONFIG_MAPS}/web?includeObject=None"), &table, "").await.expect(200);
    assert_eq!(one["rows"][0]["object"], json!(null));
    let metadata = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let list = api.send("GET", CONFIG_MAPS, &metadata, "").await.expect(200);
    assert_eq!((&list["kind"], &list["items"][0]["data"]), (&json!("PartialObjectMetadataList"), &json!(null)));
    for (of, shown) in [("Table", "/rows/0/object"), ("PartialObjectMetadataList", "/items/0")] {
        let beta = format!("application/json;as={of};v=v1beta1;g=meta.k8s.io");
        let list = api.send("GET", CONFIG_MAPS, &[("accept", beta.as_str())], "").await.expect(200);
        let shown = list.pointer(shown).unwrap();
        assert_eq!((&list["kind"], &shown["kind"]), (&json!(of), &json!("PartialObjectMetadata")));
        assert_eq!([&list, shown].map(|part| &part["apiVersion"]), ["meta.k8s.io/v1beta1"; 2]);
    }
    let yaml = api.send("GET", &format!("{CONFIG_MAPS}/web"), &[("accept", "application/yaml")], "").await;
    assert!(yaml.text().contains("kind: ConfigMap"), "{}", yaml.text());
}

#[tokio::test]
async fn objects_in_a_list_leave_their_type_to_it() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    for path in [CONFIG_MAPS.to_owned(), format!("{CONFIG_MAPS}?pretty=true")] {
        let list = api.get(&path).await.expect(200);
        let item = &list["items"][0];
        assert_eq!((&list["kind"], &item["metadata"]["name"]), (&json!("ConfigMapList"), &json!("web")));
        assert_eq!((&item["kind"], &item["apiVersion"]), (&json!(null), &json!(null)));
    }
}

#[tokio::test]
async fn yaml_is_read_and_what_is_unknown_is_told() {
    let api = ready().await;
    let body = "kind: ConfigMap\nmetadata: {name: web}\ndata: {mode: \"0644\"}\nextra: 1\n";
    let yaml = [("content-type", "application/yaml")];
    let made = api.send("POST", CONFIG_MAPS, &yaml, body).await;
    assert_eq!(made.headers["warning"], r#"299 - "unknown field \"extra\"""#);
    assert_eq!(made.expect(201)["data"]["mode"], "0644");
    let strict = api.send("POST", &format!("{CONFIG_MAPS}?fieldValidation=Strict"), &yaml, body).await;
    assert!(strict.problem().contains("strict decoding error: unknown field \"extra\""), "{}", strict.problem());
    let odd = api.send("POST", &format!("{CONFIG_MAPS}?fieldValidation=Odd"), &yaml, body).await;
    assert!(odd.problem().starts_with("422 Invalid: CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation:"));
    let binary = api.send("POST", CONFIG_MAPS, &[("content-type", "application/cbor")], "x").await;
    assert_eq!(binary.status.as_u16(), 415);
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_behind() {
    let api = ready().await;
    api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("web")).await.expect(201);
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/web")).await.status.as_u16(), 404);
    let odd = api.post(&format!("{CONFIG_MAPS}?dryRun=Some"), &config_map("web")).await;
    assert_eq!(
        odd.problem(),
        "422 Invalid: CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""
    );
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_refused() {
    let api = ready().await;
    for (method, path, code) in [
        ("GET", "/api/v1/nothings", 404),
        ("GET", "/apis/apps/v1/pods", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/x/status", 404),
        ("GET", "/nothing", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("PUT", CONFIG_MAPS, 405),
        ("POST", "/healthz", 405),
    ] {
        let got = api.send(method, path, &[], "{}").await;
        assert_eq!(got.status.as_u16(), code, "{method} {path}: {:?}", got.bytes);
    }
    let other = api.post(CONFIG_MAPS, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}})).await;
    assert!(other.problem().starts_with("400 BadRequest: Pod in version \"v1\" cannot be handled as a ConfigMap"));
}

#[tokio::test]
async fn the_first_objects_are_there_and_can_be_made_again() {
    let api = ready().await.bootstrapped().await;
    let service = api.get("/api/v1/namespaces/default/services/kubernetes").await.expect(200);
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    let slice = api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await.expect(200);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
    let class = api.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.expect(200);
    assert_eq!(class["value"], 2_000_001_000);
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        api.get(&format!("/api/v1/namespaces/{name}")).await.expect(200);
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    let metrics = api.get("/metrics").await;
    let counted =
        "verb=\"POST\",group=\"\",version=\"v1\",resource=\"configmaps\",subresource=\"\",scope=\"namespace\"";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    assert!(metrics.text().contains("apiserver_storage_objects{resource=\"namespaces\"} 4"), "{}", metrics.text());
}

#[tokio::test]
async fn a_deletion_whose_options_make_no_sense_deletes_nothing() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/web");
    let invalid = "422 Invalid: DeleteOptions.meta.k8s.io \"\" is invalid: ";
    let json = [("content-type", "application/json")];
    let rows = [
        (r#"{"dryRun":["x"]}"#, format!(r#"{invalid}dryRun: Unsupported value: ["x"]: supported values: "All""#)),
        (
            r#"{"kind":"ConfigMap","apiVersion":"v1"}"#,
            "400 BadRequest: no kind \"ConfigMap\" is registered for version \"v1\" in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
                .to_owned(),
        ),
        (
            r#"{"gracePeriodSeconds":"x"}"#,
            "400 BadRequest: json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type \
             int64"
                .to_owned(),
        ),
        (
            "{",
            "400 BadRequest: couldn't get version/kind; json parse error: unexpected end of JSON input".to_owned(),
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(api.send("DELETE", &path, &json, body).await.problem(), expected, "{body}");
    }
    api.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_patch_that_makes_no_sense_is_refused_in_upstreams_words() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    let patch = async |of: &str, query: &str, body: &str| {
        let path = format!("{CONFIG_MAPS}/web?dryRun=All&{query}");
        api.send("PATCH", &path, &[("content-type", &format!("application/{of}+json"))], body).await
    };
    let decoding = "400 BadRequest: error decoding patch: ";
    let rows = [
        ("json-patch", "[", format!("{decoding}unexpected end of JSON input")),
        ("merge-patch", "xx", format!("{decoding}invalid character 'x' looking for beginning of value")),
        ("strategic-merge-patch", "{", "400 BadRequest: unexpected end of JSON input".to_owned()),
        (
            "merge-patch",
            r#"{"metadata":{"resourceVersion":"x"}}"#,
            r#"500 : strconv.ParseUint: parsing "x": invalid syntax"#.to_owned(),
        ),
    ];
    for (of, body, expected) in rows {
        assert_eq!(patch(of, "", body).await.problem(), expected, "{of} {body}");
    }
    for (of, body, expected) in [
        ("merge-patch", r#"{"apiVersion":"v2"}"#, r#"no kind "ConfigMap" is registered for version "v2" in scheme "#),
        (
            "json-patch",
            r#"[{"op":"replace","path":"/kind","value":"Pod"}]"#,
            "converting (v1.Pod) to (core.ConfigMap): unknown conversion",
        ),
    ] {
        let got = patch(of, "", body).await;
        assert!(
            got.problem().starts_with("422 Invalid:  \"\" is invalid: patch: Invalid value: "),
            "{}",
            got.problem()
        );
        assert!(got.problem().contains(expected), "{}", got.problem());
    }
    patch("strategic-merge-patch", "", r#"{"kind":"Pod"}"#).await.expect(200);
    patch("merge-patch", "", r#"{"metadata":{"resourceVersion":"0"}}"#).await.expect(200);
}

#[tokio::test]
async fn what_a_patch_repeats_is_told() {
    let api = ready().await;
    api.post(CONFIG_MAPS, &config_map("web")).await.expect(201);
    let rows = [
        ("merge-patch", r#"{"data":{"q":"1","q":"2"}}"#, r#"duplicate field "data.q""#),
        ("strategic-merge-patch", r#"{"data":{"q":"1","q":"2"}}"#, r#"duplicate field "data.q""#),
        ("json-patch", r#"[{"op":"add","path":"/data","value":{},"x":1}]"#, r#"json patch unknown field "[0].x""#),
    ];
    for (of, body, told) in rows {
        let of = format!("application/{of}+json");
        let headers = [("content-type", of.as_str())];
        let path = format!("{CONFIG_MAPS}/web?dryRun=All&fieldValidation=");
        let warned = api.send("PATCH", &format!("{path}Warn"), &headers, body).await;
        assert_eq!(warned.headers["warning"], format!("299 - {told:?}"));
        let strict = api.send("PATCH", &format!("{path}Strict"), &headers, body).await;
        assert!(strict.problem().ends_with(&format!("strict decoding error: {told}")), "{}", strict.problem());
        let ignored = api.send("PATCH", &format!("{path}Ignore"), &headers, body).await;
        assert_eq!((ignored.status.as_u16(), ignored.headers.contains_key("warning")), (200, false));
    }
}
