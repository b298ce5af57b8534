//! Tokens that a webhook judges.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auth::authn::WebhookTokens;
use auth::authn::webhook::Options;
use auth::pki::{Authority, LeafSpec};
use auth::{Authenticator as _, Credentials, Refused};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::UserInfo;
use serde_json::{Value, json};
use tempfile::TempDir;
use webhook::testing::Server;

use crate::support::{answer, serve};

struct Hook {
    tokens: WebhookTokens,
    asked: Arc<AtomicUsize>,
    _server: Server,
    _files: TempDir,
}

/// Knows the token `jane`, of whoever shows a certificate; calls `revoked` so, and fails for `broken`.
async fn hook(options: Options) -> Hook {
    let authority = Authority::create("hook-ca").unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let version = options.version.clone();
    let server = serve(&authority, move |asked| {
        count.fetch_add(1, Ordering::SeqCst);
        let review: Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(review["apiVersion"], format!("authentication.k8s.io/{version}"));
        assert_eq!((&review["kind"], asked.path.as_str()), (&json!("TokenReview"), "/authenticate?x=1"));
        assert!(asked.certificate.is_some(), "the server shows its certificate");
        let status = match review["spec"]["token"].as_str().unwrap() {
            "jane" => json!({"authenticated": true, "user": {"username": "jane", "uid": "7", "groups": ["dev"], "extra": {"a": ["b"]}}}),
            "revoked" => json!({"authenticated": false, "error": "revoked"}),
            "broken" => return answer(403, &json!("go away")),
            _ => json!({"authenticated": false}),
        };
        answer(200, &json!({"apiVersion": review["apiVersion"], "kind": "TokenReview", "status": status}))
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.issue(&LeafSpec::client("apiserver", &[])).unwrap();
    std::fs::write(files.path().join("key.pem"), key).unwrap();
    let kubeconfig = format!(
        "clusters: [{{name: c, cluster: {{server: 'https://{}/authenticate?x=1', certificate-authority-data: {}}}}}]\n\
         users: [{{name: u, user: {{client-certificate-data: {}, client-key: key.pem}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n",
        server.address,
        STANDARD.encode(authority.certificate_pem().unwrap()),
        STANDARD.encode(certificate),
    );
    let path = files.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    let tokens = WebhookTokens::read(&path, options).unwrap_or_else(|error| panic!("{error}"));
    Hook { tokens, asked, _server: server, _files: files }
}

#[tokio::test]
async fn a_webhook_says_whose_tokens_are() {
    let hook = hook(Options { version: "v1".to_owned(), cache_ttl: Duration::from_secs(120) }).await;
    let mut jane = UserInfo { uid: "7".to_owned(), ..UserInfo::new("jane", &["dev"]) };
    jane.extra.insert("a".to_owned(), vec!["b".to_owned()]);
    for (token, expected, asked) in [
        ("jane", Ok(Some(jane.clone())), 1),
        ("jane", Ok(Some(jane)), 1),
        ("unknown", Ok(None), 2),
        ("unknown", Ok(None), 2),
        ("revoked", Err(Refused("revoked".to_owned())), 3),
        ("revoked", Err(Refused("revoked".to_owned())), 4),
        ("broken", Err(Refused("\"go away\"".to_owned())), 5),
    ] {
        assert_eq!(hook.tokens.authenticate(&Credentials::token(token)).await, expected, "{token}");
        assert_eq!(hook.asked.load(Ordering::SeqCst), asked, "{token}");
    }
    assert_eq!(hook.tokens.authenticate(&Credentials::default()).await, Ok(None));
}

#[tokio::test]
async fn without_a_lifetime_each_token_is_asked_for_each_time() {
    let hook = hook(Options { version: "v1beta1".to_owned(), cache_ttl: Duration::ZERO }).await;
    for asked in 1..4 {
        assert!(hook.tokens.authenticate(&Credentials::token("jane")).await.unwrap().is_some());
        assert_eq!(hook.asked.load(Ordering::SeqCst), asked);
    }
}

#[test]
fn kubeconfigs_that_say_nothing_are_refused() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("kubeconfig");
    let error = |text: &str, version: &str| {
        std::fs::write(&path, text).unwrap();
        let options = Options { version: version.to_owned(), cache_ttl: Duration::ZERO };
        WebhookTokens::read(&path, options).err().unwrap().to_string()
    };
    assert!(error("current-context: x", "v1").contains("context \"x\" does not exist"));
    let other = error("", "v2");
    assert_eq!(other, "unsupported authentication webhook version \"v2\", supported versions are \"v1\", \"v1beta1\"");
}
