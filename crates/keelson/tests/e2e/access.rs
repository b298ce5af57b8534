//! Users of other issuers, webhooks that decide, and what strangers are told.

use std::fs;
use std::net::SocketAddr;
use std::sync::mpsc;

use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use webhook::testing::{self, Asked};

use crate::support::{Cluster, Machine, Output, enter, until};

/// An issuer of tokens and an authorizer, at one address of the server's machine.
struct Company {
    address: SocketAddr,
    ca: String,
    key: EncodingKey,
    files: TempDir,
}

impl Company {
    fn start(machine: &Machine) -> Self {
        let authority = Authority::create("company-ca").expect("an authority is made");
        let ca = authority.certificate_pem().expect("it has a certificate");
        let (_, key) = authority.issue(&LeafSpec::client("tokens", &[])).expect("a key is made");
        let key = EncodingKey::from_ec_pem(key.as_bytes()).expect("the key is on a curve");
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("it has a public part");
        public.common.key_id = Some("k1".to_owned());
        let spec = LeafSpec::server("company", vec![], vec![std::net::Ipv4Addr::LOCALHOST.into()]);
        let (certificate, server_key) = authority.issue(&spec).expect("a certificate is made");
        let identity = Identity::from_pem(&certificate, &server_key).expect("they belong together");
        let config = tls::server_config(identity, ClientAuth::None).expect("TLS is set up");
        let (path, (tell, told)) = (machine.path(), mpsc::channel());
        // It ends with the test's process.
        std::thread::spawn(move || {
            enter(&path);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async move {
                let answer = move |asked| Box::pin(std::future::ready(answer(&asked, &public))) as testing::Answering;
                let server = testing::serve(config, answer).await;
                tell.send(server.address).expect("the test waits");
                std::future::pending::<()>().await;
            });
        });
        let address = told.recv().expect("the server starts");
        Self { address, ca, key, files: tempfile::tempdir().expect("there is a place for files") }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        fs::write(&path, text).expect("a small file is written");
        path.to_string_lossy().into_owned()
    }

    fn token(&self, more: &Value) -> String {
        let now = clock::now().as_second();
        let mut claims = json!({
            "iss": format!("https://{}", self.address), "aud": "cluster", "sub": "jane", "iat": now, "exp": now + 600,
            "groups": ["dev"],
        });
        let fields = claims.as_object_mut().expect("the literal is an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token is signed")
    }

    /// With names after a prefix.
    fn authentication(&self, prefix: &str) -> String {
        let ca = self.ca.trim().replace('\n', "\n      ");
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: \
             https://{}\n    audiences: [cluster]\n    certificateAuthority: |\n      {ca}\n  claimMappings:\n    \
             username: {{claim: sub, prefix: '{prefix}'}}\n    groups: {{claim: groups, prefix: '{prefix}'}}\n\
             anonymous: {{enabled: true, conditions: [{{path: /livez}}]}}\n",
            self.address
        )
    }

    fn authorization(&self) -> String {
        let kubeconfig = format!(
            "clusters: [{{name: c, cluster: {{server: 'https://{}/authorize', certificate-authority-data: {}}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c}}}}]\ncurrent-context: x\n",
            self.address,
            STANDARD.encode(&self.ca)
        );
        let kubeconfig = self.write("kubeconfig", &kubeconfig);
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- type: Webhook\n  \
             name: company\n  webhook:\n    timeout: 3s\n    subjectAccessReviewVersion: v1\n    \
             matchConditionSubjectAccessReviewVersion: v1\n    failurePolicy: Deny\n    connectionInfo: {{type: \
             KubeConfigFile, kubeConfigFile: {kubeconfig}}}\n    matchConditions:\n    - expression: \
             request.user.startsWith('company:')\n- {{type: Node, name: node}}\n- {{type: RBAC, name: rbac}}\n"
        )
    }
}

/// Keys and discovery; and that the company's people may read secrets nowhere.
fn answer(asked: &Asked, key: &Jwk) -> Response<String> {
    let own = format!("https://{}", asked.host);
    let body = match asked.path.as_str() {
        "/.well-known/openid-configuration" => json!({"issuer": own, "jwks_uri": format!("{own}/keys")}),
        "/keys" => json!({"keys": [key]}),
        "/authorize" => {
            let review: Value = serde_json::from_str(&asked.body).unwrap_or_default();
            let secret = review["spec"]["resourceAttributes"]["resource"] == "secrets";
            let status = json!({"allowed": false, "denied": secret, "reason": "company policy"});
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": status})
        }
        _ => json!(null),
    };
    Response::new(body.to_string())
}

