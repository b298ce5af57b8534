use std::sync::Arc;
use std::time::Duration;

use auth::pki::LeafSpec;
use auth::tls::{self, Identity};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Api, start};

async fn connect(api: &Api, address: std::net::SocketAddr, protocol: &str, certified: bool) -> TlsStream<TcpStream> {
    let ca = api.authority.certificate_pem().unwrap();
    let identity = certified.then(|| {
        let (certificate, key) = api.authority.issue(&LeafSpec::client("certified", &[])).unwrap();
        Identity::from_pem(&certificate, &key).unwrap()
    });
    let mut config = tls::client_config(&ca, identity).unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "127.0.0.1".to_owned().try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn who_am_i(address: std::net::SocketAddr) -> Request<Full<Bytes>> {
    let body = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}).to_string();
    Request::post(format!("https://{address}{SELF}"))
        .header("host", address.to_string())
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_client_certificate_is_who_one_is_over_http2() {
    let api = start().await;
    let (address, _guard) = api.listen().await;
    let stream = connect(&api, address, "h2", true).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let running = tokio::spawn(connection);
    let response = sender.send_request(who_am_i(address)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let review: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(review["status"]["userInfo"]["username"], "certified");
    running.abort();
}

#[tokio::test]
async fn without_a_certificate_one_is_nobody_over_http1() {
    let api = start().await;
    let (address, _guard) = api.listen().await;
    let stream = connect(&api, address, "http/1.1", false).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let running = tokio::spawn(connection);
    let request = Request::post(SELF).header("host", "x").body(Full::<Bytes>::from("{}")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), 401);
    running.abort();
}

/// The status of the answer to what is sent, and whether the connection goes on.
async fn answer_to(stream: &mut TlsStream<TcpStream>, head: &str, body: &[u8]) -> (u16, bool) {
    stream.write_all(format!("{head}\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    // The server may have closed before it took all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return (0, false),
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), !head.contains("connection: close"))
}

#[tokio::test]
async fn a_connection_outlasts_a_body_that_nobody_read_unless_it_is_large() {
    let api = start().await;
    let (address, _guard) = api.listen().await;
    let post = |size: usize| format!("POST /apis/nothing/v1/things HTTP/1.1\r\nContent-Length: {size}");
    let mut stream = connect(&api, address, "http/1.1", false).await;
    for _ in 0..2 {
        assert_eq!(answer_to(&mut stream, &post(200_000), &[b' '; 200_000]).await, (401, true));
    }
    assert_eq!(answer_to(&mut stream, &post(300_000), &[b' '; 300_000]).await, (401, false));
    let mut stream = connect(&api, address, "http/1.1", false).await;
    let waiting = format!("{}\r\nExpect: 100-continue", post(10));
    assert_eq!(answer_to(&mut stream, &waiting, b"").await, (401, false));
}

#[tokio::test]
async fn closing_ends_watches_and_lets_the_server_return() {
    let api = start().await.bootstrapped().await;
    let (address, guard) = api.listen().await;
    let stream = connect(&api, address, "h2", true).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get(format!("https://{address}/api/v1/namespaces?watch=true")).body(Full::<Bytes>::default());
    let mut events = sender.send_request(request.unwrap()).await.unwrap().into_body();
    let first = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"{\"type\":\"ADDED\""), "{first:?}");
    drop(guard);
    let rest = tokio::time::timeout(Duration::from_secs(5), events.collect()).await;
    assert!(rest.is_ok(), "the watch goes on after the server closed");
    let ready = api.as_user("", "GET", "/readyz").await;
    assert_eq!(ready.status.as_u16(), 500);
}

/// What a client reads of an answer until it ends, in bytes.
async fn read_all(client: &mut TcpStream) -> usize {
    let (mut piece, mut read) = (vec![0; 1 << 16], 0);
    while let Ok(more @ 1..) = client.read(&mut piece).await {
        read += more;
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_watch_is_cut_off_and_others_notice_nothing() {
    const CHANGES: usize = 200;
    const BYTES: usize = 128 << 10;
    let api = start().await.bootstrapped().await;
    let (address, _guard) = api.listen_plain().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let watch = async || {
        let mut client = TcpStream::connect(address).await.unwrap();
        let head =
            format!("GET {path}?watch=1&timeoutSeconds=600 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.readable().await.unwrap();
        client
    };
    let (mut idle, mut busy) = (watch().await, watch().await);
    let reading = tokio::spawn(async move { read_all(&mut busy).await });
    for number in 0..CHANGES {
        let body = json!({"metadata": {"name": format!("m{number}")}, "data": {"a": "x".repeat(BYTES)}});
        api.post(path, &body).await.expect(201);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let read = read_all(&mut idle).await;
    assert!(read < CHANGES * BYTES, "{read} bytes came, so it was not cut off");
    assert!(reading.await.unwrap() > CHANGES * BYTES, "the other watch has everything until its time is up");
}
