//! Real packets through the real kernel, in network namespaces of the test's own. Needs root.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use containers::{PortMapping, SandboxConfig, SandboxNetwork};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use network::links::Links;
use network::proxy::{Program, compile};
use network::{PodNetwork, PodNetworkConfig};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(2);

/// A node in a network namespace of its own, which goes with the thread that entered it.
struct Node {
    network: PodNetwork,
    directory: tempfile::TempDir,
}

/// A pod's network namespace, kept open by a thread that answers every connection with the pod's name.
struct Pod {
    id: String,
    netns: PathBuf,
    address: Ipv4Addr,
}

/// Runs a test on a thread that has a network namespace to itself.
fn on_a_node(test: impl AsyncFnOnce(Node) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let config = PodNetworkConfig {
                state: directory.path().join("leases"),
                bridge: "kl-test".to_owned(),
                cluster: "10.42.0.0/16".parse().unwrap(),
                services: "10.43.0.0/16".parse().unwrap(),
                local: vec![Ipv4Addr::new(10, 43, 0, 10)],
            };
            Links::here().unwrap().up(1).await.expect("the loopback is the first link");
            let network = PodNetwork::open(config).unwrap();
            network.set_block("10.42.0.0/24".parse().unwrap()).await.unwrap();
            test(Node { network, directory }).await;
        });
    });
    thread.join().unwrap();
}

impl Node {
    async fn pod(&self, name: &str, host_port: Option<u16>) -> Pod {
        let id = format!("{name}0000000000000000");
        let netns = serve_in_new_namespace(name);
        let mapping =
            |host_port| PortMapping { protocol: "TCP".to_owned(), container_port: 8080, host_port, host_ip: None };
        let config =
            SandboxConfig { port_mappings: host_port.into_iter().map(mapping).collect(), ..SandboxConfig::default() };
        let addresses = self.network.attach(&id, &netns, &config).await.unwrap();
        let IpAddr::V4(address) = addresses[0] else { panic!("an IPv4 address") };
        Pod { id, netns, address }
    }
}

/// A namespace in which a server on port 8080 answers its `name`.
fn serve_in_new_namespace(name: &str) -> PathBuf {
    let (tell, told) = std::sync::mpsc::channel();
    let name = name.to_owned();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        tell.send(PathBuf::from(format!("/proc/self/task/{}/ns/net", nix::unistd::gettid()))).unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            stream.write_all(format!("{name} {peer}").as_bytes()).unwrap();
        }
    });
    told.recv().unwrap()
}

/// What a server says to whoever connects from this thread's namespace.
fn ask(to: (Ipv4Addr, u16)) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(to), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask_from(pod: &Pod, to: (Ipv4Addr, u16)) -> std::io::Result<String> {
    let netns = pod.netns.clone();
    let asked = std::thread::spawn(move || {
        setns(std::fs::File::open(netns).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        ask(to)
    });
    asked.join().unwrap()
}

fn service(affinity: &str) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "d", "name": "s"}, "spec": {
        "clusterIP": "10.43.0.5", "sessionAffinity": affinity,
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}))
    .unwrap()
}

fn slice(pods: &[&Pod]) -> EndpointSlice {
    let endpoints: Vec<_> =
        pods.iter().map(|pod| json!({"addresses": [pod.address.to_string()], "nodeName": "n"})).collect();
    serde_json::from_value(json!({
        "metadata": {"namespace": "d", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints}))
    .unwrap()
}

const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 43, 0, 5), 80);

#[test]
fn pods_reach_each_other_and_the_node_reaches_them() {
    on_a_node(async |node| {
        let (a, b) = (node.pod("aa", None).await, node.pod("bb", None).await);
        assert_eq!(ask_from(&a, (b.address, 8080)).unwrap(), format!("bb {}", a.address));
        assert_eq!(ask((b.address, 8080)).unwrap(), "bb 10.42.0.1");
    });
}

