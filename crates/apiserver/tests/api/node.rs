use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Api, server_tls, start};

/// A node's API: requires a client certificate, answers logs, echoes what is sent over an upgraded connection.
async fn fake_node(api: &Api) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(server_tls(&api.authority, true));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let serving = hyper::server::conn::http1::Builder::new();
                serving.serve_connection(TokioIo::new(stream), service_fn(node_answers)).with_upgrades().await.unwrap();
            });
        }
    });
    address
}

async fn node_answers(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let uri = request.uri().to_string();
    if request.headers().contains_key(UPGRADE) {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgraded.await.unwrap());
            io.write_all(format!("{uri}\n").as_bytes()).await.unwrap();
            let (mut read, mut write) = tokio::io::split(io);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let switching = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let switching = switching.header(UPGRADE, "websocket").header(CONNECTION, "Upgrade");
        return Ok(switching.header("sec-websocket-protocol", "v5.channel.k8s.io").body(Full::default()).unwrap());
    }
    let answer = Response::builder();
    match request.uri().path() {
        "/moved" => return Ok(answer.status(302).header("location", "/page").body(Full::default()).unwrap()),
        "/" | "/page" => {
            let page = Full::from("<a href=\"/x\">x</a>");
            return Ok(answer.header("content-type", "text/html; charset=utf-8").body(page).unwrap());
        }
        _ => {}
    }
    let (status, text) = match request.uri().path() {
        path if path.ends_with("/waiting") => {
            (400, "container \"waiting\" in pod \"web\" is waiting to start: ContainerCreating".to_owned())
        }
        path if path.starts_with("/containerLogs/") => (200, format!("one\ntwo\n{uri}\n")),
        _ => (200, format!("node: {uri} {}", request.headers().contains_key("authorization"))),
    };
    Ok(answer.status(status).body(Full::from(text)).unwrap())
}

/// A pod `web` with the containers `a` and `waiting` on a node that is reached at `node`.
async fn with_pod(api: &Api, node: SocketAddr) {
    api.post("/api/v1/nodes", &json!({"metadata": {"name": "n1"}})).await.expect(201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": node.ip().to_string()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": node.port()}},
    }});
    api.patch("/api/v1/nodes/n1/status", "application/merge-patch+json", &status).await.expect(200);
    let pod = json!({
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "waiting", "image": "x"}]},
    });
    api.post("/api/v1/namespaces/default/pods", &pod).await.expect(201);
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}});
    api.post("/api/v1/namespaces/default/pods/web/binding", &binding).await.expect(201);
}

async fn ready() -> Api {
    let api = start().await.bootstrapped().await;
    let node = fake_node(&api).await;
    with_pod(&api, node).await;
    api
}

#[tokio::test]
async fn logs_come_from_the_node() {
    let api = ready().await;
    let got = api.get("/api/v1/namespaces/default/pods/web/log?container=a&tailLines=2").await;
    assert_eq!(got.text(), "one\ntwo\n/containerLogs/default/web/a?tailLines=2\n");
    assert_eq!(got.headers["content-type"], "text/plain");
    let unnamed = api.get("/api/v1/namespaces/default/pods/web/log").await;
    assert_eq!(
        unnamed.problem(),
        "400 BadRequest: a container name must be specified for pod web, choose one of: [a waiting]"
    );
    let waiting = api.get("/api/v1/namespaces/default/pods/web/log?container=waiting").await;
    assert_eq!(
        waiting.problem(),
        "400 BadRequest: container \"waiting\" in pod \"web\" is waiting to start: ContainerCreating"
    );
}

#[tokio::test]
async fn a_node_is_asked_without_the_clients_credentials() {
    let api = ready().await;
    let got = api.get("/api/v1/nodes/n1/proxy/stats/summary?only=cpu").await;
    assert_eq!(got.text(), "node: /stats/summary?only=cpu false");
}

#[tokio::test]
async fn links_of_what_is_proxied_lead_back_through_the_server() {
    let api = ready().await;
    for path in ["/", "/page"] {
        let page = api.get(&format!("/api/v1/nodes/n1/proxy{path}")).await;
        assert_eq!(page.text(), "<a href=\"/api/v1/nodes/n1/proxy/x\">x</a>");
    }
    let moved = api.get("/api/v1/nodes/n1/proxy/moved").await;
    assert_eq!(moved.headers["location"], "/api/v1/nodes/n1/proxy/page");
    let bare = api.get("/api/v1/nodes/n1/proxy?a=b").await;
    assert_eq!(
        (bare.status.as_u16(), &bare.headers["location"]),
        (301, &"/api/v1/nodes/n1/proxy/?a=b".parse().unwrap())
    );
}

#[tokio::test]
async fn a_pod_without_a_node_has_no_streams() {
    let api = start().await.bootstrapped().await;
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "x"}]}});
    api.post("/api/v1/namespaces/default/pods", &pod).await.expect(201);
    let path = "/api/v1/namespaces/default/pods/web";
    let exec = api.send("POST", &format!("{path}/exec?command=ls"), &[], "").await;
    assert_eq!(exec.problem(), "400 BadRequest: pod web does not have a host assigned");
    assert_eq!(api.get(&format!("{path}/log")).await.status.as_u16(), 204);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_an_error() {
    let api = start().await.bootstrapped().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    with_pod(&api, closed).await;
    let got = api.get("/api/v1/namespaces/default/pods/web/log?container=a").await;
    let problem = got.problem();
    assert!(
        problem.starts_with("500 InternalError: Internal error occurred: error dialing backend: dial tcp"),
        "{problem}"
    );
}

#[tokio::test]
async fn exec_is_a_tunnel_to_the_node() {
    let api = ready().await;
    let (address, _guard) = api.listen().await;
    let config = auth::tls::client_config(&api.authority.certificate_pem().unwrap(), None).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "127.0.0.1".to_owned().try_into().unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request =
        Request::get("/api/v1/namespaces/default/pods/web/exec?container=a&command=sh&stdin=true&stdout=true")
            .header("host", "x")
            .header("authorization", "Bearer admin")
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .body(Full::<Bytes>::default())
            .unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let mut io = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    io.write_all(b"hello").await.unwrap();
    io.shutdown().await.unwrap();
    let mut echoed = String::new();
    io.read_to_string(&mut echoed).await.unwrap();
    assert_eq!(echoed, "/exec/default/web/a?input=1&output=1&command=sh\nhello");
}

#[tokio::test]
async fn exec_over_an_upgraded_connection_needs_the_right_to_create() {
    let api = ready().await;
    let request = Request::get("/api/v1/namespaces/default/pods/web/exec?container=a&command=sh")
        .header("authorization", "Bearer reader")
        .header(UPGRADE, "websocket")
        .body(Full::<Bytes>::default())
        .unwrap();
    let got = crate::support::collect(api.raw(request).await).await;
    assert!(got.problem().contains("User \"reader\" cannot create resource \"pods/exec\""), "{}", got.problem());
}
