//! Measures the pipeline without HTTP: `cargo run --release -p registry --example rates -- DIR`.
//!
//! Durable creates with 16 callers, reads, and lists of 500 and 20,000 objects, over the embedded store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinds::KindDef;
use machinery::Object;
use registry::{Config, Context, Hooks, Identity, ListOptions, Registry};
use serde_json::json;

const TIME: Duration = Duration::from_secs(4);
const CALLERS: usize = 16;

#[tokio::main]
async fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("usage: rates DIR"));
    let store = Arc::new(store::Sqlite::open(&dir).expect("the directory opens"));
    let config = Config { store, kinds: kinds::all(), transformer: Arc::new(Identity), hooks: Hooks::default() };
    let registry = Registry::open(config).await.expect("the registry opens");
    let maps = kinds::find("", "v1", "configmaps").expect("config maps are served");
    fill(&registry, maps, "few", 500).await;
    fill(&registry, maps, "many", 20_000).await;
    let creates = all_callers(|caller| create_until(registry.clone(), maps, caller)).await;
    println!("creates: {creates}/s by {CALLERS} callers");
    let gets = all_callers(|_| get_until(registry.clone(), maps)).await;
    println!("gets: {gets}/s by {CALLERS} callers");
    for namespace in ["few", "many"] {
        let lists = all_callers(|_| list_until(registry.clone(), maps, namespace)).await;
        println!("lists of {namespace}: {lists}/s by {CALLERS} callers");
    }
}

fn map(name: String) -> Object {
    let value = json!({"metadata": {"name": name}, "data": {"key": "v".repeat(700)}});
    Object::from_value(value).expect("an object")
}

async fn fill(registry: &Registry, kind: &'static KindDef, namespace: &str, count: usize) {
    let cx = Context::default();
    for chunk in (0..count).collect::<Vec<_>>().chunks(64) {
        let made = chunk.iter().map(|number| registry.create(&cx, kind, namespace, map(format!("m{number}"))));
        futures::future::try_join_all(made).await.expect("the directory is new");
    }
}

/// Calls a second, over all callers.
async fn all_callers<F>(call: impl Fn(usize) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let callers: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(call(caller))).collect();
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.expect("a caller does not panic");
    }
    calls / TIME.as_secs()
}

async fn create_until(registry: Registry, kind: &'static KindDef, caller: usize) -> u64 {
    let (cx, end, mut calls) = (Context::default(), Instant::now() + TIME, 0);
    while Instant::now() < end {
        registry.create(&cx, kind, "new", map(format!("c{caller}-{calls}"))).await.expect("the name is new");
        calls += 1;
    }
    calls
}

async fn get_until(registry: Registry, kind: &'static KindDef) -> u64 {
    let (end, mut calls) = (Instant::now() + TIME, 0);
    while Instant::now() < end {
        registry.get(kind, "few", "m7", "").await.expect("it is there");
        calls += 1;
    }
    calls
}

async fn list_until(registry: Registry, kind: &'static KindDef, namespace: &'static str) -> u64 {
    let (end, mut calls) = (Instant::now() + TIME, 0);
    while Instant::now() < end {
        registry.list(kind, namespace, &ListOptions::default()).await.expect("it lists");
        calls += 1;
        tokio::task::yield_now().await;
    }
    calls
}
