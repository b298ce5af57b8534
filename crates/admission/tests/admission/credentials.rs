//! Servers that want to know who asks them: users of the kubeconfigs that an AdmissionConfiguration names.

use std::path::Path;
use std::sync::Arc;

use admission::Options;
use auth::pki::{Authority, LeafSpec};
use auth::tls::ClientAuth;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use http::header::AUTHORIZATION;
use parking_lot::Mutex;
use serde_json::{Value, json};
use webhook::testing::{self, Asked};

use crate::server::tls_of;
use crate::webhooks::{MUTATING, VALIDATING, configuration};
use crate::{cluster_with, create, named, set_up};

fn configured(directory: &Path, users: [(&str, String); 2]) -> Options {
    let plugin = |(name, users): (&str, String)| {
        let kubeconfig = directory.join(name);
        std::fs::write(&kubeconfig, format!("{{apiVersion: v1, kind: Config, users: [{users}]}}")).unwrap();
        json!({"name": name, "configuration": {
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": kubeconfig,
        }})
    };
    let plugins = users.map(plugin);
    let file = directory.join("admission.yaml");
    let config =
        json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins});
    std::fs::write(&file, config.to_string()).unwrap();
    Options::new(&[], &[], Some(&file)).unwrap()
}

/// The path that was asked, the header, and whether there was a certificate.
fn shown(asked: &Asked) -> (String, String, bool) {
    let header = asked.headers.get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    (asked.path.split('?').next().unwrap().to_owned(), header.to_owned(), asked.certificate.is_some())
}

#[tokio::test]
async fn webhooks_are_called_as_their_plugin_is_configured() {
    let authority = Authority::create("webhooks").unwrap();
    let ca = authority.certificate_pem().unwrap();
    let seen: Arc<Mutex<Vec<(String, String, bool)>>> = Arc::default();
    let sees = seen.clone();
    let server = testing::serve(tls_of(&authority, ClientAuth::Optional(&ca)), move |asked| {
        sees.lock().push(shown(&asked));
        let review: Value = serde_json::from_str(&asked.body).unwrap();
        let response = json!({"uid": review["request"]["uid"], "allowed": true});
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        Box::pin(async move { Response::new(answer.to_string()) })
    })
    .await;
    let port = server.address.port();

    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let (certificate, key) = authority.issue(&LeafSpec::client("apiserver", &[])).unwrap();
    for (name, text) in [("certificate", certificate.as_str()), ("key", &key), ("token", "first")] {
        std::fs::write(path(name), text).unwrap();
    }
    let mutating = format!("{{name: 'localhost:{port}', user: {{tokenFile: token}}}}");
    let validating = "{name: '*', user: {client-certificate: certificate, client-key: key}}".to_owned();
    let users = [("MutatingAdmissionWebhook", mutating), ("ValidatingAdmissionWebhook", validating)];
    let registry = cluster_with(kinds::all(), configured(files.path(), users)).await;
    create(&registry, "namespaces", "", named("dev")).await.unwrap();

    let bundle = STANDARD.encode(&ca);
    for (resource, name, host) in
        [(MUTATING, "change", "localhost"), (MUTATING, "other", "127.0.0.1"), (VALIDATING, "guard", "localhost")]
    {
        let client = json!({"url": format!("https://{host}:{port}/{name}"), "caBundle": bundle});
        set_up(&registry, resource, "", configuration(name, client, "CREATE /v1/configmaps", json!({}))).await;
    }
    let told = |name: &str, token: &str| {
        let registry = registry.clone();
        let (seen, name) = (seen.clone(), name.to_owned());
        std::fs::write(path("token"), token).unwrap();
        async move {
            create(&registry, "configmaps", "dev", named(&name)).await.unwrap();
            std::mem::take(&mut *seen.lock())
        }
    };
    for (name, token) in [("a", "first"), ("b", "second\n")] {
        let asked = |path: &str, header: &str, certificate| (path.to_owned(), header.to_owned(), certificate);
        let bearer = format!("Bearer {}", token.trim());
        assert_eq!(
            told(name, token).await,
            [asked("/change", &bearer, false), asked("/other", "", false), asked("/guard", "", true)]
        );
    }

    std::fs::remove_file(path("key")).unwrap();
    let refused = create(&registry, "configmaps", "dev", named("c")).await.unwrap_err().message;
    let why = "Internal error occurred: failed calling webhook \"guard.example.com\": could not get REST client: ";
    assert!(refused.starts_with(why) && refused.contains("key: No such file"), "{refused}");
}
