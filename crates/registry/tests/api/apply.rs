//! Server-side apply, and who owns what after writes of every sort.

use kinds::KindDef;
use machinery::{Object, Reason};
use registry::{Context, Patch, Target, Written};
use serde_json::{Value, json};

use crate::minimal::minimal;
use crate::{Api, api, config_maps, kind, object};

impl Api {
    /// The same registry, used by another manager.
    fn by(&self, manager: &str) -> Context {
        Context { field_manager: manager.to_owned(), ..self.cx.clone() }
    }

    async fn patched_by(
        &self,
        manager: &str,
        (kind, target): (&'static KindDef, Target),
        name: &str,
        patch: Patch,
    ) -> Result<Written, machinery::ApiError> {
        let namespace = if kind.namespaced() { "default" } else { "" };
        self.registry.patch(&self.by(manager), kind, namespace, name, target, &patch).await
    }

    async fn apply(&self, manager: &str, body: Value) -> Result<Written, machinery::ApiError> {
        self.patched_by(manager, (config_maps(), Target::Main), "a", config(body)).await
    }
}

/// A config map named `a`, or what `body` says besides.
fn config(body: Value) -> Patch {
    let mut config = object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    config.0.extend(object(body).0);
    Patch::Apply { config, force: false }
}

fn deployments() -> (&'static KindDef, Value) {
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    (kind("apps", "v1", "deployments"), body)
}

/// `Update status one: {"f:data": ...}` for each manager, fields of `under` only.
fn managers(entry: &registry::Entry, under: &str) -> Vec<String> {
    let object = entry.object();
    let line = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let fields = &entry["fieldsV1"][under];
        assert!(text("time").ends_with('Z'));
        let fields = if fields.is_null() { String::new() } else { format!(" {fields}") };
        let words = [text("operation"), text("subresource"), text("manager"), text("apiVersion")];
        words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ") + &fields
    };
    object.list(&["metadata", "managedFields"]).iter().map(line).collect()
}

