//! Several servers of one cluster, on an etcd of three members.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::support::{Machine, Output, Servers, until, until_within};

/// How long the loops may stand still when a server or a member of the etcd dies.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long an agent may take to leave a server that keeps its connection and says nothing.
const HANG_MAX: Duration = Duration::from_secs(20);

const LEASE: &str = "get lease kube-controller-manager -n kube-system -o jsonpath={.spec.holderIdentity}";

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts").block_on(work)
}

fn two_servers() -> Servers {
    let mut servers = Servers::prepare();
    servers.start("a", &[]);
    let token = std::fs::read_to_string(servers.path("a").join("token")).expect("the first server made one");
    servers.start("b", &["--token", &token]);
    servers
}

#[test]
fn an_authority_that_rotates_on_one_server_does_so_on_all() {
    let mut servers = two_servers();
    let read = |servers: &Servers, server: &str, file: &str| {
        std::fs::read_to_string(servers.path(server).join("pki").join(file)).unwrap_or_default()
    };
    let rotate = |servers: &Servers, server: &str| {
        let data = servers.path(server).display().to_string();
        servers.keelson(&["certs", "rotate", "--ca", "--service-account-key", "--data-dir", &data]).succeeds()
    };
    let same = |servers: &Servers, count: usize| {
        let of = |server: &str| ["ca.crt", "ca.key", "service-account.key"].map(|file| read(servers, server, file));
        (of("a") == of("b") && of("a")[0].matches("BEGIN CERTIFICATE").count() == count).then_some(())
    };
    let first = read(&servers, "a", "ca.key");
    let token = servers.token("a");
    rotate(&servers, "a");
    until("b trusts the successor that a made", || same(&servers, 2));
    assert_eq!(read(&servers, "b", "ca.key"), first);
    rotate(&servers, "b");
    // Its own certificate, the one by which its predecessor vouches for it, and its predecessor's.
    until("it signs on a too", || same(&servers, 3));
    assert_ne!(read(&servers, "a", "ca.key"), first);
    for server in ["a", "b"] {
        let known = block_on(holder(&servers, server, &token));
        assert_eq!(known.as_deref(), Some("system:serviceaccount:default:default"), "{server}");
    }
    servers.kill("b");
    rotate(&servers, "a");
    servers.kubectl("a", "get namespaces");
    servers.start("b", &[]);
    until("a server that was away learns of it when it starts", || same(&servers, 1));
    servers.kubectl("b", "get namespaces");
}

/// Whose token it is, as a server tells.
async fn holder(servers: &Servers, server: &str, token: &str) -> Option<String> {
    let review = json!({"metadata": {}, "spec": {"token": token}});
    let review: TokenReview = serde_json::from_value(review).expect("it is one");
    let reviewed = Api::all(servers.client(server).await).create(&PostParams::default(), &review).await;
    reviewed.expect("it reviews").status.and_then(|status| status.user?.username)
}

async fn create(client: &Client, name: &str) -> Result<ConfigMap, kube::Error> {
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}})).expect("it is one");
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &map).await
}

#[test]
fn one_of_the_servers_runs_what_flags_do_not_leave_to_programs_beside_them() {
    let mut servers = Servers::prepare();
    let flags = ["--disable-scheduler", "--disable-controller-manager"];
    servers.start("a", &flags);
    let token = std::fs::read_to_string(servers.path("a").join("token")).expect("the first server made one");
    servers.start("b", &[&flags[..], &["--token", &token]].concat());
    let own = LEASE.replace("kube-controller-manager", "keelson-server");
    let holds = |servers: &Servers, server: &str, name: &str| {
        servers.try_kubectl(server, &own).stdout.starts_with(&format!("{name}_")).then_some(())
    };
    until("the first server runs the loops", || holds(&servers, "a", "a"));
    let establish = |servers: &Servers, server: &str, plural: &str| {
        let file = servers.path(&format!("{plural}.json"));
        let versions = json!([{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]);
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.example.com")},
            "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": plural, "kind": plural},
                "versions": versions},
        });
        std::fs::write(&file, definition.to_string()).expect("a file is written");
        servers.kubectl(server, &format!("create -f {}", file.display()));
        servers.kubectl(server, &format!("wait --for condition=Established crd/{plural}.example.com --timeout 30s"));
    };
    establish(&servers, "b", "things");
    servers.kubectl("b", "create deployment web --image example.com/web --replicas 1");

    servers.kill("a");
    until_within(PAUSE_MAX, "the other one runs them", || holds(&servers, "b", "b"));
    establish(&servers, "b", "others");
    assert_eq!(servers.kubectl("b", "get replicasets -o name"), "", "that is left to another program");
    let refused = servers.try_kubectl("b", LEASE).fails();
    assert!(refused.contains("not found"), "its Lease is free for it: {refused}");
}

