//! Authorities, keys and policies that an administrator brings in files.

use std::fs;
use std::path::{Path, PathBuf};

use auth::pki::Authority;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Cluster, Machine, Output, bearer, until};

const P384: &str = include_str!("../../../auth/tests/remote/test-p384.pem");
const P521: &str = include_str!("../../../auth/tests/remote/test-p521.pem");

/// Small files that flags name.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("there is a place for files"))
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a small file is written");
        path.to_string_lossy().into_owned()
    }
}

/// The status of the answer; 000 where there is none.
fn ask(cluster: &Cluster, who: &[String], words: &[&str]) -> String {
    let mut curl = cluster.machine.command("curl");
    curl.args(["--silent", "--insecure", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}"]);
    let (path, more) = words.split_last().expect("a path");
    Output::of(curl.args(who).args(more).arg(format!("https://127.0.0.1:6443{path}"))).stdout
}

#[test]
fn authorities_of_users_and_proxies_are_taken_over_when_their_files_change() {
    let files = Files::new();
    let [users, users_next, proxies, proxies_next] =
        ["users", "users-next", "proxies", "proxies-next"].map(|name| Authority::create(name).expect("one is made"));
    let pem = |authority: &Authority| authority.certificate_pem().expect("it has a certificate");
    let flags = [
        "--client-ca-file",
        &files.write("users", &pem(&users)),
        "--requestheader-client-ca-file",
        &files.write("proxies", &pem(&proxies)),
    ];
    let cluster = Cluster::start_with(Machine::new(), &flags);
    let jane = [&users, &users_next].map(|authority| cluster.shows(authority, "jane", &["system:masters"]));
    let front = [&proxies, &proxies_next].map(|authority| cluster.shows(authority, "front-proxy-client", &[]));
    let for_joe = ["--header", "X-Remote-User: joe", "--header", "X-Remote-Group: system:masters", "/api/v1/nodes"];
    let by_jane = |at: usize| ask(&cluster, &jane[at], &["/api/v1/nodes"]);
    let by_front = |at: usize| ask(&cluster, &front[at], &for_joe);
    assert_eq!([by_jane(0), by_jane(1), by_front(0), by_front(1)], ["200", "000", "200", "000"]);

    // What holds no authority changes nothing, and what is put in its place does at once.
    files.write("users", "no certificate");
    files.write("users", &pem(&users_next));
    until("the authority of users is another", || (by_jane(1) == "200").then_some(()));
    assert_eq!([by_jane(0), by_front(0)], ["000", "200"]);
    // Replaced rather than written, as tools do.
    let new = files.write("proxies.new", &pem(&proxies_next));
    fs::rename(new, flags[3]).expect("a file is replaced");
    until("the authority of proxies is another", || (by_front(1) == "200").then_some(()));
    assert_eq!([by_jane(0), by_jane(1), by_front(0)], ["000", "200", "000"]);

    let told = "configmap extension-apiserver-authentication -n kube-system";
    until("servers of extensions learn of them", || {
        let [users, proxies] =
            ["client-ca-file", "requestheader-client-ca-file"].map(|of| cluster.field(told, &format!(".data.{of}")));
        (users.contains(pem(&users_next).trim()) && proxies.trim() == pem(&proxies_next).trim()).then_some(())
    });
}

#[test]
fn tokens_of_a_key_that_was_replaced_are_believed_as_long_as_it_is_named() {
    let files = Files::new();
    let (p384, p521) = (files.write("p384", P384), files.write("p521", P521));
    let mut cluster = Cluster::start_with(Machine::new(), &["--service-account-signing-key-file", &p384]);
    let algorithm = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap_or_default()).expect("it is in base64");
        serde_json::from_slice::<Value>(&header).expect("it is JSON")["alg"].as_str().unwrap_or_default().to_owned()
    };
    let believed = |cluster: &Cluster, token: &str| ask(cluster, &bearer(token), &["/api"]) == "200";
    let curves = |cluster: &Cluster| {
        let keys: Value = serde_json::from_str(&cluster.kubectl("get --raw /openid/v1/jwks")).expect("it is JSON");
        let keys = keys["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| format!("{} {}", key["crv"], key["alg"]).replace('"', "")).collect::<Vec<_>>()
    };
    let old = cluster.token();
    assert_eq!((algorithm(&old).as_str(), believed(&cluster, &old)), ("ES384", true));
    assert_eq!(curves(&cluster), ["P-384 ES384"]);

    let signing = ["--service-account-signing-key-file", &p521, "--service-account-key-file", &p384];
    cluster.kill_server();
    cluster.start_server(&signing);
    let new = cluster.token();
    assert_eq!((algorithm(&new).as_str(), believed(&cluster, &new)), ("ES512", true));
    assert!(believed(&cluster, &old));
    assert_eq!(curves(&cluster), ["P-521 ES512", "P-384 ES384"]);

    cluster.kill_server();
    cluster.start_server(&signing[..2]);
    assert_eq!((believed(&cluster, &new), believed(&cluster, &old)), (true, false));
}

