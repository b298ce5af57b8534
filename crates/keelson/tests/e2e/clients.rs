//! Kubernetes' own clients against the real server: Python's, JavaScript's, Rust's, and each kubectl that is installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use crate::support::{Cluster, Output};
use crate::{operator, rights};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// Where `.ci/install` puts what the scripts need.
const INSTALLED: &str = "/var/cache/keelson/clients";

/// A file that `.ci/install` made.
fn installed(file: &str) -> PathBuf {
    let path = Path::new(INSTALLED).join(file);
    assert!(path.exists(), "{} is not there: run .ci/install", path.display());
    path
}

/// Runs scripts on the server's machine.
fn run(cluster: &Cluster, program: &Path, scripts: &[&str], variable: (&str, &Path)) {
    for script in scripts {
        let mut command = cluster.machine.command(program.to_str().expect("a plain path"));
        command.arg(format!("{SCRIPTS}/{script}")).arg(cluster.data_dir().join("kubeconfig"));
        Output::of(command.env(variable.0, variable.1)).succeeds();
    }
}

#[test]
fn the_python_client_works() {
    let cluster = Cluster::start_without_image();
    let python = installed("python/bin/python3");
    run(&cluster, &python, &["client.py", "custom.py", "helm.py"], ("PYTHONDONTWRITEBYTECODE", Path::new("1")));
}

#[test]
fn the_javascript_client_works() {
    let cluster = Cluster::start_without_image();
    let modules = installed("javascript/node_modules");
    run(&cluster, Path::new("node"), &["client.mjs", "custom.mjs"], ("NODE_PATH", &modules));
}

#[test]
fn the_rust_client_works() {
    let cluster = Cluster::start_without_image();
    cluster.machine.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let client = cluster.client().await;
            rust_client(Api::default_namespaced(client.clone())).await;
            operator::run(client).await;
        });
    });
}

async fn rust_client(maps: Api<ConfigMap>) {
    for number in 0..5 {
        let map = json!({"metadata": {"name": format!("r{number}"), "labels": {"client": "rust"}}, "data": {"a": "1"}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }
    let mut params = ListParams::default().labels("client=rust").limit(2);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        names.extend(page.items.iter().map(|map| map.name_any()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["r0", "r1", "r2", "r3", "r4"]);
    let config = watcher::Config::default().labels("client=rust").streaming_lists();
    let mut seen = std::pin::pin!(watcher(maps.clone(), config).default_backoff().applied_objects());
    let initial: BTreeSet<String> = seen.by_ref().take(5).map_ok(|map| map.name_any()).try_collect().await.unwrap();
    assert_eq!(initial.len(), 5);
    let json = serde_json::from_value(json!([{"op": "replace", "path": "/data/a", "value": "json"}])).unwrap();
    for (patch, wanted) in [
        (Patch::Json(json), "json"),
        (Patch::Merge(json!({"data": {"a": "merge"}})), "merge"),
        (Patch::Strategic(json!({"data": {"a": "strategic"}})), "strategic"),
    ] {
        let patched = maps.patch("r1", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(patched.data.unwrap()["a"], wanted);
        let event = seen.next().await.unwrap().unwrap();
        assert_eq!((event.name_any().as_str(), event.data.unwrap()["a"].as_str()), ("r1", wanted));
    }
    rust_client_applies(&maps).await;
    let refused = maps.get("absent").await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 404));
    maps.delete_collection(&DeleteParams::background(), &ListParams::default().labels("client=rust")).await.unwrap();
    assert!(maps.list(&ListParams::default().labels("client=rust")).await.unwrap().items.is_empty());
}

/// Server-side apply by several managers.
async fn rust_client_applies(maps: &Api<ConfigMap>) {
    let config = |data: Value| {
        let metadata = json!({"name": "applied", "labels": {"client": "rust"}});
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
    };
    let apply = async |params: PatchParams, data: Value| maps.patch("applied", &params, &config(data)).await;
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    let made = apply(one, json!({"a": "1", "b": "1"})).await.unwrap();
    assert_eq!(owned(&made), ["Apply one f:a f:b"]);
    let made = apply(two.clone(), json!({"c": "2"})).await.unwrap();
    let again = apply(two.clone(), json!({"c": "2"})).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
    let refused = apply(two.clone(), json!({"a": "2", "c": "2"})).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 409), "{refused}");
    assert!(refused.to_string().contains("conflict with \"one\": .data.a"), "{refused}");
    let mut made = apply(two.clone().force(), json!({"a": "2", "c": "2"})).await.unwrap();
    assert_eq!(json!(made.data), json!({"a": "2", "b": "1", "c": "2"}));
    assert_eq!(owned(&made), ["Apply one f:b", "Apply two f:a f:c"]);
    made.data.get_or_insert_default().insert("b".to_owned(), "3".to_owned());
    let by_three = PostParams { field_manager: Some("three".to_owned()), ..PostParams::default() };
    let made = maps.replace("applied", &by_three, &made).await.unwrap();
    assert_eq!(owned(&made), ["Apply one", "Apply two f:a f:c", "Update three f:b"]);
    // What a manager no longer says goes away.
    let made = apply(two, json!({"a": "2"})).await.unwrap();
    assert_eq!(json!(made.data), json!({"a": "2", "b": "3"}));
}