#[test]
fn only_who_knows_the_token_joins() {
    let mut servers = Servers::prepare();
    servers.start("a", &[]);
    let refused = servers.refused("b", &[]);
    assert!(refused.contains("the datastore has a cluster already: join it by --token"), "{refused}");
    let refused = servers.refused("c", &["--token", "0123456789abcdef"]);
    assert!(refused.contains("the token is not that of the datastore's cluster"), "{refused}");
    let token = servers.path("a").join("token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(token).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn servers_of_one_etcd_are_one_cluster() {
    let servers = two_servers();
    block_on(async {
        let (a, b) = (servers.client("a").await, servers.client("b").await);
        let maps: Api<ConfigMap> = Api::default_namespaced(b.clone());
        let version = maps.list(&Default::default()).await.expect("b lists").metadata.resource_version;
        let watch = maps.watch(&WatchParams::default(), &version.expect("lists have one")).await;
        let mut watch = watch.expect("b watches").boxed();
        create(&a, "by-a").await.expect("a creates");
        let seen = tokio::time::timeout(PAUSE_MAX, watch.try_next()).await.expect("b tells").expect("b tells well");
        let Some(WatchEvent::Added(seen)) = seen else { panic!("{seen:?}") };
        assert_eq!(seen.metadata.name.as_deref(), Some("by-a"));
        assert!(create(&b, "by-a").await.is_err_and(|error| error.to_string().contains("already exists")));
    });
    servers.kubectl("a", "create secret generic s --from-literal password=hunter2");
    assert_eq!(servers.kubectl("b", "get secret s -o jsonpath={.data.password}").trim(), "aHVudGVyMg==");
    let token = servers.token("a");
    assert_eq!(block_on(holder(&servers, "b", &token)).as_deref(), Some("system:serviceaccount:default:default"));
    let health = servers.kubectl("b", "get --raw /readyz?verbose");
    assert!(health.contains("[+]etcd ok"), "{health}");
}

#[test]
fn the_key_of_secrets_rotates_on_all_servers_while_they_write() {
    let mut servers = two_servers();
    let rotate = |servers: &Servers| {
        let (data, shared) = (servers.path("b").display().to_string(), servers.datastore());
        let mut words = vec!["secrets", "rotate-keys", "--data-dir", &data];
        words.extend(shared.iter().map(String::as_str));
        servers.keelson(&words)
    };
    let password = |servers: &Servers, server: &str, secret: &str| {
        servers.kubectl(server, &format!("get secret {secret} -o jsonpath={{.data.password}}")).trim() == "aHVudGVyMg=="
    };
    let create = |servers: &Servers, server: &str, secret: &str| {
        servers.kubectl(server, &format!("create secret generic {secret} --from-literal password=hunter2"));
    };
    create(&servers, "a", "before");
    let data = servers.path("a").display().to_string();
    let alone = servers.keelson(&["secrets", "rotate-keys", "--data-dir", &data]).fails();
    assert!(alone.contains("are shared by its servers: name their etcd by --datastore"), "{alone}");
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| rotate(&servers).succeeds());
        for number in 0..20 {
            let (writer, reader) = if number % 2 == 0 { ("a", "b") } else { ("b", "a") };
            let secret = format!("s{number}");
            create(&servers, writer, &secret);
            assert!(password(&servers, reader, &secret), "{reader} reads {secret}");
        }
        rotating.join().expect("it rotates");
    });
    let keys =
        |server: &str| std::fs::read_to_string(servers.path(server).join("encryption.keys")).expect("it has keys");
    assert!(keys("a").starts_with("key2:") && keys("a") == keys("b"), "the newest key is on top");
    servers.stop("a");
    rotate(&servers).succeeds();
    servers.start("a", &[]);
    assert!(servers.path("a").join("encryption.keys").exists() && password(&servers, "a", "before"));
    assert!(password(&servers, "a", "s19"));
    create(&servers, "a", "after");
    assert!(password(&servers, "b", "after"));
}

