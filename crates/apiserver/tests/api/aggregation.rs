//! Groups that another server serves, through this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use webhook::testing::{self, Asked, Server};

use crate::support::{Api, Options, start_with};

const NAME: &str = "v1.acme.com";
const PATH: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// An API server that runs its loop, and knows how it shows itself to servers of extensions.
struct Cluster {
    api: Api,
    proxies: Authority,
    kept: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kept.abort();
    }
}

async fn cluster() -> Cluster {
    let proxies = Authority::create("front-proxy-ca").unwrap();
    let (certificate, key) = proxies.issue(&LeafSpec::client("front-proxy-client", &[])).unwrap();
    let proxy_client = Some(Identity::from_pem(&certificate, &key).unwrap());
    let api = start_with(Options { proxy_client, ..Options::default() }).await.bootstrapped().await;
    let server = api.server.clone();
    let kept = tokio::spawn(async move { server.keep_api_services().await });
    Cluster { api, proxies, kept }
}

/// TLS of the extension's server, which trusts proxies of this cluster; and who vouches for it.
fn extension_tls(cluster: &Cluster) -> (rustls::ServerConfig, String) {
    let authority = Authority::create("extension-ca").unwrap();
    let spec = LeafSpec::server("api", vec!["api.ext.svc".to_owned()], vec![]);
    let (certificate, key) = authority.issue(&spec).unwrap();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let proxies = cluster.proxies.certificate_pem().unwrap();
    let tls = tls::server_config(identity, ClientAuth::Required(&proxies)).unwrap();
    (tls, authority.certificate_pem().unwrap())
}

async fn extension(cluster: &Cluster) -> (Server, String) {
    extension_that(cluster, answer).await
}

async fn extension_that(
    cluster: &Cluster,
    answers: impl Fn(&Asked) -> Response<String> + Send + Sync + 'static,
) -> (Server, String) {
    let (tls, ca) = extension_tls(cluster);
    (testing::serve(tls, move |asked| Box::pin(std::future::ready(answers(&asked)))).await, ca)
}

/// Serves widgets, which tell who asked for them.
fn answer(asked: &Asked) -> Response<String> {
    let mut told: Vec<String> = asked
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-remote-") || *name == "authorization")
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    told.sort();
    let body = match asked.path.as_str() {
        "/apis/acme.com/v1" => resources(),
        "/openapi/v3" => {
            json!({"paths": {"apis/acme.com/v1": {"serverRelativeURL": "/openapi/v3/apis/acme.com/v1?hash=AB"}}})
        }
        "/openapi/v2" => json!({
            "swagger": "2.0",
            "paths": {
                "/apis/acme.com/v1/namespaces/{namespace}/widgets": {"get": {"responses": {"200": {
                    "description": "OK", "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"},
                }}}},
                "/healthz": {"get": {"responses": {}}},
            },
            "definitions": {"io.k8s.api.core.v1.Pod": {"type": "object", "description": "not that of the core group"}},
        }),
        "/openapi/v3/apis/acme.com/v1" => json!({"openapi": "3.0.0", "info": {"title": "widgets"}}),
        path => {
            json!({"kind": "Widget", "path": path, "method": asked.method.as_str(), "told": told, "body": asked.body})
        }
    };
    Response::builder().header("content-type", "application/json").body(body.to_string()).unwrap()
}

fn resources() -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "acme.com/v1",
        "resources": [{
            "name": "widgets", "singularName": "widget", "namespaced": true, "kind": "Widget", "verbs": ["get", "list"],
        }],
    })
}

