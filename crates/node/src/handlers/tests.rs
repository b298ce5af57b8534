use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::simulated::Containers;

const TIMEOUT: Duration = Duration::from_secs(5);

fn target(container: serde_json::Value) -> Target {
    Target {
        runtime: Arc::new(Containers::new()),
        container_id: "c".into(),
        ip: "127.0.0.1".parse().unwrap(),
        container: serde_json::from_value(container).unwrap(),
    }
}

/// Answers one request with this status and body, and tells what was asked.
async fn server(status: &str, body: &str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let count = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    (port, asked)
}

fn action(value: serde_json::Value) -> HTTPGetAction {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn http_status_decides() {
    let target = target(serde_json::json!({"name": "c"}));
    let (port, asked) = server("200 OK", "fine").await;
    let get =
        action(serde_json::json!({"port": port, "path": "healthz", "httpHeaders": [{"name": "X-A", "value": "b"}]}));
    assert_eq!(target.http_get(&get, "kube-probe/1.35", TIMEOUT).await, Ok("fine".to_string()));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /healthz HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("user-agent: kube-probe/1.35") && asked.contains("x-a: b"), "{asked}");

    let (port, _asked) = server("503 Service Unavailable", "no").await;
    let get = action(serde_json::json!({"port": port}));
    assert_eq!(
        target.http_get(&get, "kube-probe/1.35", TIMEOUT).await,
        Err("HTTP probe failed with statuscode: 503".to_string())
    );
}

#[tokio::test]
async fn a_refused_connection_reads_as_upstreams() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = target(serde_json::json!({"name": "c", "ports": [{"name": "web", "containerPort": port}]}));
    let named = IntOrString::String("web".into());
    assert!(target.connect(None, &named, TIMEOUT).await.is_ok());
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(target.connect(None, &named, TIMEOUT).await, Err(refused.clone()));
    let get = action(serde_json::json!({"port": "web"}));
    assert_eq!(target.http_get(&get, "a", TIMEOUT).await, Err(format!("Get \"http://127.0.0.1:{port}/\": {refused}")));
    assert_eq!(
        target.port(&IntOrString::String("none".into())),
        Err("couldn't find port \"none\" in container".to_string())
    );
}