#[test]
fn tokens_are_of_the_issuer_and_for_the_audiences_that_flags_name() {
    const OWN: &str = "https://kubernetes.default.svc.cluster.local";
    let mut cluster = Cluster::start_with(Machine::new(), &[]);
    let old = cluster.token();
    let believed = |cluster: &Cluster, token: &str| ask(cluster, &bearer(token), &["/api"]) == "200";
    let flags = [
        "--service-account-issuer=https://issuer.example.com",
        &format!("--service-account-issuer={OWN}"),
        "--service-account-jwks-uri=https://issuer.example.com/keys",
        &format!("--api-audiences=api,{OWN}"),
        "--service-account-max-token-expiration=2h",
    ];
    cluster.kill_server();
    cluster.start_server(&flags);
    let claims = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap_or_default()).expect("it is in base64");
        serde_json::from_slice::<Value>(&claims).expect("it is JSON")
    };
    let new = claims(&cluster.token());
    assert_eq!((&new["iss"], &new["aud"]), (&json!("https://issuer.example.com"), &json!(["api", OWN])));
    let asked = cluster.try_kubectl("create token default --audience api --duration 3h");
    assert!(asked.stderr.contains("requested expiration of 10800 seconds shortened to 7200 seconds"), "{asked:?}");
    assert!(believed(&cluster, asked.stdout.trim()) && believed(&cluster, &old));
    let other = cluster.kubectl("create token default --audience vault");
    assert!(!believed(&cluster, other.trim()));
    let told: Value = serde_json::from_str(&cluster.kubectl("get --raw /.well-known/openid-configuration")).unwrap();
    assert_eq!((&told["issuer"], &told["jwks_uri"]), (&new["iss"], &json!("https://issuer.example.com/keys")));
}

const POLICY: &str = r#"
# jane reads pods, whoever is in ops may do everything to ConfigMaps
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "jane", "namespace": "default", "resource": "pods", "readonly": true}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"group": "ops", "namespace": "*", "resource": "configmaps"}}
"#;

#[test]
fn policies_in_a_file_allow_what_roles_do_not() {
    let files = Files::new();
    let policy = files.write("policy", POLICY);
    let by_modes = ["--authorization-mode=ABAC,Node,RBAC", "--authorization-policy-file", &policy];
    let mut cluster = Cluster::start_with(Machine::new(), &by_modes);
    let check = |cluster: &Cluster| {
        for (who, groups, what, expected) in [
            ("jane", &[][..], "GET /api/v1/namespaces/default/pods", "200"),
            ("jane", &[], "GET /api/v1/namespaces/kube-system/pods", "403"),
            ("jane", &[], "DELETE /api/v1/namespaces/default/pods/x", "403"),
            ("jane", &[], "GET /api/v1/namespaces/default/secrets", "403"),
            ("joe", &["ops"], "DELETE /api/v1/namespaces/default/configmaps/x", "404"),
            ("joe", &["dev"], "DELETE /api/v1/namespaces/default/configmaps/x", "403"),
        ] {
            let shown = cluster.shows(&cluster.authority("ca"), who, groups);
            let (method, path) = what.split_once(' ').expect("a method and a path");
            assert_eq!(ask(cluster, &shown, &["--request", method, path]), expected, "{who} {groups:?}: {what}");
        }
    };
    check(&cluster);
    let allowed = cluster.kubectl("auth can-i list pods --as jane");
    assert_eq!(allowed.trim(), "yes");

    let config = files.write(
        "authorization",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthorizationConfiguration, authorizers: [{type: Node, name: node},
          {type: ABAC, name: abac}, {type: RBAC, name: rbac}]}",
    );
    cluster.kill_server();
    cluster.start_server(&["--authorization-config", &config, "--authorization-policy-file", &policy]);
    check(&cluster);

    let bad = files.write("bad", "{\"user\": 1}\n");
    let modes = ["--authorization-mode=ABAC", "--authorization-policy-file", &bad, "--bind", "127.0.0.1:0"];
    let told = refused(&cluster, &files.0.path().join("data"), &modes);
    assert!(told.contains(&format!("error reading policy file {bad}, line 1")), "{told}");
}

/// What a server with these flags says that does not start.
fn refused(cluster: &Cluster, data: &Path, flags: &[&str]) -> String {
    let mut server = cluster.program();
    server.args(["server", "--no-agent", "--data-dir"]).arg(data).args(flags);
    Output::of(&mut server).fails()
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_before_a_port_is_taken() {
    let files = Files::new();
    let cluster = Cluster::start_without_image();
    let data: PathBuf = files.0.path().join("data");
    let egress = |protocol: &str| {
        let text = format!(
            "{{apiVersion: apiserver.k8s.io/v1beta1, kind: EgressSelectorConfiguration, egressSelections: [{{name: cluster,
              connection: {{proxyProtocol: {protocol}}}}}]}}"
        );
        files.write(protocol, &text)
    };
    let (direct, proxied) = (egress("Direct"), egress("HTTPConnect"));
    // The cluster's server has the port already.
    for (flags, wanted) in [
        (["--enable-admission-plugins", "Nope"], "Nope"),
        (["--admission-control-config-file", "/nowhere"], "/nowhere"),
        (
            ["--egress-selector-config-file", "/nowhere"],
            "unable to read egress selector configuration from \"/nowhere\"",
        ),
        (["--egress-selector-config-file", &proxied], "connections by HTTPConnect are not supported, only Direct ones"),
        (["--service-account-issuer", ""], "service-account-issuer should not be an empty string"),
        (["--service-account-jwks-uri", "http://a/keys"], "service-account-jwks-uri requires https scheme"),
        (["--service-account-max-token-expiration", "59m"], "must be between 1 hour and 2^32 seconds"),
        (["--egress-selector-config-file", &direct], "is another server running?"),
    ] {
        let told = refused(&cluster, &data, &flags);
        assert!(told.contains(wanted), "{flags:?}: {told}");
        assert_eq!(told.contains("another server"), wanted.contains("another server"), "{flags:?}: {told}");
    }
}