impl Cluster {
    /// Makes the Service, at a port of the loopback, and the APIService.
    async fn register(&self, port: u16, trust: Value) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ext"}});
        self.api.post("/api/v1/namespaces", &namespace).await;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "ext"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        self.api.post("/api/v1/namespaces/ext/services", &service).await;
        let mut of = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME},
            "spec": {
                "group": "acme.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
                "service": {"namespace": "ext", "name": "api", "port": port},
            },
        });
        of["spec"].as_object_mut().unwrap().extend(trust.as_object().unwrap().clone());
        self.api.post(PATH, &of).await.expect(201);
    }

    async fn condition(&self, name: &str) -> Value {
        self.api.get(&format!("{PATH}/{name}")).await.expect(200)["status"]["conditions"][0].clone()
    }

    async fn until(&self, name: &str, reason: &str) -> Value {
        loop {
            let condition = self.condition(name).await;
            if condition["reason"] == reason {
                return condition;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn trusting(ca: &str) -> Value {
    json!({"caBundle": STANDARD.encode(ca)})
}

#[tokio::test]
async fn an_extension_answers_and_knows_who_asks() {
    let cluster = cluster().await;
    let (server, ca) = extension(&cluster).await;
    cluster.register(server.address.port(), trusting(&ca)).await;
    let condition = cluster.until(NAME, "Passed").await;
    assert_eq!((&condition["status"], &condition["message"]), (&json!("True"), &json!("all checks passed")));
    let headers = [("x-remote-user", "root"), ("x-remote-group", "system:masters"), ("impersonate-user", "reader")];
    let path = "/apis/acme.com/v1/namespaces/shop/widgets?limit=5";
    let got = cluster.api.send("GET", path, &headers, "").await.expect(200);
    assert_eq!((&got["path"], &got["method"]), (&json!(path), &json!("GET")));
    assert_eq!(got["told"], json!(["x-remote-group=system:authenticated", "x-remote-user=reader"]));
    let posted = cluster.api.post("/apis/acme.com/v1/namespaces/shop/widgets", &json!({"a": 1})).await.expect(200);
    assert_eq!((&posted["method"], &posted["body"]), (&json!("POST"), &json!("{\"a\":1}")));
    let refused = cluster.api.as_user("nobody", "GET", path).await;
    assert_eq!(
        refused.problem(),
        "403 Forbidden: widgets.acme.com is forbidden: User \"nobody\" cannot list resource \"widgets\" in API group \
         \"acme.com\" in the namespace \"shop\""
    );
}

#[tokio::test]
async fn a_request_that_an_extension_passes_back_goes_no_further() {
    let cluster = cluster().await;
    let (server, ca) = extension_that(&cluster, |asked| {
        let via = asked.headers.get_all("via").iter().map(|via| via.to_str().unwrap()).collect::<Vec<_>>();
        Response::builder().header("content-type", "application/json").body(json!({"via": via}).to_string()).unwrap()
    })
    .await;
    cluster.register(server.address.port(), trusting(&ca)).await;
    cluster.until(NAME, "Passed").await;
    let path = "/apis/acme.com/v1/namespaces/shop/widgets";
    let passed = cluster.api.send("GET", path, &[("via", "1.1 another")], "").await.expect(200);
    let [another, own] = &passed["via"].as_array().unwrap()[..] else { panic!("{passed}") };
    assert_eq!(another, "1.1 another");
    let back = [("via", "1.1 another"), ("via", own.as_str().unwrap())];
    let refused = cluster.api.send("GET", path, &back, "").await;
    assert_eq!(refused.problem(), "503 ServiceUnavailable: the extension's server passes the request back");
}

#[tokio::test]
async fn schemas_of_an_extension_that_has_the_older_document_alone_are_made_here() {
    let cluster = cluster().await;
    let (server, ca) = extension_that(&cluster, |asked| match asked.path.as_str() {
        path if path.starts_with("/openapi/v3") => Response::builder().status(404).body(String::new()).unwrap(),
        _ => answer(asked),
    })
    .await;
    cluster.register(server.address.port(), trusting(&ca)).await;
    cluster.until(NAME, "Passed").await;
    let index = cluster.api.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/acme.com/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/acme.com/v1?hash="), "{url}");
    let document = cluster.api.get(url).await.expect(200);
    let pod = &document["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["description"], "not that of the core group");
    assert!(document["paths"]["/apis/acme.com/v1/namespaces/{namespace}/widgets"]["get"].is_object());
}

#[tokio::test]
async fn discovery_tells_of_extensions_and_of_those_that_are_gone() {
    let cluster = cluster().await;
    let (server, ca) = extension(&cluster).await;
    cluster.register(server.address.port(), trusting(&ca)).await;
    cluster.until(NAME, "Passed").await;
    let api = &cluster.api;
    let groups = api.get("/apis").await.expect(200);
    let acme = groups["groups"].as_array().unwrap().iter().find(|group| group["name"] == "acme.com").cloned().unwrap();
    assert_eq!(acme["preferredVersion"], json!({"groupVersion": "acme.com/v1", "version": "v1"}));
    assert_eq!(api.get("/apis/acme.com").await.expect(200)["kind"], "APIGroup");
    assert_eq!(api.get("/apis/acme.com/v1").await.expect(200), resources());
    let schema = api.get("/openapi/v3/apis/acme.com/v1").await.expect(200);
    assert_eq!(schema["info"]["title"], "widgets");
    let index = api.get("/openapi/v3").await.expect(200);
    assert_eq!(index["paths"]["apis/acme.com/v1"]["serverRelativeURL"], "/openapi/v3/apis/acme.com/v1?hash=AB");
    let whole = api.get("/openapi/v2").await.expect(200);
    let widgets = &whole["paths"]["/apis/acme.com/v1/namespaces/{namespace}/widgets"]["get"];
    let renamed = "io.k8s.api.core.v1.Pod_v2";
    assert_eq!(widgets["responses"]["200"]["schema"]["$ref"], format!("#/definitions/{renamed}"));
    assert_eq!(whole["definitions"][renamed]["description"], "not that of the core group");
    assert!(whole["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"].is_object());
    assert!(index["paths"]["apis/apps/v1"].is_object());
    let aggregated = async || {
        let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
        let document = api.send("GET", "/apis", &accept, "").await.expect(200);
        let groups = document["items"].as_array().unwrap().clone();
        let acme = groups.into_iter().find(|group| group["metadata"]["name"] == "acme.com").unwrap();
        acme["versions"][0].clone()
    };
    let version = aggregated().await;
    assert_eq!((&version["freshness"], &version["resources"][0]["resource"]), (&json!("Current"), &json!("widgets")));
    api.delete("/api/v1/namespaces/ext/services/api").await.expect(200);
    let condition = cluster.until(NAME, "ServiceNotFound").await;
    assert_eq!(
        (&condition["status"], &condition["message"]),
        (&json!("False"), &json!("service/api in \"ext\" is not present"))
    );
    let version = aggregated().await;
    assert_eq!((&version["freshness"], &version["resources"][0]["resource"]), (&json!("Stale"), &json!("widgets")));
    let gone = api.get("/apis/acme.com/v1/namespaces/shop/widgets").await;
    assert_eq!(gone.problem(), "503 ServiceUnavailable: service unavailable");
    api.delete(&format!("{PATH}/{NAME}")).await.expect(200);
    while api.get("/apis/acme.com").await.status != 404 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_extension_must_be_whom_its_authority_vouches_for() {
    let cluster = cluster().await;
    let (server, _) = extension(&cluster).await;
    let port = server.address.port();
    let stranger = Authority::create("stranger").unwrap().certificate_pem().unwrap();
    cluster.register(port, trusting(&stranger)).await;
    let condition = cluster.until(NAME, "FailedDiscoveryCheck").await;
    let url = format!("https://localhost:{port}/apis/acme.com/v1");
    assert_eq!(
        condition["message"],
        format!(
            "failing or missing response from {url}: Get \"{url}\": tls: failed to verify certificate: x509: \
             certificate signed by unknown authority"
        )
    );
    let refused = cluster.api.get("/apis/acme.com/v1").await;
    assert_eq!(refused.problem(), "503 ServiceUnavailable: service unavailable");
    let spec = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}});
    cluster.api.patch(&format!("{PATH}/{NAME}"), "application/merge-patch+json", &spec).await.expect(200);
    cluster.until(NAME, "Passed").await;
    assert_eq!(cluster.api.get("/apis/acme.com/v1").await.expect(200), resources());
}

#[tokio::test]
async fn what_the_server_serves_itself_has_local_api_services() {
    let cluster = cluster().await;
    let condition = cluster.until("v1.apps", "Local").await;
    assert_eq!(
        (&condition["status"], &condition["message"]),
        (&json!("True"), &json!("Local APIServices are always available"))
    );
    let apps = cluster.api.get(&format!("{PATH}/v1.apps")).await.expect(200);
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15})
    );
    assert_eq!(apps["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "onstart"}));
    cluster.until("v1.", "Local").await;
    assert_eq!(cluster.api.get(&format!("{PATH}/v1.apiregistration.k8s.io")).await.status, 404);
}

/// Speaks HTTP/1.1 by hand: discovery, an upgrade to an echo, and a watch with an event now and one when told.
async fn by_hand(listener: TcpListener, tls: rustls::ServerConfig, tell: Arc<tokio::sync::Notify>) {
    let acceptor = TlsAcceptor::from(Arc::new({
        let mut tls = tls;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls
    }));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {}
            let stream = stream.get_mut();
            if head.contains("watch=1") {
                let event = "{\"type\":\"ADDED\"}\n";
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                let begin = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
                stream.write_all(begin.as_bytes()).await.unwrap();
                tell.notified().await;
                stream.write_all(format!("{chunk}0\r\n\r\n").as_bytes()).await.unwrap();
            } else if head.to_lowercase().contains("upgrade: echo") {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")
                    .await
                    .unwrap();
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..read]).await.unwrap();
                }
            } else {
                let body = resources().to_string();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn watches_and_upgraded_connections_pass_through() {
    let cluster = cluster().await;
    let (tls, ca) = extension_tls(&cluster);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tell = Arc::new(tokio::sync::Notify::new());
    let serving = tokio::spawn(by_hand(listener, tls, tell.clone()));
    cluster.register(port, trusting(&ca)).await;
    cluster.until(NAME, "Passed").await;
    let (address, _listening) = cluster.api.listen_plain().await;
    let ask = async |path: &str, more: &str| {
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n{more}\r\n");
        stream.get_mut().write_all(head.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
        (stream, head)
    };
    let (mut echo, head) =
        ask("/apis/acme.com/v1/namespaces/a/widgets/b/exec", "connection: Upgrade\r\nupgrade: echo\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    echo.get_mut().write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    echo.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    let (mut watch, head) = ask("/apis/acme.com/v1/widgets?watch=1", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut line = String::new();
    while !line.contains("ADDED") {
        line.clear();
        watch.read_line(&mut line).await.unwrap();
    }
    tell.notify_one();
    line.clear();
    while !line.contains("ADDED") {
        line.clear();
        assert!(watch.read_line(&mut line).await.unwrap() > 0, "the second event comes as it happens");
    }
    serving.abort();
}

#[tokio::test]
async fn one_answer_of_several_suffices() {
    let cluster = cluster().await;
    let (tls, ca) = extension_tls(&cluster);
    let hangs = AtomicUsize::new(1);
    let server = testing::serve(tls, move |asked| {
        let hangs = hangs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        Box::pin(async move {
            match hangs {
                true => std::future::pending().await,
                false => answer(&asked),
            }
        })
    })
    .await;
    cluster.register(server.address.port(), trusting(&ca)).await;
    // Sooner than the one that hangs is given up.
    tokio::time::timeout(Duration::from_secs(4), cluster.until(NAME, "Passed")).await.unwrap();
}

#[tokio::test]
async fn an_extension_that_fails_otherwise_each_time_is_left_in_peace_meanwhile() {
    let cluster = cluster().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let times = asked.clone();
    let (server, ca) = extension_that(&cluster, move |_| {
        let time = times.fetch_add(1, Ordering::SeqCst);
        Response::builder().status(500 + u16::try_from(time % 100).unwrap()).body(String::new()).unwrap()
    })
    .await;
    cluster.register(server.address.port(), trusting(&ca)).await;
    cluster.until(NAME, "FailedDiscoveryCheck").await;
    let services = "/api/v1/namespaces/ext/services";
    for number in 0..50 {
        let service = json!({"metadata": {"name": format!("other-{number}")}, "spec": {"ports": [{"port": 80}]}});
        cluster.api.post(services, &service).await.expect(201);
    }
    // Its Service and it itself were news once each.
    assert!(asked.load(Ordering::SeqCst) <= 10, "{asked:?}");
}
