//! Faults of the etcd under running servers, and what it asks of them.

use std::time::Duration;

use auth::pki::{Authority, LeafSpec};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::support::{Output, Servers, until};

const HOUR: Duration = Duration::from_secs(3600);

/// What an object says of the revision that last changed it.
fn version(servers: &Servers, name: &str) -> u64 {
    let version = servers.kubectl("a", &format!("get configmap {name} -o jsonpath={{.metadata.resourceVersion}}"));
    version.parse().expect("versions are numbers")
}

fn is_ready(servers: &Servers) -> Option<()> {
    (servers.try_kubectl("a", "get --raw /readyz").stdout == "ok").then_some(())
}

#[test]
fn an_etcd_restored_under_a_server_ends_it_and_the_next_goes_on_above() {
    let mut servers = Servers::prepare();
    servers.start("a", &[]);
    servers.kubectl("a", "create configmap kept");
    servers.back_up_etcd();
    until("the etcd is back", || is_ready(&servers));
    servers.kubectl("a", "create configmap lost");
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
fn an_etcd_restored_to_just_before_a_server_was_killed_goes_on_above() {
    let mut servers = Servers::prepare();
    servers.start("a", &[]);
    servers.back_up_etcd();
    until("the etcd is back", || is_ready(&servers));
    let lost = servers.kubectl("a", "create configmap lost -o jsonpath={.metadata.resourceVersion}");
    servers.kill("a");
    servers.restore_etcd();
    servers.start("a", &[]);
    assert!(servers.try_kubectl("a", "get configmap lost").fails().contains("not found"));
    servers.kubectl("a", "create configmap next");
    assert!(version(&servers, "next") > lost.parse::<u64>().expect("a number") + 1_000_000);
}

#[tokio::test]
async fn a_full_etcd_refuses_writes_as_upstream_does_and_takes_them_again_after_its_upkeep() {
    let mut servers = Servers::prepare_with(&["--quota-backend-bytes=16777216"]);
    servers.start("a", &[]);
    let maps: Api<ConfigMap> = Api::default_namespaced(servers.client("a").await);
    let listed = maps.list(&Default::default()).await.expect("it lists").metadata.resource_version;
    let watch = maps.watch(&WatchParams::default(), &listed.expect("lists have one")).await;
    let mut watch = watch.expect("it watches").boxed();
    let mut made = Vec::new();
    let refused = loop {
        let name = format!("large-{}", made.len());
        match create(&maps, &name, "v".repeat(900_000)).await {
            Ok(_) => made.push(name),
            Err(kube::Error::Api(status)) => break status,
            Err(error) => panic!("{error}"),
        }
    };
    let said = (refused.code, &*refused.reason, &*refused.message);
    assert_eq!(said, (500, "", "etcdserver: mvcc: database space exceeded"));
    let refused = servers.try_kubectl("a", "create configmap small").fails();
    assert!(refused.contains("etcdserver: mvcc: database space exceeded"), "{refused}");

    servers.kubectl("a", "get --raw /readyz");
    assert!(maps.get(&made[0]).await.is_ok());
    for name in &made {
        maps.delete(name, &DeleteParams::default()).await.expect("what frees space is not refused");
    }
    let mut deleted = 0;
    while deleted < made.len() {
        match tokio::time::timeout(Duration::from_secs(30), watch.try_next()).await.expect("watches go on") {
            Ok(Some(WatchEvent::Deleted(_))) => deleted += 1,
            Ok(Some(_)) => {}
            other => panic!("{other:?} after {deleted}"),
        }
    }

    let newest = maps.list(&Default::default()).await.expect("it lists").metadata.resource_version;
    for upkeep in [vec!["compact", &newest.expect("lists have one")], vec!["defrag"], vec!["alarm", "disarm"]] {
        servers.etcdctl("client", &upkeep).succeeds();
    }
    until("there is space", || (servers.try_kubectl("a", "create configmap again").code == 0).then_some(()));
    servers.kubectl("a", "create deployment web --image example.com/web --replicas 1");
    until("the loops go on", || (!servers.kubectl("a", "get pods -l app=web -o name").is_empty()).then_some(()));
    let log = servers.log("a");
    assert!(log.matches("disarm the alarm NOSPACE").count() == 1 && log.contains("etcd has space again"), "{log}");
}

async fn create(maps: &Api<ConfigMap>, name: &str, text: String) -> Result<ConfigMap, kube::Error> {
    let map = json!({"metadata": {"name": name}, "data": {"text": text}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).expect("it is one")).await
}

/// Users are named by the common names of certificates.
#[test]
fn an_etcd_with_users_of_its_own_lets_servers_do_what_their_role_says() {
    const NEEDED: &str = "must be allowed to read all keys, and to write those that begin with /registry/, /keelson/";
    let mut servers = Servers::prepare();
    servers.issue("root", "root", HOUR);
    servers.issue("nobody", "nobody", HOUR);
    let etcdctl = |servers: &Servers, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        until(line, || (servers.etcdctl("root", &words).code == 0).then_some(()));
    };
    let lines = ["user add root --no-password", "user grant-role root root", "user add keelson --no-password"];
    lines.iter().for_each(|line| etcdctl(&servers, line));
    for line in ["role add keelson", "user grant-role keelson keelson", "auth enable"] {
        etcdctl(&servers, line);
    }
    let registry = "keelson readwrite /registry/ --prefix=true";
    for key in [registry, "keelson readwrite /keelson/ --prefix=true", "keelson readwrite keelson/ --prefix=true"] {
        etcdctl(&servers, &format!("role grant-permission {key}"));
    }
    let refused = servers.refused("a", &[]);
    assert!(refused.contains("etcdserver: permission denied") && refused.contains(NEEDED), "{refused}");
    servers.etcdctl("root", &["role", "grant-permission", "keelson", "read", "", "--from-key"]).succeeds();
    servers.start("a", &[]);
    servers.kubectl("a", "create configmap kept");
    servers.kubectl("a", "create deployment web --image example.com/web --replicas 1");
    until("the loops run", || (!servers.kubectl("a", "get pods -l app=web -o name").is_empty()).then_some(()));

    let revoked = ["role", "revoke-permission", "keelson", "/registry/", "--prefix=true"];
    servers.etcdctl("root", &revoked).succeeds();
    let refused = servers.try_kubectl("a", "create configmap denied").fails();
    assert!(refused.contains("etcdserver: permission denied") && refused.contains(NEEDED), "{refused}");
    servers.kubectl("a", "get configmap kept");
    etcdctl(&servers, &format!("role grant-permission {registry}"));
    until("it may again", || (servers.try_kubectl("a", "create configmap later").code == 0).then_some(()));

    save(&servers, "etcd-ca.crt", Some("root")).succeeds();
    let refused = save(&servers, "etcd-ca.crt", Some("nobody")).fails();
    assert!(refused.contains("etcdserver: permission denied"), "{refused}");
}

