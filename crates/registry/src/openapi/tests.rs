use super::*;

fn kinds() -> Kinds<'static> {
    kinds::all()
}

fn apps() -> Value {
    v3("apps", "v1", kinds()).expect("apps/v1 is served")
}

#[test]
fn every_version_is_in_the_index_under_its_hash() {
    let index = v3_index(kinds());
    let address = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("apps/v1 is in the index");
    let hash = v3_hash("apps", "v1", kinds()).expect("apps/v1 is served");
    assert_eq!(address, format!("/openapi/v3/apis/apps/v1?hash={hash}"));
    assert!(index["paths"]["api/v1"].is_object());
    assert!(v3("apps", "v9", kinds()).is_none());
}

#[test]
fn kubectl_finds_field_validation_on_patches() {
    let document = apps();
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let names: Vec<&Value> = patch["parameters"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
}

/// kubectl asks the first PATCH of a kind that it comes across, in any order, whether the server validates fields.
#[test]
fn every_patch_of_a_kind_takes_the_parameters_of_patches() {
    let served: BTreeSet<GroupVersion> = kinds().iter().map(|kind| kind.group_version()).collect();
    for GroupVersion { group, version } in served {
        let document = v3(&group, &version, kinds()).expect("the kinds are served");
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let patch = &item["patch"];
            let kind = patch["x-kubernetes-group-version-kind"]["kind"].as_str().unwrap_or_default();
            let parameters = patch["parameters"].as_array().into_iter().flatten();
            let validated = parameters.into_iter().any(|one| one["name"] == "fieldValidation");
            assert!(validated || patch.is_null() || kind.ends_with("Options"), "{path} of {kind}");
        }
    }
}

#[test]
fn fields_are_described_and_say_how_they_merge() {
    let document = v3("", "v1", kinds()).expect("v1 is served");
    let schemas = &document["components"]["schemas"];
    let ports = &schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["port", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "port");
    assert!(ports["description"].as_str().is_some_and(|text| text.starts_with("The list of ports that are exposed")));
    let pod = &schemas["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["x-kubernetes-group-version-kind"], json!([{"group": "", "version": "v1", "kind": "Pod"}]));
    assert_eq!(schemas["io.k8s.api.core.v1.Container"]["required"], json!(["name"]));
}

/// All references of a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn nothing_refers_to_what_is_absent() {
    let mut found = BTreeSet::new();
    let document = v2(kinds());
    references(&document, &mut found);
    for reference in found {
        let name = reference.strip_prefix("#/definitions/").expect("references of OpenAPI 2");
        assert!(document["definitions"][name].is_object(), "{name} is not defined");
    }
}

#[test]
fn subresources_speak_of_their_own_kinds() {
    let document = apps();
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    assert_eq!(scale["operationId"], "readAppsV1NamespacedDeploymentScale");
    assert!(document["components"]["schemas"]["io.k8s.api.autoscaling.v1.Scale"].is_object());
}

#[test]
fn connections_take_the_parameters_of_their_options() {
    let document = v3("", "v1", kinds()).expect("v1 is served");
    let names = |path: &str| -> Vec<Value> {
        let parameters = &document["paths"][format!("/api/v1/namespaces/{{namespace}}/{path}")]["parameters"];
        parameters.as_array().into_iter().flatten().map(|one| one["name"].clone()).collect()
    };
    assert_eq!(names("pods/{name}/attach"), ["name", "namespace", "container", "stderr", "stdin", "stdout", "tty"]);
    assert_eq!(names("services/{name}/proxy/{path}"), ["name", "namespace", "path", "path"]);
}

#[test]
fn a_deletion_answers_what_the_kind_says() {
    let document = v2(kinds());
    let answer = |path: &str| document["paths"][path]["delete"]["responses"]["200"]["schema"]["$ref"].clone();
    assert_eq!(answer("/api/v1/namespaces/{namespace}/pods/{name}"), "#/definitions/io.k8s.api.core.v1.Pod");
    assert_eq!(
        answer("/api/v1/namespaces/{namespace}/secrets/{name}"),
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Status"
    );
}
