//! Faults of the etcd under running servers.

use std::process::Command;

use auth::pki::{Authority, LeafSpec};

use crate::support::{Output, Servers, until};

#[test]
fn an_etcd_restored_under_a_server_ends_it_and_the_next_goes_on_above() {
    let mut servers = Servers::prepare();
    servers.start("a", &[]);
    servers.kubectl("a", "create configmap kept");
    servers.back_up_etcd();
    until("the etcd is back", || (servers.try_kubectl("a", "get --raw /readyz").stdout == "ok").then_some(()));
    servers.kubectl("a", "create configmap lost");
    let version = |servers: &Servers, name: &str| -> u64 {
        let version = servers.kubectl("a", &format!("get configmap {name} -o jsonpath={{.metadata.resourceVersion}}"));
        version.parse().expect("versions are numbers")
    };
    let lost = version(&servers, "lost");
    servers.restore_etcd();
    let said = servers.ended("a");
    assert!(said.contains("restored from an older backup"), "{said}");

    servers.start("a", &[]);
    let maps = servers.kubectl("a", "get configmaps -o name");
    assert!(maps.contains("configmap/kept") && !maps.contains("configmap/lost"), "{maps}");
    servers.kubectl("a", "create configmap next");
    assert!(version(&servers, "next") > lost + 1_000_000);
    let path = format!("get --raw /api/v1/configmaps?watch=1&timeoutSeconds=5&resourceVersion={lost}");
    let told = servers.try_kubectl("a", &path);
    assert!(told.stdout.contains("Expired") || told.stderr.contains("Expired"), "informers list again: {told:?}");
}

#[test]
fn a_silent_etcd_is_told_to_clients_and_probes_and_everything_goes_on_after_it() {
    let mut servers = Servers::prepare();
    servers.start("a", &[]);
    (0..3).for_each(|member| servers.members.pause(member));
    for probe in ["livez", "readyz"] {
        let health = servers.try_kubectl("a", &format!("get --raw /{probe} --request-timeout 60s")).fails();
        assert!(health.contains("[-]etcd failed: reason withheld") && health.contains("[+]ping ok"), "{health}");
    }
    // Other clients try again for minutes.
    let answer = |more: &[&str]| {
        let file = |name: &str| servers.path("a").join("pki").join(name).display().to_string();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "60"]);
        curl.args(["--cacert", &file("ca.crt"), "--cert", &file("admin.crt"), "--key", &file("admin.key")]).args(more);
        Output::of(curl.arg(format!("{}/api/v1/namespaces/default/configmaps?timeout=20s", servers.url("a"))))
            .succeeds()
    };
    let map = ["--header", "content-type: application/json", "--data", r#"{"metadata": {"name": "a"}}"#];
    let requests: [(&[&str], &str); 2] = [(&map, "a write"), (&[], "a read")];
    for (more, what) in requests {
        let code = answer(more);
        assert!(["503", "504"].contains(&code.as_str()), "{what}: {code}");
    }
    (0..3).for_each(|member| servers.members.resume(member));
    until("the server is ready again", || (servers.try_kubectl("a", "get --raw /readyz").stdout == "ok").then_some(()));
    servers.kubectl("a", "create configmap b");
    servers.kubectl("a", "get configmap b");
}

#[test]
fn strange_certificates_are_refused() {
    let servers = Servers::prepare();
    let stranger = Authority::create("stranger").expect("an authority is made");
    let (certificate, key) = stranger.issue(&LeafSpec::client("keelson", &[])).expect("issued");
    let write = |name: &str, text: &str| std::fs::write(servers.path(name), text).expect("a file is written");
    write("strange-ca.crt", &stranger.certificate_pem().expect("it is one"));
    write("strange.crt", &certificate);
    write("strange.key", &key);
    let file = |name: &str| servers.path(name).display().to_string();
    let save = |authority: &str, own: Option<&str>| {
        let mut words = vec!["snapshot".to_owned(), "save".to_owned(), "--data-dir".to_owned(), file("data")];
        words.extend([format!("--datastore={}", servers.members.urls().join(","))]);
        words.push(format!("--datastore-cafile={}", file(authority)));
        if let Some(own) = own {
            words.push(format!("--datastore-certfile={}", file(&format!("{own}.crt"))));
            words.push(format!("--datastore-keyfile={}", file(&format!("{own}.key"))));
        }
        servers.keelson(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    until("the etcd answers", || (save("etcd-ca.crt", Some("client")).code == 0).then_some(()));
    let refused = save("strange-ca.crt", Some("client")).fails();
    assert!(refused.contains("invalid peer certificate") && refused.contains(&servers.members.urls()[0]), "{refused}");
    for own in [Some("strange"), None] {
        let refused = save("etcd-ca.crt", own).fails();
        assert!(refused.contains("the store is out of reach: etcd"), "{own:?}: {refused}");
    }
}
