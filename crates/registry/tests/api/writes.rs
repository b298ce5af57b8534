//! Create, update, patch, delete.

use kinds::Propagation;
use registry::{Context, DeleteOptions, Deleted, ListOptions, Patch, Target};
use serde_json::json;

use crate::{api, config_map, config_maps, kind, names, object};

#[tokio::test]
async fn creation_fills_in_what_the_server_decides() {
    let api = api().await;
    let body = json!({"metadata": {"name": "web", "namespace": "default", "generation": 9, "managedFields": [{"manager": "x"}]},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let deployments = kind("apps", "v1", "deployments");
    let entry = api.create(deployments, body).await.unwrap();
    let made = entry.object();
    assert_eq!((made.api_version(), made.kind(), made.generation()), ("apps/v1", "Deployment", 1));
    assert_eq!(made.uid().len(), 36);
    assert!(made.str(&["metadata", "creationTimestamp"]).ends_with('Z'));
    let managers = made.list(&["metadata", "managedFields"]);
    assert_eq!((managers.len(), &managers[0]["manager"]), (1, &json!("unknown")), "what makes no sense is dropped");
    assert_eq!(made.int(&["spec", "replicas"]), Some(1), "defaults are filled in");
    let read = api.registry.get(deployments, "default", "web", "").await.unwrap();
    assert_eq!(read.json(), entry.json());
    assert_eq!(entry.key(), "/registry/deployments/default/web");
}

/// The error of creating `body` as a config map.
async fn refused(body: serde_json::Value) -> String {
    let error = api().await.create(config_maps(), body).await.unwrap_err();
    format!("{} {error}", error.code())
}

#[tokio::test]
async fn creation_refuses_what_does_not_fit_the_path() {
    let cases = [
        (
            json!({"metadata": {"name": "a", "namespace": "b"}}),
            "400 the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            json!({"apiVersion": "apps/v1", "metadata": {"name": "a"}}),
            "400 the API version in the data (apps/v1) does not match the expected API version (v1)",
        ),
        (
            json!({"metadata": {"name": "a", "resourceVersion": "1"}}),
            "500 resourceVersion should not be set on objects to be created",
        ),
        (
            json!({"metadata": {}}),
            "422 ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        // What the storage refuses is told last.
        (
            json!({"metadata": {"resourceVersion": "1"}}),
            "422 ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(refused(body).await, expected);
    }
}

/// Upstream lets RBAC names hold colons, but no name may hold what parts a path.
#[tokio::test]
async fn names_are_one_segment_of_a_path() {
    let api = api().await;
    let roles = kind("rbac.authorization.k8s.io", "v1", "clusterroles");
    api.create(roles, json!({"metadata": {"name": "system:a"}})).await.unwrap();
    let error = api.create(roles, json!({"metadata": {"name": "a/b"}})).await.unwrap_err();
    assert!(error.message.ends_with("metadata.name: Invalid value: \"a/b\": may not contain '/'"), "{error}");
}

#[tokio::test]
async fn kinds_that_are_not_stored_have_nothing_to_read() {
    let api = api().await;
    let reviews = kind("authentication.k8s.io", "v1", "tokenreviews");
    assert_eq!(api.registry.get(reviews, "", "a", "").await.unwrap_err().code(), 404);
    assert_eq!(api.registry.list(reviews, "", &ListOptions::default()).await.unwrap_err().code(), 404);
    assert_eq!(api.create(reviews, json!({"spec": {}})).await.unwrap_err().code(), 405);
}

#[tokio::test]
async fn names_are_taken_once_and_can_be_generated() {
    let api = api().await;
    api.create(config_maps(), json!({"metadata": {"name": "a"}})).await.unwrap();
    let error = api.create(config_maps(), json!({"metadata": {"name": "a"}})).await.unwrap_err();
    assert_eq!(error.to_string(), "configmaps \"a\" already exists");
    let made = api.create(config_maps(), json!({"metadata": {"generateName": "a-"}})).await.unwrap();
    assert_eq!((made.name().len(), &made.name()[..2]), (7, "a-"));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let api = api().await;
    let cx = Context { dry_run: true, ..Context::default() };
    let maps = config_maps();
    let made = api.registry.create(&cx, maps, "default", config_map("a", "1")).await.unwrap();
    assert_eq!((made.object().name(), made.object().resource_version()), ("a", ""));
    assert!(api.registry.get(maps, "default", "a", "").await.is_err());
    let kept = api.put_map("a", "1").await;
    let error = api.registry.create(&cx, maps, "default", config_map("a", "1")).await.unwrap_err();
    assert_eq!(error.code(), 409);
    let written = api.registry.update(&cx, maps, "default", "a", Target::Main, config_map("a", "2")).await.unwrap();
    assert_eq!(written.entry.object().str(&["data", "key"]), "2");
    api.registry.delete(&cx, maps, "default", "a", &DeleteOptions::default()).await.unwrap();
    assert_eq!(api.registry.get(maps, "default", "a", "").await.unwrap().json(), kept.json());
}

#[tokio::test]
async fn updates_keep_the_order_of_versions() {
    let api = api().await;
    let maps = config_maps();
    let first = api.put_map("a", "1").await;
    let mut body = first.object();
    body.set(&["data", "key"], "2");
    let second = api.registry.update(&api.cx, maps, "default", "a", Target::Main, body.clone()).await.unwrap().entry;
    assert!(second.revision() > first.revision());
    let stale = api.registry.update(&api.cx, maps, "default", "a", Target::Main, body).await.unwrap_err();
    assert_eq!(
        stale.to_string(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
         the latest version and try again"
    );
    let third = api.registry.update(&api.cx, maps, "default", "a", Target::Main, config_map("a", "3")).await.unwrap();
    assert_eq!(third.entry.object().uid(), first.object().uid(), "an update without a version overwrites");
    let same = api.registry.update(&api.cx, maps, "default", "a", Target::Main, third.entry.object()).await.unwrap();
    assert_eq!(same.entry.revision(), third.entry.revision(), "an update that changes nothing writes nothing");
}

#[tokio::test]
async fn updates_refuse_another_identity() {
    let api = api().await;
    let maps = config_maps();
    api.put_map("a", "1").await;
    let update = async |name: &str, body| {
        let error = api.registry.update(&api.cx, maps, "default", name, Target::Main, object(body)).await.unwrap_err();
        format!("{} {error}", error.code())
    };
    assert_eq!(
        update("a", json!({"metadata": {"name": "b"}})).await,
        "400 the name of the object (b) does not match the name on the URL (a)"
    );
    assert_eq!(update("b", json!({"metadata": {"name": "b"}})).await, "404 configmaps \"b\" not found");
    let is = api.registry.get(maps, "default", "a", "").await.unwrap().object().uid().to_owned();
    for (name, is) in [("a", is.as_str()), ("b", "")] {
        assert_eq!(
            update(name, json!({"metadata": {"name": name, "uid": "other"}})).await,
            format!(
                "409 Operation cannot be fulfilled on configmaps \"{name}\": StorageError: invalid object, Code: 4, \
                 Key: /registry/configmaps/default/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
                 UID in precondition: other, UID in object meta: {is}"
            )
        );
    }
}

#[tokio::test]
async fn patches_refuse_another_uid() {
    let api = api().await;
    api.put_map("a", "1").await;
    let with_uid = json!({"metadata": {"uid": "other"}});
    let json_patch = json!([{"op": "replace", "path": "/metadata/uid", "value": "other"}]);
    let patch = async |patch| api.registry.patch(&api.cx, config_maps(), "default", "a", Target::Main, &patch).await;
    for of in [Patch::Merge(with_uid.clone()), Patch::Strategic(with_uid), Patch::Json(json_patch)] {
        let error = patch(of).await.unwrap_err();
        let wanted = "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable";
        assert_eq!((error.code(), error.to_string().as_str()), (422, wanted));
    }
    // A condition that does not hold comes first.
    let stale = Patch::Merge(json!({"metadata": {"uid": "other", "resourceVersion": "1000"}}));
    assert_eq!(patch(stale).await.unwrap_err().code(), 409);
}

#[tokio::test]
async fn a_put_creates_where_the_kind_allows_it() {
    let api = api().await;
    let leases = kind("coordination.k8s.io", "v1", "leases");
    let body = object(json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}));
    let made = api.registry.update(&api.cx, leases, "default", "l", Target::Main, body.clone()).await.unwrap();
    assert!(made.created);
    let error = api.registry.update(&api.cx, leases, "default", "l", Target::Main, body).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an \
         update"
    );
}

#[tokio::test]
async fn a_status_too_is_put_over_the_version_that_the_kind_wants_named() {
    let api = api().await;
    let budgets = kind("policy", "v1", "poddisruptionbudgets");
    let body = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {}}});
    api.create(budgets, body.clone()).await.unwrap();
    let put = async |version: &str| {
        let mut body = object(body.clone());
        body.set(&["metadata", "resourceVersion"], version);
        api.registry
            .update(&api.cx, budgets, "default", "b", Target::Status, body)
            .await
            .map_err(|error| error.to_string())
    };
    let unnamed = "poddisruptionbudgets.policy \"b\" is invalid: metadata.resourceVersion: Invalid value: 0: must be \
                   specified for an update";
    assert_eq!(put("0").await.err().as_deref(), Some(unnamed));
    assert_eq!(put("").await.err().as_deref(), Some(unnamed));
    let rubbish = r#"strconv.ParseUint: parsing "x": invalid syntax"#;
    assert_eq!(put("x").await.err().as_deref(), Some(rubbish));
}