#[test]
fn a_server_that_is_stopped_hands_the_loops_over() {
    let mut servers = two_servers();
    let holder = |servers: &Servers, by: &str| servers.kubectl(by, LEASE).trim().chars().next().map(String::from);
    let first = until("somebody runs the loops", || holder(&servers, "b"));
    let other = if first == "a" { "b" } else { "a" };
    servers.stop(&first);
    until_within(Duration::from_secs(5), "the other runs them", || {
        (holder(&servers, other).as_deref() == Some(other)).then_some(())
    });
}

/// Two servers on one machine, an agent on another that is told of a server that is not there and of the first, and what
/// it takes to see it work.
struct Joined {
    servers: Servers,
    other: Machine,
    named: String,
}

impl Joined {
    fn prepare() -> Joined {
        const NOWHERE: &str = "10.99.0.9";
        let (machine, other) = (Machine::new(), Machine::new());
        machine.connect("10.99.0.1", &other, "10.99.0.2");
        Output::of(machine.command("ip").args(["address", "add", "10.99.0.3/32", "dev", "lo"])).succeeds();
        let mut servers = Servers::prepare_on(machine);
        servers.start_on_machine("a", "10.99.0.1:6443", &[]);
        let token = std::fs::read_to_string(servers.path("a").join("token")).expect("the first server made one");
        servers.start_on_machine("b", "10.99.0.3:6443", &["--token", &token]);
        let mut joined = Joined { servers, other, named: format!("https://{NOWHERE}:6443,https://10.99.0.1:6443") };
        until("both servers are endpoints", || (joined.endpoints("a").split(' ').count() == 2).then_some(()));
        let data = joined.servers.path("a").display().to_string();
        let join = joined.servers.keelson(&["token", "create", "--data-dir", &data]);
        assert!(join.stderr.contains("--server https://10.99.0.1:6443,https://10.99.0.3:6443 --token"), "{join:?}");
        joined.start_agent(&["--token", join.succeeds().trim()]);
        until("n2 is Ready", || {
            let ready = "get node n2 -o jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            (joined.servers.try_kubectl("b", ready).stdout == "True").then_some(())
        });
        joined.create("first");
        until("n2 sees its pod", || joined.noticed("first"));
        until("n2 learned where both servers are", || {
            let kept = std::fs::read_to_string(joined.servers.path("n2").join("node-pki/servers")).unwrap_or_default();
            kept.contains("10.99.0.3").then_some(())
        });
        joined
    }

    fn start_agent(&mut self, flags: &[&str]) {
        let flags = [&["--node-ip", "10.99.0.2"], flags].concat();
        self.servers.join(&self.other, "n2", &self.named, &flags);
    }

    fn endpoints(&self, server: &str) -> String {
        self.servers.kubectl(server, "get endpoints kubernetes -o jsonpath={.subsets[0].addresses[*].ip}")
    }

    fn create(&self, pod: &str) {
        let spec = json!({"spec": {"nodeName": "n2", "containers": [{"name": "c", "image": "registry.invalid/none"}]}});
        self.servers.kubectl("b", &format!("run {pod} --image registry.invalid/none --overrides {spec}"));
    }

    fn noticed(&self, pod: &str) -> Option<()> {
        let pod = format!("get pod {pod} -o jsonpath={{.status.containerStatuses[0].state.waiting.reason}}");
        (!self.servers.kubectl("b", &pod).is_empty()).then_some(())
    }
}

