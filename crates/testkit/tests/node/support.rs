//! A control plane over the memory store, and agents that join it.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::Server;
use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use auth::tokens::{Terms, TokenIssuer};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use machinery::UserInfo;
use node::{Agent, AgentConfig};
use serde_json::{Value, json};
use testkit::api::{self, Setup};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub server: Server,
    pub authority: Authority,
    pub client: Client,
    pub directory: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        testkit::real::clean_up(self.directory.path());
    }
}

/// An agent that runs until it is stopped.
pub struct Running(CancellationToken, JoinHandle<Result<(), node::Error>>);

impl Running {
    pub async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap().unwrap();
    }
}

impl Cluster {
    pub async fn new() -> Cluster {
        let authority = Authority::create("test-ca").unwrap();
        let directory = tempfile::Builder::new().prefix("keelson-node").tempdir().unwrap();
        let tokens =
            TokenIssuer::load_or_create(&directory.path().join("keys"), Terms::of("https://issuer.test")).unwrap();
        let setup = Setup {
            tokens: Some(Arc::new(tokens)),
            node_tls: Some(Arc::new(client_tls(&authority))),
            client_ca: authority.certificate_pem().unwrap(),
            ..Setup::new(Arc::new(store::Memory::new()))
        };
        let server = api::serve(setup).await;
        let client = Client::new(server.client(UserInfo::new("admin", &[UserInfo::MASTERS])), "default");
        let cluster = Cluster { server, authority, client, directory };
        cluster.fill_namespace().await;
        cluster
    }

    /// What controllers put into each namespace.
    async fn fill_namespace(&self) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), "default");
        let map = json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CERTIFICATE"}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }

    /// An agent named `n1` over this runtime; with its own API where asked for.
    pub fn agent(&self, runtime: Arc<dyn containers::Runtime>, serves: bool) -> Running {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let user = UserInfo::new("system:node:n1", &["system:nodes"]);
        let client = Client::new(self.server.client(user), "default");
        let config = AgentConfig {
            root_dir: self.directory.path().join("agent"),
            port: 0,
            tls: serves.then(|| server_tls(&self.authority)),
            control_plane: Some(self.client.clone()),
            cluster_dns: vec!["10.43.0.10".parse().unwrap()],
            ..AgentConfig::new(client, runtime, "n1", ip)
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Agent::run(config, shutdown.clone()));
        Running(shutdown, running)
    }

    /// A client over a socket, as an upgraded connection needs one.
    pub async fn remote(&self) -> (Api<Pod>, DropGuard) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (server, tls, stop) = (self.server.clone(), server_tls(&self.authority), CancellationToken::new());
        let stopped = stop.clone();
        tokio::spawn(async move { server.serve(listener, Some(tls), stopped).await.unwrap() });
        let mut config = kube::Config::new(url.parse().unwrap());
        config.accept_invalid_certs = true;
        let client = Client::try_from(config).unwrap();
        (Api::namespaced(client, "default"), stop.drop_guard())
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// A pod that is bound to `n1` already.
    pub async fn create(&self, name: &str, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = json!("n1");
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap()
    }

    pub async fn delete(&self, name: &str, grace: u32) {
        self.pods().delete(name, &DeleteParams::default().grace_period(grace)).await.unwrap();
    }

    /// Waits until the pod is as wanted.
    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        let condition = |pod: Option<&Pod>| pod.is_some_and(&holds);
        let waiting = await_condition(self.pods(), name, condition);
        match tokio::time::timeout(TIMEOUT, waiting).await {
            Ok(pod) => pod.unwrap().unwrap(),
            Err(_) => panic!("{name} is not {what}: {:#?}", self.pods().get(name).await.map(|pod| pod.status)),
        }
    }

    pub async fn until_gone(&self, name: &str) {
        let waiting = await_condition(self.pods(), name, |pod: Option<&Pod>| pod.is_none());
        tokio::time::timeout(TIMEOUT, waiting).await.expect("the pod goes").unwrap();
    }

    pub async fn ready(&self, name: &str) -> Pod {
        self.until(name, "ready", |pod| condition(pod, "Ready") == "True").await
    }

    pub async fn node_ready(&self) -> Node {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let ready = |node: Option<&Node>| {
            let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
            conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
        };
        let waiting = await_condition(nodes, "n1", ready);
        tokio::time::timeout(TIMEOUT, waiting).await.expect("the node becomes ready").unwrap().unwrap()
    }

    /// `Reason message` of all events about a pod.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let list = events.list(&ListParams::default().fields(&format!("involvedObject.name={name}"))).await.unwrap();
        let text = |event: Event| format!("{} {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        list.items.into_iter().map(text).collect()
    }
}

pub fn condition(pod: &Pod, kind: &str) -> String {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let found = conditions.into_iter().flatten().find(|condition| condition.type_ == kind);
    found.map(|condition| condition.status.clone()).unwrap_or_default()
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Why the first container waits.
pub fn waiting(pod: &Pod) -> String {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
    let reason = status.and_then(|status| status.state.as_ref()?.waiting.as_ref()?.reason.clone());
    reason.unwrap_or_default()
}

pub fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
    status.map(|status| status.restart_count).unwrap_or_default()
}

fn client_tls(authority: &Authority) -> rustls::ClientConfig {
    let spec = LeafSpec::client("kube-apiserver-kubelet-client", &[UserInfo::MASTERS]);
    let (certificate, key) = authority.issue(&spec).unwrap();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    tls::client_config(&authority.certificate_pem().unwrap(), Some(identity)).unwrap()
}

fn server_tls(authority: &Authority) -> Arc<rustls::ServerConfig> {
    let spec = LeafSpec::server("n1", vec!["n1".to_owned()], vec!["127.0.0.1".parse().unwrap()]);
    let (certificate, key) = authority.issue(&spec).unwrap();
    let ca = authority.certificate_pem().unwrap();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    Arc::new(tls::server_config(identity, ClientAuth::Optional(&ca)).unwrap())
}