#[tokio::test]
async fn generation_counts_changes_of_the_spec_alone() {
    let api = api().await;
    let deployments = kind("apps", "v1", "deployments");
    let body = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.create(deployments, body).await.unwrap();
    let patch = async |target, patch| {
        let patch = Patch::Merge(patch);
        let done = api.registry.patch(&api.cx, deployments, "default", "web", target, &patch).await.unwrap();
        done.entry.object()
    };
    assert_eq!(patch(Target::Main, json!({"metadata": {"labels": {"x": "y"}}})).await.generation(), 1);
    assert_eq!(patch(Target::Main, json!({"spec": {"replicas": 3}})).await.generation(), 2);
    let status = patch(Target::Status, json!({"spec": {"replicas": 9}, "status": {"replicas": 3}})).await;
    assert_eq!((status.generation(), status.int(&["spec", "replicas"])), (2, Some(3)), "a status write keeps the spec");
    assert_eq!(status.int(&["status", "replicas"]), Some(3));
    let main = patch(Target::Main, json!({"status": {"replicas": 7}})).await;
    assert_eq!(main.int(&["status", "replicas"]), Some(3), "a spec write keeps the status");
}

#[tokio::test]
async fn each_kind_of_patch_applies() {
    let api = api().await;
    api.put_map("a", "1").await;
    let patch = async |patch| api.registry.patch(&api.cx, config_maps(), "default", "a", Target::Main, &patch).await;
    let merged = patch(Patch::Merge(json!({"data": {"key": null, "b": "2"}}))).await.unwrap().entry.object();
    assert_eq!(merged.get(&["data"]), Some(&json!({"b": "2"})));
    let operations =
        json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "add", "path": "/data/c", "value": "3"}]);
    let added = patch(Patch::Json(operations)).await.unwrap().entry.object();
    assert_eq!(added.str(&["data", "c"]), "3");
    let strategic = patch(Patch::Strategic(json!({"metadata": {"labels": {"n": "m"}}}))).await.unwrap().entry.object();
    assert_eq!(strategic.labels()["n"], "m");
    let stale = patch(Patch::Merge(json!({"metadata": {"resourceVersion": "1"}}))).await.unwrap_err();
    assert_eq!(stale.code(), 409);
    let wrong = patch(Patch::Merge(json!({"data": {"key": 5}}))).await.unwrap_err();
    assert_eq!(wrong.code(), 422, "{wrong}");
}