/// `keelson snapshot save`, which shows the certificate of a name to an etcd that it knows by an authority.
fn save(servers: &Servers, authority: &str, own: Option<&str>) -> Output {
    let file = |name: &str| servers.path(name).display().to_string();
    let mut words = vec!["snapshot".to_owned(), "save".to_owned(), "--data-dir".to_owned(), file("data")];
    words.push(format!("--datastore={}", servers.members.urls().join(",")));
    words.push(format!("--datastore-cafile={}", file(authority)));
    if let Some(own) = own {
        words.push(format!("--datastore-certfile={}", file(&format!("{own}.crt"))));
        words.push(format!("--datastore-keyfile={}", file(&format!("{own}.key"))));
    }
    servers.keelson(&words.iter().map(String::as_str).collect::<Vec<_>>())
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
    let map = ["--header", "content-type: application/json", "--data", r#"{"metadata": {"name": "a"}}"#];
    let requests: [(&[&str], &str); 2] = [(&map, "a write"), (&[], "a read")];
    for (more, what) in requests {
        let code = servers.status("a", "/api/v1/namespaces/default/configmaps?timeout=20s", more);
        assert!(["503", "504"].contains(&code.as_str()), "{what}: {code}");
    }
    (0..3).for_each(|member| servers.members.resume(member));
    until("the server is ready again", || is_ready(&servers));
    servers.kubectl("a", "create configmap b");
    servers.kubectl("a", "get configmap b");
}

#[test]
fn strange_and_expired_certificates_are_refused_with_the_name_of_the_file_or_the_member() {
    let servers = Servers::prepare();
    let stranger = Authority::create("stranger").expect("an authority is made");
    let (certificate, key) = stranger.issue(&LeafSpec::client("keelson", &[])).expect("issued");
    let write = |name: &str, text: &str| std::fs::write(servers.path(name), text).expect("a file is written");
    write("strange-ca.crt", &stranger.certificate_pem().expect("it is one"));
    write("strange.crt", &certificate);
    write("strange.key", &key);
    servers.issue("expired", "keelson", Duration::ZERO);
    let path = |name: &str| servers.path(name).display().to_string();
    until("the etcd answers", || (save(&servers, "etcd-ca.crt", Some("client")).code == 0).then_some(()));
    let refused = save(&servers, "strange-ca.crt", Some("client")).fails();
    let names_a_member = |refused: &str| servers.members.urls().iter().any(|member| refused.contains(member));
    for named in ["invalid peer certificate: UnknownIssuer", &path("strange-ca.crt")] {
        assert!(refused.contains(named) && names_a_member(&refused), "{named}: {refused}");
    }
    let refused = save(&servers, "etcd-ca.crt", Some("expired")).fails();
    assert!(refused.contains(&format!("the certificate of {} has expired", path("expired.crt"))), "{refused}");
    let refused = save(&servers, "etcd-ca.crt", Some("strange")).fails();
    for named in ["the store is out of reach: etcd", &path("strange.crt")] {
        assert!(refused.contains(named) && names_a_member(&refused), "{named}: {refused}");
    }
    let refused = save(&servers, "etcd-ca.crt", None).fails();
    assert!(refused.contains("the store is out of reach: etcd") && names_a_member(&refused), "{refused}");
}

#[test]
fn members_whose_certificates_have_expired_are_named() {
    let servers = Servers::prepare_expired();
    let names = |refused: &str, member: &str| {
        refused.contains(&format!("{member}: invalid peer certificate: certificate expired"))
    };
    until("each member is refused", || {
        let refused = save(&servers, "etcd-ca.crt", Some("client")).stderr;
        servers.members.urls().iter().all(|member| names(&refused, member)).then_some(())
    });
}
