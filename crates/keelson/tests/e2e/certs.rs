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