#[tokio::test]
async fn patches_from_many_sides_all_arrive() {
    let api = api().await;
    api.put_map("a", "1").await;
    let one = async |number: usize| {
        let patch = Patch::Merge(json!({"data": {number.to_string(): "here"}}));
        api.registry.patch(&api.cx, config_maps(), "default", "a", Target::Main, &patch).await.unwrap();
    };
    futures::future::join_all((0..20).map(one)).await;
    let all = api.registry.get(config_maps(), "default", "a", "").await.unwrap().object();
    assert_eq!(all.map(&["data"]).unwrap().len(), 21);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let api = api().await;
    let maps = config_maps();
    api.create(maps, json!({"metadata": {"name": "a", "finalizers": ["x.io/y"]}})).await.unwrap();
    let delete = async |options: DeleteOptions| api.registry.delete(&api.cx, maps, "default", "a", &options).await;
    let Deleted::Pending(dying) = delete(DeleteOptions::default()).await.unwrap() else { panic!("it is held") };
    assert!(dying.object().is_deleting());
    let again = delete(DeleteOptions::default()).await.unwrap();
    assert_eq!(again.entry().revision(), dying.revision());
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.registry.patch(&api.cx, maps, "default", "a", Target::Main, &free).await.unwrap();
    assert_eq!(delete(DeleteOptions::default()).await.unwrap_err().to_string(), "configmaps \"a\" not found");
}