/// It goes over to one that it learned of.
#[test]
fn an_agent_goes_over_to_another_server_when_its_own_dies() {
    let mut joined = Joined::prepare();
    joined.servers.kill("a");
    joined.create("second");
    until_within(PAUSE_MAX, "n2 sees a pod by the other server", || joined.noticed("second"));
    until_within(PAUSE_MAX, "the killed server is no endpoint", || {
        (joined.endpoints("b") == "10.99.0.3").then_some(())
    });
    joined.servers.kill_agent("n2");
    joined.start_agent(&[]);
    joined.create("third");
    until("n2 starts without any server that it was told of", || joined.noticed("third"));
}

/// The kernel keeps the connections of a process that is stopped, and takes new ones for it.
#[test]
fn an_agent_goes_over_to_another_server_when_its_own_hangs() {
    let joined = Joined::prepare();
    joined.servers.pause("a");
    joined.create("second");
    until_within(HANG_MAX, "n2 sees a pod by the other server", || joined.noticed("second"));
    joined.servers.resume("a");
    until("both servers are endpoints", || (joined.endpoints("a").split(' ').count() == 2).then_some(()));
    joined.create("third");
    until_within(PAUSE_MAX, "n2 sees the next at once", || joined.noticed("third"));
}

#[test]
fn what_is_given_once_is_given_once_by_all_servers() {
    const EACH: usize = 20;
    let servers = two_servers();
    servers.kubectl("a", "create quota few --hard count/configmaps=11");
    until("the quota is counted", || {
        let used = servers.kubectl("a", "get quota few -o jsonpath={.status.used.count/configmaps}");
        (!used.is_empty()).then_some(())
    });
    let before = servers.kubectl("a", "get configmaps -o name").lines().count();
    block_on(async {
        let clients = [servers.client("a").await, servers.client("b").await];
        let service = async |client: &Client, index: usize| {
            let service = json!({
                "metadata": {"name": format!("s{index}")},
                "spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
            });
            let service: Service = serde_json::from_value(service).expect("it is one");
            Api::default_namespaced(client.clone()).create(&PostParams::default(), &service).await
        };
        let made: Vec<Service> = join_all((0..2 * EACH).map(|index| service(&clients[index % 2], index)))
            .await
            .into_iter()
            .collect::<Result<_, _>>()
            .expect("there are enough ports and addresses");
        let specs: Vec<_> = made.iter().filter_map(|service| service.spec.as_ref()).collect();
        let addresses: BTreeSet<_> = specs.iter().filter_map(|spec| spec.cluster_ip.clone()).collect();
        let ports = specs.iter().flat_map(|spec| spec.ports.iter().flatten().filter_map(|port| port.node_port));
        assert_eq!((addresses.len(), ports.collect::<BTreeSet<_>>().len()), (2 * EACH, 4 * EACH));

        let asked = json!({
            "metadata": {"name": "asked"},
            "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": specs[0].ports.as_ref().unwrap()[0].node_port}]},
        });
        let asked: Service = serde_json::from_value(asked).expect("it is one");
        let taken = Api::default_namespaced(clients[1].clone()).create(&PostParams::default(), &asked).await;
        assert!(taken.is_err_and(|error| error.to_string().contains("provided port is already allocated")));

        let maps = (0..2 * EACH).map(async |index| create(&clients[index % 2], &format!("m{index}")).await.is_ok());
        let maps = join_all(maps).await;
        assert_eq!(before + maps.iter().filter(|made| **made).count(), 11, "{maps:?}");
    });
}

