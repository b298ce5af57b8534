//! Webhooks and policies, as an administrator sets them up.

use std::sync::mpsc;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::machine::enter;
use crate::support::{Cluster, Machine};

#[path = "../../../admission/tests/admission/server.rs"]
mod server;

use server::{Answer, Server};

/// A webhook on the machine's network. Ends when it is dropped.
struct Webhook {
    client: Value,
    stop: Option<oneshot::Sender<()>>,
    /// Answers how many connections it had, and what it was asked.
    thread: Option<JoinHandle<(usize, Vec<Value>)>>,
}

impl Webhook {
    fn start(machine: &Machine, answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let (path, (told, port)) = (machine.path(), mpsc::channel());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            enter(&path);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let server = Server::start(answer).await;
                told.send(server.client_config()).expect("the test waits for it");
                drop(stopped.await);
                (server.connections(), server.asked())
            })
        });
        let client = port.recv().expect("the webhook listens");
        Self { client, stop: Some(stop), thread: Some(thread) }
    }

    fn stop(mut self) -> (usize, Vec<Value>) {
        drop(self.stop.take());
        self.thread.take().expect("it stops once").join().expect("the webhook does not panic")
    }
}

fn answer(request: &Value) -> Answer {
    match (request["resource"]["resource"].as_str(), request["name"].as_str()) {
        (Some("configmaps"), _) => {
            Answer::patch(&json!([{"op": "add", "path": "/metadata/labels", "value": {"guarded": "yes"}}]))
        }
        (_, Some("bad")) => Answer::deny("not today"),
        (_, Some("slow")) => Answer::Never,
        (_, Some("broken")) => Answer::Raw(500, "out of order".to_owned()),
        _ => Answer::allow(),
    }
}

fn configuration(kind: &str, name: &str, client: &Value, resource: &str) -> String {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "webhooks": [{
            "name": format!("{name}.example.com"), "clientConfig": client, "timeoutSeconds": 1,
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}],
        }],
    })
    .to_string()
}

const POLICY: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: small}
spec:
  matchConstraints:
    resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]
  variables: [{name: size, expression: "has(object.data) ? object.data.size() : 0"}]
  validations: [{expression: "variables.size <= 1", messageExpression: "'too many values: ' + string(variables.size)"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: small-binding}
spec: {policyName: small, validationActions: [Deny]}
"#;

#[test]
fn webhooks_and_policies_change_and_refuse() {
    let cluster = Cluster::start_without_image();
    let webhook = Webhook::start(&cluster.machine, answer);
    cluster.apply(&configuration("MutatingWebhookConfiguration", "change", &webhook.client, "configmaps"));
    cluster.apply(&configuration("ValidatingWebhookConfiguration", "guard", &webhook.client, "secrets"));
    cluster.apply(POLICY);

    cluster.kubectl("create configmap good --from-literal=a=b");
    assert_eq!(cluster.field("configmap good", ".metadata.labels.guarded"), "yes");
    let refused = cluster.try_kubectl("create configmap large --from-literal=a=b --from-literal=c=d").fails();
    let why = "ValidatingAdmissionPolicy 'small' with binding 'small-binding' denied request: too many values: 2";
    assert!(refused.contains(why), "{refused}");

    cluster.kubectl("create secret generic good");
    for (name, why) in [
        ("bad", "admission webhook \"guard.example.com\" denied the request: not today"),
        ("slow", "failed calling webhook \"guard.example.com\": failed to call webhook: Post "),
        ("slow", "context deadline exceeded"),
        ("broken", "an error on the server (\"out of order\") has prevented the request from succeeding"),
    ] {
        let refused = cluster.try_kubectl(&format!("create secret generic {name}")).fails();
        assert!(refused.contains(why), "{name}: {refused}");
    }
    let metrics = cluster.kubectl("get --raw /metrics");
    for name in [
        "apiserver_admission_webhook_rejection_count{name=\"guard.example.com\",type=\"validating\",operation=\"CREATE\"",
        "apiserver_admission_webhook_admission_duration_seconds_count{name=\"change.example.com\"",
        "apiserver_validating_admission_policy_check_total{policy=\"small\",policy_binding=\"small-binding\"",
    ] {
        assert!(metrics.contains(name), "{name}");
    }

    let (connections, asked) = webhook.stop();
    assert!(connections < asked.len(), "{connections} connections for {} reviews", asked.len());
    let gone = cluster.try_kubectl("create secret generic late").fails();
    assert!(gone.contains("connect: connection refused"), "{gone}");
    // What refuses everything can still be taken away.
    cluster.kubectl("delete validatingwebhookconfiguration guard");
    cluster.kubectl("create secret generic late");
}

#[test]
fn a_webhook_that_is_the_server_itself_is_nobody_there() {
    let cluster = Cluster::start_without_image();
    let authority = cluster.kubectl("config view --raw -o jsonpath={.clusters[0].cluster.certificate-authority-data}");
    let client = json!({"url": "https://127.0.0.1:6443/api/v1/namespaces/default/secrets", "caBundle": authority});
    cluster.apply(&configuration("ValidatingWebhookConfiguration", "self", &client, "secrets"));
    let refused = cluster.try_kubectl("create secret generic any").fails();
    assert!(refused.contains("failed calling webhook \"self.example.com\""), "{refused}");
    cluster.kubectl("create configmap other");
}
