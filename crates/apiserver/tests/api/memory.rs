//! What clients that read slowly cost.
//!
//! Counts what the process holds, which is only this test's doing as long as each test is a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use store::{Expect, Store as _, Write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::start_on;

const CLIENTS: usize = 256;
/// Where each takes processor time.
const FEW_CLIENTS: usize = 32;
const OBJECTS: usize = 1024;
const OBJECT_BYTES: usize = 32 << 10;
/// What one client may hold: what is sent ahead of it, one more piece, and what belongs to a connection.
const CLIENT_BYTES: usize = 256 << 10;
/// The same with a compressor.
const COMPRESSED_CLIENT_BYTES: usize = 640 << 10;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps to the trait's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Text that does not compress well.
fn text(seed: u64) -> String {
    let mut state = seed + 1;
    let mut text = String::with_capacity(OBJECT_BYTES);
    while text.len() < OBJECT_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{state:016x}"));
    }
    text
}

async fn filled() -> std::sync::Arc<store::Memory> {
    let store = std::sync::Arc::new(store::Memory::new());
    for number in 0..OBJECTS {
        let json = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{number}"), "namespace": "default"},
            "data": {"a": text(number as u64)},
        });
        let key = format!("/registry/configmaps/default/m{number}").into();
        store.write(Write { key, value: Some(json.to_string().into()), expect: Expect::Absent }).await.unwrap();
    }
    store
}

/// How much more is held, at most, while every client has begun to read its list and none is through.
async fn grown(count: usize, query: &str, headers: &str) -> usize {
    let api = start_on(filled().await, Default::default()).await;
    let (address, _guard) = api.listen_plain().await;
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /api/v1/configmaps{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n{headers}\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    for client in &mut clients {
        let mut status = [0; 15];
        client.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
    }
    let grown = PEAK.load(Ordering::Relaxed) - before;
    let mut rest = vec![0; 1 << 20];
    let mut read = 0;
    let client = &mut clients[0];
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    loop {
        match client.read(&mut rest).await.unwrap() {
            0 => break,
            more => read += more,
        }
    }
    assert!(headers.contains("gzip") || read > OBJECTS * OBJECT_BYTES, "{read} bytes of a list came");
    grown
}

#[tokio::test]
async fn clients_that_read_slowly_hold_no_list_of_their_own() {
    let grown = grown(CLIENTS, "", "").await;
    assert!(grown < CLIENTS * CLIENT_BYTES, "{} KiB each", grown / CLIENTS / 1024);
}

#[tokio::test]
async fn compression_is_made_as_it_is_read() {
    let grown = grown(FEW_CLIENTS, "", "accept-encoding: gzip\r\n").await;
    assert!(grown < FEW_CLIENTS * COMPRESSED_CLIENT_BYTES, "{} KiB each", grown / FEW_CLIENTS / 1024);
}

#[tokio::test]
async fn tables_are_made_as_they_are_read() {
    let accept = "accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n";
    let grown = grown(FEW_CLIENTS, "?includeObject=Object", accept).await;
    assert!(grown < FEW_CLIENTS * CLIENT_BYTES, "{} KiB each", grown / FEW_CLIENTS / 1024);
}