/// `OPERATION MANAGER` and the keys of the data that the manager owns.
fn owned(map: &ConfigMap) -> Vec<String> {
    let line = |entry: &ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:data")?.as_object());
        let keys = fields.into_iter().flat_map(|fields| fields.keys()).map(String::as_str).filter(|key| *key != ".");
        let who = [&entry.operation, &entry.manager].map(|text| text.as_deref().unwrap_or_default());
        who.into_iter().chain(keys).collect::<Vec<_>>().join(" ")
    };
    map.managed_fields().iter().map(line).collect()
}

/// `kubectl`, the versions beside it, as the Google Cloud CLI brings them, and a newer one.
fn kubectls() -> Vec<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').map(|directory| Path::new(directory).join("kubectl")).find(|kubectl| kubectl.exists());
    let kubectl = found.and_then(|kubectl| kubectl.canonicalize().ok()).expect("kubectl is installed");
    let beside = kubectl.parent().expect("a file lies in a directory").read_dir().expect("it can be listed");
    let versions = beside.filter_map(|entry| entry.ok()).map(|entry| entry.path());
    let is_version =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl.1."));
    let mut all: Vec<PathBuf> = versions.filter(is_version).chain([kubectl, installed("python/bin/kubectl")]).collect();
    all.sort();
    all
}

#[test]
fn every_kubectl_that_is_installed_works() {
    let cluster = Cluster::start_without_image();
    for kubectl in kubectls() {
        eprintln!("{}", kubectl.display());
        drive(&cluster, &kubectl);
        drive_apply(&cluster, &kubectl);
        rights::drive(&cluster, &kubectl);
    }
}

/// A line of kubectl; a part between `|` that begins with an apostrophe is one word.
fn command(cluster: &Cluster, kubectl: &Path, line: &str) -> Command {
    let mut command: Command = cluster.kubectl_command_of(kubectl);
    command.args(line.split('|').flat_map(|part| match part.strip_prefix('\'') {
        Some(whole) => vec![whole],
        None => part.split_whitespace().collect(),
    }));
    command
}