#[tokio::test]
async fn an_apply_makes_the_object_and_then_changes_it() {
    let api = api().await;
    let made = api.apply("one", json!({"data": {"a": "1", "b": "1"}})).await.unwrap();
    assert!(made.created);
    assert_eq!(made.entry.object().uid().len(), 36);
    assert_eq!(managers(&made.entry, "f:data"), [r#"Apply one v1 {"f:a":{},"f:b":{}}"#]);
    let changed = api.apply("one", json!({"data": {"a": "2"}})).await.unwrap();
    assert!(!changed.created);
    assert_eq!(changed.entry.object().get(&["data"]), Some(&json!({"a": "2"})));
    assert_eq!(changed.entry.object().uid(), made.entry.object().uid());
}

#[tokio::test]
async fn applying_the_same_writes_nothing() {
    let api = api().await;
    let (kind, body) = deployments();
    let config = Patch::Apply { config: object(body), force: false };
    let first = api.patched_by("one", (kind, Target::Main), "web", config.clone()).await.unwrap();
    let again = api.patched_by("one", (kind, Target::Main), "web", config).await.unwrap();
    assert_eq!(again.entry.json(), first.entry.json());
    assert_eq!(first.entry.object().int(&["spec", "progressDeadlineSeconds"]), Some(600), "defaults are nobody's");
    assert!(!managers(&first.entry, "f:spec")[0].contains("progressDeadlineSeconds"));
}

#[tokio::test]
async fn a_dry_run_of_an_apply_writes_nothing() {
    let api = api().await;
    let cx = Context { dry_run: true, ..api.by("one") };
    let patch = config(json!({"data": {"a": "1"}}));
    let would = api.registry.patch(&cx, config_maps(), "default", "a", Target::Main, &patch).await.unwrap();
    assert!(would.created && would.entry.object().str(&["data", "a"]) == "1");
    assert_eq!(api.registry.get(config_maps(), "default", "a", "").await.unwrap_err().code(), 404);
}

#[tokio::test]
async fn uid_and_resource_version_are_conditions() {
    let api = api().await;
    let with = |field: &str, value: &str| json!({"metadata": {"name": "a", field: value}, "data": {"a": "1"}});
    assert_eq!(
        api.apply("one", with("uid", "u")).await.unwrap_err().to_string(),
        "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u, and no \
         existing object was found"
    );
    let made = api.apply("one", json!({"data": {"a": "0"}})).await.unwrap().entry.object();
    assert_eq!(
        api.apply("one", with("uid", "u")).await.unwrap_err().to_string(),
        "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"u\": field is immutable"
    );
    let made = api.apply("one", with("uid", made.uid())).await.unwrap().entry.object();
    assert_eq!(api.apply("one", with("resourceVersion", "1000")).await.unwrap_err().code(), 409);
    api.apply("one", with("resourceVersion", made.resource_version())).await.unwrap();
    let other = json!({"metadata": {"name": "b"}});
    let error = api.apply("one", other).await.unwrap_err();
    assert_eq!(error.to_string(), "the name of the object (b) does not match the name on the URL (a)");
}

#[tokio::test]
async fn who_may_not_create_may_not_apply_what_is_not_there() {
    let api = api().await;
    let denied = machinery::ApiError::unauthorized();
    let cx = Context { create_denied: Some(denied.clone()), ..api.by("one") };
    let patch = config(json!({}));
    let refused = api.registry.patch(&cx, config_maps(), "default", "a", Target::Main, &patch).await.unwrap_err();
    assert_eq!(refused, denied);
    api.apply("two", json!({})).await.unwrap();
    api.registry.patch(&cx, config_maps(), "default", "a", Target::Main, &patch).await.unwrap();
}

#[tokio::test]
async fn every_patch_and_every_update_is_somebodys() {
    let api = api().await;
    let maps = (config_maps(), Target::Main);
    let body = object(json!({"metadata": {"name": "a"}, "data": {"z": "0"}}));
    api.registry.create(&api.by("creator"), config_maps(), "default", body).await.unwrap();
    api.patched_by("merger", maps, "a", Patch::Merge(json!({"data": {"m": "1"}}))).await.unwrap();
    api.patched_by("strategist", maps, "a", Patch::Strategic(json!({"data": {"s": "1"}}))).await.unwrap();
    let operations = json!([{"op": "add", "path": "/data/j", "value": "1"}]);
    let patched = api.patched_by("operator", maps, "a", Patch::Json(operations)).await.unwrap();
    let mut body = patched.entry.object();
    body.set(&["data", "u"], "1");
    body.remove(&["metadata", "managedFields"]);
    let updater = api.by("updater");
    let updated = api.registry.update(&updater, config_maps(), "default", "a", Target::Main, body).await.unwrap();
    let mut lines = managers(&updated.entry, "f:data");
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"Update creator v1 {".":{},"f:z":{}}"#,
            r#"Update merger v1 {"f:m":{}}"#,
            r#"Update operator v1 {"f:j":{}}"#,
            r#"Update strategist v1 {"f:s":{}}"#,
            r#"Update updater v1 {"f:u":{}}"#,
        ]
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_nobodys() {
    let api = api().await;
    let first = api.put_map("a", "1").await;
    let again = api.put_map("a", "1").await;
    assert_eq!(again.json(), first.json());
}

#[tokio::test]
async fn managers_are_reset_by_an_empty_list() {
    let api = api().await;
    api.put_map("a", "1").await;
    let before = [r#"{".":{},"f:key":{}}"#, r#"{".":{},"f:b":{},"f:key":{}}"#];
    for (empty, before) in [json!([]), json!([{}])].into_iter().zip(before) {
        let reset = Patch::Merge(json!({"metadata": {"managedFields": empty}}));
        let reset = api.patched_by("one", (config_maps(), Target::Main), "a", reset).await.unwrap();
        assert_eq!(reset.entry.object().get(&["metadata", "managedFields"]), None);
        let applied = api.apply("two", json!({"data": {"b": "1"}})).await.unwrap();
        assert_eq!(
            managers(&applied.entry, "f:data"),
            [r#"Apply two v1 {"f:b":{}}"#.to_owned(), format!("Update before-first-apply v1 {before}")]
        );
    }
}

#[tokio::test]
async fn status_belongs_to_who_writes_status() {
    let api = api().await;
    let (kind, body) = deployments();
    let mut with_status = body.clone();
    with_status["status"] = json!({"replicas": 7});
    let config = Patch::Apply { config: object(with_status), force: false };
    let made = api.patched_by("one", (kind, Target::Main), "web", config).await.unwrap();
    assert_eq!(managers(&made.entry, "f:status"), ["Apply one apps/v1"]);
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"x": "y"}},
        "spec": {"replicas": 9}, "status": {"replicas": 2}});
    let config = Patch::Apply { config: object(status), force: true };
    let written = api.patched_by("two", (kind, Target::Status), "web", config).await.unwrap();
    let object = written.entry.object();
    assert_eq!((object.int(&["spec", "replicas"]), object.int(&["status", "replicas"])), (Some(2), Some(2)));
    assert!(object.labels().is_empty(), "labels are not the status's to write");
    let update = Patch::Merge(json!({"status": {"replicas": 3}, "spec": {"replicas": 9}}));
    let written = api.patched_by("three", (kind, Target::Status), "web", update).await.unwrap();
    assert_eq!(
        managers(&written.entry, "f:status"),
        ["Apply one apps/v1", r#"Update status three apps/v1 {"f:replicas":{}}"#]
    );
    assert!(!managers(&written.entry, "f:metadata").join("").contains("labels"));
}

#[tokio::test]
async fn replicas_belong_to_who_scales() {
    let api = api().await;
    let (kind, body) = deployments();
    let config = |force| Patch::Apply { config: object(body.clone()), force };
    api.patched_by("one", (kind, Target::Main), "web", config(false)).await.unwrap();
    let more = Patch::Merge(json!({"spec": {"replicas": 3}}));
    api.patched_by("scaler", (kind, Target::Scale), "web", more).await.unwrap();
    let scaled = api.registry.get(kind, "default", "web", "").await.unwrap();
    let of_scaler = r#"Update scale scaler apps/v1 {"f:replicas":{}}"#;
    assert_eq!(managers(&scaled, "f:spec")[1], of_scaler);
    assert!(!managers(&scaled, "f:spec")[0].contains("replicas"));
    assert_eq!(
        api.patched_by("one", (kind, Target::Main), "web", config(false)).await.unwrap_err().to_string(),
        "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    let scale = object(json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"},
        "spec": {"replicas": 4}}));
    let apply = |force| Patch::Apply { config: scale.clone(), force };
    assert_eq!(
        api.patched_by("two", (kind, Target::Scale), "web", apply(false)).await.unwrap_err().to_string(),
        "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" using autoscaling/v1: \
         .spec.replicas"
    );
    api.patched_by("two", (kind, Target::Scale), "web", apply(true)).await.unwrap();
    let scaled = api.registry.get(kind, "default", "web", "").await.unwrap();
    assert_eq!(scaled.object().int(&["spec", "replicas"]), Some(4));
    assert_eq!(managers(&scaled, "f:spec").len(), 2);
    assert!(managers(&scaled, "f:spec").contains(&r#"Apply scale two apps/v1 {"f:replicas":{}}"#.to_owned()));
}

#[tokio::test]
async fn managers_of_two_versions_meet() {
    let api = api().await;
    let (v1, v2) =
        (kind("autoscaling", "v1", "horizontalpodautoscalers"), kind("autoscaling", "v2", "horizontalpodautoscalers"));
    let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    let body = |version: &str, max: u32| {
        let config =
            object(json!({"apiVersion": version, "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"maxReplicas": max, "scaleTargetRef": target}}));
        Patch::Apply { config, force: false }
    };
    api.patched_by("one", (v1, Target::Main), "web", body("autoscaling/v1", 3)).await.unwrap();
    let refused = api.patched_by("two", (v2, Target::Main), "web", body("autoscaling/v2", 4)).await.unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"one\": .spec.maxReplicas");
    let shared = api.patched_by("two", (v2, Target::Main), "web", body("autoscaling/v2", 3)).await.unwrap();
    let lines: Vec<String> = managers(&shared.entry, "");
    assert_eq!(lines, ["Apply one autoscaling/v1", "Apply two autoscaling/v2"]);
    let again = api.patched_by("one", (v2, Target::Main), "web", body("autoscaling/v2", 3)).await.unwrap();
    assert_eq!(managers(&again.entry, ""), ["Apply one autoscaling/v2", "Apply two autoscaling/v2"]);
}

/// What one manager or another says of an object of one kind.
struct Applied<'a> {
    api: &'a Api,
    kind: &'static KindDef,
    config: Object,
}

impl Applied<'_> {
    async fn by(&self, manager: &str, config: &Object, force: bool) -> Result<Object, machinery::ApiError> {
        let patch = Patch::Apply { config: config.clone(), force };
        let written = self.api.patched_by(manager, (self.kind, Target::Main), self.config.name(), patch).await?;
        Ok(written.entry.object())
    }

    /// Nothing but the name, and these labels.
    fn labels(&self, labels: Value) -> Object {
        let mut config = Object::default();
        for field in [&["apiVersion"][..], &["kind"], &["metadata", "name"], &["metadata", "namespace"]] {
            self.config.get(field).into_iter().for_each(|value| config.set(field, value.clone()));
        }
        config.set(&["metadata", "labels"], labels);
        config
    }
}

/// Without what every write changes.
fn said(mut object: Object) -> Object {
    for field in ["managedFields", "resourceVersion", "generation"] {
        object.remove(&["metadata", field]);
    }
    object
}

fn label<'a>(object: &'a Object, name: &str) -> &'a str {
    object.str(&["metadata", "labels", name])
}

