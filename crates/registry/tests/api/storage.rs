//! What lies in the store, and what the registry does to it by itself.

use std::sync::Arc;
use std::time::Duration;

use registry::{Config, Context, Hooks, Registry, WatchOptions};
use serde_json::json;
use store::Store;

use crate::{api, config_maps, kind, object, open};

const HPAS: &str = "horizontalpodautoscalers";

#[tokio::test]
async fn the_embedded_store_keeps_everything_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let body = object(json!({"metadata": {"name": "a"}, "data": {"key": "1"}}));
    let registry = open(Arc::new(store::Sqlite::open(dir.path()).unwrap())).await;
    let made = registry.create(&Context::default(), config_maps(), "default", body).await.unwrap();
    let mut watch = registry.watch(config_maps(), "", &WatchOptions::default()).await.unwrap();
    drop(registry);
    assert!(watch.next().await.is_some_and(|event| crate::shown(&event) == "ADDED a=1"));
    assert!(watch.next().await.is_none(), "a closed registry ends its watches");
    // The tasks of the first registry let go of the store when they next run.
    let mut reopened = store::Sqlite::open(dir.path());
    for _ in 0..100 {
        if !matches!(reopened, Err(store::Error::Locked(_))) {
            break;
        }
        tokio::task::yield_now().await;
        reopened = store::Sqlite::open(dir.path());
    }
    let registry = open(Arc::new(reopened.unwrap())).await;
    let read = registry.get(config_maps(), "default", "a", "").await.unwrap();
    assert_eq!(read.json(), made.json());
}

#[tokio::test]
async fn the_resource_version_is_not_stored_and_survives_opening() {
    let api = api().await;
    let made = api.put_map("a", "1").await;
    let stored = api.store.get("/registry/configmaps/default/a", None).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&stored.value).contains("resourceVersion"));
    let reopened = crate::open(api.store.clone()).await;
    let read = reopened.get(config_maps(), "default", "a", "").await.unwrap();
    assert_eq!(read.json(), made.json());
}

#[tokio::test]
async fn a_value_that_is_no_object_keeps_the_registry_from_opening() {
    let service = kind("", "v1", "services");
    let strange = encoded(&object(json!({"apiVersion": "v1", "kind": "Service"})), service);
    let table: [(&[u8], &str); 4] = [
        (b"k8s", "holds no JSON"),
        (b"k8s\0", "can not be read"),
        (b"k8s\0\x12\xff", "can not be read"),
        (&strange, "is stored as v1, Kind=Service, where v1, Kind=ConfigMap is expected"),
    ];
    for (value, expected) in table {
        let store = holding("/registry/configmaps/default/a", value).await;
        let config =
            Config { store, kinds: kinds::all(), transformer: Arc::new(registry::Identity), hooks: Hooks::default() };
        let error = Registry::open(config).await.err().expect("it can not be read").to_string();
        assert!(error.starts_with(&format!("/registry/configmaps/default/a {expected}")), "{error}");
    }
}

#[tokio::test]
async fn what_upstream_stored_as_protobuf_is_read_and_followed() {
    let upstream = object(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default", "uid": "1-2", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "data": {"key": "1"},
    }));
    let key = "/registry/configmaps/default/a";
    let store = holding(key, &encoded(&upstream, config_maps())).await;
    let registry = open(store.clone()).await;
    let read = registry.get(config_maps(), "default", "a", "").await.unwrap();
    let mut plain = read.object();
    plain.remove(&["metadata", "resourceVersion"]);
    assert_eq!(plain, upstream);

    let mut watch = registry.watch(config_maps(), "", &WatchOptions::default()).await.unwrap();
    assert_eq!(crate::next(&mut watch).await, "ADDED a=1");
    let mut changed = upstream.clone();
    changed.set(&["data", "key"], "2");
    let expect = store::Expect::ModRevision(read.revision());
    let value = Some(encoded(&changed, config_maps()).into());
    store.write(store::Write { key: key.into(), value, expect }).await.unwrap();
    assert_eq!(crate::next(&mut watch).await, "MODIFIED a=2");
}

#[tokio::test]
async fn what_upstream_stored_in_an_earlier_version_is_read_in_the_newest() {
    let (v1, v2) = (kind("autoscaling", "v1", HPAS), kind("autoscaling", "v2", HPAS));
    let scaler = object(json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70,
                 "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }));
    for stored in [encoded(&scaler, v1), scaler.to_bytes()] {
        let registry = open(holding("/registry/horizontalpodautoscalers/default/a", &stored).await).await;
        let read = registry.get(v2, "default", "a", "").await.unwrap().object();
        assert_eq!(read.api_version(), "autoscaling/v2");
        assert_eq!(read.0["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    }
}

/// As upstream stores built-in kinds.
fn encoded(object: &machinery::Object, kind: &kinds::KindDef) -> Vec<u8> {
    machinery::protobuf::encode_protobuf(&object.0, schema::message(kind.schema).unwrap())
}

async fn holding(key: &str, value: &[u8]) -> Arc<store::Memory> {
    let store = Arc::new(store::Memory::new());
    let value = Some(bytes::Bytes::copy_from_slice(value));
    store.write(store::Write { key: key.into(), value, expect: store::Expect::Absent }).await.unwrap();
    store
}

#[tokio::test(start_paused = true)]
async fn events_are_gone_an_hour_after_their_last_write() {
    let _simulated = clock::simulate(1);
    let api = api().await;
    let events = kind("", "v1", "events");
    let event =
        |name: &str| json!({"metadata": {"name": name}, "involvedObject": {"namespace": "default", "name": "web"}});
    api.create(events, event("old")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    api.create(events, event("new")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1810)).await;
    let left = api.registry.list(events, "", &Default::default()).await.unwrap();
    assert_eq!(crate::names(&left), "new");
    tokio::time::sleep(Duration::from_secs(1810)).await;
    assert!(api.registry.list(events, "", &Default::default()).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn history_is_compacted_after_five_minutes() {
    let api = api().await;
    let first = api.put_map("a", "1").await.revision();
    api.put_map("a", "2").await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    let gone = api.store.get("/registry/configmaps/default/a", Some(first)).await;
    assert!(matches!(gone, Err(store::Error::Compacted(_))), "{gone:?}");
}