#[test]
fn people_of_another_issuer_come_by_its_tokens_and_go_by_its_policy() {
    let machine = Machine::new();
    let company = Company::start(&machine);
    let authentication = company.write("authentication.yaml", &company.authentication("company:"));
    let authorization = company.write("authorization.yaml", &company.authorization());
    let tokens = company.write("tokens.csv", "static-token,robot,7,\"system:masters\"\n");
    let flags = [
        "--authentication-config",
        &authentication,
        "--authorization-config",
        &authorization,
        "--token-auth-file",
        &tokens,
    ];
    let cluster = Cluster::start_on(machine, &flags);

    // Without the administrator's certificate, which would decide before any token.
    let bare = company.write("bare", &bare_kubeconfig(&cluster));
    let kubectl = |token: &str, line: &str| {
        let words = ["--kubeconfig", &bare, "--token", token].into_iter().chain(line.split_whitespace());
        let mut command = cluster.machine.command("kubectl");
        Output::of(command.args(words).env("HOME", company.files.path()))
    };
    let jane = company.token(&json!({}));
    let whoami = kubectl(&jane, "auth whoami -o jsonpath={.status.userInfo.username}{.status.userInfo.groups}");
    assert_eq!(whoami.succeeds(), "company:jane[\"company:dev\",\"system:authenticated\"]");
    let plugin =
        company.write("plugin", &with_plugin(&company, &fs::read_to_string(&bare).expect("it was written"), &jane));
    let mut by_plugin = cluster.machine.command("kubectl");
    by_plugin.args(["--kubeconfig", &plugin, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(Output::of(by_plugin.env("HOME", company.files.path())).succeeds(), "company:jane");
    let refused = kubectl(&jane, "get pods").fails();
    let forbidden = "pods is forbidden: User \"company:jane\" cannot list resource \"pods\" in API group \"\" in the \
                     namespace \"default\": company policy";
    assert!(refused.contains(forbidden), "{refused}");
    cluster.kubectl("create clusterrolebinding devs --clusterrole=cluster-admin --group=company:dev");
    until("the binding counts", || (kubectl(&jane, "get pods").code == 0).then_some(()));
    let secrets = kubectl(&jane, "get secrets").fails();
    assert!(secrets.contains("cannot list resource \"secrets\""), "the company denies what RBAC allows: {secrets}");
    let list = kubectl(&jane, "auth can-i --list").succeeds();
    assert!(list.lines().any(|line| line.starts_with("*.*")), "{list}");
    assert_eq!(kubectl("static-token", "auth whoami -o jsonpath={.status.userInfo.username}").succeeds(), "robot");

    let now = clock::now().as_second();
    for (what, token) in [
        ("expired", company.token(&json!({"exp": now - 60}))),
        ("for another", company.token(&json!({"aud": "vault"}))),
        ("of another issuer", company.token(&json!({"iss": "https://127.0.0.1:1"}))),
        ("a piece", jane[..jane.len() - 9].to_owned()),
        ("made up", "static-tokem".to_owned()),
    ] {
        let refused = kubectl(&token, "get pods").fails();
        assert!(refused.contains("You must be logged in to the server"), "{what}: {refused}");
    }
    let status = |path: &str| {
        let mut curl = cluster.machine.command("curl");
        curl.args(["--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        Output::of(curl.arg(format!("https://127.0.0.1:6443{path}"))).succeeds()
    };
    assert_eq!([status("/livez"), status("/readyz"), status("/api")], ["200", "401", "401"]);
    company.write("authentication.yaml", &company.authentication("acme:"));
    until("names have another prefix", || {
        let name = kubectl(&jane, "auth whoami -o jsonpath={.status.userInfo.username}");
        (name.stdout == "acme:jane").then_some(())
    });
    company.write("authentication.yaml", "rubbish");
    let failed = "apiserver_authentication_config_controller_automatic_reloads_total{apiserver_id_hash=\"sha256:";
    let failures = || {
        let metrics = cluster.kubectl("get --raw /metrics");
        let failed = |line: &&str| line.starts_with(failed) && line.contains("status=\"failure\"} 1");
        metrics.lines().any(|line| failed(&line)).then_some(metrics)
    };
    let metrics = until("it is told that the file is no good", failures);
    let name = kubectl(&jane, "auth whoami -o jsonpath={.status.userInfo.username}");
    assert_eq!(name.succeeds(), "acme:jane", "the one before holds");
    for name in [
        "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds{",
        "apiserver_authentication_config_controller_last_config_info{",
        "apiserver_authorization_config_controller_last_config_info{",
        "apiserver_authentication_jwt_authenticator_latency_seconds_bucket{",
        "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds{",
        "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info{",
        "apiserver_authorization_decisions_total{type=\"RBAC\",name=\"rbac\",decision=\"allowed\"}",
        "apiserver_authorization_decisions_total{type=\"Webhook\",name=\"company\",decision=\"denied\"}",
        "apiserver_authorization_webhook_evaluations_total{name=\"company\",result=\"success\"}",
        "apiserver_authorization_webhook_duration_seconds_bucket{",
        "apiserver_authorization_match_condition_exclusions_total{type=\"Webhook\",name=\"company\"}",
        "apiserver_authorization_match_condition_evaluation_seconds_bucket{",
        "authentication_attempts{result=\"failure\"}",
        "authenticated_user_requests{",
        "serviceaccount_valid_tokens_total",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
}

/// A kubeconfig whose user is told by a credential plugin.
fn with_plugin(company: &Company, bare: &str, token: &str) -> String {
    let told = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token},
    });
    let told = company.write("credential", &told.to_string());
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "cat", "args": [told],
    });
    bare.replace("user: {}", &format!("user: {{exec: {exec}}}"))
}

/// The administrator's kubeconfig without a user.
fn bare_kubeconfig(cluster: &Cluster) -> String {
    let full = fs::read_to_string(cluster.data_dir().join("kubeconfig")).expect("the server wrote it");
    let credentials = ["client-certificate-data", "client-key-data"];
    let kept = full.lines().filter(|line| !credentials.iter().any(|name| line.trim().starts_with(name)));
    kept.collect::<Vec<_>>().join("\n").replace("  user:\n", "  user: {}\n")
}