fn label_owners(object: &Object, label: &str) -> Vec<String> {
    let managers = object.list(&["metadata", "managedFields"]).iter();
    let owns = |entry: &&Value| entry["fieldsV1"]["f:metadata"]["f:labels"].get(format!("f:{label}")).is_some();
    managers.filter(owns).map(|entry| entry["manager"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn objects_of_every_kind_are_applied_by_several_managers() {
    let api = api().await;
    for kind in kinds::known().iter().filter(|kind| !kind.virtual_kind && kind.conversion.is_none()) {
        let mut config = minimal(kind);
        config.remove(&["metadata", "uid"]);
        config.set(&["apiVersion"], kind.group_version().to_string());
        config.set(&["kind"], kind.kind);
        config.set(&["metadata", "labels", "shared"], "1");
        let applied = Applied { api: &api, kind, config: config.clone() };
        let failed = |error: machinery::ApiError| -> Object { panic!("{kind:?}: {error}") };
        let first = applied.by("one", &config, false).await.unwrap_or_else(failed);
        let again = applied.by("one", &config, false).await.unwrap_or_else(failed);
        assert_eq!(again, first, "{kind:?}: nothing is written");
        let both = applied.by("two", &applied.labels(json!({"two": "2"})), false).await.unwrap_or_else(failed);
        assert_eq!((label(&both, "shared"), label(&both, "two")), ("1", "2"), "{kind:?}");
        let again = applied.by("one", &config, false).await.unwrap_or_else(failed);
        assert_eq!(again, both, "{kind:?}: what two says stays");
        let without = applied.by("two", &applied.labels(json!({})), false).await.unwrap_or_else(failed);
        assert_eq!(said(without), said(first), "{kind:?}: what two says no more goes");

        let taken = applied.labels(json!({"shared": "2"}));
        let error = applied.by("two", &taken, false).await.unwrap_err();
        let causes: Vec<String> = error.details.into_iter().flat_map(|of| of.causes).map(|cause| cause.field).collect();
        assert_eq!((error.reason, causes), (Reason::Conflict, vec![".metadata.labels.shared".to_owned()]), "{kind:?}");
        let forced = applied.by("two", &taken, true).await.unwrap_or_else(failed);
        assert_eq!((label(&forced, "shared"), label_owners(&forced, "shared")), ("2", vec!["two".into()]), "{kind:?}");

        let patch = Patch::Merge(json!({"metadata": {"labels": {"shared": "3"}}}));
        let patched = api.patched_by("three", (kind, Target::Main), config.name(), patch).await.unwrap().entry.object();
        assert_eq!(label_owners(&patched, "shared"), ["three"], "{kind:?}");
        let error = applied.by("two", &taken, false).await.unwrap_err();
        assert!(error.message.contains("conflict with \"three\""), "{kind:?}: {error}");
    }
}
