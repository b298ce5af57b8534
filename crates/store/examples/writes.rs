//! Measures durable writes: `cargo run --release -p store --example writes -- DIR|URL,URL [SECONDS]`, to the embedded
//! store in a directory or to an etcd.
//!
//! Each writer makes a key of 1 KB and waits for the answer before it makes the next, as a client of the
//! API does. Prints writes a second and latencies for several numbers of writers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Etcd, Expect, Sqlite, Store, Write, etcd};

const VALUE: usize = 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().expect("usage: writes DIR|URL,URL [SECONDS]");
    let seconds = arguments.next().map_or(4, |text| text.parse().expect("seconds are a number"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    for writers in [1, 16, 64] {
        let latencies = runtime.block_on(async {
            let store = open(&place).await;
            measure(store, writers, Duration::from_secs(seconds)).await
        });
        println!("{}", report(writers, seconds, latencies));
    }
}

async fn open(place: &str) -> Arc<dyn Store> {
    if !place.contains("://") {
        return Arc::new(Sqlite::open(&PathBuf::from(place)).expect("the directory opens"));
    }
    let endpoints = place.split(',').map(str::to_owned).collect();
    Arc::new(Etcd::connect(etcd::Config { endpoints, tls: None, seen: None }).await.expect("a member answers"))
}

async fn measure(store: Arc<dyn Store>, writers: usize, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..writers).map(|writer| tokio::spawn(write_until(store.clone(), writer, end))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a writer does not panic"));
    }
    latencies.sort_unstable();
    latencies
}

async fn write_until(store: Arc<dyn Store>, writer: usize, end: Instant) -> Vec<Duration> {
    let begun = store.revision().await.expect("the store is open");
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let key = format!("/registry/configmaps/{begun}/{writer}-{}", latencies.len());
        let value = Some(vec![b'v'; VALUE].into());
        let started = Instant::now();
        store.write(Write { key: key.into(), value, expect: Expect::Absent }).await.expect("the disk has room");
        latencies.push(started.elapsed());
    }
    latencies
}

fn report(writers: usize, seconds: u64, latencies: Vec<Duration>) -> String {
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    let rate = latencies.len() as u64 / seconds;
    format!("{writers:3} writers: {rate:6} writes/s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(50), at(99), at(100))
}
