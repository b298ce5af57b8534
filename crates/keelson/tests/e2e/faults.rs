//! Wrong input, and losses of power.

use crate::support::manifests::{deployment, server};
use crate::support::{Cluster, Output};

#[test]
fn a_second_server_is_refused() {
    let cluster = Cluster::start_without_image();
    let other = cluster.scratch().join("other");
    let other = other.to_str().expect("a plain path");
    let same_port = Output::of(cluster.program().args(["server", "--data-dir", other])).fails();
    assert!(same_port.contains("cannot listen on 0.0.0.0:6443 (is another server running?)"), "{same_port}");
    let same_data = cluster.keelson(&["server", "--bind", "0.0.0.0:7443", "--node-port", "10350"]).fails();
    assert!(same_data.contains("is in use"), "{same_data}");
    let reset = cluster.keelson(&["reset"]).fails();
    assert!(reset.contains("stop the server first"), "{reset}");
    assert!(cluster.kubectl("get nodes").contains("Ready"), "the first one serves on");
}

#[test]
fn wrong_manifests_are_refused_by_object_and_field() {
    let cluster = Cluster::start_without_image();
    let refused = |manifest: &str| cluster.kubectl_stdin("apply -f -", &format!("---\n{manifest}")).fails();
    let error = refused("{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: main}]}}");
    assert!(error.contains("The Pod \"web\" is invalid: spec.containers[0].image: Required value"), "{error}");
    let error = refused(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}},
                          template: {metadata: {labels: {a: c}}, spec: {containers: [{name: main, image: x}]}}}}",
    );
    assert!(
        error.contains("The Deployment \"web\" is invalid: spec.template.metadata.labels: Invalid value"),
        "{error}"
    );
    assert!(error.contains("`selector` does not match template `labels`"), "{error}");
    let error = refused("{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {contianers: []}}");
    assert!(error.contains("unknown field \"spec.contianers\""), "{error}");
    let error = refused("{apiVersion: v1, kind: Service, metadata: {name: Web}, spec: {ports: [{port: 0}]}}");
    assert!(error.contains("metadata.name: Invalid value: \"Web\": a DNS-1035 label must consist of"), "{error}");
    assert!(error.contains("spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"), "{error}");
    let error = refused("{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: absent}}");
    assert!(error.contains("namespaces \"absent\" not found"), "{error}");
    let error = refused("{apiVersion: example.com/v1, kind: Absent, metadata: {name: x}}");
    assert!(error.contains("no matches for kind \"Absent\" in version \"example.com/v1\""), "{error}");
}

#[test]
fn an_update_of_a_stale_object_conflicts() {
    let cluster = Cluster::start_without_image();
    cluster.kubectl("create configmap settings --from-literal=color=blue");
    let stale = cluster.kubectl("get configmap settings -o yaml");
    cluster.kubectl("label configmap settings touched=yes");
    let conflict = cluster.kubectl_stdin("replace -f -", &stale).fails();
    assert!(
        conflict.contains("Operation cannot be fulfilled on configmaps \"settings\": the object has been modified; please apply your changes to the latest version and try again"),
        "{conflict}"
    );
}

#[test]
fn a_killed_server_loses_no_acknowledged_write() {
    let mut cluster = Cluster::start();
    cluster.apply(&deployment("web", 1, &server(""), ""));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let created = cluster.machine.inside(|| write_until_killed(&cluster, round));
        acknowledged.extend(created);
        cluster.kill_server();
        cluster.start_server(&[]);
        let found = cluster.kubectl("get configmaps -o name");
        let found: std::collections::BTreeSet<&str> = found.lines().collect();
        let lost: Vec<&String> =
            acknowledged.iter().filter(|name| !found.contains(format!("configmap/{name}").as_str())).collect();
        assert!(lost.is_empty(), "lost after round {round}: {lost:?}");
    }
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    assert!(acknowledged.len() >= 60, "{} writes", acknowledged.len());
}

/// Creates objects by Kubernetes' client; the names of those that the server answered for.
fn write_until_killed(cluster: &Cluster, round: usize) -> Vec<String> {
    use k8s_openapi::api::core::v1::ConfigMap;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let maps: kube::Api<ConfigMap> = kube::Api::default_namespaced(cluster.client().await);
        let mut created = Vec::new();
        for number in 0..20 {
            let name = format!("map-{round}-{number}");
            let map: ConfigMap =
                serde_json::from_value(serde_json::json!({"metadata": {"name": &name}})).expect("it is one");
            maps.create(&kube::api::PostParams::default(), &map).await.expect("the server answers");
            created.push(name);
        }
        created
    })
}

#[test]
fn a_wrong_join_token_is_refused() {
    let cluster = Cluster::start_without_image();
    let data = cluster.scratch().join("n2");
    let join = |token: &str| {
        let mut agent = cluster.program();
        agent.args([
            "agent",
            "--node-name",
            "n2",
            "--node-ip",
            "127.0.0.1",
            "--server",
            "https://127.0.0.1:6443",
            "--token",
            token,
        ]);
        Output::of(agent.arg("--data-dir").arg(&data)).fails()
    };
    let malformed = join("abc");
    assert!(
        malformed.contains("--token is no join token; `keelson token create` on the server prints one"),
        "{malformed}"
    );
    let foreign = join(&format!("keelson.{}.abcdef.0123456789abcdef", "ab".repeat(32)));
    assert!(foreign.contains("the server 127.0.0.1:6443 is not of the cluster that the token is for"), "{foreign}");
    let token = cluster.keelson(&["token", "create"]).succeeds();
    let (known, _) = token.trim().rsplit_once('.').expect("a token has a secret");
    let unknown = join(&format!("{known}.0123456789abcdef"));
    assert!(unknown.contains("is the token right?"), "{unknown}");
}