#[test]
fn the_loss_of_a_server_or_a_member_loses_nothing_and_pauses_the_loops_for_seconds() {
    let mut servers = two_servers();
    servers.kubectl("a", "create deployment web --image example.com/web --replicas 1");
    let pods = |servers: &Servers, by: &str| servers.kubectl(by, "get pods -l app=web -o name").lines().count();
    until("the loops run", || (pods(&servers, "b") == 1).then_some(()));
    let mut made = write(&servers, "b", 0);

    let holder = servers.kubectl("b", LEASE).trim().chars().next().expect("somebody runs the loops").to_string();
    let other = if holder == "a" { "b" } else { "a" };
    servers.kill(&holder);
    made.extend(write(&servers, other, 1));
    servers.kubectl(other, "scale deployment web --replicas 2");
    until_within(PAUSE_MAX, "the loops go on elsewhere", || (pods(&servers, other) == 2).then_some(()));

    for member in 0..3 {
        servers.members.kill(member);
        made.extend(write(&servers, other, 2 + member));
        servers.kubectl(other, &format!("scale deployment web --replicas {}", 3 + member));
        until_within(PAUSE_MAX, "the loops go on", || (pods(&servers, other) == 3 + member).then_some(()));
        servers.members.run(member);
        // Two of three must be there before the next one goes.
        until("the member is back", || {
            let url = servers.members.urls().swap_remove(member);
            let file = |name: &str| servers.path(name).display().to_string();
            let mut health = std::process::Command::new("curl");
            health.args(["--silent", "--cacert", &file("etcd-ca.crt"), "--cert", &file("client.crt")]);
            health.args(["--key", &file("client.key"), &format!("{url}/health")]);
            crate::support::Output::of(&mut health).stdout.contains("true").then_some(())
        });
    }

    servers.start(&holder, &[]);
    for server in ["a", "b"] {
        let found = servers.kubectl(server, "get configmaps -o name");
        let found: BTreeSet<&str> = found.lines().collect();
        let lost: Vec<_> = made.iter().filter(|name| !found.contains(format!("configmap/{name}").as_str())).collect();
        assert!(lost.is_empty(), "{server} lost {lost:?}");
    }
    assert!(made.len() >= 100, "{} writes", made.len());
}

/// Creates objects one after another, a second time where the server does not know what came of the first; the names
/// of those that the server answered for.
fn write(servers: &Servers, server: &str, round: usize) -> Vec<String> {
    block_on(async {
        let client = servers.client(server).await;
        let mut made = Vec::new();
        for number in 0..25 {
            let name = format!("map-{round}-{number}");
            for _ in 0..20 {
                match create(&client, &name).await {
                    Ok(_) => made.push(name.clone()),
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(kube::Error::Api(status)) if [500, 503, 504].contains(&status.code) => continue,
                    Err(error) => panic!("{error}"),
                }
                break;
            }
        }
        made
    })
}

#[test]
fn a_cluster_moves_to_an_etcd_and_back() {
    let mut servers = Servers::prepare();
    servers.start_with("a", &[]);
    servers.kubectl("a", "create configmap kept --from-literal=color=blue");
    servers.kubectl("a", "create secret generic s --from-literal password=hunter2");
    let version = |servers: &Servers| -> u64 {
        let list = servers.kubectl("a", "get --raw /api/v1/namespaces/default/configmaps?limit=1");
        let list: serde_json::Value = serde_json::from_str(&list).expect("a list is JSON");
        list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("lists have one")
    };
    let first = version(&servers);
    let data = servers.path("a").display().to_string();
    let urls = servers.members.urls().join(",");
    let tls: Vec<String> = servers.datastore().split_off(1);
    let migrate = |servers: &Servers, from: &str, to: &str| {
        let mut words = vec!["datastore", "migrate", "--data-dir", &data, "--from", from, "--to", to];
        words.extend(tls.iter().map(String::as_str));
        servers.keelson(&words)
    };
    assert!(migrate(&servers, "embedded", &urls).fails().contains("stop the server first"));
    servers.stop("a");
    migrate(&servers, "embedded", &urls).succeeds();
    servers.start("a", &[]);
    let second = version(&servers);
    assert!(second > first, "{second} after {first}");
    assert_eq!(servers.kubectl("a", "get secret s -o jsonpath={.data.password}").trim(), "aHVudGVyMg==");
    let gone = servers
        .try_kubectl("a", &format!("get --raw /api/v1/configmaps?watch=1&timeoutSeconds=5&resourceVersion={first}"));
    assert!(gone.stdout.contains("Expired") || gone.stderr.contains("Expired"), "informers list again: {gone:?}");
    servers.kubectl("a", "create configmap later");
    assert!(migrate(&servers, &urls, "embedded").fails().contains("stop the servers of this datastore first"));
    servers.stop("a");
    until("the server's Lease has run out", || (migrate(&servers, &urls, "embedded").code == 0).then_some(()));
    servers.start_with("a", &[]);
    assert!(version(&servers) > second);
    servers.kubectl("a", "get configmap kept later");
}

