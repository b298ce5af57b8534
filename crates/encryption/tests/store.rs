//! Encryption as the registry uses it, over the memory store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use encryption::{Encryption, Source, keys};
use machinery::Object;
use registry::{Config, Context, Hooks, ListOptions, Registry, Target, Transformer as _, VersionMatch};
use serde_json::json;
use store::Store as _;

mod plugin;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "/registry/secrets/default/s";

struct Api {
    store: Arc<store::Memory>,
    encryption: Arc<Encryption>,
    registry: Registry,
}

async fn open(store: Arc<store::Memory>, source: Source) -> Api {
    let encryption = Arc::new(Encryption::open(source).unwrap());
    let config =
        Config { store: store.clone(), kinds: kinds::all(), transformer: encryption.clone(), hooks: Hooks::default() };
    Api { store, encryption, registry: Registry::open(config).await.unwrap() }
}

fn secrets() -> &'static kinds::KindDef {
    kinds::find("", "v1", "secrets").unwrap()
}

impl Api {
    async fn create_secret(&self) {
        let body = json!({"metadata": {"name": "s"}, "data": {"password": "aHVudGVyMg=="}});
        let body = Object::from_value(body).unwrap();
        self.registry.create(&Context::default(), secrets(), "default", body).await.unwrap();
    }

    async fn password(&self) -> String {
        let secret = self.registry.get(secrets(), "default", "s", "").await.unwrap().object();
        secret.str(&["data", "password"]).to_owned()
    }

    async fn stored(&self) -> Vec<u8> {
        self.store.get(KEY, None).await.unwrap().unwrap().value.to_vec()
    }

    async fn begins_with(&self, prefix: &str) -> bool {
        self.stored().await.starts_with(prefix.as_bytes())
    }
}

/// Waits for what another task does.
async fn until(mut what: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it happens");
}

fn config(dir: &Path, providers: &str) -> PathBuf {
    let path = dir.join("config.yaml");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n\
         resources:\n- resources: [secrets]\n  providers:\n{providers}"
    );
    std::fs::write(dir.join("config.new"), text).unwrap();
    std::fs::rename(dir.join("config.new"), &path).unwrap();
    path
}

fn keyed(provider: &str, name: &str, byte: u8) -> String {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    format!("  - {provider}: {{keys: [{{name: {name}, secret: {secret}}}]}}\n")
}

const IDENTITY: &str = "  - identity: {}\n";

#[tokio::test]
async fn secrets_are_encrypted_by_the_clusters_own_key_and_the_rest_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::OwnKeys(dir.path().join("keys"));
    let api = open(Arc::new(store::Memory::new()), source.clone()).await;
    api.create_secret().await;
    assert!(api.begins_with("k8s:enc:aesgcm:v1:key1:").await);
    assert_eq!(open(api.store.clone(), source).await.password().await, "aHVudGVyMg==");
    assert!(!api.encryption.covers("/registry/configmaps/default/a"));
}

#[tokio::test]
async fn own_keys_rotate_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let api = open(Arc::new(store::Memory::new()), Source::OwnKeys(path.clone())).await;
    api.create_secret().await;
    tokio::spawn(encryption::follow(api.encryption.clone(), api.registry.clone()));
    keys::add(&path).unwrap();
    tokio::time::timeout(PATIENCE, keys::rotated(&path)).await.expect("the server rotates").unwrap();
    assert!(api.begins_with("k8s:enc:aesgcm:v1:key2:").await);
    let again = open(api.store.clone(), Source::OwnKeys(path)).await;
    assert_eq!(again.password().await, "aHVudGVyMg==");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_wrote_by_a_key_that_is_on_its_way_is_read_when_that_is_here() {
    let dir = tempfile::tempdir().unwrap();
    let (own, others) = (dir.path().join("own"), dir.path().join("others"));
    let here = Arc::new(Encryption::open(Source::SharedKeys(own.clone())).unwrap());
    std::fs::copy(&own, &others).unwrap();
    keys::add(&others).unwrap();
    let stored = Encryption::open(Source::OwnKeys(others.clone())).unwrap().to_storage(KEY, "x".into()).unwrap();
    let reading = tokio::task::spawn_blocking({
        let here = here.clone();
        move || here.from_storage(KEY, stored)
    });
    let known = keys::Keys::parse(&std::fs::read_to_string(&others).unwrap()).unwrap();
    keys::take_over(&own, &known).unwrap();
    here.renew().await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), "x");
    assert!(here.from_storage(KEY, "k8s:enc:aesgcm:v1:key9:x".into()).is_err(), "what nobody brings is an error");
    let begun = clock::monotonic();
    assert!(here.from_storage(KEY, "k8s:enc:aesgcm:v1:key1:damaged".into()).is_err());
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody brings what mends a value");
}