#[tokio::test]
async fn deletion_has_preconditions_and_propagation() {
    let api = api().await;
    let maps = config_maps();
    let made = api.put_map("a", "1").await;
    let delete = async |options: DeleteOptions| api.registry.delete(&api.cx, maps, "default", "a", &options).await;
    let wrong_uid = DeleteOptions { uid: Some("other".to_owned()), ..DeleteOptions::default() };
    let error = delete(wrong_uid).await.unwrap_err();
    assert!(error.message.contains("the UID in the precondition (other) does not match the UID in record"), "{error}");
    let wrong_version = DeleteOptions { resource_version: Some("1".to_owned()), ..DeleteOptions::default() };
    assert_eq!(delete(wrong_version).await.unwrap_err().code(), 409);
    let orphan = DeleteOptions {
        propagation: Some(Propagation::Orphan),
        resource_version: Some(made.revision().to_string()),
        ..DeleteOptions::default()
    };
    let held = delete(orphan).await.unwrap();
    assert_eq!(held.entry().object().finalizers().collect::<Vec<_>>(), ["orphan"]);
}

#[tokio::test]
async fn a_running_pod_gets_its_grace_and_a_pending_one_goes_at_once() {
    let api = api().await;
    let pods = kind("", "v1", "pods");
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.create(pods, pod("pending")).await.unwrap();
    api.create(pods, pod("running")).await.unwrap();
    let bind = |pod: &mut machinery::Object| {
        pod.set(&["spec", "nodeName"], "n1");
        Ok(())
    };
    api.registry.mutate(&api.cx, pods, "default", "running", "binding", bind).await.unwrap();
    let delete = async |name, grace_seconds| {
        let options = DeleteOptions { grace_seconds, ..DeleteOptions::default() };
        api.registry.delete(&api.cx, pods, "default", name, &options).await.unwrap()
    };
    assert!(matches!(delete("pending", None).await, Deleted::Gone(_)));
    let Deleted::Pending(dying) = delete("running", None).await else { panic!("it runs") };
    assert_eq!(dying.object().int(&["metadata", "deletionGracePeriodSeconds"]), Some(30));
    assert!(matches!(delete("running", Some(0)).await, Deleted::Gone(_)));
}

#[tokio::test]
async fn a_namespace_waits_for_its_finalize_call() {
    let api = api().await;
    let namespaces = kind("", "v1", "namespaces");
    api.create(namespaces, json!({"metadata": {"name": "team"}})).await.unwrap();
    let deleted = api.registry.delete(&api.cx, namespaces, "", "team", &DeleteOptions::default()).await.unwrap();
    let Deleted::Pending(entry) = deleted else { panic!("its content is still there") };
    let mut namespace = entry.object();
    assert_eq!(namespace.str(&["status", "phase"]), "Terminating");
    namespace.set(&["spec", "finalizers"], json!([]));
    let finalize = Target::Other("finalize");
    api.registry.update(&api.cx, namespaces, "", "team", finalize, namespace).await.unwrap();
    assert!(api.registry.get(namespaces, "", "team", "").await.is_err());
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_selector() {
    let api = api().await;
    for (name, of) in [("a", "x"), ("b", "y"), ("c", "x")] {
        api.put_map(name, of).await;
    }
    let selected = ListOptions { label_selector: "of=x".to_owned(), ..ListOptions::default() };
    let options = DeleteOptions::default();
    let gone = api.registry.delete_collection(&api.cx, config_maps(), "default", &selected, &options);
    assert_eq!(names(&gone.await.unwrap()), "a c");
    assert_eq!(names(&api.list_maps(ListOptions::default()).await.unwrap()), "b");
}

#[tokio::test]
async fn requests_can_run_on_any_thread() {
    let api = api().await;
    let registry = api.registry.clone();
    let work = async move {
        let cx = Context::default();
        let maps = config_maps();
        let made = registry.create(&cx, maps, "default", config_map("a", "1")).await.unwrap();
        registry.update(&cx, maps, "default", "a", Target::Main, made.object()).await.unwrap();
        registry.mutate(&cx, maps, "default", "a", "", |_| Ok(())).await.unwrap();
        let all = ListOptions::default();
        let patch = Patch::Merge(json!({}));
        registry.patch(&cx, maps, "default", "a", Target::Main, &patch).await.unwrap();
        registry.delete_collection(&cx, maps, "", &all, &DeleteOptions::default()).await.unwrap()
    };
    assert_eq!(tokio::spawn(work).await.unwrap().items.len(), 1);
}
