//! Servers with their controllers, one after the other on one store, and what they leave in it.

use std::sync::Arc;
use std::time::Duration;

use control::{CancellationToken, Metrics, Shell};
use controllers::ControllersConfig;
use http::{Method, StatusCode};
use kube::Client;
use machinery::UserInfo;
use registry::testing::{Shown, check_same, shown};
use serde_json::{Value, json};
use store::testing::{Fault, Faulty};
use store::{Expect, Memory, Store, Write, prefix_range};
use testkit::api::{self, Setup};

/// After this controllers have read everything.
const STARTED: Duration = Duration::from_secs(5);
/// After this they have nothing to do any more, and nobody waits for a server that is gone.
const SETTLED: Duration = Duration::from_secs(120);
/// So often is a request made again that comes before controllers have put right what was left.
const TRIES: usize = 3;
const CLAIMS: &str = "/keelson/nodeports/";

/// A server, and the controllers beside it.
struct Server {
    client: Client,
    shutdown: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    async fn start(store: Arc<dyn Store>) -> Self {
        let server = api::serve(Setup::new(store)).await;
        let client = |user: &str| Client::new(server.client(UserInfo::new(user, &[UserInfo::MASTERS])), "default");
        let shutdown = CancellationToken::new();
        tokio::spawn(controllers::run(ControllersConfig {
            shell: Shell::new(client("system:kube-controller-manager"), Metrics::default(), shutdown.clone()),
            ca_pem: tokio::sync::watch::channel("the authority".to_owned()).1,
            mint: Arc::new(|of| Ok(format!("of {}", of.account))),
            token_clean_up: Duration::from_secs(365 * 24 * 60 * 60),
            cluster_cidr: "10.42.0.0/16".parse().expect("a range"),
            node_mask: 24,
            node_ports: server.registry().node_ports(),
        }));
        let started = Self { client: client("admin"), shutdown };
        tokio::time::sleep(STARTED).await;
        started
    }

    async fn send(&self, request: &Request) -> StatusCode {
        let body = if request.body.is_null() { Vec::new() } else { request.body.to_string().into_bytes() };
        let sent = http::Request::builder().method(&request.method).uri(request.path);
        let merges = request.method == Method::PATCH;
        let format = if merges { "application/merge-patch+json" } else { "application/json" };
        let sent = sent.header("content-type", format).body(body.into()).expect("a request");
        self.client.send(sent).await.expect("the server answers").status()
    }
}

pub struct Request {
    method: Method,
    path: &'static str,
    body: Value,
}

pub fn post(path: &'static str, body: Value) -> Request {
    Request { method: Method::POST, path, body }
}

pub fn put(path: &'static str, body: Value) -> Request {
    Request { method: Method::PUT, path, body }
}

pub fn patch(path: &'static str, body: Value) -> Request {
    Request { method: Method::PATCH, path, body }
}

pub fn delete(path: &'static str) -> Request {
    Request { method: Method::DELETE, path, body: Value::Null }
}

impl Request {
    /// Whether the answer says that it has been done, now or before.
    fn is_done(&self, status: StatusCode) -> bool {
        let before = match self.method {
            Method::POST => StatusCode::CONFLICT,
            Method::DELETE => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        };
        status.is_success() || status == before
    }
}

/// Has every write go wrong that follows the request, after which it is made again: all ends as without.
pub async fn check(prepared: &[Request], request: Request) {
    let _simulation = clock::simulate(1);
    let base = prepare(prepared).await;
    let undisturbed = {
        let store = copy(&*base).await;
        let server = Server::start(store.clone()).await;
        let status = server.send(&request).await;
        assert!(status.is_success(), "{status}");
        tokio::time::sleep(SETTLED).await;
        lasting(&*store).await
    };
    for fault in [Fault::Killed, Fault::Unanswered] {
        for writes in 0.. {
            let store = copy(&*base).await;
            let faulty = Arc::new(Faulty::new(store.clone()));
            let server = Server::start(faulty.clone()).await;
            faulty.fail_after(writes, fault);
            tokio::select! {
                biased;
                () = faulty.killed() => {}
                () = server.try_once(&request) => {}
            }
            if !faulty.has_failed() {
                break;
            }
            let server = if fault == Fault::Killed { Server::start(store.clone()).await } else { server };
            let after = format!("{fault:?} after {writes} writes");
            server.insist(&request, &after).await;
            check_same(&lasting(&*store).await, &undisturbed, &after);
            server.take_abandoned_ports(&*store, &after).await;
        }
    }
}