#[test]
fn a_service_balances_over_its_endpoints_and_follows_their_changes() {
    on_a_node(async |node| {
        let (a, b) = (node.pod("aa", None).await, node.pod("bb", None).await);
        let mut program = Program::default();
        let mut endpoints = |pods: &[&Pod]| program.apply(compile([&service("None")], [&slice(pods)], "n", &[]));
        endpoints(&[&a, &b]).unwrap();
        let answers: Vec<String> = (0..40).map(|_| ask_from(&a, SERVICE).unwrap()).collect();
        let from_a = answers.iter().filter(|answer| answer.starts_with("aa")).count();
        assert!((1..40).contains(&from_a), "both endpoints answer, the client's own too: {answers:?}");
        assert!(answers.contains(&format!("bb {}", a.address)), "the client's address is kept: {answers:?}");

        endpoints(&[&b]).unwrap();
        assert!((0..20).all(|_| ask(SERVICE).unwrap().starts_with("bb")));
        endpoints(&[]).unwrap();
        let refused = ask_from(&a, SERVICE).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        endpoints(&[&a]).unwrap();
        assert!(ask(SERVICE).unwrap().starts_with("aa"));
    });
}

#[test]
fn a_node_port_answers_on_every_address_of_the_node() {
    on_a_node(async |node| {
        let pod = node.pod("aa", None).await;
        let mut program = Program::default();
        program.apply(compile([&service("None")], [&slice(&[&pod])], "n", &[])).unwrap();
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 42, 0, 1)] {
            assert!(ask((address, 30080)).unwrap().starts_with("aa"), "{address}");
        }
    });
}

#[test]
fn a_client_stays_with_its_endpoint() {
    on_a_node(async |node| {
        let pods = [node.pod("aa", None).await, node.pod("bb", None).await, node.pod("cc", None).await];
        let mut program = Program::default();
        let slice = slice(&pods.each_ref());
        program.apply(compile([&service("ClientIP")], [&slice], "n", &[])).unwrap();
        for pod in &pods {
            let first = ask_from(pod, SERVICE).unwrap()[..2].to_owned();
            assert!((0..10).all(|_| ask_from(pod, SERVICE).unwrap().starts_with(&first)));
        }
        program.apply(compile([&service("None")], [&slice], "n", &[])).unwrap();
        assert!(ask(SERVICE).is_ok());
    });
}

#[test]
fn a_host_port_leads_to_its_pod_until_the_pod_is_gone() {
    on_a_node(async |node| {
        let pod = node.pod("aa", Some(18080)).await;
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 42, 0, 1)] {
            assert!(ask((address, 18080)).unwrap().starts_with("aa"), "{address}");
        }
        assert!(ask_from(&pod, (Ipv4Addr::new(10, 42, 0, 1), 18080)).unwrap().starts_with("aa"), "its own");
        node.network.detach(&pod.id).await.unwrap();
        assert!(ask((Ipv4Addr::LOCALHOST, 18080)).is_err());
        node.network.detach(&pod.id).await.unwrap();
    });
}

#[test]
fn a_crash_leaks_neither_address_nor_link() {
    on_a_node(async |node| {
        let (kept, lost) = (node.pod("aa", None).await, node.pod("bb", Some(18081)).await);
        let again = PodNetwork::open(PodNetworkConfig {
            state: node.directory.path().join("leases"),
            bridge: "kl-test".to_owned(),
            cluster: "10.42.0.0/16".parse().unwrap(),
            services: "10.43.0.0/16".parse().unwrap(),
            local: Vec::new(),
        });
        let again = again.unwrap();
        again.set_block("10.42.0.0/24".parse().unwrap()).await.unwrap();
        again.retain(std::slice::from_ref(&kept.id)).await.unwrap();
        let repeated = again.attach(&kept.id, &kept.netns, &SandboxConfig::default()).await.unwrap();
        assert_eq!(repeated, [IpAddr::V4(kept.address)]);
        assert!(ask((kept.address, 8080)).is_ok() && ask((lost.address, 8080)).is_err());
        assert_eq!(std::fs::read_dir(node.directory.path().join("leases")).unwrap().count(), 1);
    });
}
