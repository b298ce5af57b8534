//! Webhooks and policies, as an administrator sets them up.

use std::sync::mpsc;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::machine::enter;
use crate::support::{Cluster, Machine, Script, Serving, until};

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

/// As projects with a webhook ship them: the authority is put in later, by who made the certificate.
const GUARD: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: guard}
---
apiVersion: v1
kind: Service
metadata: {name: webhook, namespace: guard}
spec: {ports: [{name: https, port: 443, targetPort: PORT}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: webhook-1, namespace: guard, labels: {kubernetes.io/service-name: webhook}}
addressType: IPv4
ports: [{name: https, port: PORT}]
endpoints: [{addresses: [ADDRESS]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: guard, annotations: {cert-manager.io/inject-ca-from: guard/serving}}
webhooks:
- name: mutate.guard.dev
  clientConfig: {service: {namespace: guard, name: webhook, path: /mutate}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps], scope: Namespaced}]
  objectSelector: {matchExpressions: [{key: guard.dev/skip, operator: DoesNotExist}]}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}
  sideEffects: None
  admissionReviewVersions: [v1, v1beta1]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard, annotations: {cert-manager.io/inject-ca-from: guard/serving}}
webhooks:
- name: validate.guard.dev
  clientConfig: {service: {namespace: guard, name: webhook, path: /validate}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE, DELETE], resources: [configmaps]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}
  matchConditions: [{name: not-the-collector, expression: "!request.userInfo.username.startsWith('system:')"}]
  sideEffects: None
  admissionReviewVersions: [v1]
"#;

#[test]
fn a_webhook_behind_a_service_is_trusted_once_its_authority_is_injected() {
    let cluster = Cluster::start_without_image();
    let address = cluster.field("node n1", ".status.addresses[?(@.type==\"InternalIP\")].address");
    let serving = Serving::issue(cluster.scratch(), "webhook.guard.svc", address.parse().expect("an address"));
    let webhook = Script::start(&cluster.machine, "webhook.py", &serving.files());
    cluster.apply(&GUARD.replace("PORT", &webhook.port).replace("ADDRESS", &address));

    let refused = cluster.try_kubectl("create configmap early").fails();
    for part in [
        "failed calling webhook \"mutate.guard.dev\": failed to call webhook: Post \
         \"https://webhook.guard.svc:443/mutate?timeout=10s\"",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    // What skips the first is held by the second, which is not trusted either.
    let skips = "{apiVersion: v1, kind: ConfigMap, metadata: {name: early, labels: {guard.dev/skip: ''}}}";
    let refused = cluster.kubectl_stdin("create -f -", &format!("---\n{skips}")).fails();
    assert!(refused.contains("failed calling webhook \"validate.guard.dev\""), "{refused}");
    let patch_both = |patch: Value| {
        for kind in ["mutating", "validating"] {
            cluster.kubectl(&format!("patch {kind}webhookconfiguration guard --type=json -p {patch}"));
        }
    };
    patch_both(json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": serving.bundle}]));

    cluster.kubectl("create configmap blue --from-literal=color=blue");
    assert_eq!(cluster.field("configmap blue", ".metadata.labels.by"), "kubernetes-admin");
    let dry = cluster.kubectl("create configmap dry --dry-run=server -o jsonpath={.metadata.labels.by}");
    assert_eq!(dry, "kubernetes-admin");
    let warned = cluster.try_kubectl("create configmap green --from-literal=color=green");
    assert!(warned.code == 0 && warned.stderr.contains("Warning: green goes out of fashion"), "{warned:?}");
    let refused = cluster.try_kubectl("create configmap red --from-literal=color=red").fails();
    let why = "admission webhook \"validate.guard.dev\" denied the request: red must not be red";
    assert!(refused.contains(why), "{refused}");
    let refused = cluster.try_kubectl(r#"patch configmap blue -p {"data":{"color":"red"}}"#).fails();
    assert!(refused.contains("denied the request: blue must not be red"), "{refused}");
    cluster.kubectl("create configmap kept --from-literal=keep=yes");
    let refused = cluster.try_kubectl("delete configmap kept").fails();
    assert!(
        refused.contains("(Conflict): admission webhook \"validate.guard.dev\" denied the request: it is to be kept"),
        "{refused}"
    );
    cluster.kubectl("create configmap elsewhere -n guard --from-literal=color=red");

    drop(webhook);
    let refused = cluster.try_kubectl("create configmap late").fails();
    assert!(refused.contains(&format!("dial tcp {address}")) && refused.contains("connection refused"), "{refused}");
    patch_both(json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]));
    cluster.kubectl("create configmap late --from-literal=color=red");
}

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer}}}}
"#;

const OF_WIDGETS: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: widgets}
spec:
  paramKind: {apiVersion: example.com/v1, kind: Widget}
  matchConstraints:
    resourceRules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [widgets]}]
  validations: [{expression: "object.spec.size <= params.spec.size"}, {expression: "object.spec.weight < 5"}]
"#;