fn drive(cluster: &Cluster, kubectl: &Path) {
    let run = |line: &str| Output::of(&mut command(cluster, kubectl, line));
    let maps = cluster.scratch().join("maps.yaml");
    let map = |name: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{client: kubectl}}}}, data: {{a: '1'}}}}\n"
        )
    };
    let write = |text: String| std::fs::write(&maps, text).expect("a small file is written");
    write((0..5).map(|number| map(&format!("k{number}"))).collect());
    let apply = format!("apply -f {}", maps.display());
    let applied = run(&apply).succeeds();
    assert_eq!(applied.matches(" created").count(), 5, "{applied}");
    let again = run(&apply).succeeds();
    assert_eq!(again.matches(" unchanged").count(), 5, "{again}");
    let listed = run("get configmaps -l client=kubectl --chunk-size=2 -o name").succeeds();
    assert_eq!(listed.lines().collect::<Vec<_>>(), [0, 1, 2, 3, 4].map(|number| format!("configmap/k{number}")));
    for (of, patch, wanted) in [
        ("json", r#"[{"op":"replace","path":"/data/a","value":"json"}]"#, "json"),
        ("merge", r#"{"data":{"a":"merge"}}"#, "merge"),
        ("strategic", r#"{"data":{"a":"strategic"}}"#, "strategic"),
    ] {
        run(&format!("patch configmap k1 --type {of} -p|'{patch}")).succeeds();
        assert_eq!(run("get configmap k1 -o jsonpath={.data.a}").succeeds(), wanted);
    }
    write("---\n{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {contianers: []}}\n".to_owned());
    let refused = run(&apply).fails();
    assert!(refused.contains("unknown field \"spec.contianers\""), "{refused}");
    assert!(!refused.contains("ValidationError"), "the server validates: {refused}");
    let waited = run("wait --for=jsonpath={.data.a}=strategic --timeout=30s configmap/k1").succeeds();
    assert!(waited.contains("condition met"), "{waited}");
    assert!(run("explain configmap.data").succeeds().contains("FIELD: data"));
    let deleted = run("delete configmaps -l client=kubectl").succeeds();
    assert_eq!(deleted.matches(" deleted").count(), 5, "{deleted}");
}

/// From applying on the client to applying on the server, by several managers, with differences and an edit.
fn drive_apply(cluster: &Cluster, kubectl: &Path) {
    let run = |line: &str| Output::of(&mut command(cluster, kubectl, line));
    let file = cluster.scratch().join("applied.yaml");
    let write = |data: &str| {
        let text = format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: applied}}, data: {data}}}\n");
        std::fs::write(&file, text).expect("a small file is written");
    };
    let with = |words: &str| run(&format!("{words} -f {}", file.display()));
    let check = |data: &str, owners: &[&str]| {
        let object = run("get configmap applied -o json --show-managed-fields").succeeds();
        let map: ConfigMap = serde_json::from_str(&object).expect("an object");
        assert_eq!(json!(map.data), serde_json::from_str::<Value>(data).expect("JSON"));
        // Of what the client applied, kubectl keeps an annotation up to date under a name of its own.
        let found: Vec<String> =
            owned(&map).into_iter().filter(|line| !line.contains("kubectl-last-applied")).collect();
        assert_eq!(found, owners);
    };
    let differs = |words: &str, wanted: &str| {
        let found = with(words);
        assert!(
            found.code == 1 && found.stdout.contains(wanted),
            "exit {}: {}{}",
            found.code,
            found.stdout,
            found.stderr
        );
    };
    write("{a: '1', b: '1'}");
    with("apply").succeeds();
    check(r#"{"a": "1", "b": "1"}"#, &["Update kubectl-client-side-apply f:a f:b"]);
    with("diff").succeeds();
    write("{a: '2', b: '1'}");
    differs("diff", "+  a: \"2\"");
    differs("diff --server-side", "+  a: \"2\"");
    // What the client applied is kubectl's still.
    with("apply --server-side").succeeds();
    check(r#"{"a": "2", "b": "1"}"#, &["Apply kubectl f:a f:b"]);
    with("diff --server-side").succeeds();

    write("{a: '3', c: '3'}");
    let refused = with("apply --server-side --field-manager=other").fails();
    assert!(refused.contains("conflict with \"kubectl\": .data.a"), "{refused}");
    assert!(refused.contains("--force-conflicts"), "{refused}");
    with("apply --server-side --field-manager=other --force-conflicts").succeeds();
    check(r#"{"a": "3", "b": "1", "c": "3"}"#, &["Apply kubectl f:b", "Apply other f:a f:c"]);

    let mut edit = command(cluster, kubectl, "edit configmap applied");
    Output::of(edit.env("KUBE_EDITOR", r#"sed -i "s/^  b: .*/  b: x4/""#)).succeeds();
    // Who owns nothing any more is no manager.
    check(r#"{"a": "3", "b": "x4", "c": "3"}"#, &["Apply other f:a f:c", "Update kubectl-edit f:b"]);
    write("{a: '3'}");
    with("apply --server-side --field-manager=other").succeeds();
    check(r#"{"a": "3", "b": "x4"}"#, &["Apply other f:a", "Update kubectl-edit f:b"]);
    run("delete configmap applied").succeeds();
}
