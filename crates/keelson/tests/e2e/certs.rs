//! Certificates that are replaced while everything runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use auth::csr;
use auth::pki::{self, Authority, Summary};

use crate::support::manifests::{pod, server};
use crate::support::{Cluster, Machine, Output, until};

#[test]
fn a_server_takes_over_new_certificates() {
    let cluster = Cluster::start();
    let pki = cluster.data_dir().join("pki");
    let checked = cluster.keelson(&["certs", "check"]).succeeds();
    for name in
        ["ca", "front-proxy-ca", "apiserver", "apiserver-kubelet-client", "front-proxy-client", "node-serving", "admin"]
    {
        let line = checked.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.ends_with(" good")), "{name}: {checked}");
    }
    let services = cluster.kubectl("get apiservices");
    assert!(services.lines().any(|line| line.starts_with("v1.apps ") && line.contains("Local")), "{services}");
    let shown = || {
        let mut curl = cluster.machine.command("curl");
        curl.args(["--silent", "--insecure", "--verbose", "https://127.0.0.1:6443/livez"]);
        let said = Output::of(&mut curl).stderr;
        said.lines()
            .find(|line| line.contains("expire date"))
            .map(str::to_owned)
            .expect("curl tells of the certificate")
    };
    let (before, kubeconfig) = (shown(), read(&cluster.data_dir().join("kubeconfig")));
    let serial = |name: &str| read(&pki.join(format!("{name}.crt")));
    let old = serial("apiserver");
    // Dates have whole seconds.
    until("a second has passed", || {
        cluster.keelson(&["certs", "rotate"]).succeeds();
        (serial("apiserver") != old && shown() != before).then_some(())
    });
    until("the administrator has a new certificate", || {
        (read(&cluster.data_dir().join("kubeconfig")) != kubeconfig).then_some(())
    });
    cluster.kubectl("get nodes");
    cluster.apply(&pod("web", &format!("containers: [{}]", server(""))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    assert_eq!(cluster.sh("pod/web", "echo hello").succeeds(), "hello\n", "the node is reached by new certificates");
}

#[test]
fn a_machine_renews_its_certificate_and_comes_back_after_it_ended() {
    let (machine, other) = (Machine::new(), Machine::new());
    machine.connect("10.99.0.1", &other, "10.99.0.2");
    let mut cluster = Cluster::start_on(machine, &["--node-ip", "10.99.0.1"]);
    let flags = ["--server", "https://10.99.0.1:6443", "--node-ip", "10.99.0.2"];
    let data = cluster.join(&other, "n2", &flags);
    cluster.until_field("node n2", ".status.conditions[?(@.type==\"Ready\")].status", "True");
    let certificate = data.join("node-pki/node-client.crt");
    until("the node has a certificate for its own API", || {
        data.join("node-pki/node-serving.crt").exists().then_some(())
    });
    for (seconds, what) in [(100, "due"), (1, "ended")] {
        cluster.kill(&data);
        let short = replace(&cluster, &data, seconds);
        let ended = || Summary::of(&short).is_ok_and(|of| of.has_ended() || seconds > 1);
        until("it is so", || ended().then_some(()));
        cluster.join(&other, "n2", &flags);
        until(&format!("the certificate that was {what} is replaced"), || {
            let now = Summary::of(&read(&certificate)).ok()?;
            (!now.is_due()).then_some(())
        });
    }
    cluster.until_field("node n2", ".status.conditions[?(@.type==\"Ready\")].status", "True");
}

/// Each step is followed by a crash of the server. Who knows the first authority alone comes through until it is
/// retired, and so do tokens of the first key.
#[test]
fn authorities_and_the_key_of_tokens_rotate_while_everything_runs() {
    let (machine, other) = (Machine::new(), Machine::new());
    machine.connect("10.99.0.1", &other, "10.99.0.2");
    let mut cluster = Cluster::start_on(machine, &["--node-ip", "10.99.0.1"]);
    let data = cluster.join(&other, "n2", &["--server", "https://10.99.0.1:6443", "--node-ip", "10.99.0.2"]);
    cluster.until_field("node n2", ".status.conditions[?(@.type==\"Ready\")].status", "True");
    cluster.import("n2");
    cluster.apply(&pod("web", &format!("nodeName: n2, containers: [{}]", server(""))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let (authority, kubeconfig) = (cluster.scratch().join("old-ca.crt"), cluster.scratch().join("old-kubeconfig"));
    let ca = cluster.data_dir().join("pki/ca.crt");
    fs::copy(&ca, &authority).expect("there is an authority");
    fs::copy(cluster.data_dir().join("kubeconfig"), &kubeconfig).expect("there is a kubeconfig");
    let token = cluster.token();
    let (old_agent, old_signer) = (read(&data.join("node-pki/node-client.crt")), read(&authority));
    let count = |text: &str| text.matches("BEGIN CERTIFICATE").count();
    for (step, trusted, first_holds) in [("trusted", 2, true), ("signs", 2, true), ("no more", 1, false)] {
        let said = cluster.keelson(&["certs", "rotate", "--ca", "--service-account-key"]).succeeds();
        assert_eq!(said.lines().filter(|line| line.contains(step)).count(), 3, "{said}");
        cluster.kill_server();
        cluster.start_server(&["--node-ip", "10.99.0.1"]);
        until("pods are told of the authorities", || {
            let told = cluster.kubectl("get configmap kube-root-ca.crt -o jsonpath={.data.ca\\.crt}");
            (count(&told) == trusted).then_some(())
        });
        until("the other machine is", || (count(&read(&data.join("node-pki/ca.crt"))) == trusted).then_some(()));
        if step == "signs" {
            until("the other machine shows a certificate of the new one", || {
                let shown = read(&data.join("node-pki/node-client.crt"));
                (shown != old_agent && pki::signer_of(&shown, &old_signer).is_none()).then_some(())
            });
        }
        cluster.until_field("node n2", ".status.conditions[?(@.type==\"Ready\")].status", "True");
        assert_eq!(cluster.sh("pod/web", "echo hello").succeeds(), "hello\n", "{step}: the node is reached");
        let keys = cluster.kubectl("get --raw /openid/v1/jwks");
        assert_eq!(keys.matches("\"kid\"").count(), trusted, "{keys}");
        let mut kubectl = cluster.machine.command("kubectl");
        kubectl.arg("--kubeconfig").arg(&kubeconfig).args(["get", "nodes"]);
        assert_eq!(Output::of(&mut kubectl).code == 0, first_holds, "{step}: the first kubeconfig");
        let trust = if first_holds { &authority } else { &ca };
        let status = if first_holds { "200" } else { "401" };
        assert_eq!(ask_by_token(&cluster, trust, &token), status, "{step}: the first token");
        assert_eq!(ask_by_token(&cluster, trust, &cluster.token()), "200", "{step}");
    }
    // A machine that slept through all of it knows nobody any more, but for who has a join token.
    cluster.kill(&data);
    for (name, text) in [("ca.crt", &old_signer), ("node-client.crt", &old_agent)] {
        fs::write(data.join("node-pki").join(name), text).expect("files are written");
    }
    cluster.join(&other, "n2", &["--server", "https://10.99.0.1:6443", "--node-ip", "10.99.0.2"]);
    until("it has a certificate of the new authority", || {
        let (shown, trusted) = (read(&data.join("node-pki/node-client.crt")), read(&data.join("node-pki/ca.crt")));
        (trusted == read(&ca) && pki::signer_of(&shown, &trusted) == Some(0)).then_some(())
    });
    until("it is reached", || (cluster.sh("pod/web", "echo hello").code == 0).then_some(()));
}

/// The status of an answer to who shows a token and trusts these authorities.
fn ask_by_token(cluster: &Cluster, authorities: &Path, token: &str) -> String {
    let mut curl = cluster.machine.command("curl");
    curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert"]).arg(authorities);
    curl.args(["-H", &format!("Authorization: Bearer {token}"), "https://127.0.0.1:6443/api"]);
    Output::of(&mut curl).stdout
}

/// Gives the machine a certificate that lasts so many seconds.
fn replace(cluster: &Cluster, data: &Path, seconds: u64) -> String {
    let authority = Authority::load(&cluster.data_dir().join("pki"), "ca").expect("the server has an authority");
    let issued = authority.issue_for(&csr::node_client_spec("n2"), Duration::from_secs(seconds));
    let (certificate, key) = issued.expect("the authority signs");
    pki::write_pair(&data.join("node-pki"), "node-client", &certificate, &key).expect("files are written");
    certificate
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