#[test]
fn policies_are_held_to_definitions_and_to_what_their_writers_may_read() {
    let cluster = Cluster::start_without_image();
    cluster.apply(WIDGETS);
    cluster.kubectl("wait --for=condition=Established crd/widgets.example.com --timeout 30s");
    cluster.kubectl("create clusterrole writer --verb=create --resource=validatingadmissionpolicies");
    cluster.kubectl("create clusterrolebinding writer --clusterrole=writer --user=jane");
    let refused = cluster.kubectl_stdin("create --as jane -f -", OF_WIDGETS).fails();
    let why = "spec.paramKind: Forbidden: user &{jane  [system:authenticated] map[]} must have \"get\" permission on all \
               objects of the referenced paramKind (kind=Widget, apiVersion=example.com/v1)";
    assert!(refused.contains(why), "{refused}");
    cluster.kubectl("create clusterrole reader --verb=get --resource=widgets.example.com");
    cluster.kubectl("create clusterrolebinding reader --clusterrole=reader --user=jane");
    cluster.kubectl_stdin("create --as jane -f -", OF_WIDGETS).succeeds();

    let warnings = ".status.typeChecking.expressionWarnings";
    let policy = "validatingadmissionpolicy widgets";
    cluster.until_field(policy, &format!("{warnings}[0].fieldRef"), "spec.validations[1].expression");
    let warning = cluster.field(policy, &format!("{warnings}[0].warning"));
    assert!(
        warning.starts_with("example.com/v1, Kind=Widget: ERROR: <input>:1:12: undefined field 'weight'"),
        "{warning}"
    );
}

const REVIEWS: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: never}
spec:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [authentication.k8s.io, authorization.k8s.io], apiVersions: ["*"], resources: ["*"]}
    - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}
  validations: [{expression: "false", message: never}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: never}
spec: {policyName: never, validationActions: [Deny]}
"#;

#[test]
fn reviews_are_shown_to_webhooks_and_not_held_to_policies() {
    let cluster = Cluster::start_without_image();
    let whoami = || cluster.try_kubectl("auth whoami");
    cluster.apply(REVIEWS);
    let never = || cluster.try_kubectl("create configmap x --dry-run=server");
    until("the policy holds", || never().stderr.contains("denied request: never").then_some(()));
    whoami().succeeds();

    let webhook = Webhook::start(&cluster.machine, |request| match request["resource"]["resource"].as_str() {
        Some("selfsubjectreviews") => Answer::deny("you know who you are"),
        _ => Answer::allow(),
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "reviews"},
        "webhooks": [{
            "name": "reviews.example.com", "clientConfig": webhook.client, "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{
                "operations": ["CREATE"], "apiGroups": ["authentication.k8s.io", "authorization.k8s.io"],
                "apiVersions": ["*"], "resources": ["*"],
            }],
        }],
    });
    cluster.apply(&configuration.to_string());
    until("the webhook is asked", || {
        whoami().stderr.contains("denied the request: you know who you are").then_some(())
    });
    assert_eq!(cluster.kubectl("auth can-i list pods").trim(), "yes");
    let (_, asked) = webhook.stop();
    let of_access = asked.iter().find(|request| request["resource"]["resource"] == "selfsubjectaccessreviews");
    let attributes = &of_access.expect("it was shown")["object"]["spec"]["resourceAttributes"];
    assert_eq!((&attributes["verb"], &attributes["resource"]), (&json!("list"), &json!("pods")));
}

/// As `convert.py` converts them.
fn two_versions(port: &str, bundle: &str) -> String {
    let version = |name: &str, spec: Value| {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}});
        json!({"name": name, "served": true, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                version("v1", json!({"size": {"type": "integer"}})),
                version("v1beta1", json!({"amount": {"type": "string"}})),
            ],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/convert"), "caBundle": bundle},
            }},
        },
    })
    .to_string()
}

#[test]
fn a_webhook_for_one_version_is_shown_what_is_written_in_another() {
    let cluster = Cluster::start_without_image();
    let serving = Serving::issue(cluster.scratch(), "webhook", std::net::Ipv4Addr::LOCALHOST.into());
    let converter = Script::start(&cluster.machine, "convert.py", &serving.files());
    cluster.apply(&two_versions(&converter.port, &serving.bundle));
    cluster.kubectl("wait --for=condition=Established crd/widgets.example.com --timeout 30s");
    let webhook = Webhook::start(&cluster.machine, |request| match request["object"]["spec"]["amount"].as_str() {
        Some("7") => Answer::deny("seven is too many"),
        Some("5") => Answer::patch(&json!([{"op": "replace", "path": "/spec/amount", "value": "6"}])),
        _ => Answer::allow(),
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "widgets"},
        "webhooks": [{
            "name": "widgets.example.com", "clientConfig": webhook.client, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "matchPolicy": "Equivalent",
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": ["example.com"], "apiVersions": ["v1beta1"],
                "resources": ["widgets"],
            }],
        }],
    });
    cluster.apply(&configuration.to_string());
    let widget = |name: &str, size: u32| {
        format!("{{apiVersion: example.com/v1, kind: Widget, metadata: {{name: {name}}}, spec: {{size: {size}}}}}")
    };
    until("the webhook is asked", || {
        let refused = cluster.kubectl_stdin("apply -f -", &format!("---\n{}", widget("seven", 7)));
        refused.stderr.contains("denied the request: seven is too many").then_some(())
    });
    cluster.apply(&widget("five", 5));
    assert_eq!(cluster.field("widgets.v1.example.com five", ".spec.size"), "6");
    cluster.kubectl(r#"patch widgets.v1.example.com five --type merge -p {"spec":{"size":8}}"#);
    let (_, asked) = webhook.stop();
    let update = asked.iter().find(|request| request["operation"] == "UPDATE").expect("it was shown");
    assert_eq!((&update["kind"]["version"], &update["requestKind"]["version"]), (&json!("v1beta1"), &json!("v1")));
    assert_eq!(update["object"]["spec"], json!({"amount": "8"}));
    assert_eq!(update["oldObject"]["spec"], json!({"amount": "6"}));
}