/// As the list of Secrets was at a revision.
fn at(revision: u64) -> ListOptions {
    ListOptions {
        resource_version: revision.to_string(),
        version_match: Some(VersionMatch::Exact),
        ..ListOptions::default()
    }
}

#[tokio::test]
async fn the_past_reads_by_retired_keys_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let api = open(Arc::new(store::Memory::new()), Source::OwnKeys(path.clone())).await;
    api.create_secret().await;
    let past = api.store.revision().await.unwrap();
    let following = tokio::spawn(encryption::follow(api.encryption.clone(), api.registry.clone()));
    keys::add(&path).unwrap();
    tokio::time::timeout(PATIENCE, keys::rotated(&path)).await.expect("the server rotates").unwrap();
    following.abort();
    let again = open(api.store.clone(), Source::OwnKeys(path)).await;
    let list = again.registry.list(secrets(), "default", &at(past)).await.unwrap();
    assert_eq!(list.items[0].object().str(&["data", "password"]), "aHVudGVyMg==");
    assert!(again.begins_with("k8s:enc:aesgcm:v1:key2:").await);
}

#[tokio::test(start_paused = true)]
async fn retired_keys_go_when_the_past_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let api = open(Arc::new(store::Memory::new()), Source::OwnKeys(path.clone())).await;
    api.create_secret().await;
    tokio::spawn(encryption::follow(api.encryption.clone(), api.registry.clone()));
    keys::add(&path).unwrap();
    until(async || keys::count(&path).unwrap() == 1).await;
    assert!(keys::retired(&path).unwrap().is_some());
    // History lasts five minutes, and is forgotten as there are writes.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let secret = api.registry.get(secrets(), "default", "s", "").await.unwrap().object();
    let mut changed = secret.clone();
    changed.set(&["metadata", "labels", "a"], "b");
    api.registry.update(&Context::default(), secrets(), "default", "s", Target::Main, changed).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    until(async || keys::retired(&path).unwrap().is_none()).await;
    assert_eq!(api.password().await, "aHVudGVyMg==");
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_goes_on_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let api = open(Arc::new(store::Memory::new()), Source::OwnKeys(path.clone())).await;
    api.create_secret().await;
    keys::add(&path).unwrap();
    let again = open(api.store.clone(), Source::OwnKeys(path.clone())).await;
    assert_eq!(again.password().await, "aHVudGVyMg==");
    tokio::spawn(encryption::follow(again.encryption.clone(), again.registry.clone()));
    until(async || keys::count(&path).unwrap() == 1).await;
    assert!(again.begins_with("k8s:enc:aesgcm:v1:key2:").await);
}

#[tokio::test]
async fn a_configuration_that_changes_is_taken_over_and_a_wrong_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = keyed("aescbc", "old", 1) + IDENTITY;
    let path = config(dir.path(), &first);
    let api = open(Arc::new(store::Memory::new()), Source::Config(path)).await;
    api.create_secret().await;
    assert!(api.begins_with("k8s:enc:aescbc:v1:old:").await);
    tokio::spawn(encryption::follow(api.encryption.clone(), api.registry.clone()));
    config(dir.path(), "  - {}\n");
    config(dir.path(), &(keyed("secretbox", "new", 2) + &first));
    let stored = api.stored().await;
    until(async || api.encryption.is_outdated(KEY, &stored)).await;
    assert_eq!(api.password().await, "aHVudGVyMg==");
    // As with upstream, a write that changes nothing stores an outdated value anew.
    let secret = api.registry.get(secrets(), "default", "s", "").await.unwrap().object();
    api.registry.update(&Context::default(), secrets(), "default", "s", Target::Main, secret).await.unwrap();
    assert!(api.begins_with("k8s:enc:secretbox:v1:new:").await);
}