#[test]
fn the_past_is_shown_by_any_server_and_made_again() {
    let servers = two_servers();
    let keelson = |server: &str, line: &str| {
        let text = std::fs::read_to_string(servers.path(server).join("kubeconfig")).expect("the server wrote it");
        let named = text.split_whitespace().find(|word| word.starts_with("https://")).expect("it names the server");
        let kubeconfig = servers.path(&format!("{server}.kubeconfig")).display().to_string();
        std::fs::write(&kubeconfig, text.replace(named, servers.url(server))).expect("a file is written");
        let words: Vec<&str> = line.split(' ').chain(["--kubeconfig", &kubeconfig]).collect();
        servers.keelson(&words)
    };
    servers.kubectl("a", "create namespace shop");
    servers.kubectl("a", "create configmap settings -n shop --from-literal=color=blue");
    let field = |path: &str| servers.kubectl("b", &format!("get configmap settings -n shop -o jsonpath={{{path}}}"));
    let blue = field(".metadata.resourceVersion");
    // The revision of a time is known when time has been noted once more.
    let time = until("a time is noted", || {
        let time = jiff::Timestamp::now();
        let answer = servers.kubectl("b", &format!("get --raw /keelson/revision?at={time}"));
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
        servers.kubectl("a", "annotate namespace shop --overwrite touched=yes");
        let revision = answer["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
        (revision? >= blue.parse().expect("a number")).then_some(time)
    });
    servers.kubectl("a", "patch configmap settings -n shop --type merge -p {\"data\":{\"color\":\"red\"}}");
    servers.kubectl("a", "delete namespace shop --wait=true");
    for (server, at) in [("b", &blue), ("a", &time.to_string())] {
        let past = keelson(server, &format!("get configmap settings -n shop -o yaml --at {at}")).succeeds();
        assert!(past.contains("color: blue"), "{past}");
    }
    let undeleted = keelson("b", &format!("undelete namespace/shop --at {time}")).succeeds();
    assert!(undeleted.contains("configmap/settings undeleted"), "{undeleted}");
    assert_eq!(field(".data.color"), "blue");
}

#[test]
fn snapshots_are_saved_while_servers_run_and_restored_when_they_do_not() {
    let mut servers = two_servers();
    let snapshot = |servers: &Servers, words: &[&str]| {
        let (data, shared) = (servers.path("a").display().to_string(), servers.datastore());
        let mut all = vec!["snapshot"];
        all.extend(words.iter().chain(&["--data-dir", &data]));
        all.extend(shared.iter().map(String::as_str));
        servers.keelson(&all)
    };
    servers.kubectl("a", "create configmap before --from-literal=color=blue");
    let saved = snapshot(&servers, &["save"]).succeeds();
    let list = snapshot(&servers, &["list"]).succeeds();
    let name = list.lines().nth(1).and_then(|line| line.split(' ').next()).expect("there is one");
    assert!(name.starts_with("saved-") && saved.contains(name), "{saved}{list}");
    servers.kubectl("b", "delete configmap before");
    servers.kubectl("b", "create configmap after");
    let refused = snapshot(&servers, &["restore", name]).fails();
    assert!(refused.contains("stop the servers of this datastore first"), "{refused}");
    servers.stop("a");
    servers.kill("b");
    until("the servers' Leases have run out", || (snapshot(&servers, &["restore", name]).code == 0).then_some(()));
    servers.start("a", &[]);
    let maps = servers.kubectl("a", "get configmaps -o name");
    assert!(maps.contains("configmap/before") && !maps.contains("configmap/after"), "{maps}");
}