async fn prepare(prepared: &[Request]) -> Arc<Memory> {
    let store = Arc::new(Memory::new());
    let server = Server::start(store.clone()).await;
    for request in prepared {
        let status = server.send(request).await;
        assert!(status.is_success(), "{} {status}", request.path);
        tokio::time::sleep(SETTLED).await;
    }
    copy(&*store).await
}

async fn copy(from: &dyn Store) -> Arc<Memory> {
    let to = Memory::new();
    to.lift(from.revision().await.unwrap()).await.unwrap();
    for item in from.range(prefix_range("/"), 0, None).await.unwrap().items {
        to.write(Write { key: item.key, value: Some(item.value), expect: Expect::Absent }).await.unwrap();
    }
    Arc::new(to)
}

impl Server {
    async fn try_once(&self, request: &Request) {
        self.send(request).await;
        tokio::time::sleep(SETTLED).await;
    }

    async fn insist(&self, request: &Request, after: &str) {
        for attempt in 1.. {
            let status = self.send(request).await;
            tokio::time::sleep(SETTLED).await;
            if request.is_done(status) {
                return;
            }
            assert!(attempt < TRIES, "{after}: {status}");
        }
    }

    /// Claims of ports that no Service has stand in nobody's way.
    async fn take_abandoned_ports(&self, store: &dyn Store, after: &str) {
        let claims = store.range(prefix_range(CLAIMS), 0, None).await.unwrap().items;
        let services = services(store).await;
        for claim in claims {
            let port = &claim.key[CLAIMS.len()..];
            if services.iter().any(|service| numbers(service).any(|number| number == port)) {
                continue;
            }
            let port: u16 = port.parse().unwrap();
            let service = json!({
                "metadata": {"name": format!("port-{port}")},
                "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]},
            });
            let status = self.send(&post("/api/v1/namespaces/kube-system/services", service)).await;
            assert!(status.is_success(), "{after}: the port {port} is lost");
        }
    }
}

async fn services(store: &dyn Store) -> Vec<Value> {
    let items = store.range(prefix_range("/registry/services/specs/"), 0, None).await.unwrap().items;
    items.iter().map(|item| serde_json::from_slice(&item.value).expect("a Service")).collect()
}

/// The ports that a Service has on nodes.
fn numbers(service: &Value) -> impl Iterator<Item = String> {
    let spec = &service["spec"];
    let listed = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    let numbers: Vec<String> = listed.chain([&spec["healthCheckNodePort"]]).map(Value::to_string).collect();
    numbers.into_iter().filter(|number| number != "null")
}

/// What the store holds, with whose it is in the place of what is given by chance.
async fn lasting(store: &dyn Store) -> Shown {
    let mut given = Vec::new();
    for service in services(store).await {
        let name = format!("{}/{}", service["metadata"]["namespace"], service["metadata"]["name"]).replace('"', "");
        given
            .extend(service["spec"]["clusterIP"].as_str().map(|address| (address.to_owned(), format!("IP of {name}"))));
        given.extend(numbers(&service).enumerate().map(|(at, number)| (number, format!("port {at} of {name}"))));
    }
    // What another begins with must not be taken for it.
    given.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    let known = |text: &str| given.iter().fold(text.to_owned(), |text, (of, name)| text.replace(of.as_str(), name));
    let mut lasting = Shown::new();
    for (key, text) in shown(store).await {
        let known_key = known(&key);
        // Others wait for who wants the port.
        let abandoned = key.starts_with(CLAIMS) && key == known_key;
        if !abandoned && !key.starts_with("/registry/events/") {
            lasting.insert(known_key, known(&text));
        }
    }
    lasting
}