#[tokio::test]
async fn values_that_were_plain_still_read_where_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(store::Memory::new());
    open(store.clone(), Source::Config(config(dir.path(), IDENTITY))).await.create_secret().await;
    let plain = store.get(KEY, None).await.unwrap().unwrap().value;
    assert!(plain.starts_with(b"{"));
    let with = Encryption::open(Source::Config(config(dir.path(), &(keyed("aesgcm", "k", 1) + IDENTITY)))).unwrap();
    assert_eq!(with.from_storage(KEY, plain.clone()).unwrap(), plain);
    let without = Encryption::open(Source::Config(config(dir.path(), &keyed("aesgcm", "k", 1)))).unwrap();
    let error = without.from_storage(KEY, plain).unwrap_err();
    assert!(error.to_string().contains("no matching prefix found"), "{error}");
}

#[tokio::test]
async fn a_kms_plugin_keeps_the_keys_and_rotates_them() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("kms.sock");
    let plugin = plugin::Plugin::start(&socket);
    let kms = format!("  - kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}'}}\n", socket.display());
    let source = Source::Config(config(dir.path(), &kms));
    let api = open(Arc::new(store::Memory::new()), source.clone()).await;
    api.create_secret().await;
    assert!(api.begins_with("k8s:enc:kms:v2:vault:").await);
    assert!(!String::from_utf8_lossy(&api.stored().await).contains("aHVudGVyMg=="));
    let again = open(api.store.clone(), source.clone()).await;
    assert_eq!(again.password().await, "aHVudGVyMg==", "another process asks the plugin for the key");
    plugin.rotate();
    let later = Encryption::open(source).unwrap();
    let stored = later.to_storage(KEY, "x".into()).unwrap();
    assert!(!later.is_outdated(KEY, &stored) && later.is_outdated(KEY, &api.stored().await));
    assert_eq!(api.encryption.from_storage(KEY, stored).unwrap(), "x");
}

#[tokio::test]
async fn a_plugin_that_encrypts_by_another_key_than_it_says_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("kms.sock");
    let plugin = plugin::Plugin::start(&socket);
    plugin.fall_behind(true);
    let kms = format!("  - kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}'}}\n", socket.display());
    let encryption = Encryption::open(Source::Config(config(dir.path(), &kms))).unwrap();
    assert!(encryption.to_storage(KEY, "x".into()).is_err());
    plugin.fall_behind(false);
    let stored = encryption.to_storage(KEY, "x".into()).unwrap();
    assert_eq!(encryption.from_storage(KEY, stored).unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_waits_for_a_plugin_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("kms.sock");
    // Takes connections on, and never answers.
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let kms = format!("  - kms: {{apiVersion: v2, name: v, endpoint: 'unix://{}', timeout: 5s}}\n", socket.display());
    let encryption = Arc::new(Encryption::open(Source::Config(config(dir.path(), &kms))).unwrap());
    let waiting = tokio::spawn(async move { encryption.to_storage(KEY, "x".into()).is_err() });
    tokio::time::timeout(Duration::from_secs(4), tokio::spawn(tokio::task::yield_now())).await.unwrap().unwrap();
    assert!(!waiting.is_finished());
    assert!(waiting.await.unwrap());
}

#[tokio::test]
async fn the_past_reads_by_the_key_of_its_time_after_a_rotation_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let old = keyed("aesgcm", "old", 1);
    let api = open(Arc::new(store::Memory::new()), Source::Config(config(dir.path(), &old))).await;
    api.create_secret().await;
    let past = api.store.revision().await.unwrap();
    let both = keyed("secretbox", "new", 2) + &old;
    let again = open(api.store.clone(), Source::Config(config(dir.path(), &both))).await;
    until(async || again.begins_with("k8s:enc:secretbox:v1:new:").await).await;
    let exactly = at(past);
    let list = again.registry.list(secrets(), "default", &exactly).await.unwrap();
    assert_eq!((list.revision, list.items[0].object().str(&["data", "password"])), (past, "aHVudGVyMg=="));
    let new = keyed("secretbox", "new", 2);
    let without = open(api.store.clone(), Source::Config(config(dir.path(), &new))).await;
    assert_eq!(without.password().await, "aHVudGVyMg==");
    let error = without.registry.list(secrets(), "default", &exactly).await.unwrap_err();
    assert!(error.message.contains("no matching prefix found"), "{}", error.message);
}

#[tokio::test]
async fn without_its_plugin_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let kms = "  - kms: {apiVersion: v2, name: vault, endpoint: 'unix:///nowhere', timeout: 100ms}\n";
    let encryption = Encryption::open(Source::Config(config(dir.path(), kms))).unwrap();
    assert!(encryption.to_storage(KEY, "x".into()).is_err());
}
