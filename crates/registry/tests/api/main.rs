//! The registry as its callers see it, over the memory store.

use std::sync::Arc;

use kinds::KindDef;
use machinery::{ApiError, Object};
use registry::{Config, Context, Entry, Hooks, Identity, ListOptions, Registry, Watch, WatchEvent, WatchOptions};
use serde_json::{Value, json};

mod apply;
mod lists;
mod load;
#[path = "../../../kinds/tests/minimal/mod.rs"]
mod minimal;
mod scale;
mod services;
mod storage;
mod watches;
mod writes;

/// A registry over a memory store of its own.
pub struct Api {
    pub registry: Registry,
    pub store: Arc<store::Memory>,
    pub cx: Context,
}

pub async fn api() -> Api {
    let store = Arc::new(store::Memory::new());
    Api { registry: open(store.clone()).await, store, cx: Context::default() }
}

pub async fn open(store: Arc<dyn store::Store>) -> Registry {
    let config = Config { store, kinds: kinds::known(), transformer: Arc::new(Identity), hooks: Hooks::default() };
    Registry::open(config).await.unwrap()
}

pub fn kind(group: &str, version: &str, resource: &str) -> &'static KindDef {
    kinds::find(group, version, resource).unwrap()
}

pub fn config_maps() -> &'static KindDef {
    kind("", "v1", "configmaps")
}

pub fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

/// A config map with one value and one label, `of`.
pub fn config_map(name: &str, value: &str) -> Object {
    object(json!({"metadata": {"name": name, "labels": {"of": value}}, "data": {"key": value}}))
}

impl Api {
    pub async fn create(&self, kind: &'static KindDef, body: Value) -> Result<Arc<Entry>, ApiError> {
        let namespace = if kind.namespaced() { "default" } else { "" };
        self.registry.create(&self.cx, kind, namespace, object(body)).await
    }

    pub async fn put_map(&self, name: &str, value: &str) -> Arc<Entry> {
        let maps = config_maps();
        let body = config_map(name, value);
        if self.registry.get(maps, "default", name, "").await.is_err() {
            return self.registry.create(&self.cx, maps, "default", body).await.unwrap();
        }
        self.registry.update(&self.cx, maps, "default", name, registry::Target::Main, body).await.unwrap().entry
    }

    pub async fn delete_map(&self, name: &str) {
        self.registry.delete(&self.cx, config_maps(), "default", name, &Default::default()).await.unwrap();
    }

    pub async fn list_maps(&self, options: ListOptions) -> Result<registry::List, ApiError> {
        self.registry.list(config_maps(), "default", &options).await
    }

    pub async fn watch_maps(&self, options: WatchOptions) -> Watch {
        self.registry.watch(config_maps(), "default", &options).await.unwrap()
    }
}

pub fn names(list: &registry::List) -> String {
    list.items.iter().map(|entry| entry.name()).collect::<Vec<_>>().join(" ")
}

/// `ADDED a=1`, with the value of the config map.
pub fn shown(event: &WatchEvent) -> String {
    let of = |verb: &str, entry: &Entry| {
        let object = entry.object();
        assert_eq!(object.resource_version(), entry.revision().to_string());
        format!("{verb} {}={}", entry.name(), object.str(&["data", "key"]))
    };
    match event {
        WatchEvent::Added(entry) => of("ADDED", entry),
        WatchEvent::Modified(entry) => of("MODIFIED", entry),
        WatchEvent::Deleted(entry) => of("DELETED", entry),
        WatchEvent::Bookmark { initial_events_end: true, .. } => "INITIAL END".to_owned(),
        WatchEvent::Bookmark { .. } => "BOOKMARK".to_owned(),
        WatchEvent::Error(error) => format!("ERROR {error}"),
    }
}

pub async fn next(watch: &mut Watch) -> String {
    let event = tokio::time::timeout(std::time::Duration::from_secs(300), watch.next()).await;
    event.expect("an event comes").as_ref().map_or("END".to_owned(), shown)
}
