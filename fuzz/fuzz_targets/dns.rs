//! DNS messages to the cluster's server: what is answered is a message, answers the question, and is not forwarded.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use control::Informer;
use futures::StreamExt;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_server::net::BufDnsStreamHandle;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandle};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

#[allow(dead_code)]
#[path = "../../crates/dns/src/handler.rs"]
mod handler;
#[allow(dead_code)]
#[path = "../../crates/dns/src/names.rs"]
mod names;

use handler::Handler;
use names::Names;

static HANDLER: LazyLock<Handler> = LazyLock::new(|| Handler::new(cluster(), None));
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

fn cluster() -> Names {
    let services = Informer::<Service>::detached();
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let add = |name: &str, spec: Value| {
        let service = json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec});
        services.apply(serde_json::from_value(service).expect("a service"));
    };
    add("web", json!({"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5", "fd00::5"], "ports": port}));
    add("db", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": port}));
    add("out", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}));
    add("loop", json!({"type": "ExternalName", "externalName": "loop.shop.svc.cluster.local"}));
    let slices = Informer::<EndpointSlice>::detached();
    let slice = json!({
        "metadata": {"namespace": "shop", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.42.0.7"], "hostname": "db-0"}, {"addresses": ["10.42.0.8"]}]});
    slices.apply(serde_json::from_value(slice).expect("a slice"));
    services.set_synced();
    slices.set_synced();
    Names::over(services, slices, "cluster.local")
}

fn ask(bytes: Vec<u8>) -> Option<Message> {
    let client: SocketAddr = ([127, 0, 0, 1], 53).into();
    let request = Request::from_bytes(bytes, client, Protocol::Udp).ok()?;
    let (sender, mut receiver) = BufDnsStreamHandle::new(client);
    let respond = ResponseHandle::new(client, sender, Protocol::Udp);
    RUNTIME.block_on(async {
        HANDLER.handle_request::<_, TokioTime>(&request, respond).await;
        let answer = receiver.next().await?;
        Some(Message::from_vec(answer.bytes()).expect("an answer is a message"))
    })
}

/// A message that asks for these labels.
fn question(labels: &[&[u8]], kind: u16) -> Vec<u8> {
    let mut bytes = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let known: [&[u8]; 3] = [b"svc", b"cluster", b"local"];
    for label in labels.iter().copied().chain(known).filter(|label| !label.is_empty()) {
        let label = &label[..label.len().min(63)];
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}

fuzz_target!(|input: (&[u8], Vec<&[u8]>, u16)| {
    let (bytes, labels, kind) = input;
    ask(bytes.to_vec());
    let Some(answer) = ask(question(&labels, kind)) else { return };
    assert_eq!((answer.metadata.id, answer.metadata.message_type), (7, MessageType::Response));
    assert!(answer.metadata.authoritative, "{answer}");
    assert!(matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain), "{answer}");
    // Who is told of nothing is told how long that holds.
    assert!(answer.metadata.truncation || !answer.answers.is_empty() || !answer.authorities.is_empty(), "{answer}");
});
